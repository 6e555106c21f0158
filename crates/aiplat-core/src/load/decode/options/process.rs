//! What the process of a service is given.

use std::collections::BTreeMap;

use super::{
    super::{Cx, Fields, Item},
    inside,
};
use crate::{
    load::{
        diagnostic::Problem,
        keys::{LOGGING, ULIMIT},
        text::{ByteSize, nearest},
        tree::Value,
    },
    spec::{Logging, Process, Ulimit},
};

const ULIMITS: [&str; 15] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "sigpending",
    "stack",
];

pub(super) fn process(cx: &mut Cx<'_>, fields: &mut Fields<'_>) -> Process {
    let size = |text: &str| match text.parse::<ByteSize>()?.0 {
        0 => Err("it must be more than zero".to_owned()),
        bytes => Ok(bytes),
    };
    Process {
        working_dir: cx.taken_parsed(fields, "working_dir", inside),
        init: fields.take("init").and_then(|item| cx.flag(&item)),
        tty: cx.taken_flag(fields, "tty"),
        stdin_open: cx.taken_flag(fields, "stdin_open"),
        ulimits: fields.take("ulimits").map(|item| ulimits(cx, &item)).unwrap_or_default(),
        oom_score_adj: fields
            .take("oom_score_adj")
            .and_then(|item| cx.integer(&item, -1000, 1000))
            .unwrap_or_default(),
        oom_kill_disable: cx.taken_flag(fields, "oom_kill_disable"),
        shm_size: cx.taken_parsed(fields, "shm_size", size),
        tmpfs: cx.taken_each(fields, "tmpfs", tmpfs).into_iter().collect(),
        logging: fields.take("logging").map(|item| logging(cx, &item)),
        annotations: cx.taken_pairs(fields, "annotations"),
        platform: cx.taken_parsed(fields, "platform", platform),
        runtime: cx.taken_text(fields, "runtime"),
        storage_opt: fields.take("storage_opt").map(|item| texts(cx, &item)).unwrap_or_default(),
    }
}

fn ulimits(cx: &mut Cx<'_>, item: &Item<'_>) -> BTreeMap<String, Ulimit> {
    let mut all = BTreeMap::new();
    for (name, place, node) in cx.entries(item).unwrap_or_default() {
        // `rttime` is known to the kernel and not to the engine.
        if !ULIMITS.contains(&name) {
            let problem = Problem::error("bad-value", place, format!("`{name}` is not a limit of a process"));
            cx.sink.add(match nearest(name, ULIMITS) {
                Some(near) => problem.label(format!("did you mean `{near}`?")),
                None => problem.help(format!("the limits are {}", crate::load::text::list(&ULIMITS))),
            });
            continue;
        }
        let limit = Item::new(format!("`{name}`"), node);
        if let Some(limit) = ulimit(cx, &limit) {
            all.insert(name.to_owned(), limit);
        }
    }
    all
}

fn ulimit(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<Ulimit> {
    if !matches!(item.node.value, Value::Map(_)) {
        let both = cx.integer(item, -1, i64::MAX)?;
        return Some(Ulimit { soft: both, hard: both });
    }
    let mut fields = cx.fields(item, &ULIMIT);
    let mut one = |cx: &mut Cx<'_>, key: &'static str| match fields.take(key) {
        Some(item) => cx.integer(&item, -1, i64::MAX),
        None => {
            let problem =
                Problem::error("missing-key", item.place(), format!("{} has no `{key}`", item.what));
            cx.sink.add(problem.help("write both, as in `{soft: 1024, hard: 4096}`, or one number for both"));
            None
        }
    };
    let (soft, hard) = (one(cx, "soft"), one(cx, "hard"));
    fields.done();
    let (soft, hard) = (soft?, hard?);
    if hard >= 0 && (soft < 0 || soft > hard) {
        let message = format!("the soft limit of {} is above its hard limit", item.what);
        cx.sink.add(Problem::error("bad-value", item.place(), message).help("raise `hard`, or lower `soft`"));
        return None;
    }
    Some(Ulimit { soft, hard })
}

/// `TARGET[:OPTIONS]`.
fn tmpfs(text: &str) -> Result<(String, String), String> {
    const FLAGS: [&str; 20] = [
        "rw",
        "ro",
        "suid",
        "nosuid",
        "dev",
        "nodev",
        "exec",
        "noexec",
        "sync",
        "async",
        "dirsync",
        "atime",
        "noatime",
        "diratime",
        "nodiratime",
        "relatime",
        "norelatime",
        "strictatime",
        "nostrictatime",
        "defaults",
    ];
    const VALUES: [&str; 6] = ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks"];
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let target = inside(target)?;
    if target == "/" {
        return Err("nothing can be mounted over the whole container".to_owned());
    }
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let is_known = match option.split_once('=') {
            Some((name, value)) => VALUES.contains(&name) && !value.is_empty(),
            None => FLAGS.contains(&option),
        };
        if !is_known {
            let shown = super::super::scalar::crop(option);
            return Err(format!("`{shown}` is not an option: write as in `/tmp:size=64m,mode=1777,noexec`"));
        }
    }
    Ok((target, options.to_owned()))
}

fn logging(cx: &mut Cx<'_>, item: &Item<'_>) -> Logging {
    let mut fields = cx.fields(item, &LOGGING);
    let logging = Logging {
        driver: cx.taken_text(&mut fields, "driver"),
        options: fields.take("options").map(|item| texts(cx, &item)).unwrap_or_default(),
    };
    fields.done();
    logging
}

/// Names to single values; one without a value is left to the engine.
fn texts(cx: &mut Cx<'_>, item: &Item<'_>) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (name, _, node) in cx.entries(item).unwrap_or_default() {
        let inner = Item::new(format!("`{name}`"), node);
        if !inner.is_null()
            && let Some(text) = cx.text(&inner)
        {
            all.insert(name.to_owned(), text.value);
        }
    }
    all
}

fn platform(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split('/').collect();
    let plain = |part: &&str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
    };
    if (1..=3).contains(&parts.len()) && parts.iter().all(plain) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("write the system and the processor, as in `linux/arm64`".to_owned())
    }
}
