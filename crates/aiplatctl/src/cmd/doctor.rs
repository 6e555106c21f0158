//! `doctor`: is this machine fit? All checks at once, each problem with the command that cures it.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use aiplat_api::v1::StatusDoc;
use aiplat_core::condition::{ConditionType, Status};

use crate::{
    args::Globals,
    console,
    exit::{Code, Outcome},
    offline::{self, Rules},
    render::{
        style::{self, paint},
        text::{bytes, clean, count},
    },
    source,
};

/// Where Docker keeps images and volumes unless told otherwise.
const DOCKER_ROOT: &str = "/var/lib/docker";
const DOCKER_SOCKET: &str = "/var/run/docker.sock";
/// What frees room where the engine keeps its things.
const ENGINE_CURE: &str = "docker system df; docker image prune";
/// What shows who takes the room elsewhere.
const STATE_CURE: &str = "df -h; sudo du -xh --max-depth=2 / | sort -h | tail";
/// Free space below this fails: a pull of one model server does not fit.
const FREE_FAIL: f64 = 0.05;
/// Free space below this is worth a word.
const FREE_WARN: f64 = 0.10;

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grade {
    Ok,
    /// It works, and someone should look.
    Warn,
    Fail,
    /// It could not be looked at; something else says why.
    Skipped,
}

/// One check.
#[derive(Debug)]
struct Check {
    name: &'static str,
    grade: Grade,
    found: String,
    cure: String,
}

fn check(name: &'static str, grade: Grade, found: impl Into<String>) -> Check {
    Check { name, grade, found: found.into(), cure: String::new() }
}

impl Check {
    fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cure = cure.into();
        self
    }
}

pub(super) async fn run(globals: &Globals) -> Outcome {
    let answer = source::client(globals).status().await;
    let mut checks = Vec::new();
    let doc = match answer {
        Ok(doc) => {
            let version = clean(&doc.platform.daemon);
            checks.push(check(
                "daemon",
                Grade::Ok,
                format!("aiplatd {version} answers at {}", globals.socket.display()),
            ));
            Some(doc)
        }
        Err(error) => {
            let cure =
                error.not_reachable().map(aiplat_api::client::NotReachable::next_step).unwrap_or_default();
            checks.push(check("daemon", Grade::Fail, error.to_string()).cure(cure));
            None
        }
    };
    checks.push(engine(doc.as_ref()));
    let config =
        doc.as_ref().map_or_else(|| globals.config.clone(), |doc| doc.platform.config.clone().into());
    checks.push(file_valid(globals, &config));
    checks.push(file_owner(&config));
    checks.extend(platform(doc.as_ref()));
    checks.extend([
        disk("state disk", &globals.state_dir, STATE_CURE),
        disk("engine disk", Path::new(DOCKER_ROOT), ENGINE_CURE),
    ]);
    checks.extend([inotify("max_user_instances", 128), inotify("max_user_watches", 8_192)]);
    console::print(&render(&checks))?;
    let failed = checks.iter().filter(|check| check.grade == Grade::Fail).count();
    Ok(if failed > 0 { Code::Failed } else { Code::Done })
}

fn engine(doc: Option<&StatusDoc>) -> Check {
    let Some(doc) = doc else { return engine_socket() };
    let condition =
        doc.platform.conditions.iter().find(|it| it.condition.kind == ConditionType::DockerReachable);
    let version = doc.platform.engine.as_deref().map_or_else(|| "the engine".to_owned(), clean);
    match condition.map(|it| (it.condition.status, clean(&it.condition.message))) {
        Some((Status::True, _)) => check("engine", Grade::Ok, format!("{version} answers")),
        None if doc.platform.engine.is_some() => check("engine", Grade::Ok, format!("{version} answers")),
        Some((Status::False | Status::Unknown, said)) => check(
            "engine",
            Grade::Fail,
            if said.is_empty() { "the engine does not answer".to_owned() } else { said },
        )
        .cure("systemctl start docker; journalctl -u docker -e"),
        None => check("engine", Grade::Skipped, "not looked at yet"),
    }
}

/// Without the daemon: whether anybody listens where an engine does.
fn engine_socket() -> Check {
    let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    let socket = match host.as_deref().map(|host| (host, host.strip_prefix("unix://"))) {
        None => DOCKER_SOCKET,
        Some((_, Some(path))) => path,
        Some((host, None)) => {
            return check("engine", Grade::Skipped, format!("DOCKER_HOST={host} is no Unix socket"));
        }
    };
    match std::os::unix::net::UnixStream::connect(socket) {
        Ok(_) => check("engine", Grade::Ok, format!("somebody listens at {socket}")),
        Err(error) => check("engine", Grade::Fail, format!("{socket}: {error}"))
            .cure("systemctl start docker; journalctl -u docker -e"),
    }
}

fn file_valid(globals: &Globals, path: &Path) -> Check {
    let shown = path.display();
    if let Err(error) = fs::File::open(path) {
        let cure = if error.kind() == std::io::ErrorKind::NotFound {
            "aiplatctl edit"
        } else {
            "sudo aiplatctl doctor"
        };
        let grade = if error.kind() == std::io::ErrorKind::NotFound { Grade::Fail } else { Grade::Skipped };
        return check("platform file", grade, format!("{shown}: {error}")).cure(cure);
    }
    match offline::read(globals, path, Rules::Daemon, None) {
        Ok(offline) if offline.loaded.has_errors() => check("platform file", Grade::Fail, offline.tally())
            .cure(format!("aiplatctl validate -f {shown}")),
        Ok(offline) => match &offline.loaded.platform {
            Some(platform) => {
                let services = count(platform.services().count(), "service");
                check("platform file", Grade::Ok, format!("{shown} is valid, {services}"))
            }
            None => check("platform file", Grade::Fail, format!("{shown} holds no platform"))
                .cure("aiplatctl edit"),
        },
        Err(_) => check("platform file", Grade::Fail, format!("{shown} cannot be read")),
    }
}

/// Who may write the file decides what runs as root on this machine.
fn file_owner(path: &Path) -> Check {
    let name = "file owner";
    for place in [Some(path), path.parent()].into_iter().flatten() {
        let shown = place.display();
        let Ok(metadata) = fs::metadata(place) else {
            return check(name, Grade::Skipped, format!("{shown} cannot be looked at"));
        };
        if metadata.uid() != 0 {
            let found =
                format!("{shown} belongs to uid {}, who can make root run anything with it", metadata.uid());
            return check(name, Grade::Warn, found).cure(format!("chown root: {shown}"));
        }
        // A folder like /tmp, where everybody may write their own files only, still lets nobody replace this one.
        let sticky = metadata.is_dir() && metadata.permissions().mode() & 0o1000 != 0;
        if metadata.permissions().mode() & 0o022 != 0 && !sticky {
            let found = format!("others than root may write {shown}, and make root run anything with it");
            return check(name, Grade::Fail, found).cure(format!("chmod go-w {shown}"));
        }
    }
    check(name, Grade::Ok, "only root may write it")
}

/// What the daemon itself says is wrong with it.
fn platform(doc: Option<&StatusDoc>) -> Vec<Check> {
    let Some(doc) = doc else { return Vec::new() };
    let told = |kind: ConditionType| match kind {
        ConditionType::SpecValid => Some(("file in force", "aiplatctl validate")),
        ConditionType::LedgerLost => Some(("ledger", "journalctl -u aiplatd -e")),
        ConditionType::InstanceMismatch => Some(("instance", "aiplatctl why")),
        ConditionType::SystemdReachable => Some(("systemd", "systemctl status dbus")),
        ConditionType::DockerReachable
        | ConditionType::DiskPressure
        | ConditionType::RebootRequired
        | ConditionType::GPUDriverMismatch
        | ConditionType::GPUReady
        | ConditionType::UnitLoaded
        | ConditionType::DropInApplied
        | ConditionType::Overridden
        | ConditionType::SecondInstance
        | ConditionType::Active
        | ConditionType::Listening
        | ConditionType::Reachable
        | ConditionType::Accepted
        | ConditionType::Suspended
        | ConditionType::NameTaken
        | ConditionType::ImageAvailable
        | ConditionType::ConfigRendered
        | ConditionType::StorageReady
        | ConditionType::PortsFree
        | ConditionType::DependenciesReady
        | ConditionType::Started
        | ConditionType::Healthy
        | ConditionType::CrashLoop
        | ConditionType::Drifted
        | ConditionType::Held
        | ConditionType::Progressing
        | ConditionType::Ready => None,
    };
    let abnormal = doc.platform.conditions.iter().filter(|it| !it.condition.is_normal());
    let checks = abnormal.filter_map(|it| {
        let (name, cure) = told(it.condition.kind)?;
        let said = if it.condition.message.is_empty() {
            it.condition.reason.to_string()
        } else {
            clean(&it.condition.message)
        };
        // What could not be looked at yet is not broken.
        let grade = match it.condition.status {
            Status::Unknown => Grade::Skipped,
            Status::True | Status::False => Grade::Fail,
        };
        Some(check(name, grade, said).cure(cure))
    });
    checks.collect()
}

fn disk(name: &'static str, path: &Path, cure: &str) -> Check {
    let shown = path.display();
    let stat = match rustix::fs::statvfs(path) {
        Ok(stat) => stat,
        Err(error) => return check(name, Grade::Skipped, format!("{shown}: {error}")),
    };
    let (free, all) =
        (stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_blocks.saturating_mul(stat.f_frsize));
    let part = |free: u64, all: u64| if all == 0 { 1.0 } else { free as f64 / all as f64 };
    // Some file systems have no bound on inodes, and say zero.
    let (space, inodes) = (part(free, all), part(stat.f_favail, stat.f_files));
    let found = format!("{} of {} free on {shown}", bytes(free), bytes(all));
    let found =
        if inodes < FREE_WARN { format!("{found}, {:.0}% of inodes free", inodes * 100.0) } else { found };
    let least = space.min(inodes);
    if least < FREE_FAIL {
        check(name, Grade::Fail, found).cure(cure)
    } else if least < FREE_WARN {
        check(name, Grade::Warn, found).cure(cure)
    } else {
        check(name, Grade::Ok, found)
    }
}

/// A daemon that watches files needs one instance and a handful of watches; others on the machine need them too.
fn inotify(limit: &'static str, least: u64) -> Check {
    let path = format!("/proc/sys/fs/inotify/{limit}");
    let value = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse::<u64>().ok());
    match value {
        None => check("inotify", Grade::Skipped, format!("{path} cannot be read")),
        Some(value) if value < least => check("inotify", Grade::Warn, format!("{limit} is {value}"))
            .cure(format!("sysctl -w fs.inotify.{limit}={}", least * 4)),
        Some(value) => check("inotify", Grade::Ok, format!("{limit} is {value}")),
    }
}

fn render(checks: &[Check]) -> String {
    let mut out = String::new();
    for Check { name, grade, found, cure } in checks {
        let (word, style) = match grade {
            Grade::Ok => ("ok", style::GOOD),
            Grade::Warn => ("warn", style::UNDERWAY),
            Grade::Fail => ("FAIL", style::BAD),
            Grade::Skipped => ("skip", style::FAINT),
        };
        out.push_str(&format!("{}  {name:<14} {found}\n", paint(style, &format!("{word:<4}"))));
        if !cure.is_empty() && *grade != Grade::Ok {
            out.push_str(&format!("      {:<14} {}\n", "", paint(style::STRONG, cure)));
        }
    }
    let failed = checks.iter().filter(|check| check.grade == Grade::Fail).count();
    let warned = checks.iter().filter(|check| check.grade == Grade::Warn).count();
    out.push_str(&match (failed, warned) {
        (0, 0) => "\nAll is well.\n".to_owned(),
        (0, _) => format!("\n{}.\n", count(warned, "warning")),
        (_, 0) => format!("\n{} failed.\n", count(failed, "check")),
        (_, _) => format!("\n{} failed, {}.\n", count(failed, "check"), count(warned, "warning")),
    });
    out
}
