//! `host:` and `tier:`.

use super::{Cx, Fields, Item};
use crate::{
    load::{
        diagnostic::Problem,
        keys::{DISK_PRESSURE, DOCKER, HOST, TIER},
        text::ByteSize,
    },
    spec::{DiskPressure, DockerSpec, HostSpec},
    tier::{TierRule, default_rules},
};

/// Takes both keys out of the file's.
pub(super) fn host(cx: &mut Cx<'_>, fields: &mut Fields<'_>) -> HostSpec {
    let mut disk_pressure = DiskPressure::default();
    let (mut tiers, mut docker) = (None, None);
    if let Some(item) = fields.take("host") {
        let mut host = cx.fields(&item, &HOST);
        if let Some(item) = host.take("disk_pressure") {
            disk_pressure = pressure(cx, &item);
        }
        docker = host.take("docker").and_then(|item| docker_of(cx, &item));
        tiers = host.take("tiers").and_then(|item| rules(cx, &item));
        host.done();
    }
    let tiers = tiers.unwrap_or_else(default_rules);
    let named = fields.take("tier").and_then(|item| named(cx, &item, &tiers));
    HostSpec { disk_pressure, tiers, named, docker, tier: None }
}

fn pressure(cx: &mut Cx<'_>, item: &Item<'_>) -> DiskPressure {
    let default = DiskPressure::default();
    let mut fields = cx.fields(item, &DISK_PRESSURE);
    let warn = fields.take("warn").and_then(|item| cx.parsed(&item, permille));
    let stop = fields.take("stop_pulls").and_then(|item| cx.parsed(&item, permille));
    fields.done();
    let warned = warn.as_ref().map_or(default.warn, |warn| warn.value);
    if let Some(stop) = stop.as_ref().filter(|stop| stop.value > warned) {
        let problem = Problem::error("bad-value", stop.place, "pulls would stop before anybody is warned");
        cx.sink.add(problem.help("`stop_pulls` is less than `warn`, as in `{warn: 10%, stop_pulls: 5%}`"));
    }
    DiskPressure { warn: warned, stop_pulls: stop.map_or(default.stop_pulls.min(warned), |stop| stop.value) }
}

fn docker_of(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<DockerSpec> {
    let mut fields = cx.fields(item, &DOCKER);
    let mut flag = |cx: &mut Cx<'_>, key: &'static str| {
        let item = fields.take(key)?;
        Some((cx.flag(&item)?, item.place()))
    };
    let (manage, nvidia) = (flag(cx, "manage"), flag(cx, "nvidia"));
    fields.done();
    let manages = manage.is_some_and(|(manage, _)| manage);
    if let Some((true, place)) = nvidia.filter(|_| !manages) {
        let problem =
            Problem::error("bad-value", place, "nothing is added to daemon.json without `manage: true`");
        cx.sink.add(problem.help("write `docker: {manage: true, nvidia: true}`"));
    }
    manages.then(|| DockerSpec { nvidia: nvidia.is_some_and(|(nvidia, _)| nvidia) })
}

/// `10%`, `2.5%` in thousandths.
fn permille(text: &str) -> Result<u64, String> {
    const HINT: &str = "write a share of the file system, as in `10%` or `2.5%`";
    let number = text.trim().strip_suffix('%').ok_or(HINT)?.trim_end();
    let (whole, tenth) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(tenth) || whole.len() > 3 || tenth.len() > 1 {
        return Err(HINT.to_owned());
    }
    let parse = |text: &str| text.parse::<u64>().map_err(|_| HINT.to_owned());
    match parse(whole)? * 10 + parse(tenth)? {
        permille @ 0..=500 => Ok(permille),
        _ => Err("the most is `50%`".to_owned()),
    }
}

fn rules(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<Vec<TierRule>> {
    let items = cx.items(item)?;
    let mut rules: Vec<TierRule> = Vec::new();
    for item in &items {
        let Some(rule) = rule(cx, item) else { continue };
        if rules.iter().any(|other| other.name == rule.name) {
            let message = format!("the tier `{}` has two rules", rule.name);
            cx.sink.add(
                Problem::error("bad-value", item.place(), message).help("give each rule its own `name`"),
            );
        }
        rules.push(rule);
    }
    Some(rules)
}

fn rule(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<TierRule> {
    let mut fields = cx.fields(item, &TIER);
    let name = fields.take("name").and_then(|item| cx.text(&item));
    let mut size = |cx: &mut Cx<'_>, key: &'static str| {
        let parse = |text: &str| match text.parse::<ByteSize>()? {
            ByteSize(bytes) if bytes > 0 => u64::try_from(bytes).map_err(|_| "write a size".to_owned()),
            ByteSize(_) => Err("leave it out where nothing is asked for".to_owned()),
        };
        fields.take(key).and_then(|item| cx.parsed(&item, parse)).map(|size| size.value)
    };
    let (vram, ram) = (size(cx, "vram"), size(cx, "ram"));
    let cpus = fields.take("cpus").and_then(|item| cx.integer(&item, 1, 65_536));
    fields.done();
    let Some(name) = name else {
        let problem = Problem::error("missing-key", item.place(), "an entry of `tiers` needs a `name`");
        cx.sink.add(problem.help("write `- {name: standard, vram: 8GiB, ram: 16GiB}`"));
        return None;
    };
    cx.is_profile(&name).then(|| TierRule {
        name: name.value,
        vram,
        ram,
        cpus: cpus.and_then(|cpus| u32::try_from(cpus).ok()),
    })
}

fn named(cx: &mut Cx<'_>, item: &Item<'_>, rules: &[TierRule]) -> Option<String> {
    let named = cx.text(item)?;
    if rules.iter().any(|rule| rule.name == named.value) {
        return Some(named.value);
    }
    let known: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
    cx.bad(item, format!("the tiers are {}", known.join(", ")));
    None
}
