//! Probes that we make ourselves: HTTP and TCP to the container's address.
//!
//! Each returns its transcript in one line, whichever way it went: what was asked, and what came of it.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use aiplat_core::spec::{HttpProbe, Scheme};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::{Request, Response, body::Incoming, ext::ReasonPhrase, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// No head of an answer may be longer.
const MAX_HEAD: usize = 64 << 10;

/// One request, of which only the head of the answer is read. Neither redirects nor proxies are followed.
pub(crate) async fn http(
    address: Option<IpAddr>,
    probe: &HttpProbe,
    timeout: Duration,
) -> Result<String, String> {
    let HttpProbe { scheme: Scheme::Http, port, path, method, host: _, headers: _, status } = probe;
    let Some(address) = address else { return Err(format!("{method} http :{port}{path}: {NO_ADDRESS}")) };
    let address = SocketAddr::new(address, *port);
    let asked = format!("{method} http://{address}{path}");
    let answer = match tokio::time::timeout(timeout, ask(address, probe)).await {
        Err(_) => return Err(format!("{asked}: timed out, no answer within {}", precise(timeout))),
        Ok(Err(why)) => return Err(format!("{asked}: {why}")),
        Ok(Ok(answer)) => answer,
    };
    let (from, to) = status;
    let code = answer.status().as_u16();
    let said = format!("{asked}: {}", status_line(&answer));
    if (*from..=*to).contains(&code) { Ok(said) } else { Err(format!("{said} (wanted {from} to {to})")) }
}

/// One connection.
pub(crate) async fn tcp(address: Option<IpAddr>, port: u16, timeout: Duration) -> Result<String, String> {
    let Some(address) = address else { return Err(format!("tcp :{port}: {NO_ADDRESS}")) };
    let address = SocketAddr::new(address, port);
    match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
        Err(_) => Err(format!("tcp {address}: timed out, no connection within {}", precise(timeout))),
        Ok(Err(error)) => Err(format!("tcp {address}: {}", plain(&error))),
        Ok(Ok(_)) => Ok(format!("tcp {address}: connected")),
    }
}

const NO_ADDRESS: &str = "the container has no address to reach it at";

async fn ask(address: SocketAddr, probe: &HttpProbe) -> Result<Response<Incoming>, String> {
    let HttpProbe { scheme: _, port: _, path, method, host, headers, status: _ } = probe;
    let host = host.clone().unwrap_or_else(|| address.to_string());
    let mut request = Request::builder().method(method.as_str()).uri(path).header(header::HOST, host);
    request = request.header(header::USER_AGENT, "aiplatd").header(header::CONNECTION, "close");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    let stream = TcpStream::connect(address).await.map_err(|error| plain(&error))?;
    let mut client = hyper::client::conn::http1::Builder::new();
    client.max_buf_size(MAX_HEAD);
    let (mut sender, connection) =
        client.handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let mut answer = std::pin::pin!(sender.send_request(request));
    let mut connection = std::pin::pin!(connection);
    // The connection is moved here and not by a task, so that it ends with this probe. When it ends first, the answer,
    // or the reason why there is none, is with the request.
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer,
        _ = &mut connection => answer.await,
    };
    answer.map_err(|error| root_cause(&error))
}

fn status_line(answer: &Response<Incoming>) -> String {
    let status = answer.status();
    let reason = match answer.extensions().get::<ReasonPhrase>() {
        Some(reason) => String::from_utf8_lossy(reason.as_bytes()).into_owned(),
        None => status.canonical_reason().unwrap_or_default().to_owned(),
    };
    format!("{} {reason}", status.as_u16()).trim_end().to_owned()
}

/// The engine room's reason: "connection reset by peer" rather than "connection error".
fn root_cause(error: &hyper::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    match cause.downcast_ref::<io::Error>() {
        Some(error) => plain(error),
        None => cause.to_string(),
    }
}

/// Without "(os error 111)".
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

/// A time-out as it was written: `800ms`, `1.5s`, `10s`.
pub(crate) fn precise(duration: Duration) -> String {
    format!("{duration:?}")
}
