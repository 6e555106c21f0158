//! Every protocol against servers that behave, and that do not.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr},
    os::fd::OwnedFd,
    sync::Arc,
};

use aiplat_core::spec::{Password, Scheme, Trust};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(300);
const LOOPBACK: Vantage = Vantage::Address(IpAddr::V4(Ipv4Addr::LOCALHOST));

/// What a server does after each thing that it has read.
#[derive(Clone)]
enum Then {
    /// Answers with these bytes.
    Say(Vec<u8>),
    /// Answers one byte at a time, with this pause between.
    Drip(Vec<u8>, Duration),
    /// Keeps the connection and says nothing.
    Hang,
}

fn say(text: impl AsRef<[u8]>) -> Then {
    Then::Say(text.as_ref().to_vec())
}

/// Reads once, does the first of `steps`, and so on; then closes.
async fn play(mut stream: impl AsyncRead + AsyncWrite + Unpin, steps: Vec<Then>) -> Vec<u8> {
    let mut heard = Vec::new();
    let mut piece = [0; 4096];
    for step in steps {
        let length = stream.read(&mut piece).await.unwrap_or(0);
        heard.extend_from_slice(&piece[..length]);
        match step {
            Then::Say(bytes) => drop(stream.write_all(&bytes).await),
            Then::Drip(bytes, pause) => {
                for byte in bytes {
                    if stream.write_all(&[byte]).await.is_err() || stream.flush().await.is_err() {
                        return heard;
                    }
                    tokio::time::sleep(pause).await;
                }
            }
            Then::Hang => tokio::time::sleep(Duration::from_secs(60)).await,
        }
    }
    let _gone = stream.shutdown().await;
    heard
}

/// A server for one connection; its port, and what it will have heard.
async fn server(steps: Vec<Then>) -> (u16, tokio::task::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("the probe connects");
        play(stream, steps).await
    });
    (port, served)
}

/// A port on which nobody listens.
async fn nobody() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    listener.local_addr().expect("bound").port()
}

/// The transcript without the address; `Err` when the probe failed.
async fn asked(what: &Ask<'_>, timeout: Duration) -> Result<String, String> {
    let port = what.port().to_string();
    let clean = |text: String| text.replace(&format!("127.0.0.1:{port}"), "HERE");
    ask(&LOOPBACK, what, timeout).await.map(clean).map_err(|failed| clean(failed.transcript))
}

fn http(port: u16) -> HttpProbe {
    HttpProbe {
        scheme: Scheme::Http,
        port,
        path: "/ready".to_owned(),
        method: "GET".to_owned(),
        host: None,
        headers: BTreeMap::new(),
        status: vec![(200, 399)],
        body: None,
    }
}

async fn http_says(
    answer: Then,
    timeout: Duration,
    change: impl Fn(&mut HttpProbe),
) -> Result<String, String> {
    let (port, _served) = server(vec![answer]).await;
    let mut probe = http(port);
    change(&mut probe);
    asked(&Ask::Http(&probe), timeout).await
}

#[tokio::test]
async fn a_status_is_one_of_the_accepted_ones_or_not() {
    let answer = |code: u16| say(format!("HTTP/1.1 {code} Said\r\nContent-Length: 0\r\n\r\n"));
    let some = |probe: &mut HttpProbe| probe.status = vec![(204, 204), (301, 308)];
    assert_eq!(http_says(answer(200), LONG, |_| {}).await, Ok("GET http://HERE/ready: 200 Said".to_owned()));
    assert_eq!(http_says(answer(302), LONG, some).await, Ok("GET http://HERE/ready: 302 Said".to_owned()));
    assert_eq!(
        http_says(answer(200), LONG, some).await,
        Err("GET http://HERE/ready: 200 Said (wanted 204, 301 to 308)".to_owned())
    );
    assert_eq!(
        http_says(answer(503), LONG, |_| {}).await,
        Err("GET http://HERE/ready: 503 Said (wanted 200 to 399)".to_owned())
    );
}

#[tokio::test]
async fn a_body_is_searched_and_no_more_of_it_is_read_than_64_kib() {
    let wants = |probe: &mut HttpProbe| probe.body = Some("\"ok\"".to_owned());
    let body = |body: String| say(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    assert_eq!(
        http_says(body("{\"status\": \"ok\"}".to_owned()), LONG, wants).await,
        Ok("GET http://HERE/ready: 200 OK, and its body contains `\"ok\"`".to_owned())
    );
    assert_eq!(
        http_says(body("starting".to_owned()), LONG, wants).await,
        Err("GET http://HERE/ready: 200 OK, but its body (8 bytes) does not contain `\"ok\"`".to_owned())
    );
    let late = format!("{}\"ok\"", "x".repeat(70_000));
    assert_eq!(
        http_says(body(late), LONG, wants).await,
        Err("GET http://HERE/ready: 200 OK, but the first 64 KiB of its body do not contain `\"ok\"`"
            .to_owned())
    );
    let split = say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n\"o\r\n2\r\nk\"\r\n0\r\n\r\n");
    assert!(http_says(split, LONG, wants).await.is_ok(), "the text lies across two pieces");
}

#[tokio::test]
async fn an_http_server_that_fails_is_told_by_how() {
    let refused = http(nobody().await);
    let failed = ask(&LOOPBACK, &Ask::Http(&refused), LONG).await.expect_err("nobody listens");
    assert!(failed.is_refused && failed.transcript.ends_with(": connection refused"), "{failed:?}");
    let short = |why: &str| Err(format!("GET http://HERE/ready: {why}"));
    assert_eq!(http_says(Then::Hang, SHORT, |_| {}).await, short("timed out, no answer within 300ms"));
    let drip = Then::Drip(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), Duration::from_millis(100));
    assert_eq!(http_says(drip, SHORT, |_| {}).await, short("timed out, no answer within 300ms"));
    assert_eq!(http_says(say("+PONG\r\n\r\n"), LONG, |_| {}).await, short("invalid HTTP version parsed"));
    assert_eq!(
        http_says(say("HTTP/1.1 200"), LONG, |_| {}).await,
        short("connection closed before message completed")
    );
    let endless = say("HTTP/1.1 200 OK\r\nX-Long: ".to_owned() + &"x".repeat(100_000));
    assert_eq!(http_says(endless, LONG, |_| {}).await, short("message head is too large"));
    let half = say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    let half = http_says(half, LONG, |probe| probe.body = Some("abcd".to_owned())).await;
    assert!(half.is_err(), "{half:?}");
}

#[tokio::test]
async fn an_http_request_is_as_the_file_says() {
    let (port, served) = server(vec![say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]).await;
    let probe = HttpProbe {
        method: "POST".to_owned(),
        host: Some("example.test".to_owned()),
        headers: BTreeMap::from([("X-Probe".to_owned(), "yes".to_owned())]),
        ..http(port)
    };
    asked(&Ask::Http(&probe), LONG).await.expect("it is well");
    let heard = String::from_utf8(served.await.expect("it has served")).expect("text").to_lowercase();
    assert!(heard.starts_with("post /ready http/1.1\r\n"), "{heard}");
    assert!(heard.contains("host: example.test\r\n") && heard.contains("x-probe: yes\r\n"), "{heard}");
}

fn testdata(name: &str) -> String {
    format!("{}/testdata/{name}", env!("CARGO_MANIFEST_DIR"))
}

async fn https_server() -> u16 {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let certificate = CertificateDer::from_pem_file(testdata("server.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(testdata("server.key")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has them")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("they belong together");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    drop(tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            play(stream, vec![say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]).await;
        }
    }));
    port
}

#[tokio::test]
async fn https_takes_any_certificate_unless_an_authority_is_named() {
    let port = https_server().await;
    let with = |host: Option<&str>, trust: Trust| HttpProbe {
        scheme: Scheme::Https(trust),
        host: host.map(str::to_owned),
        ..http(port)
    };
    let ask = async |probe: HttpProbe| asked(&Ask::Http(&probe), LONG).await;
    let well = Ok("GET https://HERE/ready: 200 OK".to_owned());
    let ca = |file: &str| Trust::Authority(testdata(file));
    assert_eq!(ask(with(None, Trust::Anyone)).await, well);
    assert_eq!(ask(with(Some("demo.test:8443"), ca("ca.pem"))).await, well);
    let failed = async |host, trust| ask(with(host, trust)).await.expect_err("it must not pass");
    let other = failed(Some("other.test"), ca("ca.pem")).await;
    assert!(other.contains("no TLS session: invalid peer certificate"), "{other}");
    let address = failed(None, ca("ca.pem")).await;
    assert!(address.contains("invalid peer certificate"), "{address}");
    let stranger = failed(Some("demo.test"), ca("server.pem")).await;
    assert!(stranger.contains("invalid peer certificate"), "{stranger}");
    let empty = failed(Some("demo.test"), ca("README.md")).await;
    assert!(empty.ends_with("README.md: no certificate of an authority is in it"), "{empty}");
    let missing = failed(Some("demo.test"), ca("nothing.pem")).await;
    assert!(missing.ends_with("nothing.pem: no such file or directory"), "{missing}");
}

#[tokio::test]
async fn https_to_what_speaks_something_else_fails_with_a_reason() {
    let secure = |probe: &mut HttpProbe| probe.scheme = Scheme::Https(Trust::Anyone);
    let plain = http_says(say("HTTP/1.1 400 Bad Request\r\n\r\n"), LONG, secure).await;
    assert!(plain.as_ref().is_err_and(|why| why.contains("no TLS session")), "{plain:?}");
    let closed = http_says(say(""), LONG, secure).await;
    assert!(closed.as_ref().is_err_and(|why| why.contains("TLS")), "{closed:?}");
    let hangs = http_says(Then::Hang, SHORT, secure).await;
    assert!(hangs.as_ref().is_err_and(|why| why.ends_with("timed out, no answer within 300ms")), "{hangs:?}");
}

#[tokio::test]
async fn tcp_connects_or_is_refused() {
    let (port, _served) = server(vec![Then::Hang]).await;
    assert_eq!(asked(&Ask::Tcp { port }, LONG).await, Ok("tcp HERE: connected".to_owned()));
    let port = nobody().await;
    assert_eq!(asked(&Ask::Tcp { port }, LONG).await, Err("tcp HERE: connection refused".to_owned()));
}

/// A user, if one is named, and a password.
type Login<'a> = Option<(Option<&'a str>, &'a str)>;

async fn redis_says(
    steps: Vec<Then>,
    login: Login<'_>,
    timeout: Duration,
) -> (Result<String, String>, Vec<u8>) {
    let (port, served) = server(steps).await;
    let probe = RedisProbe {
        port,
        username: login.and_then(|(user, _)| user.map(str::to_owned)),
        password: login.map(|(_, password)| Password::new(password)),
        tls: None,
    };
    let said = asked(&Ask::Redis(&probe), timeout).await;
    let heard = if timeout == LONG { served.await.expect("it has served") } else { Vec::new() };
    (said, heard)
}

#[tokio::test]
async fn redis_is_pinged_after_the_log_in() {
    let (said, heard) = redis_says(vec![say("+PONG\r\n")], None, LONG).await;
    assert_eq!(said, Ok("redis HERE: PONG".to_owned()));
    assert_eq!(heard, b"*1\r\n$4\r\nPING\r\n");
    let both = vec![say("+OK\r\n"), say("+PONG\r\n")];
    let (said, heard) = redis_says(both.clone(), Some((None, "hunter\r\n2")), LONG).await;
    assert_eq!(said, Ok("redis HERE: PONG".to_owned()));
    assert_eq!(heard, b"*2\r\n$4\r\nAUTH\r\n$9\r\nhunter\r\n2\r\n*1\r\n$4\r\nPING\r\n");
    let (_, heard) = redis_says(both, Some((Some("app"), "hunter2")), LONG).await;
    assert!(heard.starts_with(b"*3\r\n$4\r\nAUTH\r\n$3\r\napp\r\n$7\r\nhunter2\r\n"));
}

#[tokio::test]
async fn what_redis_refuses_is_told_apart() {
    let login = Some((None, "hunter2"));
    let table: [(Login<'_>, &str, &str); 8] = [
        (
            None,
            "-LOADING Redis is loading the dataset in memory\r\n",
            "LOADING Redis is loading the dataset in memory (it still loads its data)",
        ),
        (
            None,
            "-NOAUTH Authentication required.\r\n",
            "NOAUTH Authentication required. (it wants a password: write `password: ${...}` for the probe)",
        ),
        (
            login,
            "-WRONGPASS invalid username-password pair or user is disabled.\r\n",
            "WRONGPASS invalid username-password pair or user is disabled. (the password of the probe is not the server's)",
        ),
        (
            login,
            "-ERR AUTH <password> called without any password configured for the default user.\r\n",
            "ERR AUTH <password> called without any password configured for the default user. (the probe has a password, and the server has none)",
        ),
        (login, "-ERR what is hunter2?\r\n", "ERR what is ***?"),
        (None, "HTTP/1.1 400 Bad Request\r\n\r\n", "this is no answer of Redis: `HTTP/1.1 400 Bad Request`"),
        (None, "+PO", "it closed the connection in the middle of its answer"),
        (None, "", "it closed the connection without an answer"),
    ];
    for (login, answer, why) in table {
        let (said, _) = redis_says(vec![say(answer)], login, LONG).await;
        assert_eq!(said, Err(format!("redis HERE: {why}")), "{answer}");
    }
    let (said, _) = redis_says(vec![say("+QUEUED\r\n")], None, LONG).await;
    assert_eq!(said, Err("redis HERE: it answers PING with `QUEUED`".to_owned()));
}

#[tokio::test]
async fn a_redis_that_hangs_or_drips_or_never_ends_is_given_up() {
    for step in [Then::Hang, Then::Drip(b"+PONG\r\n".to_vec(), Duration::from_millis(100))] {
        let (said, _) = redis_says(vec![step], None, SHORT).await;
        assert_eq!(said, Err("redis HERE: timed out, no answer within 300ms".to_owned()));
    }
    let (said, _) = redis_says(vec![say("x".repeat(100_000))], None, LONG).await;
    assert!(
        said.as_ref().is_err_and(|why| why.contains("no answer of Redis") && why.len() < 600),
        "{said:?}"
    );
}

/// A message of PostgreSQL.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("small").to_be_bytes();
    [&[kind][..], &length, body].concat()
}

fn asks_for(code: u32, rest: &[u8]) -> Vec<u8> {
    message(b'R', &[&code.to_be_bytes(), rest].concat())
}

fn welcome() -> Vec<u8> {
    let parameter = message(b'S', b"server_version\x0016.4\0");
    [asks_for(0, b""), parameter, message(b'K', &[0; 8]), message(b'Z', b"I")].concat()
}

fn refuses(state: &str, text: &str) -> Vec<u8> {
    message(b'E', format!("SFATAL\0VFATAL\0C{state}\0M{text}\0Fauth.c\0\0").as_bytes())
}

async fn postgres_says(
    steps: Vec<Then>,
    password: Option<&str>,
    timeout: Duration,
) -> (Result<String, String>, Vec<u8>) {
    let (port, served) = server(steps).await;
    let probe = PostgresProbe {
        port,
        user: "app".to_owned(),
        database: Some("store".to_owned()),
        password: password.map(Password::new),
    };
    let said = asked(&Ask::Postgres(&probe), timeout).await;
    let heard = if timeout == LONG { served.await.expect("it has served") } else { Vec::new() };
    (said, heard)
}

#[tokio::test]
async fn postgres_is_ready_when_it_says_so() {
    let (said, heard) = postgres_says(vec![say(welcome())], None, LONG).await;
    assert_eq!(said, Ok("postgres HERE: ready for queries as app".to_owned()));
    assert_eq!(&heard[4..8], &196_608_i32.to_be_bytes());
    assert_eq!(&heard[8..], b"user\0app\0database\0store\0application_name\0aiplatd\0\0");
}

#[tokio::test]
async fn without_a_password_a_postgres_that_asks_for_one_is_alive() {
    for asked in [asks_for(3, b""), asks_for(5, b"salt"), asks_for(10, b"SCRAM-SHA-256\0\0")] {
        let (said, _) = postgres_says(vec![say(asked)], None, LONG).await;
        assert_eq!(said, Ok("postgres HERE: accepts connections (password not checked)".to_owned()));
    }
}

#[tokio::test]
async fn the_older_log_ins_of_postgres() {
    let (said, heard) =
        postgres_says(vec![say(asks_for(3, b"")), say(welcome())], Some("hunter2"), LONG).await;
    assert!(said.is_ok(), "{said:?}");
    assert!(heard.ends_with(b"p\0\0\0\x0chunter2\0"), "{heard:?}");
    let (said, heard) =
        postgres_says(vec![say(asks_for(5, b"salt")), say(welcome())], Some("hunter2"), LONG).await;
    assert!(said.is_ok(), "{said:?}");
    // md5(md5("hunter2app") "salt"), as `md5sum` has it.
    assert!(heard.ends_with(b"md5187e309f8513cbab5d26627dcc6e59c8\0"), "{}", String::from_utf8_lossy(&heard));
}

#[tokio::test]
async fn a_postgres_that_does_not_know_the_password_itself_is_not_believed() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("the probe connects");
        let mut piece = [0; 4096];
        let _startup = stream.read(&mut piece).await.expect("a startup");
        stream.write_all(&asks_for(10, b"SCRAM-SHA-256\0\0")).await.expect("it listens");
        let length = stream.read(&mut piece).await.expect("a first message");
        let first = String::from_utf8_lossy(&piece[..length]).into_owned();
        let nonce = first.split("r=").nth(1).expect("a nonce").to_owned();
        let challenge = format!("r={nonce}more,s=c2FsdA==,i=4096");
        stream.write_all(&asks_for(11, challenge.as_bytes())).await.expect("it listens");
        let length = stream.read(&mut piece).await.expect("an answer");
        let answer = String::from_utf8_lossy(&piece[..length]).into_owned();
        stream.write_all(&asks_for(12, b"v=AAAA")).await.expect("it listens");
        answer
    });
    let probe = PostgresProbe {
        port,
        user: "app".to_owned(),
        database: None,
        password: Some(Password::new("hunter2")),
    };
    assert_eq!(
        asked(&Ask::Postgres(&probe), LONG).await,
        Err("postgres HERE: it does not know the password itself".to_owned())
    );
    let answer = served.await.expect("it has served");
    assert!(
        answer.contains("c=biws,r=") && answer.contains(",p=") && !answer.contains("hunter2"),
        "{answer}"
    );
}

#[tokio::test]
async fn what_postgres_refuses_is_told_apart() {
    let table = [
        (
            "57P03",
            "the database system is starting up",
            "57P03 the database system is starting up (it is not up yet)",
        ),
        (
            "28P01",
            "password authentication failed for user \"app\"",
            "28P01 password authentication failed for user \"app\" (the password of the probe is not this user's)",
        ),
        (
            "3D000",
            "database \"store\" does not exist",
            "3D000 database \"store\" does not exist (name a `database` that exists)",
        ),
        ("XX000", "what is hunter2?", "XX000 what is ***?"),
    ];
    for (state, text, why) in table {
        let (said, _) = postgres_says(vec![say(refuses(state, text))], Some("hunter2"), LONG).await;
        assert_eq!(said, Err(format!("postgres HERE: {why}")));
    }
    let (said, _) = postgres_says(vec![say(asks_for(7, b""))], Some("hunter2"), LONG).await;
    assert_eq!(
        said,
        Err("postgres HERE: it wants a log-in of kind 7, which aiplatd does not know".to_owned())
    );
    let (said, _) = postgres_says(vec![say(asks_for(10, b"GSS\0\0"))], Some("hunter2"), LONG).await;
    assert_eq!(said, Err("postgres HERE: it wants a log-in by SASL that aiplatd does not know".to_owned()));
}

#[tokio::test]
async fn what_is_no_postgres_is_said_so() {
    let table: [(&[u8], &str); 5] = [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "this is no answer of PostgreSQL: `HTTP/`"),
        (b"-ERR unknown command\r\n", "this is no answer of PostgreSQL: `-ERR`"),
        (b"R\0\0", "it closed the connection in the middle of its answer"),
        (b"R\0\0\0\x20abc", "it closed the connection in the middle of its answer"),
        (b"", "it closed the connection without an answer"),
    ];
    for (answer, why) in table {
        let (said, _) = postgres_says(vec![say(answer)], None, LONG).await;
        assert_eq!(said, Err(format!("postgres HERE: {why}")));
    }
    let (said, _) = postgres_says(vec![say(message(b'N', b"\0").repeat(300))], None, LONG).await;
    assert_eq!(said, Err("postgres HERE: it says much and never that it is ready".to_owned()));
    for step in [Then::Hang, Then::Drip(welcome(), Duration::from_millis(100))] {
        let (said, _) = postgres_says(vec![step], None, SHORT).await;
        assert_eq!(said, Err("postgres HERE: timed out, no answer within 300ms".to_owned()));
    }
}

#[tokio::test]
async fn inside_a_network_namespace_loopback_is_asked() {
    let file = fs::File::open("/proc/self/ns/net").expect("a namespace of our own");
    let vantage = Vantage::Namespace(Namespace(Arc::new(OwnedFd::from(file))));
    if !rustix::process::geteuid().is_root() {
        let failed = ask(&vantage, &Ask::Tcp { port: 1 }, LONG).await.expect_err("it needs root");
        assert!(failed.transcript.contains("run it as root with CAP_SYS_ADMIN"), "{failed:?}");
        return;
    }
    let (port, _served) = server(vec![say("+PONG\r\n")]).await;
    let probe = RedisProbe { port, username: None, password: None, tls: None };
    let said = ask(&vantage, &Ask::Redis(&probe), LONG).await;
    assert_eq!(said, Ok(format!("redis 127.0.0.1:{port} (inside): PONG")));
    let port = nobody().await;
    let refused = ask(&vantage, &Ask::Tcp { port }, LONG).await;
    let transcript = format!("tcp 127.0.0.1:{port} (inside): connection refused");
    assert_eq!(refused, Err(Failed { transcript, is_refused: true }));
}
