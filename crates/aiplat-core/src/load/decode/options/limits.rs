//! Limits that can be changed while a service runs: Compose has two words for most of them.

use super::{
    super::{Cx, Fields, Item},
    gpus::{self, Asked},
};
use crate::{
    load::{
        diagnostic::Problem,
        keys::{LIMITS, RESERVATIONS},
        text::{ByteSize, nano_cpus},
        tree::Spanned,
    },
    spec::Limits,
};

/// The engine refuses less.
const MEMORY_MIN: i64 = 6 << 20;
/// What the kernel gives to whom nothing is said of: to name it is to name nothing.
const CPU_SHARES_DEFAULT: i64 = 1024;

/// What `deploy.resources` says.
#[derive(Debug, Default)]
pub(in crate::load::decode) struct Reserved {
    memory: Option<Spanned<i64>>,
    nano_cpus: Option<Spanned<i64>>,
    pids: Option<Spanned<i64>>,
    memory_reservation: Option<Spanned<i64>>,
    pub(in crate::load::decode) devices: Vec<Asked>,
}

impl Reserved {
    pub(in crate::load::decode) fn read(
        cx: &mut Cx<'_>,
        limits: Option<Item<'_>>,
        reservations: Option<Item<'_>>,
    ) -> Self {
        let mut all = Self::default();
        if let Some(item) = limits {
            let mut fields = cx.fields(&item, &LIMITS);
            all.memory = fields.take("memory").and_then(|item| cx.parsed(&item, memory));
            all.nano_cpus = fields.take("cpus").and_then(|item| cx.parsed(&item, nano_cpus));
            all.pids = fields.take("pids").and_then(|item| pids(cx, &item));
            fields.done();
        }
        if let Some(item) = reservations {
            let mut fields = cx.fields(&item, &RESERVATIONS);
            all.memory_reservation = fields.take("memory").and_then(|item| cx.parsed(&item, memory));
            all.devices = fields.take("devices").map(|item| gpus::reserved(cx, &item)).unwrap_or_default();
            fields.done();
        }
        all
    }
}

/// The keys of the service, and of `deploy.resources` beside them.
pub(in crate::load::decode) fn limits(cx: &mut Cx<'_>, fields: &mut Fields<'_>, deploy: &Reserved) -> Limits {
    let one =
        |cx: &mut Cx<'_>, key: &str, here: Option<Spanned<i64>>, there: &Option<Spanned<i64>>, path: &str| {
            if let (Some(here), Some(there)) = (&here, there)
                && here.value != there.value
            {
                let message = format!("`{key}` and `deploy.resources.{path}` say the same thing, and differ");
                let problem = Problem::error("key-conflict", here.place, message);
                cx.sink.add(problem.also(there.place, "the other").help("remove one of the two"));
            }
            here.or_else(|| there.clone())
        };
    let here = fields.take("mem_limit").and_then(|item| cx.parsed(&item, memory));
    let memory_limit = one(cx, "mem_limit", here, &deploy.memory, "limits.memory");
    let here = fields.take("mem_reservation").and_then(|item| cx.parsed(&item, memory));
    let reservation = one(cx, "mem_reservation", here, &deploy.memory_reservation, "reservations.memory");
    let here = fields.take("cpus").and_then(|item| cx.parsed(&item, nano_cpus));
    let cpus = one(cx, "cpus", here, &deploy.nano_cpus, "limits.cpus");
    let here = fields.take("pids_limit").and_then(|item| pids(cx, &item));
    let pids = one(cx, "pids_limit", here, &deploy.pids, "limits.pids");
    let value = |limit: Option<Spanned<i64>>| limit.map_or(0, |limit| limit.value);
    let memory = value(memory_limit);
    if let Some(Spanned { value, place }) = &reservation
        && memory > 0
        && *value > memory
    {
        let message =
            format!("{value} bytes of memory are kept for it, more than the {memory} that it may use");
        cx.sink.add(
            Problem::error("key-conflict", *place, message).help("lower the reservation, or raise the limit"),
        );
    }
    let shares = fields.take("cpu_shares").and_then(|item| cx.integer(&item, 0, 262_144)).unwrap_or(0);
    Limits {
        memory,
        // To keep all that it may use is to keep nothing in particular.
        memory_reservation: Some(value(reservation)).filter(|kept| *kept != memory).unwrap_or(0),
        memory_swap: fields.take("memswap_limit").map_or(0, |item| memory_swap(cx, &item, memory)),
        nano_cpus: value(cpus),
        cpu_shares: if shares == CPU_SHARES_DEFAULT { 0 } else { shares },
        cpuset: cx.taken_parsed(fields, "cpuset", cpuset).unwrap_or_default(),
        pids: value(pids),
    }
}

fn memory(text: &str) -> Result<i64, String> {
    match text.parse::<ByteSize>()?.0 {
        bytes if (1..MEMORY_MIN).contains(&bytes) => Err("the engine refuses less than `6m`".to_owned()),
        bytes => Ok(bytes),
    }
}

/// Compose writes "no limit" as -1; so does the engine.
fn pids(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<Spanned<i64>> {
    let value = cx.integer(item, -1, i64::from(u32::MAX))?.max(0);
    Some(Spanned { value, place: item.place() })
}

fn memory_swap(cx: &mut Cx<'_>, item: &Item<'_>, memory: i64) -> i64 {
    let parse = |text: &str| match text {
        "-1" => Ok(-1),
        text => text.parse::<ByteSize>().map(|size| size.0),
    };
    let Some(Spanned { value, place }) = cx.parsed(item, parse) else { return 0 };
    let problem = match value {
        0 => return 0,
        _ if memory == 0 => {
            "`memswap_limit` counts memory and swap together, and there is no limit to memory"
        }
        1.. if value < memory => {
            "`memswap_limit` counts memory and swap together, and is less than the memory alone"
        }
        // What the engine does anyway.
        _ if value == memory.saturating_mul(2) => return 0,
        _ => return value,
    };
    let help = "write `mem_limit` too, and `memswap_limit` not below it";
    cx.sink.add(Problem::error("key-conflict", place, problem).help(help));
    0
}

/// `0-2,4`, each once and in order.
fn cpuset(text: &str) -> Result<String, String> {
    const FORM: &str = "write numbers of CPUs, as in `0-2,4`";
    let mut all = std::collections::BTreeSet::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<u16>().map_err(|_| FORM.to_owned());
        let (first, last) = (number(first)?, number(last)?);
        if first > last || last > 8_191 {
            return Err(FORM.to_owned());
        }
        all.extend(first..=last);
    }
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for cpu in all {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == cpu => *last = cpu,
            Some(_) | None => runs.push((cpu, cpu)),
        }
    }
    let text = |(first, last): &(u16, u16)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    Ok(runs.iter().map(text).collect::<Vec<_>>().join(","))
}
