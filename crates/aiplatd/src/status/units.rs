//! What there is to say of services that are units of systemd.

use aiplat_api::v1::{DiagnosisDetail, ServiceDetail, TimerDetail, UnitDetail, UnitVariable};
use aiplat_core::{
    ResourceId,
    condition::{Condition, ConditionType, Reason, Status},
    observed::UnitDiagnosis,
    plan::{self, Step, Variable, World},
    spec::{Management, ServiceSpec, UnitSpec},
};

use super::{condition, service::of_any};
use crate::{events::rfc3339, state::State};

/// Whether systemd answers; nothing where no service is a unit.
pub(super) fn systemd_reachable(state: &State) -> Option<Condition> {
    let kind = ConditionType::SystemdReachable;
    let has_units = state.desired.as_deref().is_some_and(|desired| !desired.units.is_empty());
    has_units.then(|| match &state.observed.systemd.away {
        Some(reason) => condition(
            kind,
            Status::False,
            Reason::SystemdUnreachable,
            format!("systemd does not answer: {reason}; see `systemctl status dbus`"),
        ),
        None if state.observed.units.is_empty() => {
            condition(kind, Status::Unknown, Reason::NotObserved, "systemd has not been asked yet".to_owned())
        }
        None => condition(kind, Status::True, Reason::SystemdReachable, String::new()),
    })
}

/// Where it is asked.
pub(super) fn endpoint(spec: &UnitSpec) -> String {
    let port = spec.port();
    port.map(|port| format!("127.0.0.1:{port}")).unwrap_or_default()
}

fn variable(variable: Variable) -> UnitVariable {
    let Variable { name, value, from, is_ours } = variable;
    UnitVariable { name, value, from, ours: is_ours }
}

/// Restarts that systemd itself has made since the unit was last started by a job.
pub(super) fn restarts(world: &World<'_>, id: &ResourceId) -> u32 {
    let unit = world.desired.units.get(id).and_then(|spec| world.observed.units.get(spec.main()));
    unit.map_or(0, |unit| unit.restarts)
}

fn diagnosis(known: &UnitDiagnosis) -> DiagnosisDetail {
    let UnitDiagnosis {
        stage,
        run,
        wall_ms,
        state,
        failure,
        quote,
        journal: _,
        holders,
        transcript,
        denials,
        mended,
    } = known.clone();
    // Of the run that failed, `state` says it.
    let is_of_another_run = stage != ConditionType::Active && !failure.is_empty();
    DiagnosisDetail {
        stage,
        before: if is_of_another_run { format!("{failure}{quote}") } else { String::new() },
        time: rfc3339(wall_ms),
        run: run.map(|run| run.0),
        state,
        holders,
        probe: transcript,
        denials,
        mended,
    }
}

pub(super) fn detail(
    state: &State,
    world: &World<'_>,
    id: &ResourceId,
    spec: &UnitSpec,
    step: &Step,
) -> ServiceDetail {
    let any = of_any(state, world, id, ServiceSpec::Unit(spec), step);
    let units = &world.observed.units;
    let (Some(main), Some(unit)) = (units.get(spec.main()), units.get(&spec.unit)) else { return any };
    let own = &unit.own;
    let known = world.observed.diagnoses.get(id);
    let others = unit.drop_ins.iter().filter(|path| **path != own.drop_in_path).cloned().collect();
    let state_words = match main.sub.as_str() {
        "" => format!("{:?}", main.active).to_lowercase(),
        sub => format!("{} ({sub})", format!("{:?}", main.active).to_lowercase()),
    };
    ServiceDetail {
        run: main.invocation.as_ref().map(|run| run.0.clone()),
        state: Some(state_words),
        unit: Some(UnitDetail {
            name: spec.unit.clone(),
            management: match spec.management {
                Management::Observe => "observe",
                Management::Configure => "configure",
                Management::Full => "full",
            }
            .to_owned(),
            file: unit.fragment.clone(),
            enabled: main.file_state.clone(),
            pid: Some(unit.main_pid).filter(|pid| *pid != 0),
            drop_in: own.drop_in.is_some().then(|| own.drop_in_path.clone()),
            other_drop_ins: others,
            environment: plan::variables(spec, unit).into_iter().map(variable).collect(),
            journal: known.map(|known| known.journal.clone()).unwrap_or_default(),
            diagnosis: known.map(diagnosis),
            written: spec.own.is_some(),
            timer: spec.timer().and_then(|timer| {
                let seen = world.observed.units.get(&timer.unit)?;
                Some(TimerDetail {
                    name: timer.unit.clone(),
                    on_calendar: timer.on_calendar.clone(),
                    next: seen.next_wall_ms.filter(|_| seen.active.is_alive()).map(rfc3339),
                    last: seen.last_wall_ms.map(rfc3339),
                })
            }),
        }),
        ..any
    }
}
