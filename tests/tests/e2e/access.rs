//! Who may ask, and how much; and one daemon for one folder.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    process::{Gid, Uid},
    thread::{set_thread_gid, set_thread_groups, set_thread_uid},
};
use serde_json::json;

use crate::harness::{
    PATIENCE, Stage, all_ready, cannot_run,
    http::{self, Answer},
    process::{capture, command, succeed},
    until,
};

const PLATFORM: &str =
    "apiVersion: aiplat/v1\nname: @name\nservices:\n  web: {image: aiplat-demo:1, command: [serve]}\n";
const NOBODY: u32 = 65_534;

fn started() -> Option<Stage> {
    let mut stage = Stage::new()?;
    stage.save(PLATFORM);
    stage.start();
    Some(stage)
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

/// A call by another user: the kernel keeps user and group ids by thread, so one thread becomes `nobody` and ends.
fn as_nobody(
    socket: PathBuf,
    method: &'static str,
    path: &'static str,
    body: &'static [u8],
) -> std::io::Result<Answer> {
    let call = move || {
        set_thread_groups(&[])?;
        set_thread_gid(Gid::from_raw(NOBODY))?;
        set_thread_uid(Uid::from_raw(NOBODY))?;
        http::request(&socket, method, path, body)
    };
    std::thread::spawn(call).join().expect("the thread ends by itself")
}

#[test]
fn another_user_is_kept_out_by_the_mode_of_the_socket_and_refused_by_name_behind_it() {
    let Some(stage) = started() else { return };
    if !rustix::process::getuid().is_root() {
        return cannot_run("only root can become another user");
    }
    set_mode(stage.socket().parent().expect("it is in a folder"), 0o755);
    let mode = fs::metadata(stage.socket()).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o660, "nobody but root and the group gets as far as the daemon");
    let error = as_nobody(stage.socket(), "GET", "/v1/status", b"").expect_err("the kernel refuses");
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);

    // Whoever opens the socket to all has not opened the daemon.
    set_mode(&stage.socket(), 0o666);
    for (method, path, body) in [
        ("GET", "/v1/status", &b""[..]),
        ("GET", "/v1/logs/web", b""),
        ("POST", "/v1/reload", b""),
        ("POST", "/v1/diff", br#"{"file": null}"#),
        ("POST", "/v1/apply", br#"{"content": null, "confirm": true}"#),
        ("POST", "/v1/prune", br#"{"volumes": ["x"]}"#),
    ] {
        let answer = as_nobody(stage.socket(), method, path, body).expect("the daemon answers");
        assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text());
        assert!(
            answer.text().contains(&format!("user {NOBODY} may not")),
            "{method} {path}: {}",
            answer.text()
        );
    }
}

#[test]
fn a_body_that_is_too_large_is_refused_and_the_daemon_goes_on() {
    let Some(stage) = started() else { return };
    let body = json!({"content": "#".repeat(9 << 20), "confirm": false});
    let answer = stage.call("POST", "/v1/apply", &body).expect("it answers");
    assert_eq!(answer.status, 413, "{}", answer.text());
    let answer = stage.call("POST", "/v1/apply", &json!("not an object")).expect("it answers");
    assert!((400..500).contains(&answer.status), "{}", answer.status);
    let answer = stage.call("GET", "/v1/nothing", &json!(null)).expect("it answers");
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("no such route"), "{}", answer.text());
    assert!(stage.status().is_ok(), "it goes on");
    assert_eq!(
        fs::read_to_string(stage.config()).expect("it is there"),
        stage.fill(PLATFORM),
        "nothing was written"
    );
}

#[test]
fn a_second_daemon_on_the_same_state_folder_refuses_with_a_sentence() {
    let Some(mut stage) = started() else { return };
    stage.ready();
    let mut second = stage.command_at(&stage.state_dir(), &stage.path("second.sock"));
    let second = capture(&mut second, Duration::from_secs(20));
    assert!(!matches!(second.code, Some(0)), "{}", second.said);
    let folder = stage.state_dir().display().to_string();
    for words in ["another aiplatd uses the state folder", folder.as_str()] {
        assert!(second.said.contains(words), "{}", second.said);
    }
    assert!(!second.said.contains("panicked"), "{}", second.said);
    assert!(all_ready(&stage.status().expect("the first one answers")));
}

#[test]
fn a_second_daemon_on_the_same_socket_refuses_and_a_stale_socket_is_replaced() {
    let Some(mut stage) = started() else { return };
    let mut second = stage.command_at(&stage.path("second"), &stage.socket());
    let second = capture(&mut second, Duration::from_secs(20));
    assert!(
        !matches!(second.code, Some(0)) && second.said.contains("another program answers"),
        "{}",
        second.said
    );
    assert!(stage.status().is_ok(), "the first one keeps its socket");
    stage.kill();
    assert!(stage.socket().exists(), "SIGKILL leaves the socket's file");
    stage.start();
    stage.ready();
}

#[test]
fn what_happened_is_still_told_after_the_daemon_was_killed() {
    let Some(mut stage) = started() else { return };
    stage.ready();
    let is_ready = |event: &aiplat_api::v1::Event| event.reason == "Ready";
    // The events are written before the status file is.
    let written = || {
        let text = fs::read_to_string(stage.state_dir().join("status.json")).unwrap_or_default();
        text.contains(r#""reason":"Ready""#)
    };
    assert!(until(PATIENCE, written), "the events are written");
    let before = stage.status().expect("it answers").events;
    let told = before.iter().find(|event| is_ready(event)).expect("it became ready").clone();

    stage.kill();
    stage.start();
    stage.ready();
    let after = stage.status().expect("it answers").events;
    assert!(after.contains(&told), "{told:?} is told after the restart: {after:#?}");
    let killed = after.iter().find(|event| event.message.contains("it was killed")).expect("that is said");
    assert!(killed.number > told.number, "{killed:?} comes after {told:?}");
}

/// A file system of its own at the state folder, taken away on drop.
struct Mounted(PathBuf);

impl Mounted {
    fn at(folder: PathBuf, size: &str) -> Option<Self> {
        let mut mount = command("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size},mode=0710"), "aiplat-e2e"]).arg(&folder);
        match mount.status() {
            Ok(status) if status.success() => Some(Self(folder)),
            other => {
                cannot_run(&format!("a file system of its own cannot be mounted here: {other:?}"));
                None
            }
        }
    }

    fn remount(&self, option: &str) {
        succeed(command("mount").args(["-o", &format!("remount,{option}")]).arg(&self.0));
    }

    /// Leaves not a byte free.
    fn fill(&self) {
        use std::io::Write;
        let mut filler = fs::File::create(self.0.join("filler")).expect("it can be made");
        while filler.write_all(&[0; 4096]).is_ok() {}
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(command("umount").arg("--lazy").arg(&self.0).status());
    }
}

/// Kills `web` again and again: each restart is written to the ledger, which fails; it heals all the same.
fn heals_from_memory(stage: &mut Stage, because: &str) {
    let old = stage.runs()["web"].clone();
    stage.engine.delete(&format!("/containers/{}?force=1", old.id));
    let healed = |stage: &Stage| stage.runs().get("web").is_some_and(|run| *run != old);
    assert!(until(PATIENCE, || healed(stage)), "{because}: it heals from memory");
    // An event, for a write that needs no more room than there is may succeed a moment later and say the opposite.
    stage.wait(&format!("{because}: it is said"), |status| {
        status.events.iter().any(|event| event.reason == "LedgerUnwritable") && all_ready(status)
    });
}

/// A stage whose state folder is a file system of its own, which is unmounted before the stage's folder is removed.
fn on_a_small_disk(size: &str) -> Option<(Stage, Mounted)> {
    let stage = Stage::new()?;
    let instance = fs::read(stage.state_dir().join("instance-id")).expect("the stage wrote it");
    let mounted = Mounted::at(stage.state_dir(), size)?;
    fs::write(stage.state_dir().join("instance-id"), instance).expect("there is room");
    stage.save(PLATFORM);
    Some((stage, mounted))
}

#[test]
fn when_the_state_folder_fills_up_it_heals_from_memory_and_says_so_until_there_is_room() {
    let Some((mut stage, mounted)) = on_a_small_disk("32m") else { return };
    stage.start();
    stage.ready();
    mounted.fill();
    // The ledger may have free pages of its own for a record or two; for a file as long as this one it has not.
    stage.save(&format!("{PLATFORM}\n# {}\n", "x".repeat(300_000)));
    heals_from_memory(&mut stage, "the state folder is full");
    fs::remove_file(mounted.0.join("filler")).expect("it is there");
    stage.engine.delete(&format!("/containers/{}?force=1", stage.runs()["web"].id));
    stage.wait("there is room again", |status| {
        let failing = |message: &str| message.contains("the ledger cannot be written");
        all_ready(status) && !status.platform.conditions.iter().any(|c| failing(&c.condition.message))
    });
    stage.kill();
}

#[test]
fn a_mebibyte_is_enough_for_the_state_of_a_small_platform() {
    let Some((mut stage, _mounted)) = on_a_small_disk("1m") else { return };
    stage.start();
    let status = stage.ready();
    let failing = |message: &str| message.contains("the ledger cannot be written");
    assert!(
        !status.platform.conditions.iter().any(|c| failing(&c.condition.message)),
        "{:#?}",
        status.platform
    );
    stage.kill();
}

#[test]
fn a_state_folder_that_is_full_at_the_start_does_not_keep_it_from_healing() {
    let Some((mut stage, mounted)) = on_a_small_disk("1m") else { return };
    mounted.fill();
    stage.start();
    stage.ready();
    stage.kill();
}

#[test]
fn a_state_folder_that_cannot_be_written_is_refused_with_a_sentence() {
    let Some((stage, mounted)) = on_a_small_disk("1m") else { return };
    mounted.remount("ro");
    let refused = capture(&mut stage.command(), Duration::from_secs(20));
    assert_eq!(refused.code, Some(1), "{}", refused.said);
    let folder = stage.state_dir().display().to_string();
    for words in [folder.as_str(), "may write", "Read-only file system"] {
        assert!(refused.said.contains(words), "{}", refused.said);
    }
}
