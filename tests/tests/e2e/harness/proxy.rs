//! A Unix socket in front of the engine that counts what is asked of it, and can be cut.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// What separates one burst of calls from the next.
const SILENCE: Duration = Duration::from_millis(500);

/// A proxy that runs until it is dropped.
pub(crate) struct Proxy {
    pub(crate) socket: PathBuf,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    calls: Mutex<Vec<(Instant, String)>>,
    streams: Mutex<Vec<UnixStream>>,
    cut: AtomicBool,
    ended: AtomicBool,
}

impl Proxy {
    /// Listens at `socket` for `engine`.
    pub(crate) fn start(socket: PathBuf, engine: &Path) -> Self {
        let listener = UnixListener::bind(&socket).expect("the proxy's socket can be bound");
        let shared = Arc::<Shared>::default();
        let (own, engine) = (Arc::clone(&shared), engine.to_owned());
        let acceptor = std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if own.ended.load(Ordering::SeqCst) {
                    return;
                }
                if own.cut.load(Ordering::SeqCst) {
                    continue;
                }
                // An engine that is away closes the connection, as a proxy in between would.
                if let Ok(server) = UnixStream::connect(&engine) {
                    serve(&own, client, server);
                }
            }
        });
        Self { socket, shared, acceptor: Some(acceptor) }
    }

    /// `METHOD /path?query` of every call so far, without the version of the API.
    pub(crate) fn calls(&self) -> Vec<String> {
        lock(&self.shared.calls).iter().map(|(_, call)| call.clone()).collect()
    }

    /// The calls so far, in groups with half a second of silence between them.
    pub(crate) fn bursts(&self) -> Vec<Vec<String>> {
        let calls = lock(&self.shared.calls);
        let bursts = calls.chunk_by(|(before, _), (after, _)| after.duration_since(*before) < SILENCE);
        bursts.map(|burst| burst.iter().map(|(_, call)| call.clone()).collect()).collect()
    }

    /// Those that change something.
    pub(crate) fn changes(&self) -> Vec<String> {
        self.calls()
            .into_iter()
            .filter(|call| !call.starts_with("GET ") && !call.starts_with("HEAD "))
            .collect()
    }

    /// Breaks every connection and lets no new one through until [`Self::mend`].
    pub(crate) fn cut(&self) {
        self.shared.cut.store(true, Ordering::SeqCst);
        for stream in lock(&self.shared.streams).drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }

    pub(crate) fn mend(&self) {
        self.shared.cut.store(false, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.cut();
        drop(UnixStream::connect(&self.socket));
        if let Some(acceptor) = self.acceptor.take() {
            drop(acceptor.join());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(shared: &Arc<Shared>, client: UnixStream, server: UnixStream) {
    let clone = |stream: &UnixStream| stream.try_clone().expect("a socket can be cloned");
    let (mut from_server, mut to_client) = (clone(&server), clone(&client));
    lock(&shared.streams).extend([clone(&server), clone(&client)]);
    std::thread::spawn(move || {
        drop(std::io::copy(&mut from_server, &mut to_client));
        drop(to_client.shutdown(Shutdown::Both));
    });
    let shared = Arc::clone(shared);
    std::thread::spawn(move || {
        let mut server = server;
        drop(forward(&shared, BufReader::new(client), &mut server));
        drop(server.shutdown(Shutdown::Write));
    });
}

/// Passes requests on, one after another, and writes each of them down before it is sent.
fn forward(
    shared: &Shared,
    mut client: BufReader<UnixStream>,
    server: &mut UnixStream,
) -> std::io::Result<()> {
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if client.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        lock(&shared.calls).push((Instant::now(), first_line(&head)));
        server.write_all(head.as_bytes())?;
        let header = |name: &str| {
            let mut lines = head.lines();
            lines.find_map(|line| {
                line.to_ascii_lowercase().strip_prefix(name).map(|value| value.trim().to_owned())
            })
        };
        if header("upgrade:").is_some() || header("transfer-encoding:").is_some() {
            return std::io::copy(&mut client, server).map(drop);
        }
        let length = header("content-length:").and_then(|length| length.parse().ok()).unwrap_or(0);
        std::io::copy(&mut (&mut client).take(length), server)?;
    }
}

fn first_line(head: &str) -> String {
    let line = head.lines().next().unwrap_or_default();
    let mut words = line.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let version = path.strip_prefix("/v").filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let path = version.and_then(|rest| rest.find('/').map(|at| &rest[at..])).unwrap_or(path);
    format!("{method} {path}")
}
