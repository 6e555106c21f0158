//! Disks that the platform lives on. What is short of room is decided in one place (`aiplat_core::plan::pressure`): by the
//! daemon, or here with the file's thresholds where there is none.

use std::path::Path;

use aiplat_api::v1::{FileSystemStatus, HostStatus};
use aiplat_core::{
    observed::{FileSystem, Room},
    plan::{Pressure, pressure},
    spec::DiskPressure,
};
use rustix::fs::StatVfsMountFlags;

use super::{Check, Facts, Grade, check};
use crate::{
    offline::{self, Rules},
    render::text::{bytes, clean},
};

/// What frees room where the engine keeps its things.
const ENGINE_CURE: &str = "docker system df; docker image prune";
/// What shows who takes the room elsewhere.
const CURE: &str = "df -h; sudo du -xh --max-depth=2 / | sort -h | tail";

pub(super) fn checks(facts: &Facts<'_>) -> Vec<Check> {
    match facts.doc.and_then(|doc| doc.host.as_ref()) {
        Some(host) => host.file_systems.iter().map(|it| told(host, it)).collect(),
        None => looked_at(facts),
    }
}

/// As the daemon has it.
fn told(host: &HostStatus, it: &FileSystemStatus) -> Check {
    let FileSystemStatus { mount, total, free, inodes, inodes_free, used_by, pressure, .. } = it;
    let (Some(total), Some(free)) = (*total, *free) else {
        return check("disk", Grade::Warn, format!("{} does not answer", clean(mount)))
            .cure(format!("timeout 5 df {}", clean(mount)));
    };
    let room = Room {
        total,
        free,
        inodes: inodes.unwrap_or_default(),
        inodes_free: inodes_free.unwrap_or_default(),
    };
    let users = if used_by.is_empty() { String::new() } else { format!(": {}", used_by.join(", ")) };
    let of_engine = host.engine.as_ref().is_some_and(|engine| holds(host, mount, &engine.data_root));
    judged("disk", &clean(&format!("{mount}{users}")), room, *pressure, of_engine)
}

/// Whether `path` is on the file system that is mounted at `mount`.
fn holds(host: &HostStatus, mount: &str, path: &str) -> bool {
    let covers = host.file_systems.iter().filter(|it| Path::new(path).starts_with(&it.mount));
    covers.max_by_key(|it| it.mount.len()).is_some_and(|it| it.mount == mount)
}

/// Without the daemon: where it and the engine keep their things.
fn looked_at(facts: &Facts<'_>) -> Vec<Check> {
    let file = offline::read(facts.globals, &facts.config, Rules::Daemon, None).ok();
    let platform = file.and_then(|file| file.loaded.platform);
    let limits = platform.map(|platform| platform.host.disk_pressure).unwrap_or_default();
    let own = disk("state disk", &facts.globals.state_dir, limits, false);
    let root = facts.engine.as_ref().and_then(|info| info["DockerRootDir"].as_str());
    let engine = match root {
        Some(root) => disk("engine disk", Path::new(root), limits, true),
        None => {
            let found = "where the engine keeps its things is not known while it does not answer";
            check("engine disk", Grade::Skipped, found)
        }
    };
    vec![own, engine]
}

fn disk(name: &'static str, path: &Path, limits: DiskPressure, of_engine: bool) -> Check {
    let shown = path.display().to_string();
    let stat = match rustix::fs::statvfs(path) {
        Ok(stat) => stat,
        Err(error) => return check(name, Grade::Skipped, format!("{shown}: {error}")),
    };
    let room = Room {
        total: stat.f_blocks.saturating_mul(stat.f_frsize),
        free: stat.f_bavail.saturating_mul(stat.f_frsize),
        inodes: stat.f_files,
        inodes_free: stat.f_favail,
    };
    let read_only = stat.f_flag.contains(StatVfsMountFlags::RDONLY);
    let file_system = FileSystem { room: Some(room), read_only, ..FileSystem::default() };
    judged(name, &shown, room, pressure(&file_system, limits), of_engine)
}

fn judged(name: &'static str, place: &str, room: Room, pressure: Option<Pressure>, of_engine: bool) -> Check {
    let mut found = format!("{} of {} free on {place}", bytes(room.free), bytes(room.total));
    // However much room there is in bytes: each file takes one.
    if room.lacks_inodes_first() {
        found.push_str(&format!("; {} of {} inodes", room.inodes_free, room.inodes));
    }
    let grade = match pressure {
        None => Grade::Ok,
        Some(Pressure::Low) => Grade::Warn,
        Some(Pressure::StopsPulls | Pressure::Full) => Grade::Fail,
    };
    check(name, grade, found).cure(if of_engine { ENGINE_CURE } else { CURE })
}

#[cfg(test)]
mod tests {
    use aiplat_api::v1::EngineStatus;

    use super::*;

    #[test]
    fn a_disk_is_judged_as_the_daemon_says_and_cured_where_it_is() {
        let disk = |mount: &str, free, pressure| FileSystemStatus {
            mount: mount.to_owned(),
            total: Some(100 << 30),
            free,
            pressure,
            used_by: vec!["db".to_owned()],
            ..FileSystemStatus::default()
        };
        let engine = EngineStatus { data_root: "/var/lib/docker".to_owned(), ..EngineStatus::default() };
        let host = HostStatus {
            engine: Some(engine),
            file_systems: vec![
                disk("/", Some(1 << 30), None),
                disk("/srv", Some(9 << 30), Some(Pressure::Low)),
                disk("/var/lib", Some(1 << 30), Some(Pressure::StopsPulls)),
                disk("/nfs", None, None),
            ],
            ..HostStatus::default()
        };
        let found: Vec<Check> = host.file_systems.iter().map(|it| told(&host, it)).collect();
        let grades: Vec<Grade> = found.iter().map(|it| it.grade).collect();
        assert_eq!(
            grades,
            [Grade::Ok, Grade::Warn, Grade::Fail, Grade::Warn],
            "not by thresholds of our own"
        );
        assert_eq!(found[1].found, "9.0 GiB of 100 GiB free on /srv: db");
        assert!(found[1].cure == CURE && found[2].cure == ENGINE_CURE, "{found:?}");
        assert!(found[3].found.contains("/nfs does not answer"), "{found:?}");
    }

    #[test]
    fn inodes_are_named_where_they_are_the_scarcer() {
        let room = |inodes_free| Room { total: 100, free: 50, inodes: 1_000, inodes_free };
        assert!(!judged("disk", "/", room(900), None, false).found.contains("inodes"));
        assert!(judged("disk", "/", room(10), None, false).found.ends_with("; 10 of 1000 inodes"));
    }
}
