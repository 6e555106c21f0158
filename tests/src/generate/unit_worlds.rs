//! Worlds that no systemd makes: any unit, with any files of ours or of others, and any memory of it.

use std::collections::{BTreeMap, BTreeSet};

use aiplat_core::{
    ResourceId, fingerprint,
    ledger::{Ledger, Orders, Record, UnitRecord},
    observed::{
        ActiveState, AsOf, FileStamp, Layer, LoadState, Observed, ObservedState, ObservedUnit, OwnFiles,
        ProbeFacts,
    },
    spec::{Platform, Role, UnitSpec},
};
use proptest::{collection::btree_map, option, prelude::*, sample::select};

use super::{
    units::{UNITS, unit_names},
    worlds::{records, runs, times},
};
use crate::build::instance;

/// What nobody of ours has written.
const FOREIGN: &str = "[Service]\nExecStart=/bin/other\n";

/// Texts that may be found where ours would be.
#[derive(Debug, Clone, Default)]
struct Texts {
    unit_file: Option<String>,
    drop_in: Option<String>,
    environment: Option<String>,
}

fn drop_in_path(name: &str) -> String {
    format!("/etc/systemd/system/{name}.d/50-aiplatd.conf")
}

fn environment_path(name: &str) -> String {
    format!("/var/lib/aiplatd/units/{name}.env")
}

impl Texts {
    /// Of the unit `name`, as `platform` has it.
    fn of(platform: &Platform, name: &str) -> Self {
        let is_it = |spec: &&UnitSpec| spec.unit == name || spec.main() == name;
        let Some(spec) = platform.units.values().find(is_it) else { return Self::default() };
        let files = spec.unit_files(&environment_path(&spec.unit));
        let unit_file = files.into_iter().find(|(of, _)| *of == name).map(|(_, text)| text);
        Self {
            unit_file,
            drop_in: Some(spec.drop_in(&environment_path(name))),
            environment: Some(spec.environment_file()),
        }
    }
}

/// `good` as it is, something of somebody else's, one of ours of an earlier file, or nothing.
fn found(good: Option<String>) -> impl Strategy<Value = Option<String>> {
    let earlier = good.as_ref().map(|text| format!("{text}# earlier\n"));
    prop_oneof![
        3 => Just(good),
        2 => Just(None),
        1 => Just(earlier),
        1 => Just(Some(FOREIGN.to_owned())),
    ]
}

fn own(name: &str, texts: Texts) -> impl Strategy<Value = OwnFiles> + use<> {
    let name = name.to_owned();
    let parts = (found(texts.drop_in), found(texts.environment), found(texts.unit_file), any::<bool>());
    parts.prop_map(move |(drop_in, environment, unit_file, loaded)| OwnFiles {
        drop_in_path: drop_in_path(&name),
        environment_path: environment_path(&name),
        unit_path: format!("/etc/systemd/system/{name}"),
        drop_in,
        environment,
        loaded,
        unit_file,
    })
}

fn variables() -> impl Strategy<Value = BTreeMap<String, String>> {
    let value = select(vec!["0", "1", "2", ""]).prop_map(str::to_owned);
    btree_map(Just("VERSION".to_owned()), value, 0..2)
}

fn load() -> impl Strategy<Value = LoadState> {
    prop_oneof![
        6 => Just(LoadState::Loaded),
        1 => Just(LoadState::NotFound),
        1 => Just(LoadState::Masked),
        1 => Just(LoadState::BadSetting),
        1 => Just(LoadState::Error),
        1 => Just(LoadState::Other("merged".to_owned())),
    ]
}

fn active() -> impl Strategy<Value = ActiveState> {
    select(vec![
        ActiveState::Active,
        ActiveState::Active,
        ActiveState::Reloading,
        ActiveState::Inactive,
        ActiveState::Inactive,
        ActiveState::Failed,
        ActiveState::Failed,
        ActiveState::Activating,
        ActiveState::Deactivating,
        ActiveState::Other("maintenance".to_owned()),
    ])
}

fn unit(name: &str, texts: Texts) -> impl Strategy<Value = ObservedUnit> + use<> {
    let words = (
        select(vec!["running", "dead", "failed", "auto-restart", "start", "waiting", ""]),
        select(vec!["enabled", "disabled", "static", "masked", "masked-runtime", ""]),
        select(vec!["success", "exit-code", "signal", "start-limit-hit", "timeout", "oom-kill", "", "odd"]),
        select(vec!["", "/usr/lib/systemd/system/", "/etc/systemd/system/"]),
        prop_oneof![8 => Just(None), 1 => Just(Some("alias.service"))],
        option::weighted(0.2, select(vec!["start", "stop", "restart", "verify-active"])),
    );
    let numbers =
        (0..3_u32, select(vec![0, 1, 9, 15, 203, i32::MIN]), any::<bool>(), select(vec![0, 1, 5, u32::MAX]));
    let environment =
        (variables(), option::of(variables()), option::weighted(0.2, variables()), any::<bool>());
    let files = (any::<bool>(), option::of(select(vec!["", "1", "2"])), own(name, texts));
    let run = (option::of(runs()), select(vec!["", "s1", "s2"]));
    let name = name.to_owned();
    (load(), active(), words, numbers, environment, files, run).prop_map(move |parts| {
        let (load, active, words, numbers, environment, (needs_reload, stamp, own), (run, systemd)) = parts;
        let (sub, file_state, result, folder, alias, job) = words;
        let (main_pid, exit_status, killed, restarts) = numbers;
        let (environment, effective, others, is_unset) = environment;
        let fragment = if folder.is_empty() { String::new() } else { format!("{folder}{name}") };
        let layer = |path: String, variables: BTreeMap<String, String>| Layer {
            named_in: (path != fragment).then(|| "/etc/systemd/system/x.d/90-other.conf".to_owned()),
            path,
            variables,
        };
        let layers = others.map(|others| {
            vec![layer(fragment.clone(), environment.clone()), layer("/etc/other.env".to_owned(), others)]
        });
        ObservedUnit {
            name: alias.map_or_else(|| name.clone(), str::to_owned),
            load,
            active,
            sub: sub.to_owned(),
            // Any of the faults above may be that of a unit that systemd has restarted before.
            given_up: killed && restarts > 0,
            file_state: file_state.to_owned(),
            layers: layers.unwrap_or_default(),
            files_void_in: (is_unset && killed).then(|| "/etc/systemd/system/x.d/90-other.conf".to_owned()),
            unset: if is_unset { BTreeSet::from(["VERSION".to_owned()]) } else { BTreeSet::new() },
            fragment,
            fragment_stamp: stamp.map(|stamp| FileStamp(stamp.to_owned())),
            needs_reload,
            systemd: systemd.to_owned(),
            invocation: run,
            result: result.to_owned(),
            main_pid,
            exit_status,
            killed,
            restarts,
            job: job.map(str::to_owned),
            environment,
            effective,
            own,
            as_of: AsOf::default(),
            ..ObservedUnit::default()
        }
    })
}

/// What is remembered of units: whose files they are, what they ran as, what they were started for.
fn memories(platform: &Platform, prints: Vec<String>) -> impl Strategy<Value = UnitRecord> + use<> {
    let hashes: BTreeMap<String, String> = unit_names()
        .into_iter()
        .filter_map(|name| {
            let text = Texts::of(platform, &name).unit_file?;
            Some((name, fingerprint::of_text(&text)))
        })
        .collect();
    let name = || select(unit_names());
    let print = || option::of(select(prints.clone()).prop_map(|text| text.parse().expect("any text")));
    let run = || option::weighted(0.4, runs());
    let owned = btree_map(name(), any::<bool>(), 0..3).prop_map(move |owned| {
        let hash = |name: &String, right: bool| {
            hashes.get(name).filter(|_| right).cloned().unwrap_or_else(|| "0".to_owned())
        };
        owned.into_iter().map(|(name, right)| (name.clone(), hash(&name, right))).collect()
    });
    let reread = btree_map(name(), select(vec!["1", "2"]).prop_map(str::to_owned), 0..2);
    let files = (option::of(name()), print(), owned, reread);
    let last = (option::weighted(0.3, name()), select(vec!["", "s1"]));
    (files, print(), run(), run(), run(), last).prop_map(
        |((files_of, written, owned, reread), applied, outdated, replacing, active, (active_of, systemd))| {
            UnitRecord {
                files_of,
                written,
                owned,
                outdated,
                reread,
                applied,
                replacing,
                active,
                active_of,
                systemd: systemd.to_owned(),
            }
        },
    )
}

/// What there is to see of units, and to remember of them.
fn worlds(platform: &Platform, prints: Vec<String>) -> impl Strategy<Value = Units> + use<> {
    let names = unit_names();
    let seen: Vec<_> = names
        .iter()
        .map(|name| option::weighted(0.9, unit(name, Texts::of(platform, name))).boxed())
        .collect();
    let seen = seen.prop_map(move |all| {
        names.iter().cloned().zip(all).filter_map(|(name, unit)| Some((name, unit?))).collect::<Vec<_>>()
    });
    let mut ids: Vec<ResourceId> = UNITS.iter().map(|(name, _)| ResourceId::unit(name)).collect();
    ids.extend([ResourceId::unit("gone"), ResourceId::systemd()]);
    let memory = (records(prints.clone()), memories(platform, prints))
        .prop_map(|(record, unit)| Record { unit, ..record });
    let facts = (option::weighted(0.8, any::<bool>()), runs(), times());
    (seen, prop::bool::weighted(0.1), btree_map(select(ids), memory, 0..4), facts).prop_map(
        |(seen, away, records, (healthy, run, then))| {
            let facts = ProbeFacts { healthy, ..ProbeFacts::new(run, then) };
            Units { seen, away, records, facts }
        },
    )
}

#[derive(Debug, Clone)]
struct Units {
    seen: Vec<(String, ObservedUnit)>,
    away: bool,
    records: BTreeMap<ResourceId, Record>,
    facts: ProbeFacts,
}

/// The same world of containers, with any units: those that `platform` names, and others.
pub fn with_units<W>(platform: &Platform, world: W) -> impl Strategy<Value = (ObservedState, Ledger)> + use<W>
where
    W: Strategy<Value = (ObservedState, Ledger)>,
{
    let of_units = platform.units.values().map(|spec| fingerprint::of(spec).to_string());
    let mut prints: Vec<String> = of_units.collect();
    prints.extend(["v1:0:0123456789abcdef".to_owned(), String::new()]);
    (world, worlds(platform, prints)).prop_map(|((mut observed, mut ledger), units)| {
        let Units { seen, away, records, facts } = units;
        observed.record(Observed::Units(seen), &instance(), facts.since);
        if away {
            observed.record_systemd_loss("the bus is gone".to_owned());
        }
        for (name, _) in UNITS {
            for role in Role::ALL {
                observed.probes.insert((ResourceId::unit(name), role), facts.clone());
            }
        }
        ledger.records.extend(records);
        // Nobody can order anything of systemd itself.
        if let Some(record) = ledger.records.get_mut(&ResourceId::systemd()) {
            record.orders = Orders::default();
        }
        (observed, ledger)
    })
}
