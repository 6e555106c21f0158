//! One request over one connection.

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinHandle,
};

/// A body of ours, JSON if there is one.
pub(super) type Body = Bytes;

/// No answer that is read as a whole is larger: a thousand models make 500 KB.
const MAX_ANSWER: usize = 8 << 20;

/// An answer whose body is still coming. Dropping it closes the connection, on which a server gives up what it was asked for.
#[derive(Debug)]
pub(super) struct Sent {
    response: Response<Incoming>,
    _driver: Driver,
}

/// The task that moves one connection's bytes; it ends with its owner.
#[derive(Debug)]
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sends a request, and hands over its answer once its head has come.
pub(super) async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    method: Method,
    path: &str,
    host: &str,
    body: Body,
) -> Result<Sent, String> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| root_cause(&error))?;
    let driver = Driver(tokio::spawn(async move {
        // Its error reaches the caller through the answer.
        connection.await.ok();
    }));
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, host);
    request = request.header(header::USER_AGENT, "aiplatd").header(header::CONNECTION, "close");
    if !body.is_empty() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let request = request.body(Full::new(body)).map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| root_cause(&error))?;
    Ok(Sent { response, _driver: driver })
}

impl Sent {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The next piece of the body; `None` at its end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, String> {
        while let Some(frame) = self.response.body_mut().frame().await {
            let frame = frame.map_err(|error| root_cause(&error))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// All that is left of the body.
    pub(super) async fn rest(&mut self) -> Result<Bytes, String> {
        let mut body = BytesMut::new();
        while let Some(piece) = self.next().await? {
            if body.len() + piece.len() > MAX_ANSWER {
                return Err(format!("an answer of more than {} MiB", MAX_ANSWER >> 20));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }
}

/// The engine room's reason: "connection reset by peer" rather than "connection error".
fn root_cause(error: &hyper::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    match cause.downcast_ref::<std::io::Error>() {
        Some(error) => crate::probe::plain(error),
        None => cause.to_string(),
    }
}
