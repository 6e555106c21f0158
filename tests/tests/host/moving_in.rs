//! Moving in on a machine where the unit runs already: under the installed and hardened aiplatd, on a real systemd.

use aiplat_core::condition::{ConditionType, Reason, Status, Word};

use crate::{
    harness::Host,
    units::{FILE, KEEP, UNIT, UNIT_FILE, becomes, host, platform, property, unit, word},
};

/// What `aiplatctl diff` says of the file `text`, in one line.
fn diff(host: &Host, text: &str) -> String {
    host.write("/root/wanted.yaml", text);
    let said = host.run(&["aiplatctl", "diff", "--file", "/root/wanted.yaml"]).said();
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_first_diff_names_who_wins_and_it_comes_so() {
    let Some(host) = host() else { return };
    let folder = "/etc/systemd/system/ollama.service.d";
    host.ok(&["mkdir", "-p", folder]);
    host.write(&format!("{folder}/90-local.env"), "OLLAMA_KEEP_ALIVE=1h\nHF_TOKEN=canary\n");
    host.write(
        &format!("{folder}/90-local.conf"),
        &format!("[Service]\nEnvironmentFile={folder}/90-local.env\nEnvironment=OLLAMA_ORIGINS=theirs\n"),
    );
    host.ok(&["systemctl", "daemon-reload"]);
    host.ok(&["systemctl", "start", "ollama"]);
    let wanted = platform(
        "    environment: {OLLAMA_KEEP_ALIVE: 5m, OLLAMA_ORIGINS: ours, NAME: ollama, HF_TOKEN: mine}",
    );
    let said = diff(&host, &wanted);
    for part in [
        "OLLAMA_KEEP_ALIVE: the file says `5m`, and /etc/systemd/system/ollama.service.d/90-local.env, named in \
         /etc/systemd/system/ollama.service.d/90-local.conf says `1h` and wins",
        "OLLAMA_ORIGINS: the file says `ours`, and wins over `theirs` in /etc/systemd/system/ollama.service.d/90-local.conf",
        "HF_TOKEN: the file says `<redacted>`",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("NAME: the file") && !said.contains("canary"), "{said}");

    host.write(FILE, &wanted);
    becomes(&host, ConditionType::Overridden, Status::True, Reason::EnvironmentOverridden);
    let environ = "tr '\\0' '\\n' < /proc/$(systemctl show -p MainPID --value ollama)/environ";
    host.wait("the process has what was foretold", |host| {
        // The number of a process goes into a path.
        let has = host.run(&["sh", "-c", environ]).out;
        ["OLLAMA_KEEP_ALIVE=1h", "OLLAMA_ORIGINS=ours"]
            .iter()
            .all(|pair| has.lines().any(|line| line == *pair))
    });
    let described = host.ok(&["aiplatctl", "describe", "ollama"]);
    assert!(!described.contains("canary"), "{described}");
    for (name, from) in
        [("OLLAMA_KEEP_ALIVE", "90-local.env"), ("OLLAMA_ORIGINS", "(aiplatd)"), ("PORT", UNIT_FILE)]
    {
        let line = described.lines().find(|line| line.trim_start().starts_with(name));
        assert!(line.is_some_and(|line| line.contains(from)), "{name}: {described}");
    }
    host.ok(&["rm", "-r", &format!("{folder}/90-local.conf")]);
    host.ok(&["systemctl", "daemon-reload"]);
    becomes(&host, ConditionType::Overridden, Status::False, Reason::AsDesired);
    host.ok(&["systemctl", "restart", "ollama"]);
    host.wait_ready();
}

#[test]
fn a_unit_is_not_sent_away_from_its_models_before_they_are_there() {
    let Some(host) = host() else { return };
    host.ok(&["useradd", "--system", "--home-dir", "/usr/share/ollama", "ollama"]);
    unit(&host, &UNIT.replace("ExecStart", "User=ollama\nExecStart"));
    let old = "/usr/share/ollama/.ollama/models";
    host.ok(&[
        "mkdir",
        "-p",
        &format!("{old}/manifests/registry.ollama.ai/library/llama3"),
        &format!("{old}/blobs"),
    ]);
    host.write(&format!("{old}/manifests/registry.ollama.ai/library/llama3/8b"), "{}");
    host.write(&format!("{old}/blobs/sha256-1"), "weights");
    host.ok(&["chown", "-R", "ollama:", "/usr/share/ollama"]);
    host.ok(&["systemctl", "start", "ollama"]);
    let run = property(&host, "InvocationID");
    let wanted = platform("    environment: {OLLAMA_MODELS: /data/models}");
    let command =
        format!("mkdir -p /data/models && cp -a {old}/. /data/models/ && chown -R ollama: /data/models");
    let said = diff(&host, &wanted);
    assert!(said.contains(&command) && said.contains("Cannot be done now"), "{said}");

    host.write(FILE, &wanted);
    becomes(&host, ConditionType::Held, Status::True, Reason::DataLeftBehind);
    word(&host, Word::Degraded);
    assert!(host.service("ollama").message.contains(&command), "{}", host.service("ollama").message);
    assert_eq!(property(&host, "InvocationID"), run, "it serves on, as it did");
    assert!(!property(&host, "DropInPaths").contains("50-aiplatd.conf"));
    // The sentence is for a shell, and has to be right in one.
    host.ok(&["sh", "-c", &command]);
    host.wait_ready();
    assert_ne!(property(&host, "InvocationID"), run);
    assert!(property(&host, "DropInPaths").contains("50-aiplatd.conf"));
    let tags = host.ok(&["/usr/local/bin/ollama", "get", "http://127.0.0.1:11434/api/tags"]);
    assert!(tags.contains("\"name\":\"llama3:8b\""), "it has its models: {tags}");
    // And there it stays: the way back would lose nothing either.
    host.ok(&["sh", "-c", "echo more > /data/models/blobs/sha256-2"]);
    host.write(FILE, &platform(KEEP));
    becomes(&host, ConditionType::Held, Status::True, Reason::DataLeftBehind);
    host.ok(&["cp", "-a", "/data/models/blobs/sha256-2", &format!("{old}/blobs/")]);
    host.wait_ready();
}

#[test]
fn a_masked_unit_serves_on_and_full_management_takes_the_mask_away_without_a_restart() {
    let Some(host) = host() else { return };
    // Where a mask in /etc does not meet a file of the same name.
    host.ok(&["rm", UNIT_FILE]);
    host.write("/usr/lib/systemd/system/ollama.service", UNIT);
    host.ok(&["systemctl", "daemon-reload"]);
    host.converge(&platform(""));
    let run = property(&host, "InvocationID");
    host.ok(&["systemctl", "mask", "ollama"]);
    becomes(&host, ConditionType::UnitLoaded, Status::False, Reason::UnitMasked);
    word(&host, Word::Degraded);
    let message = host.service("ollama").message;
    assert!(message.contains("does not come back"), "{message}");
    host.write(FILE, &platform("    management: full"));
    host.wait_ready();
    assert_eq!((property(&host, "InvocationID"), property(&host, "LoadState")), (run, "loaded".to_owned()));
}

#[test]
fn a_second_instance_is_found_by_its_process_and_what_a_unit_uses_is_measured() {
    let Some(host) = host() else { return };
    host.converge(&platform(KEEP));
    host.ok(&["systemd-run", "--unit=ollama-test", "/usr/local/bin/ollama", "serve", "PORT=11435"]);
    host.wait("the other one listens", |host| {
        let said = diff(host, &platform(KEEP));
        said.contains("ollama-test.service (process ") && said.contains("port 11435)")
    });
    becomes(&host, ConditionType::SecondInstance, Status::True, Reason::SecondInstance);
    word(&host, Word::Ready);
    host.ok(&["systemctl", "stop", "ollama-test"]);
    becomes(&host, ConditionType::SecondInstance, Status::False, Reason::AsDesired);

    let top: serde_json::Value =
        serde_json::from_str(&host.ok(&["aiplatctl", "top", "--output", "json"])).expect("JSON");
    let row =
        top.as_array().into_iter().flatten().find(|row| row["service"] == "ollama").expect("it is measured");
    assert!(row["memory"].as_u64() > Some(0) && row["pids"].as_u64() > Some(0), "{row}");
}
