//! `healthcheck:`: which probes there are, and how often they are made.

use std::time::Duration;

use super::{
    Cx, Fields, Item,
    probe::{Asked, asked},
};
use crate::{
    load::{
        diagnostic::Problem,
        draft::{Health, Probes},
        keys::{HEALTHCHECK, PROBE},
        tree::Value,
    },
    spec::{EngineCheck, ProbeKind, ProbeSpec, Via},
};

/// Compose's.
const DEFAULTS: Times = Times {
    interval: Duration::from_secs(30),
    timeout: Duration::from_secs(30),
    retries: 3,
    via: Via::Address,
};

/// What a probe may ask.
const KINDS: [&str; 7] = ["test", "exec", "http", "https", "tcp", "redis", "postgres"];

/// What is written of the times of a probe; `None`: nothing.
#[derive(Default)]
struct Written {
    interval: Option<Duration>,
    timeout: Option<Duration>,
    retries: Option<u32>,
    via: Option<Via>,
    /// Something could not be read, which has been said.
    is_broken: bool,
}

/// The times of one probe.
#[derive(Clone, Copy)]
struct Times {
    interval: Duration,
    timeout: Duration,
    retries: u32,
    via: Via,
}

pub(super) fn health(cx: &mut Cx<'_>, item: &Item<'_>) -> Health {
    let mut fields = cx.fields(item, &HEALTHCHECK);
    let disable = fields.take("disable").map(|item| cx.flag(&item));
    let kinds = kinds(&mut fields);
    let written = written(cx, &mut fields);
    let start_period = fields.take("start_period").map(|item| cx.duration(&item).map(|time| time.value));
    start_interval(cx, &mut fields);
    let source = fields.take("source");
    let inner = ["startup", "readiness", "liveness"].map(|name| fields.take(name));
    // Something was said about it, if not in a form that is read.
    let mut answered = !fields.excused.is_empty() || matches!(disable, Some(None));
    fields.done();
    if disable == Some(Some(true)) {
        return Health::Off(item.place());
    }
    let engine = source.as_ref().map(|item| cx.word(item, &[("aiplatd", false), ("engine", true)]));
    answered |= engine == Some(None);
    let is_broken = written.is_broken || start_period == Some(None) || engine == Some(None);
    let start_period = start_period.flatten();
    if let Some(Some(true)) = engine {
        let check = EngineCheck {
            interval: written.interval,
            timeout: written.timeout,
            retries: written.retries,
            start_period,
            test: Vec::new(),
        };
        return of_engine(cx, &kinds, &inner, check, written.over(DEFAULTS)).filter_broken(is_broken);
    }
    if kinds.is_empty() && inner.iter().all(Option::is_none) && disable == Some(Some(false)) {
        return Health::Unsaid; // Compose's way to say that the image's own check counts.
    }
    if kinds.is_empty() && inner.iter().all(Option::is_none) {
        if !answered && !matches!(item.node.value, Value::Broken | Value::Scalar(_) | Value::Seq(_)) {
            no_probe(cx, item);
        }
        return Health::Broken;
    }
    let times = written.over(DEFAULTS);
    // A misspelt probe may be the one for readiness.
    let is_broken = is_broken || (kinds.is_empty() && answered);
    ours(cx, &kinds, &inner, times, start_period.unwrap_or_default()).filter_broken(is_broken)
}

impl Health {
    fn filter_broken(self, is_broken: bool) -> Self {
        if is_broken { Self::Broken } else { self }
    }
}

impl Written {
    fn over(&self, defaults: Times) -> Times {
        Times {
            interval: self.interval.unwrap_or(defaults.interval),
            timeout: self.timeout.unwrap_or(defaults.timeout),
            retries: self.retries.unwrap_or(defaults.retries),
            via: self.via.unwrap_or(defaults.via),
        }
    }
}

impl Times {
    fn of(self, kind: ProbeKind, start_period: Duration) -> ProbeSpec {
        let Self { interval, timeout, retries, via } = self;
        ProbeSpec { kind, interval, timeout, retries, start_period, via }
    }
}

/// Probes that aiplatd makes itself.
fn ours(
    cx: &mut Cx<'_>,
    kinds: &[Item<'_>],
    inner: &[Option<Item<'_>>; 3],
    times: Times,
    start_period: Duration,
) -> Health {
    let [startup, readiness, liveness] = inner;
    if let (Some(first), Some(second)) = (kinds.first(), readiness) {
        cx.sink.add(
            Problem::error(
                "several-probes",
                second.place(),
                "a probe in `healthcheck` itself is the one for readiness",
            )
            .label("a second one")
            .also(first.place(), "the first")
            .help("keep one of the two"),
        );
        return Health::Broken;
    }
    // The time that a service may take belongs to the first thing that it is asked.
    let later = if startup.is_some() { Duration::ZERO } else { start_period };
    let own = match asked(cx, kinds) {
        None if kinds.is_empty() => None,
        None => return Health::Broken,
        Some(Asked::Off(place)) => return Health::Off(place),
        Some(Asked::Kind(kind)) => Some(times.of(kind, later)),
    };
    let mut one = |item: &Option<Item<'_>>, start_period: Duration| {
        item.as_ref()
            .map(|item| probe(cx, item, times, start_period))
            .map_or(Some(None), |probe| probe.map(Some))
    };
    let startup = one(startup, start_period);
    let readiness = one(readiness, later);
    let liveness = one(liveness, later);
    match (startup, readiness, liveness) {
        (Some(startup), Some(readiness), Some(liveness)) => {
            Health::Probes(Box::new(Probes { startup, readiness: own.or(readiness), liveness }))
        }
        (None, _, _) | (_, None, _) | (_, _, None) => Health::Broken,
    }
}

/// One of `startup`, `readiness` and `liveness`; what it does not say of its times is as in `healthcheck`.
fn probe(cx: &mut Cx<'_>, item: &Item<'_>, times: Times, start_period: Duration) -> Option<ProbeSpec> {
    let mut fields = cx.fields(item, &PROBE);
    let kinds = kinds(&mut fields);
    let written = written(cx, &mut fields);
    let answered = !fields.excused.is_empty();
    fields.done();
    if kinds.is_empty() && !answered && matches!(item.node.value, Value::Map(_)) {
        no_probe(cx, item);
    }
    match asked(cx, &kinds)? {
        Asked::Kind(kind) => (!written.is_broken).then(|| written.over(times).of(kind, start_period)),
        Asked::Off(place) => {
            let message = format!("{} asks nothing", item.what);
            cx.sink.add(Problem::error("no-probe", place, message).help("leave it out"));
            None
        }
    }
}

/// `source: engine`.
fn of_engine(
    cx: &mut Cx<'_>,
    kinds: &[Item<'_>],
    inner: &[Option<Item<'_>>; 3],
    check: EngineCheck,
    times: Times,
) -> Health {
    let [startup, readiness, liveness] = inner;
    let other = kinds.iter().chain(startup).chain(readiness).find(|item| item.what != "`test`");
    if let Some(other) = other {
        let message = format!("the engine cannot carry out {}", other.what);
        cx.sink.add(
            Problem::error("engine-check", other.place(), message)
                .help("with `source: engine` it runs the `test` of the file, or the image's own check")
                .help("remove `source: engine`: aiplatd makes every kind of probe itself"),
        );
        return Health::Broken;
    }
    let test = match kinds.first() {
        None => Vec::new(),
        Some(item) => match super::probe::engine_test(cx, item) {
            Some(test) if test == ["NONE"] => return Health::Off(item.place()),
            Some(test) => test,
            None => return Health::Broken,
        },
    };
    let start_period = check.start_period.unwrap_or_default();
    match liveness.as_ref().map(|item| probe(cx, item, times, start_period)) {
        None => Health::Engine(EngineCheck { test, ..check }, None),
        Some(Some(liveness)) => Health::Engine(EngineCheck { test, ..check }, Some(Box::new(liveness))),
        Some(None) => Health::Broken,
    }
}

fn no_probe(cx: &mut Cx<'_>, item: &Item<'_>) {
    let what = if item.what == "`healthcheck`" { "the healthcheck" } else { item.what.as_ref() };
    let problem = Problem::error("no-probe", item.place(), format!("{what} says nothing about what to ask"))
        .help("add `http: {port: 8080, path: /health}`, `tcp: {port: 5432}` or `test: [CMD, ...]`");
    cx.sink.add(if item.what == "`healthcheck`" {
        problem.help("to switch off the image's own check, write `disable: true`")
    } else {
        problem
    });
}

fn kinds<'n>(fields: &mut Fields<'n>) -> Vec<Item<'n>> {
    let mut kinds: Vec<Item<'n>> = KINDS.into_iter().filter_map(|name| fields.take(name)).collect();
    kinds.sort_by_key(Item::place);
    kinds
}

fn written(cx: &mut Cx<'_>, fields: &mut Fields<'_>) -> Written {
    let mut written = Written::default();
    let mut is_broken = false;
    let mut note = |missing: bool| is_broken |= missing;
    if let Some(item) = fields.take("interval") {
        written.interval = cx.period(&item);
        note(written.interval.is_none());
    }
    if let Some(item) = fields.take("timeout") {
        written.timeout = cx.period(&item);
        note(written.timeout.is_none());
    }
    if let Some(item) = fields.take("retries") {
        written.retries = cx.integer(&item, 1, 1_000).and_then(|retries| u32::try_from(retries).ok());
        note(written.retries.is_none());
    }
    if let Some(item) = fields.take("via") {
        written.via = cx.word(&item, &[("address", Via::Address), ("namespace", Via::Namespace)]);
        note(written.via.is_none());
    }
    Written { is_broken, ..written }
}

fn start_interval(cx: &mut Cx<'_>, fields: &mut Fields<'_>) {
    let Some(item) = fields.take("start_interval") else { return };
    if cx.period(&item).is_some() {
        cx.sink.add(Problem::note(
            "start-interval",
            item.place(),
            "`start_interval` has no effect: aiplatd probes a starting service from 5 ms on, less and less often",
        ));
    }
}
