//! The machine itself: disks and the kernel's limits.

use std::{fs, path::Path};

use super::{Check, Facts, Grade, check};
use crate::render::text::bytes;

/// Where Docker keeps images and volumes unless told otherwise.
const DOCKER_ROOT: &str = "/var/lib/docker";
/// What frees room where the engine keeps its things.
const ENGINE_CURE: &str = "docker system df; docker image prune";
/// What shows who takes the room elsewhere.
const STATE_CURE: &str = "df -h; sudo du -xh --max-depth=2 / | sort -h | tail";
/// Free space below this fails: a pull of one model server does not fit.
const FREE_FAIL: f64 = 0.05;
/// Free space below this is worth a word.
const FREE_WARN: f64 = 0.10;

pub(super) fn checks(facts: &Facts<'_>) -> Vec<Check> {
    vec![
        disk("state disk", &facts.globals.state_dir, STATE_CURE),
        disk("engine disk", Path::new(DOCKER_ROOT), ENGINE_CURE),
        inotify("max_user_instances", 128),
        inotify("max_user_watches", 8_192),
    ]
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
