//! One HTTP request. Neither redirects nor proxies are followed.

use std::io;

use aiplat_core::spec::{HttpProbe, Scheme};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, body::Incoming, ext::ReasonPhrase, header};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::{Cause, Vantage, plain, quoted, tls};

/// No head of an answer may be longer.
const MAX_HEAD: usize = 64 << 10;
/// A text is looked for in this much of a body, and no more is read.
const MAX_BODY: usize = 64 << 10;

pub(super) async fn exchange(
    stream: TcpStream,
    vantage: &Vantage,
    probe: &HttpProbe,
) -> Result<String, Cause> {
    match &probe.scheme {
        Scheme::Http => speak(stream, vantage, probe).await,
        Scheme::Https(trust) => {
            let name = probe.host.as_deref().map(host_name);
            speak(tls::wrap(stream, trust, name, vantage.ip()).await?, vantage, probe).await
        }
    }
}

/// `example.org:8443` without its port.
fn host_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    vantage: &Vantage,
    probe: &HttpProbe,
) -> Result<String, Cause> {
    let request = request(vantage, probe)?;
    let mut client = hyper::client::conn::http1::Builder::new();
    client.max_buf_size(MAX_HEAD);
    let (mut sender, connection) =
        client.handshake(TokioIo::new(stream)).await.map_err(|error| root_cause(&error))?;
    let mut exchange = std::pin::pin!(async {
        let answer = sender.send_request(request).await.map_err(|error| root_cause(&error))?;
        judge(answer, probe).await
    });
    let mut connection = std::pin::pin!(connection);
    // The connection is moved here and not by a task, so that it ends with this probe. When it ends first, the answer,
    // or the reason why there is none, is with the request.
    tokio::select! {
        biased;
        said = &mut exchange => said,
        _ = &mut connection => exchange.await,
    }
}

fn request(vantage: &Vantage, probe: &HttpProbe) -> Result<Request<Empty<Bytes>>, Cause> {
    let HttpProbe { scheme: _, port, path, method, host, headers, status: _, body: _ } = probe;
    let host = host.clone().unwrap_or_else(|| vantage.address(*port).to_string());
    let mut request = Request::builder().method(method.as_str()).uri(path).header(header::HOST, host);
    request = request.header(header::USER_AGENT, "aiplatd").header(header::CONNECTION, "close");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.body(Empty::<Bytes>::new()).map_err(|error| Cause::other(error.to_string()))
}

async fn judge(answer: Response<Incoming>, probe: &HttpProbe) -> Result<String, Cause> {
    let said = status_line(&answer);
    if !probe.accepts(answer.status().as_u16()) {
        return Err(Cause::Other(format!("{said} (wanted {})", probe.wanted())));
    }
    let Some(wanted) = &probe.body else { return Ok(said) };
    let read = read_until(answer.into_body(), wanted.as_bytes()).await?;
    match read {
        Search::Found => Ok(format!("{said}, and its body contains `{wanted}`")),
        Search::Ended(length) => {
            Err(Cause::Other(format!("{said}, but its body ({length} bytes) does not contain `{wanted}`")))
        }
        Search::TooLong => Err(Cause::Other(format!(
            "{said}, but the first {} KiB of its body do not contain `{wanted}`",
            MAX_BODY >> 10
        ))),
    }
}

enum Search {
    Found,
    Ended(usize),
    TooLong,
}

async fn read_until(mut body: Incoming, wanted: &[u8]) -> Result<Search, Cause> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| root_cause(&error))?;
        let Some(data) = frame.data_ref() else { continue };
        // A text may lie across two frames.
        let from = read.len().saturating_sub(wanted.len());
        let room = MAX_BODY - read.len();
        read.extend_from_slice(&data[..data.len().min(room)]);
        if read[from..].windows(wanted.len()).any(|part| part == wanted) {
            return Ok(Search::Found);
        }
        if data.len() > room {
            return Ok(Search::TooLong);
        }
    }
    Ok(Search::Ended(read.len()))
}

fn status_line(answer: &Response<Incoming>) -> String {
    let status = answer.status();
    let reason = match answer.extensions().get::<ReasonPhrase>() {
        Some(reason) => quoted(reason.as_bytes(), None),
        None => status.canonical_reason().unwrap_or_default().to_owned(),
    };
    format!("{} {reason}", status.as_u16()).trim_end().to_owned()
}

/// The engine room's reason: "connection reset by peer" rather than "connection error".
fn root_cause(error: &hyper::Error) -> Cause {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    Cause::Other(match cause.downcast_ref::<io::Error>() {
        Some(error) => plain(error),
        None => cause.to_string(),
    })
}
