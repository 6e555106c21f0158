//! The machine itself: the kernel's limits.

use std::fs;

use super::{Check, Facts, Grade, check};

pub(super) fn checks(_facts: &Facts<'_>) -> Vec<Check> {
    vec![inotify("max_user_instances", 128), inotify("max_user_watches", 8_192)]
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
