//! An engine made of a Unix socket and a closure.

use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
};

use aiplat_core::spec::InstanceId;
use aiplat_host::docker::DockerBackend;

/// What came in.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// With the API version.
    pub path: String,
    pub body: Vec<u8>,
}

/// Listens until the test process ends.
pub struct FakeEngine {
    pub socket: PathBuf,
    folder: tempfile::TempDir,
    seen: Arc<Mutex<Vec<String>>>,
}

type Handler = dyn Fn(&Request, &mut UnixStream) + Send + Sync;

impl FakeEngine {
    /// An engine whose every call but the ping is answered by `handler`.
    pub fn start(handler: impl Fn(&Request, &mut UnixStream) + Send + Sync + 'static) -> Self {
        let engine = Self::absent();
        engine.listen(move |request, stream| match request.path.as_str() {
            "/_ping" => ok(stream, "\"OK\""),
            _ => handler(request, stream),
        });
        engine
    }

    /// A path at which nobody listens yet.
    pub fn absent() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { socket: folder.path().join("docker.sock"), folder, seen: Arc::default() }
    }

    /// `handler` answers everything, the ping too.
    pub fn listen(&self, handler: impl Fn(&Request, &mut UnixStream) + Send + Sync + 'static) {
        let listener = UnixListener::bind(&self.socket).unwrap();
        let (handler, seen): (Arc<Handler>, _) = (Arc::new(handler), self.seen.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (handler, seen) = (handler.clone(), seen.clone());
                thread::spawn(move || serve(stream, &*handler, &seen));
            }
        });
    }

    pub fn backend(&self) -> DockerBackend {
        DockerBackend::new(&self.socket, InstanceId("i".to_owned()))
            .with_credentials_file(self.folder.path().join("config.json"))
    }

    /// `METHOD path`, in the order in which they came.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve(mut stream: UnixStream, handler: &Handler, seen: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length =
        head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok();
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
    seen.lock().unwrap().push(format!("{method} {path}"));
    handler(&Request { method, path, body }, &mut stream);
}

/// Answers 200 with `json`.
pub fn ok(stream: &mut UnixStream, json: &str) {
    answer(stream, 200, json);
}

/// Answers `status` with `json`.
pub fn answer(stream: &mut UnixStream, status: u16, json: &str) {
    answer_as(stream, "1.41", status, json);
}

/// Answers as an engine of that API version.
pub fn answer_as(stream: &mut UnixStream, version: &str, status: u16, json: &str) {
    let length = json.len();
    let head = format!(
        "HTTP/1.1 {status} X\r\napi-version: {version}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{json}").as_bytes()).ok();
}

/// The head of a stream; `piece` follows as often as wanted.
pub fn begin(stream: &mut UnixStream) {
    stream.write_all(b"HTTP/1.1 200 OK\r\napi-version: 1.41\r\ntransfer-encoding: chunked\r\n\r\n").ok();
}

/// A piece of a stream.
pub fn piece(stream: &mut UnixStream, text: &str) -> std::io::Result<()> {
    stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())
}

/// Returns when the other side has hung up.
pub fn until_hung_up(stream: &mut UnixStream) {
    while matches!(stream.read(&mut [0; 64]), Ok(1..)) {}
}
