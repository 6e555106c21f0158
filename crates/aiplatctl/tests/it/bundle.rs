//! `bundle`: what is in it, what is not, and who may read it.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use aiplat_api::v1::{EventType, LogRecord};
use aiplat_core::{condition::Word, observed::ProbeOutcome};

use crate::{
    support::{
        docs,
        server::Server,
        tool::{self, Run},
    },
    verbs::check,
};

/// As a variable, within an address, in a command, as the password of a probe, in a config, in a service that no profile starts.
const SECRETS: [&str; 6] =
    ["canary-one", "canary-two", "canary-three", "canary-four", "canary-five", "canary-six"];

const FILE: &str = "apiVersion: aiplat/v1
name: home-ai
services:
  postgres:
    image: postgres:16
    environment: {POSTGRES_PASSWORD: canary-one, URL: \"postgres://u:canary-two@db/x\"}
    command: [serve, --requirepass, canary-three]
    healthcheck: {redis: {port: 6379, password: canary-four}}
    configs: [settings]
  hidden:
    image: postgres:16
    profiles: [never]
    environment:
      - API_TOKEN=canary-six
configs:
  settings: {content: \"api_key = canary-five\"}
";

/// A daemon with a service that is not well, and with secrets wherever one could stand.
fn server() -> Server {
    let server = Server::new(docs::broken());
    fs::write(server.folder().join("platform.yaml"), FILE).expect("written");
    let config = server.folder().join("platform.yaml").to_str().expect("it is text").to_owned();
    server.change(|doc| {
        doc.platform.config = config;
        let service = doc.services.iter_mut().find(|it| it.name == "litellm").expect("it is there");
        service.status = Word::CrashLoop;
        service.message = format!("it said: refused {}", SECRETS.join(" "));
        service.why = vec![format!("because of {}", SECRETS[0])];
        service.detail.last_probe = Some(ProbeOutcome {
            at: aiplat_core::Timestamp::ZERO,
            passed: false,
            transcript: format!("AUTH {}", SECRETS[3]),
            took: std::time::Duration::ZERO,
        });
        doc.events.push(docs::event(
            99,
            1,
            EventType::Warning,
            "DEPLOY_FAIL",
            "container/litellm",
            &SECRETS.join(","),
        ));
    });
    let line =
        |text: String| LogRecord { service: "litellm".to_owned(), time: docs::ago(1), stderr: true, text };
    let lines = vec![
        line(SECRETS.join("/")),
        line("password=canary-seven".to_owned()),
        line("a plain line".to_owned()),
    ];
    server.state().logs.insert("litellm".to_owned(), lines);
    server
}

fn bundle(server: &Server, path: &Path) -> Run {
    server.run(&["bundle", "--output", path.to_str().expect("it is text")])
}

/// What a helper sees: the archive as the system's own tar unpacks it.
#[expect(clippy::disallowed_methods, reason = "somebody else's program must be able to read it")]
fn unpacked(path: &Path) -> Vec<(String, String)> {
    let folder = tempfile::tempdir().expect("a folder");
    let done = std::process::Command::new("tar").arg("-xzf").arg(path).arg("-C").arg(folder.path()).output();
    let done = done.expect("tar runs");
    assert!(done.status.success(), "{done:?}");
    let mut files = Vec::new();
    let mut folders = vec![folder.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("it is there").flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                let name = entry.file_name().to_string_lossy().into_owned();
                files.push((name, fs::read_to_string(entry.path()).expect("it is text")));
            }
        }
    }
    files
}

fn find<'a>(files: &'a [(String, String)], name: &str) -> &'a str {
    let found = files.iter().find(|(it, _)| it == name);
    &found
        .unwrap_or_else(|| {
            panic!("there is no {name} in {:?}", files.iter().map(|it| &it.0).collect::<Vec<_>>())
        })
        .1
}

#[test]
fn no_secret_leaves_by_a_bundle() {
    let server = server();
    let path = server.folder().join("b.tar.gz");
    let run = bundle(&server, &path);
    check(&run, 0, &["which only you may read", "config.yaml", "status.json", "logs/litellm.txt"], &[]);
    assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
    let files = unpacked(&path);
    for (name, text) in &files {
        for secret in SECRETS.iter().chain(&["canary-seven"]) {
            assert!(!text.contains(secret), "{secret} is in {name}:\n{text}");
        }
    }
    let raw = fs::read(&path).expect("it is there");
    assert!(!raw.windows(7).any(|window| window == b"canary-"), "the bytes are stored as they are");
    assert!(find(&files, "litellm.txt").contains("a plain line"));
    assert!(find(&files, "config.yaml").contains("POSTGRES_PASSWORD: <redacted>"));
    assert!(find(&files, "doctor.txt").contains("ok    daemon"));
    let status: serde_json::Value =
        serde_json::from_str(find(&files, "status.json")).expect("it is JSON still");
    assert_eq!(status["services"].as_array().map(Vec::len), Some(docs::broken().services.len()));
    assert!(find(&files, "README.txt").contains("config.yaml: the platform as it is understood"));
}

#[test]
fn nothing_is_written_over() {
    let server = server();
    let path = server.folder().join("b.tar.gz");
    fs::write(&path, "somebody's").expect("written");
    check(&bundle(&server, &path), 1, &[], &["cannot make", "name another file with --output"]);
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "somebody's");
}

#[test]
fn without_a_daemon_there_is_what_this_machine_knows() {
    let server = server();
    let none = server.folder().join("none.sock");
    let path = server.folder().join("b.tar.gz");
    let run = tool::run(&none, server.folder(), &["bundle", "-o", path.to_str().expect("it is text")]);
    check(&run, 0, &["Left out: the present state", "config.yaml"], &[]);
    let files = unpacked(&path);
    assert!(find(&files, "doctor.txt").contains("FAIL  daemon"));
    assert!(!files.iter().any(|(name, _)| name == "status.json"), "nobody has written one");
}

#[test]
fn where_the_secrets_are_not_known_nothing_is_told_that_may_hold_one() {
    let server = server();
    fs::write(server.folder().join("platform.yaml"), "not: [a platform\n").expect("written");
    let path = server.folder().join("b.tar.gz");
    check(
        &bundle(&server, &path),
        0,
        &["Left out: config.yaml, status.json, events.json, doctor.txt and logs"],
        &[],
    );
    let files = unpacked(&path);
    assert!(files.iter().all(|(_, text)| !text.contains("canary-")), "{files:?}");
    assert!(find(&files, "services.json").contains("CrashLoop"));
}
