//! The verbs that need no daemon.

use std::fs;

use tempfile::TempDir;

use crate::support::tool::{Run, command, run};

const PLATFORM: &str = "\
apiVersion: aiplat/v1
name: home-ai
services:
  db:
    image: postgres:16
    environment:
      POSTGRES_PASSWORD: hunter2
      POSTGRES_DB: ai
      DATABASE_URL: postgres://ai:hunter2@db/ai
    volumes: [\"pgdata:/var/lib/postgresql/data\"]
    healthcheck: {tcp: {port: 5432}, interval: 90s}
  web:
    image: web:1
    ports: [\"127.0.0.1:3000:3000\"]
    depends_on: {db: {condition: service_healthy, restart: true}}
    restart: unless-stopped
    deploy: {resources: {limits: {memory: 1g, cpus: '0.5'}}}
volumes: {pgdata: {}}
gates: {CoreReady: [db]}
";

struct Folder(TempDir);

impl Folder {
    fn with(text: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        fs::write(folder.path().join("platform.yaml"), text).expect("it is written");
        Self(folder)
    }

    fn run(&self, args: &[&str]) -> Run {
        run(&self.0.path().join("none.sock"), self.0.path(), args)
    }
}

#[test]
fn a_valid_file_is_summed_up() {
    let run = Folder::with(PLATFORM).run(&["validate"]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    assert!(run.out.contains("is valid: 2 services, 1 network, 1 volume, 2 images, 1 gate"), "{}", run.out);
}

#[test]
fn all_problems_come_at_once_with_exit_code_2() {
    let folder = Folder::with(
        "apiVersion: aiplat/v1\nname: home-ai\nservces: {}\nservices:\n  a: {imag: x}\n  b: {image: b, ports: ['99999:80']}\n",
    );
    let run = folder.run(&["validate"]);
    assert_eq!(run.code, Some(2), "{run:#?}");
    for part in ["servces", "imag", "99999"] {
        assert!(run.out.contains(part), "{part}: {}", run.out);
    }
    assert!(run.err.contains("errors in "), "{}", run.err);
    let short = folder.run(&["validate", "-o", "short"]);
    assert!(short.out.contains("platform.yaml:3:1:"), "{}", short.out);
    let json = folder.run(&["validate", "-o", "json"]);
    assert_eq!((json.code, json.err.as_str()), (Some(2), ""));
    let value: serde_json::Value = serde_json::from_str(&json.out).expect("it is JSON");
    assert_eq!(value["valid"], false);
}

#[test]
fn a_file_that_is_not_there_is_said() {
    let folder = Folder::with(PLATFORM);
    let run = folder.run(&["validate", "-f", "/nonexistent/platform.yaml"]);
    assert_eq!(run.code, Some(2));
    assert!(run.out.contains("does not exist"), "{run:#?}");
}

#[test]
fn config_leaves_secrets_out_and_is_a_valid_file_itself() {
    let folder = Folder::with(PLATFORM);
    let run = folder.run(&["config"]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    assert!(!run.out.contains("hunter2"), "{}", run.out);
    insta::assert_snapshot!("config", run.out);
    let again = Folder::with(&run.out);
    let validated = again.run(&["validate"]);
    assert_eq!(validated.code, Some(0), "{validated:#?}");
    assert_eq!(again.run(&["config"]).out, run.out, "it says the same of itself");
}

#[test]
fn config_of_a_unit_that_aiplatd_writes_says_the_same_of_itself() {
    let folder = Folder::with(
        "apiVersion: aiplat/v1\nname: home\nservices:\n  agent:\n    provider: {type: systemd, options: {hardening: none, \
         on_calendar: daily}}\n    command: /bin/agent --token hunter2 '100%' $$HOME\n    user: a:b\n    working_dir: /srv\n",
    );
    let run = folder.run(&["config"]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    assert!(!run.out.contains("hunter2"), "{}", run.out);
    for part in [
        "unit: aiplat-agent.service",
        "hardening: none",
        "on_calendar: daily",
        "user: a:b",
        "$$HOME",
        "stop_grace_period: 10s",
    ] {
        assert!(run.out.contains(part), "{part}: {}", run.out);
    }
    let again = Folder::with(&run.out);
    assert_eq!(again.run(&["config"]).out, run.out, "it says the same of itself");
    let validated = again.run(&["validate"]);
    assert!(validated.out.contains("is valid: 1 service,"), "a unit counts: {validated:#?}");
}

#[test]
fn origin_shows_the_file_and_the_line_of_each_value() {
    let folder = Folder::with(&format!("{PLATFORM}include: [more/compose.yaml]\n"));
    let write = |path: &str, text: &str| {
        let path = folder.0.path().join(path);
        fs::create_dir_all(path.parent().expect("it has a folder")).expect("its folder is made");
        fs::write(path, text).expect("it is written");
    };
    write(
        "platform.yaml.d/10-prod.yaml",
        "services:\n  web:\n    image: \"web:${TAG}\"\n    ports: [\"127.0.0.1:3001:3001\"]\n    command: [serve, --password, hunter2]\n    environment: [API_KEY=hunter2]\n",
    );
    write(
        "more/compose.yaml",
        "services:\n  cache:\n    image: redis:7\n    command: redis-server --requirepass hunter2\n",
    );
    write(".env", "TAG=2\n");
    let run = folder.run(&["config", "--origin"]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    assert!(!run.out.contains("hunter2"), "{}", run.out);
    insta::assert_snapshot!("origin", run.out);
    let json = folder.run(&["config", "--origin", "-o", "json"]);
    let rows: serde_json::Value = serde_json::from_str(&json.out).expect("it is JSON");
    let row = rows.as_array().expect("rows").iter().find(|row| row["path"] == "services.web.ports[1]");
    let row = row.expect("the overlay's port");
    assert!(row["file"].as_str().is_some_and(|file| file.ends_with("10-prod.yaml")), "{row}");
    assert_eq!((row["line"].as_u64(), row["value"].as_str()), (Some(4), Some("127.0.0.1:3001:3001")));
}

#[test]
fn schema_and_completions_are_printed() {
    let folder = Folder::with(PLATFORM);
    let schema: serde_json::Value = serde_json::from_str(&folder.run(&["schema"]).out).expect("it is JSON");
    assert!(schema["properties"]["services"].is_object());
    for (shell, part) in
        [("bash", "complete -F"), ("zsh", "#compdef aiplatctl"), ("fish", "complete -c aiplatctl")]
    {
        let run = folder.run(&["completion", shell]);
        assert!(run.code == Some(0) && run.out.contains(part), "{shell}: {run:#?}");
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let folder = Folder::with(PLATFORM);
    let mut child = command(&folder.0.path().join("none.sock"), folder.0.path(), &["schema"])
        .spawn()
        .expect("the binary runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}
