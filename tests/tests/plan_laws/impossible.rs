//! Worlds that no engine and no systemd makes: `plan` is total, and harmless on them too.

use std::time::Duration;

use aiplat_core::{
    Kind, ResourceId, Timestamp,
    action::{Action, UnitVerb},
    condition::Status,
    ledger::Ledger,
    observed::{ContainerState, Driver, LoadState, ObservedState, ObservedUnit},
    plan::{
        Cause, Planned, Step, World, diagnosing, entries, folders_in_doubt, plan, programs, readiness,
        variables,
    },
    preview::{preview, resources},
    spec::{ContainerSpec, Management, Platform, Role, UnitSpec, WRITTEN_BY},
    status,
    watch::watch,
};
use aiplat_tests::{
    build::{Sketch, instance},
    check::{target, units::unit_of},
    generate::{gpus, ledgers, observations, settings, units::sketches_with_units, with_units},
};
use proptest::prelude::*;

/// A platform, and fingerprints that are its own, of another file, and of another version of aiplatd.
fn with_prints() -> impl Strategy<Value = (Sketch, Vec<String>)> {
    (sketches_with_units(), settings(), gpus::requests()).prop_map(|(sketch, settings, requests)| {
        let mut sketch = gpus::asking(sketch, &requests);
        sketch.settings = settings;
        let platform = sketch.platform();
        let own =
            platform.containers.values().map(|spec| aiplat_core::fingerprint::of(&spec.runtime).to_string());
        let mut prints: Vec<String> = own.collect();
        prints.extend(["v1:0:0123456789abcdef".to_owned(), "v9:k:1".to_owned(), String::new()]);
        (sketch, prints)
    })
}

fn worlds() -> impl Strategy<Value = (Sketch, (ObservedState, Ledger))> {
    with_prints().prop_flat_map(|(sketch, prints)| {
        let containers = (observations(prints.clone()), ledgers(prints));
        let world = with_units(&sketch.platform(), containers);
        let with_gpus =
            (world, gpus::facts(), gpus::tools()).prop_map(|((mut observed, ledger), gpus, tools)| {
                observed.gpus = gpus;
                observed.machine.nvidia_tools = tools;
                (observed, ledger)
            });
        (Just(sketch), with_gpus)
    })
}

/// While driver and library disagree, or the driver hangs, no run of whoever has a GPU ends by our choice.
fn frozen(world: &World<'_>, id: &ResourceId, step: &Step) -> Result<(), TestCaseError> {
    let is_frozen = matches!(world.observed.gpus.nvidia, Driver::Mismatch(_) | Driver::Hung { .. });
    let asks = world.desired.service(id).is_some_and(|spec| !spec.gpus().is_empty());
    let Some(Planned { action, cause }) = step.action.as_ref().filter(|_| is_frozen && asks) else {
        return Ok(());
    };
    // A person's word, and a second container of one service.
    let allowed = matches!(cause, Cause::StopOrdered | Cause::Stray | Cause::Superseded);
    let ends = matches!(action, Action::StopContainer { .. } | Action::Unit { verb: UnitVerb::Restart, .. });
    prop_assert!(!ends || allowed, "{action}: {cause}");
    Ok(())
}

proptest! {
    #![proptest_config(crate::laws(1_500, 4_000))]

    #[test]
    fn every_world_gives_the_same_harmless_step_twice((sketch, (observed, ledger)) in worlds(), now in 0_u64..9_000) {
        let desired = sketch.platform();
        let now = Timestamp::from_boot(Duration::from_secs(now));
        let world = World { desired: &desired, observed: &observed, ledger: &ledger, now };
        let mut ids = resources(&desired, &observed, &ledger);
        ids.extend([ResourceId::container("nobody"), ResourceId::network("nobody"), ResourceId::image("nobody:1"), ResourceId::unit("nobody")]);
        for id in ids {
            let step = plan(&world, &id);
            prop_assert_eq!(&step, &plan(&world, &id));
            harmless(&world, &id, step.action.as_ref().map(|planned| &planned.action))?;
            frozen(&world, &id, &step)?;
            drop((entries(&world, &id, &step), Role::ALL.map(|role| watch(&world, &id, role)), readiness(&world, &id), status::why(&world, &id)));
            drop((diagnosing(&world, &id, &step), folders_in_doubt(&world, &id)));
            if desired.service(&id).is_some() {
                drop(status::summary(&world, &id, &step));
            }
        }
        drop(programs(&world));
        for spec in desired.units.values() {
            drop(observed.units.get(&spec.unit).map(|unit| variables(spec, unit)));
        }
    }
}

proptest! {
    #![proptest_config(crate::laws(300, 40))]

    #[test]
    fn every_preview_ends((sketch, (observed, ledger)) in worlds()) {
        let desired = sketch.platform();
        let now = Timestamp::from_boot(Duration::from_secs(5_000));
        let preview = preview(&desired, &observed, &ledger, now);
        prop_assert!(preview.waves.len() < 500, "{:#?}", preview.waves.iter().rev().take(5).collect::<Vec<_>>());
    }
}

fn is_ordered(world: &World<'_>, id: &ResourceId) -> bool {
    world.ledger.get(id).is_some_and(|record| record.orders.pull.is_some())
}

/// On an impossible world too: only what is ours as observed, nothing twice, nothing before what it waits for exists.
fn harmless(world: &World<'_>, id: &ResourceId, action: Option<&Action>) -> Result<(), TestCaseError> {
    let Some(action) = action else { return Ok(()) };
    let World { desired, observed, ledger, now } = world;
    if let Some(suspension) = ledger.suspension(id, *now) {
        let handed_back = suspension.released && matches!(action, Action::HandBack { .. });
        prop_assert!(handed_back, "{action} of {id}, which is suspended");
    }
    if matches!(id.kind, Kind::Unit | Kind::Host) {
        return harmless_to_units(world, id, action);
    }
    if let Action::PullModel(pull) = action {
        let spec = &desired.models[id];
        prop_assert_eq!(&spec.model, &pull.model);
        prop_assert_eq!(readiness(world, &spec.runner).status, Status::True, "{} waits for its server", id);
        let facts = observed.model_servers.get(&spec.runner).and_then(|server| server.facts());
        let is_there = facts.is_none_or(|facts| facts.model(&spec.model).is_some());
        prop_assert!(!is_there || is_ordered(world, id), "{id} is there, or nobody knows: it is not pulled");
        prop_assert!(ledger.suspension(&spec.runner, *now).is_none(), "its server is suspended");
        return Ok(());
    }
    prop_assert!(observed.engine.listed, "nothing is done without a listing");
    let members = observed.owned.get(id).map(Vec::as_slice).unwrap_or_default();
    if let Some(target) = target(action) {
        let ours = members.iter().any(|member| member.id.0 == target && member.is_owned_by(&instance()));
        prop_assert!(ours, "{action} of {id} is done to what is not ours");
    }
    if let Action::RemoveNetwork { id: network, .. } = action {
        let ours = observed.networks.iter().filter_map(|found| Some((found, found.owner.as_ref()?)));
        // One entry of the file may have taken over the network of another.
        let mut ours = ours.filter(|(_, owner)| owner.instance == instance());
        prop_assert!(ours.any(|(found, _)| found.id == *network), "{action} is done to what is not ours");
    }
    if let Action::StartContainer { id: container } = action {
        let others = members.iter().filter(|member| member.id != *container && member.state.is_alive());
        let beside = desired.containers.get(id).is_some_and(ContainerSpec::starts_first);
        prop_assert!(others.count() <= usize::from(beside), "{id} would run too often");
        prop_assert!(!is_stopped(world, id), "{id} was ordered stopped");
        container_may_start(desired, observed, id)?;
    }
    Ok(())
}

fn is_stopped(world: &World<'_>, id: &ResourceId) -> bool {
    world.ledger.get(id).is_some_and(|record| record.orders.stopped.is_some())
}

fn container_may_start(
    desired: &Platform,
    observed: &ObservedState,
    id: &ResourceId,
) -> Result<(), TestCaseError> {
    let Some(spec) = desired.containers.get(id) else {
        return Err(TestCaseError::fail("a start of what is not in the file"));
    };
    let required = spec.policy.dependencies.iter().filter(|(_, edge)| edge.required);
    dependencies_exist(desired, observed, id, required.map(|(on, _)| on))?;
    for attachment in spec.live.networks.values() {
        prop_assert!(
            observed.networks.iter().any(|network| network.name == attachment.host_name),
            "{id} would start without {}",
            attachment.host_name
        );
    }
    Ok(())
}

fn dependencies_exist<'a>(
    desired: &Platform,
    observed: &ObservedState,
    id: &ResourceId,
    dependencies: impl Iterator<Item = &'a ResourceId>,
) -> Result<(), TestCaseError> {
    for on in dependencies {
        let exists = match desired.units.get(on) {
            Some(spec) => observed.units.get(spec.main()).is_some_and(|unit| unit.active.is_alive()),
            None => {
                let members = observed.owned.get(on).map(Vec::as_slice).unwrap_or_default();
                members.iter().any(|it| it.state.is_alive() || it.state == ContainerState::Exited)
            }
        };
        let is_known = on.kind != Kind::Unit || observed.systemd.away.is_none();
        prop_assert!(exists && is_known, "{id} would start before {on}");
    }
    Ok(())
}

/// The same of systemd: nothing of anybody else's is written over, stopped or removed, and nothing starts before its time.
fn harmless_to_units(world: &World<'_>, id: &ResourceId, action: &Action) -> Result<(), TestCaseError> {
    let World { desired, observed, ledger, .. } = world;
    prop_assert!(observed.systemd.away.is_none(), "{action} without an answer from systemd");
    let Some(name) = unit_of(action) else { return Ok(()) };
    let Some(seen) = observed.units.get(name) else {
        return Err(TestCaseError::fail(format!("{action} without a look at {name}")));
    };
    // One entry may have taken over the unit of another.
    let memories = || ledger.records.values().map(|record| &record.unit);
    let is_owned = memories().any(|memory| memory.owned.contains_key(name));
    let was_written = memories().any(|memory| memory.files_of.as_deref() == Some(name));
    let spec = desired.units.get(id);
    let is_of_file = |spec: &&UnitSpec| spec.unit == name || spec.main() == name;
    let spec_of_it = spec.filter(is_of_file);
    if spec_of_it.is_some_and(|spec| spec.management == Management::Observe) {
        prop_assert!(is_owned || was_written, "{action} of what is only looked at");
    }
    if let Action::Unit { verb, .. } = action {
        return harmless_verb(world, id, spec_of_it, seen, *verb);
    }
    if let Action::WriteUnit(file) = action {
        let is_another = seen.own.unit_file.as_ref().is_some_and(|there| *there != file.text);
        prop_assert!(!is_another || is_owned, "{action} over somebody else's");
        let elsewhere = !seen.fragment.is_empty() && seen.fragment != seen.own.unit_path;
        prop_assert!(!elsewhere, "{action} in front of {}", seen.fragment);
    }
    if let Action::WriteUnitFiles(_) = action {
        let is_foreign = seen.own.drop_in.as_ref().is_some_and(|text| !text.starts_with(WRITTEN_BY));
        prop_assert!(!is_foreign || was_written, "{action} over somebody else's");
    }
    if let Action::RemoveUnitFiles { .. } = action {
        prop_assert!(
            memories().any(|memory| memory.files_of.is_some()),
            "{action}, which nobody of ours has written"
        );
    }
    if let Action::RemoveUnit { .. } = action {
        prop_assert!(is_owned, "{action}, which nobody of ours has written");
    }
    Ok(())
}

fn harmless_verb(
    world: &World<'_>,
    id: &ResourceId,
    spec: Option<&UnitSpec>,
    seen: &ObservedUnit,
    verb: UnitVerb,
) -> Result<(), TestCaseError> {
    let World { desired, observed, .. } = world;
    let is_owned = world.ledger.records.values().any(|record| {
        let is_it = |name: &String| observed.units.get(name).is_some_and(|unit| std::ptr::eq(unit, seen));
        record.unit.owned.keys().any(is_it)
    });
    match verb {
        UnitVerb::Start | UnitVerb::Restart => {
            let Some(spec) = spec else {
                return Err(TestCaseError::fail(format!("{verb:?} of {id}, which is not in the file")));
            };
            prop_assert!(!is_stopped(world, id), "{id} was ordered stopped");
            prop_assert!(seen.load == LoadState::Loaded, "{verb:?} of what is {:?}", seen.load);
            // A start that is under way is given up for a restart that somebody has ordered: it may never end.
            let gives_up = verb == UnitVerb::Restart && seen.job.as_deref() == Some("start");
            prop_assert!(seen.job.is_none() || gives_up, "{verb:?} beside a job");
            // What does not answer is restarted whatever the others do, once it is not to blame on them.
            if verb == UnitVerb::Start {
                let required = spec.dependencies.iter().filter(|(_, edge)| edge.required);
                dependencies_exist(desired, observed, id, required.map(|(on, _)| on))?;
            }
        }
        UnitVerb::Stop => prop_assert!(is_owned || is_stopped(world, id), "nobody has ordered {id} stopped"),
        UnitVerb::Disable => prop_assert!(is_owned, "{id} is not ours to disable"),
        UnitVerb::Enable | UnitVerb::Unmask => {
            prop_assert!(spec.is_some_and(|spec| spec.management == Management::Full), "{verb:?} of {id}");
        }
        UnitVerb::ResetFailed => prop_assert!(is_owned || spec.is_some(), "{id} is not ours to forgive"),
    }
    Ok(())
}
