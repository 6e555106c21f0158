//! The stand-in, a registry, and the adapter that reaches both.

use std::{
    io::Write,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use aiplat_core::{
    action::{FreeRoom, PullModel},
    observed::{ModelEndpoint, PullProgress, ServerPlace},
    spec::InstanceId,
};
use aiplat_host::{
    HostError, Models, Progress,
    docker::DockerBackend,
    model::{ModelOptions, ModelServers},
};
use tokio_util::sync::CancellationToken;

use crate::{models::Store, ollama, request::Request};

/// Bytes of each model of the stand-in.
pub(crate) const SIZE: u64 = 1_000;

/// A server of models, on a port of its own.
pub(crate) struct Server {
    pub(crate) store: Arc<Store>,
    pub(crate) at: ModelEndpoint,
}

/// Answers each connection with `answer`, for as long as the process runs.
pub(crate) fn listen(answer: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            thread::spawn(move || {
                if let Some(request) = Request::read(&stream) {
                    answer(&request, &mut stream);
                }
            });
        }
    });
    address
}

pub(crate) fn say(stream: &mut TcpStream, status: &str, body: &str) {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    // Who has hung up does not want to know.
    drop(stream.write_all(format!("{head}{body}").as_bytes()));
}

pub(crate) fn endpoint(address: SocketAddr) -> ModelEndpoint {
    let place = ServerPlace::Host(address.ip());
    ModelEndpoint { service: "ollama".to_owned(), place, port: address.port() }
}

/// A stand-in that has nothing yet; a slow pull takes a minute.
pub(crate) fn start() -> Server {
    let store = Arc::new(Store::new(None, SIZE, Duration::from_secs(60)));
    let of_thread = Arc::clone(&store);
    let address = listen(move |request, stream| {
        if let Ok(false) = ollama::change(request, &of_thread, stream) {
            match ollama::body(&request.target, "0.5.7", None, &of_thread) {
                Some(body) => say(stream, "200 OK", &body),
                None => say(stream, "404 Not Found", "404 page not found"),
            }
        }
    });
    Server { store, at: endpoint(address) }
}

pub(crate) fn adapter_with(options: ModelOptions) -> ModelServers {
    let engine = DockerBackend::new("/nonexistent/docker.sock", InstanceId("test".to_owned()));
    ModelServers::new(engine, options)
}

/// The adapter, which gives a pull up that stands still for 400 ms.
pub(crate) fn adapter() -> ModelServers {
    adapter_with(ModelOptions { stall: Duration::from_millis(400), ..ModelOptions::default() })
}

impl Server {
    pub(crate) fn of(&self, model: &str, free: Option<u64>) -> PullModel {
        PullModel {
            model: model.parse().expect("a model's name"),
            at: self.at.clone(),
            bytes: None,
            room: free.map(|free| FreeRoom { free, on: "/ (ext4 on /dev/sda1)".to_owned() }),
        }
    }

    /// Pulls, and answers with the bytes as they were told.
    pub(crate) async fn pull(&self, model: &str) -> (Result<(), HostError>, Vec<PullProgress>) {
        let told: Arc<Mutex<Vec<PullProgress>>> = Arc::default();
        let of_call = Arc::clone(&told);
        let progress: Progress = Arc::new(move |bytes| of_call.lock().expect("no panic").push(bytes));
        let result = adapter().pull(&self.of(model, None), progress, CancellationToken::new()).await;
        let told = told.lock().expect("no panic").clone();
        (result, told)
    }
}
