//! Probes of every kind, and logs.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use aiplat_core::{
    observed::{ContainerId, Reach},
    spec::{HttpProbe, ProbeKind, Scheme},
};
use aiplat_host::{Backend, LogLine, LogOptions};
use futures_util::StreamExt;

use crate::{
    fixture::Fixture,
    support::{eventually, spec},
};

const SOON: Duration = Duration::from_millis(300);
const LATER: Duration = Duration::from_secs(10);

fn get(path: &str) -> HttpProbe {
    HttpProbe {
        scheme: Scheme::Http,
        port: 8080,
        path: path.to_owned(),
        method: "GET".to_owned(),
        host: None,
        headers: BTreeMap::new(),
        status: vec![(200, 399)],
        body: None,
    }
}

async fn server(fixture: &Fixture) -> (ContainerId, Option<IpAddr>) {
    let id = fixture.run("web", &["serve", "8080"]).await;
    let address = fixture.only("web").await.networks["bridge"].ip;
    let tcp = ProbeKind::Tcp { port: 8080 };
    eventually("the server", async || fixture.backend.probe(&id, address, &tcp, SOON).await.ok()).await;
    (id, address)
}

#[tokio::test]
async fn http_probes_pass_by_status_and_say_what_was_asked_and_answered() {
    let Some(fixture) = Fixture::new() else { return };
    let (id, address) = server(&fixture).await;
    let ip = address.unwrap();
    let probe =
        async |probe: HttpProbe| fixture.backend.probe(&id, address, &ProbeKind::Http(probe), LATER).await;
    assert_eq!(probe(get("/ok")).await, Ok(format!("GET http://{ip}:8080/ok: 200 Said")));
    assert_eq!(
        probe(get("/503")).await,
        Err(format!("GET http://{ip}:8080/503: 503 Said (wanted 200 to 399)"))
    );
    assert_eq!(probe(get("/302")).await, Ok(format!("GET http://{ip}:8080/302: 302 Said")), "not followed");
    assert!(probe(HttpProbe { status: vec![(302, 302)], ..get("/302") }).await.is_ok());
    assert!(probe(HttpProbe { host: Some("example.test".to_owned()), ..get("/host") }).await.is_ok());
    assert!(probe(get("/host")).await.is_err());
    let headers = BTreeMap::from([("x-probe".to_owned(), "yes".to_owned())]);
    assert!(probe(HttpProbe { headers, method: "HEAD".to_owned(), ..get("/header") }).await.is_ok());
    let refused = probe(HttpProbe { port: 81, ..get("/") }).await.unwrap_err();
    assert!(refused.ends_with("connection refused"), "{refused}");
    let hang = ProbeKind::Http(get("/hang"));
    let late = fixture.backend.probe(&id, address, &hang, SOON).await.unwrap_err();
    assert_eq!(late, format!("GET http://{ip}:8080/hang: timed out, no answer within 300ms"));
    let body = |text: &str| HttpProbe { body: Some(text.to_owned()), ..get("/ok") };
    assert!(probe(body("hi")).await.is_ok());
    assert_eq!(
        probe(body("ready")).await,
        Err(format!("GET http://{ip}:8080/ok: 200 Said, but its body (2 bytes) does not contain `ready`"))
    );
}

/// Entering a network namespace is root's; others are told so.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[tokio::test]
async fn a_container_without_an_address_is_asked_inside_its_network_namespace() {
    let Some(fixture) = Fixture::new() else { return };
    let id = fixture.create(fixture.spec("web", fixture.runtime(&["serve", "8080"]))).await.unwrap();
    let ok = ProbeKind::Http(get("/ok"));
    let before = fixture.backend.probe(&id, None, &ok, LATER).await;
    assert_eq!(before, Err("GET http :8080/ok: the container does not run".to_owned()));
    fixture.start("web", &id).await.unwrap();
    if !is_root() {
        let denied = fixture.backend.probe(&id, None, &ok, LATER).await.unwrap_err();
        assert!(denied.contains("run it as root"), "{denied}");
        return;
    }
    let said =
        eventually("the server", async || fixture.backend.probe(&id, None, &ok, SOON).await.ok()).await;
    assert_eq!(said, "GET http://127.0.0.1:8080/ok (inside): 200 Said");
    let other = fixture.backend.probe(&id, None, &ProbeKind::Tcp { port: 81 }, LATER).await;
    assert_eq!(other, Err("tcp 127.0.0.1:81 (inside): connection refused".to_owned()));
}

#[tokio::test]
async fn what_listens_on_loopback_only_is_found_out_and_can_be_asked_inside() {
    let Some(fixture) = Fixture::new() else { return };
    let id = fixture.run("web", &["serve-inside", "8080"]).await;
    let address = fixture.only("web").await.networks["bridge"].ip;
    if !is_root() {
        return;
    }
    let ok = ProbeKind::Http(get("/ok"));
    eventually("the server", async || fixture.backend.probe(&id, None, &ok, SOON).await.ok()).await;
    let found_out = async || {
        let failed = fixture.backend.probe(&id, address, &ok, LATER).await.unwrap_err();
        failed.contains("it listens only on 127.0.0.1 inside").then_some(failed)
    };
    let failed = eventually("the finding", found_out).await;
    assert!(failed.contains("connection refused; it listens only on 127.0.0.1 inside"), "{failed}");
    assert!(failed.contains("`via: namespace`"), "{failed}");
}

#[tokio::test]
async fn tcp_probes_connect() {
    let Some(fixture) = Fixture::new() else { return };
    let (id, address) = server(&fixture).await;
    let ip = address.unwrap();
    let probe = async |port| fixture.backend.probe(&id, address, &ProbeKind::Tcp { port }, LATER).await;
    assert_eq!(probe(8080).await, Ok(format!("tcp {ip}:8080: connected")));
    assert_eq!(probe(81).await, Err(format!("tcp {ip}:81: connection refused")));
}

#[tokio::test]
async fn exec_probes_pass_by_exit_code_one_at_a_time_and_are_killed() {
    let Some(fixture) = Fixture::new() else { return };
    let id = fixture.run("app", &["sleep"]).await;
    let exec = |argv: &[&str]| ProbeKind::Exec { argv: argv.iter().map(|arg| (*arg).to_owned()).collect() };
    let probe = async |argv: &[&str], timeout| fixture.backend.probe(&id, None, &exec(argv), timeout).await;
    let said = probe(&["/tool", "say", "hello"], LATER).await.unwrap();
    assert!(said.starts_with("exec /tool say hello: exit 0: ") && said.contains("stderr: hello"), "{said}");
    assert_eq!(
        probe(&["/tool", "fail", "no", "db"], LATER).await,
        Err("exec /tool fail no db: exit 1: no db".to_owned())
    );
    let missing = probe(&["/nope"], LATER).await.unwrap_err();
    assert!(missing.contains("exit 126") || missing.contains("exit 127"), "{missing}");
    let long = probe(&["/tool", "long", "100000"], LATER).await.unwrap();
    assert!(long.len() < 5000, "{}", long.len());

    let slow = exec(&["/tool", "sleep", "60000"]);
    let slow = fixture.backend.probe(&id, None, &slow, Duration::from_secs(2));
    let other = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        probe(&["/tool", "say"], LATER).await
    };
    let (slow, other) = tokio::join!(slow, other);
    assert_eq!(slow, Err("exec /tool sleep 60000: timed out after 2s; killed".to_owned()));
    assert_eq!(other, Err("exec /tool say: the probe before it has not ended yet".to_owned()));
    eventually("the next one", async || probe(&["/tool", "say"], LATER).await.ok()).await;
}

#[tokio::test]
async fn exec_probes_of_a_stopped_container_fail_with_a_reason() {
    let Some(fixture) = Fixture::new() else { return };
    let id = fixture.create(fixture.spec("app", fixture.runtime(&["sleep"]))).await.unwrap();
    let exec = ProbeKind::Exec { argv: vec!["/tool".to_owned()] };
    let error = fixture.backend.probe(&id, None, &exec, LATER).await.unwrap_err();
    assert!(error.contains("is not running"), "{error}");
}

async fn log(fixture: &Fixture, id: &ContainerId, options: LogOptions) -> Vec<LogLine> {
    let lines = fixture.backend.logs(id, &options).await.unwrap();
    lines.map(Result::unwrap).collect().await
}

#[tokio::test]
async fn a_log_is_read_with_its_timestamps_and_streams() {
    let Some(fixture) = Fixture::new() else { return };
    let id = fixture.run("app", &["say", "hello", "world"]).await;
    let lines = eventually("both lines", async || {
        Some(log(&fixture, &id, LogOptions::default()).await).filter(|lines| lines.len() == 2)
    });
    let mut lines = lines.await;
    lines.sort_by_key(|line| line.stderr);
    let texts: Vec<_> = lines.iter().map(|line| (line.stderr, line.text.as_str())).collect();
    assert_eq!(texts, [(false, "hello world"), (true, "stderr: hello world")]);
    assert!(
        lines.iter().all(|line| line.timestamp.starts_with("20") && line.timestamp.ends_with('Z')),
        "{lines:?}"
    );
    assert_eq!(log(&fixture, &id, LogOptions { tail: Some(1), ..LogOptions::default() }).await.len(), 1);
    let future = Some(i64::from(u32::MAX));
    assert!(log(&fixture, &id, LogOptions { since: future, ..LogOptions::default() }).await.is_empty());
}

#[tokio::test]
async fn a_log_is_followed_to_the_end_of_its_container() {
    let Some(fixture) = Fixture::new() else { return };
    let id = fixture.run("app", &["tick", "20"]).await;
    let options = LogOptions { follow: true, ..LogOptions::default() };
    let mut lines = fixture.backend.logs(&id, &options).await.unwrap();
    for n in 0..5 {
        let line = tokio::time::timeout(LATER, lines.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(line.text, format!("tick {n}"));
    }
    fixture.by_hand("POST", &format!("/containers/{}/kill", id.0), &serde_json::Value::Null);
    tokio::time::timeout(LATER, async { while lines.next().await.is_some() {} }).await.unwrap();
}

#[tokio::test]
async fn a_line_longer_than_the_bound_is_cut() {
    let Some(fixture) = Fixture::new() else { return };
    let id = fixture.run("app", &["long", "50000"]).await;
    let lines = eventually("the line", async || {
        Some(log(&fixture, &id, LogOptions::default()).await).filter(|lines| !lines.is_empty())
    });
    let lines = lines.await;
    assert_eq!((lines.len(), lines[0].text.chars().count()), (1, (16 << 10) + 1));
    assert!(lines[0].text.ends_with("x…"));
}

#[tokio::test]
async fn the_log_of_nothing_is_an_error() {
    let Some(fixture) = Fixture::new() else { return };
    let nothing = ContainerId("0".repeat(64));
    assert!(fixture.backend.logs(&nothing, &LogOptions::default()).await.is_err());
}

#[tokio::test]
async fn a_container_reaches_the_host_at_the_address_that_its_hosts_file_has() {
    let Some(fixture) = Fixture::new() else { return };
    let hosts = vec![("host.docker.internal".to_owned(), "host-gateway".to_owned())];
    let run = async |service: &str, network| {
        let mut runtime = fixture.runtime(&["sleep", "1000"]);
        runtime.options.identity.extra_hosts.clone_from(&hosts);
        let mut create = fixture.spec(service, runtime);
        create.network = network;
        let id = fixture.create(create).await.unwrap();
        fixture.start(service, &id).await.unwrap();
        id
    };
    let id = run("reaches", Some(spec::attachment("bridge", &[]))).await;
    let reach = async |host: &str, port| fixture.backend.reach(&id, host, port, LATER).await;
    let open = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = open.local_addr().unwrap().port();
    let connected = reach("host.docker.internal", port).await;
    let Reach::Connected(gateway) = connected else { panic!("{connected:?}") };
    assert!(!gateway.is_loopback(), "{gateway}");
    // On the host's loopback it is as if nobody listened.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    assert_eq!(reach("host.docker.internal", port).await, Reach::Refused(gateway));
    assert!(matches!(reach("nobody", port).await, Reach::Untried(_)));
    let alone = run("alone", None).await;
    let none = fixture.backend.reach(&alone, "host.docker.internal", port, LATER).await;
    assert_eq!(none, Reach::NoRoute(gateway), "it is on no network");
}
