//! The server side: HTTP with a controllable health, and a plain TCP listener.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::client;
use crate::config::Config;
use crate::doubles;
use crate::models::Store;
use crate::ollama;
use crate::request::Request;

const READ_TIMEOUT: Duration = Duration::from_secs(5);

struct App {
    config: Config,
    started: Instant,
    starts: Option<u64>,
    failed: AtomicBool,
    store: Store,
}

/// What one request is answered with.
#[derive(Debug, PartialEq)]
struct Reply {
    status: u16,
    body: String,
    exit: Option<u8>,
}

/// Serves until the process is killed.
pub fn serve(config: Config, started: Instant, starts: Option<u64>) -> Result<(), String> {
    let listener = listen(&config.bind, config.port)?;
    let (tcp_port, redis_port, postgres_port) = (config.tcp_port, config.redis_port, config.postgres_port);
    let store = Store::new(config.models.as_deref(), config.pull_size, config.pull_takes);
    let app = Arc::new(App { config, started, starts, failed: AtomicBool::new(false), store });
    println!("{}: HTTP on port {}", app.config.name, app.config.port);
    if let Some(port) = tcp_port {
        let app = Arc::clone(&app);
        thread::spawn(move || serve_tcp(&app, port, "TCP", drop));
    }
    if let Some(port) = redis_port {
        let app = Arc::clone(&app);
        thread::spawn(move || {
            serve_tcp(&app, port, "Redis", |stream| doubles::redis(stream, app.config.password.as_deref()));
        });
    }
    if let Some(port) = postgres_port {
        let app = Arc::clone(&app);
        thread::spawn(move || {
            serve_tcp(&app, port, "PostgreSQL", |stream| {
                doubles::postgres(stream, app.config.password.as_deref())
            });
        });
    }
    for stream in listener.incoming().flatten() {
        let app = Arc::clone(&app);
        thread::spawn(move || answer(&app, stream));
    }
    Ok(())
}

fn listen(address: &str, port: u16) -> Result<TcpListener, String> {
    TcpListener::bind((address, port)).map_err(|error| format!("cannot listen on port {port}: {error}"))
}

/// Accepts and serves one after the other. It opens only when ready, so that a probe has something to wait for.
fn serve_tcp(app: &App, port: u16, what: &str, serve: impl Fn(TcpStream)) {
    thread::sleep(app.config.ready_after.saturating_sub(app.started.elapsed()));
    match listen(&app.config.bind, port) {
        Ok(listener) => {
            println!("{}: {what} on port {port}", app.config.name);
            for stream in listener.incoming().flatten() {
                let _late = stream.set_read_timeout(Some(READ_TIMEOUT));
                serve(stream);
            }
        }
        Err(message) => {
            eprintln!("{message}");
            std::process::exit(1)
        }
    }
}

fn answer(app: &App, mut stream: TcpStream) {
    let Some(request) = Request::read(&stream) else { return };
    // A client that hangs up early is its own problem.
    if app.ready() && !matches!(ollama::change(&request, &app.store, &mut stream), Ok(false)) {
        return;
    }
    let reply = app.reply(&request.target);
    // A client that hangs up early is its own problem.
    let _ = stream.write_all(render(&reply).as_bytes()).and_then(|()| stream.flush());
    drop(stream);
    if let Some(code) = reply.exit {
        eprintln!("{}: exits with {code} as asked", app.config.name);
        std::process::exit(code.into())
    }
}

fn render(reply: &Reply) -> String {
    let reason = if reply.status == 200 { "OK" } else { "Not OK" };
    format!(
        "HTTP/1.1 {} {reason}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
        reply.status,
        reply.body.len(),
        reply.body
    )
}

impl App {
    fn reply(&self, target: &str) -> Reply {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let plain = |status, body: &str| Reply { status, body: format!("{body}\n"), exit: None };
        match path {
            "/" => plain(200, &self.describe()),
            "/health" | "/ready" if self.ready() => plain(200, "ready"),
            "/health" | "/ready" => plain(503, "not ready"),
            "/deep" => {
                let connects = |upstream: &String| client::connect(upstream).is_ok();
                if self.ready() && self.config.upstreams.iter().all(connects) {
                    plain(200, "ready, and so is what it needs")
                } else {
                    plain(503, "not ready, or what it needs is not")
                }
            }
            "/fail" => {
                self.failed.store(true, Ordering::Relaxed);
                plain(200, "unready from now on, until /mend")
            }
            "/mend" => {
                self.failed.store(false, Ordering::Relaxed);
                plain(200, "ready again")
            }
            "/write" => match self.config.write_file.as_deref().map(write_beside) {
                Some(Ok(())) => plain(200, "there is room to write"),
                Some(Err(error)) => plain(507, &error),
                None => plain(400, "it has no WRITE_FILE"),
            },
            "/exit" => match exit_code(query) {
                Some(code) => Reply { exit: Some(code), ..plain(200, &format!("exits with {code}")) },
                None => plain(400, "code=N, 0 to 255"),
            },
            _ => match self.of_ollama(path) {
                Some(body) if self.ready() => plain(200, &body),
                Some(_) => plain(503, "not ready"),
                None => plain(
                    404,
                    "/ /health /ready /deep /fail /mend /write /exit?code=N /api/version /api/tags /api/ps",
                ),
            },
        }
    }

    fn of_ollama(&self, path: &str) -> Option<String> {
        let version = self.config.version.as_deref().map_or_else(|| "0.0.0".to_owned(), escape);
        ollama::body(path, &version, self.config.models.as_deref(), &self.store)
    }

    fn ready(&self) -> bool {
        !self.failed.load(Ordering::Relaxed) && self.started.elapsed() >= self.config.ready_after
    }

    fn describe(&self) -> String {
        let starts = self.starts.map_or("null".to_owned(), |starts| starts.to_string());
        let upstreams: Vec<String> =
            self.config.upstreams.iter().map(|upstream| describe_upstream(upstream)).collect();
        format!(
            r#"{{"name":"{}","version":"{}","ready":{},"uptime_ms":{},"starts":{starts},"upstreams":{{{}}}}}"#,
            escape(&self.config.name),
            escape(self.config.version.as_deref().unwrap_or_default()),
            self.ready(),
            self.started.elapsed().as_millis(),
            upstreams.join(",")
        )
    }
}

/// Writes beside `path` as a server does that saves its data: all of it anew, and then in the place of the old. Old data stays
/// when there is no room.
fn write_beside(path: &Path) -> Result<(), String> {
    let (data, fresh) = (path.with_extension("data"), path.with_extension("fresh"));
    let written = std::fs::write(&fresh, [0_u8; 64 * 1024]).and_then(|()| std::fs::rename(&fresh, &data));
    written.map_err(|error| {
        let _gone = std::fs::remove_file(&fresh);
        format!("cannot write {}: {error}", data.display())
    })
}

fn describe_upstream(upstream: &str) -> String {
    let seen = client::connect(upstream).map_or_else(|error| error, |_| "ok".to_owned());
    format!(r#""{}":"{}""#, escape(upstream), escape(&seen))
}

fn exit_code(query: &str) -> Option<u8> {
    query.split('&').find_map(|pair| pair.strip_prefix("code=")).map_or(Some(0), |code| code.parse().ok())
}

fn escape(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .flat_map(|c| if "\"\\".contains(c) { vec!['\\', c] } else { vec![c] })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Role, role};

    fn app(environment: &[(&str, &str)]) -> App {
        let lookup =
            |key: &str| environment.iter().find(|(name, _)| *name == key).map(|(_, v)| (*v).to_owned());
        match role(&[], lookup) {
            Ok(Role::Work(config)) => {
                let store = Store::new(None, config.pull_size, config.pull_takes);
                let failed = AtomicBool::new(false);
                App { config: *config, started: Instant::now(), starts: None, failed, store }
            }
            other => panic!("expected a workload, got {other:?}"),
        }
    }

    #[test]
    fn it_is_unready_until_ready_after() {
        assert_eq!(app(&[("READY_AFTER", "60000")]).reply("/ready").status, 503);
        assert_eq!(app(&[]).reply("/ready").status, 200);
    }

    #[test]
    fn fail_makes_it_unready_and_mend_heals_it() {
        let app = app(&[]);
        app.reply("/fail");
        assert_eq!(app.reply("/health").status, 503);
        app.reply("/mend");
        assert_eq!(app.reply("/health").status, 200);
    }

    #[test]
    fn exit_takes_a_code() {
        assert_eq!(app(&[]).reply("/exit?code=7").exit, Some(7));
        assert_eq!(app(&[]).reply("/exit?code=700").status, 400);
    }

    #[test]
    fn the_description_is_json_with_what_it_sees_of_its_upstreams() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let upstream = listener.local_addr().unwrap().to_string();
        let body = app(&[("NAME", "a\"b"), ("UPSTREAMS", &upstream)]).reply("/").body;
        assert!(body.starts_with(r#"{"name":"a\"b","version":"","ready":true"#), "{body}");
        assert!(body.contains(&format!(r#""{upstream}":"ok""#)), "{body}");
    }
}
