//! systemd: whether it answers and is well, and whether the units of the file can be had from it.

use std::os::unix::net::UnixStream;

use aiplat_api::{
    client::ClientError,
    v1::{FailedUnit, ServiceStatus, StatusDoc, SystemdReport},
};
use aiplat_core::condition::{Condition, ConditionType, Reason, Status};

use super::{Check, Facts, Grade, check};
use crate::render::text::{clean, count};

/// Where the system bus listens.
const BUS: &str = "/run/dbus/system_bus_socket";
/// The oldest systemd that aiplatd is tried with.
const TRIED: u32 = 252;

pub(super) fn checks(facts: &Facts<'_>) -> Vec<Check> {
    let units: Vec<(&ServiceStatus, &str)> = facts.doc.map(units).unwrap_or_default();
    let mut checks = match &facts.systemd {
        Some(Ok(report)) => overall(report),
        Some(Err(error)) => vec![away(error, units.is_empty())],
        None => vec![bus()],
    };
    if !units.is_empty() {
        checks.extend(of_units(&units));
    }
    checks
}

/// The services of the file that are units, with the units' names.
fn units(doc: &StatusDoc) -> Vec<(&ServiceStatus, &str)> {
    let unit = |it| {
        let service: &ServiceStatus = it;
        Some((service, service.detail.unit.as_ref()?.name.as_str()))
    };
    doc.services.iter().filter(|it| it.desired).filter_map(unit).collect()
}

/// The daemon has no answer of systemd's.
fn away(error: &ClientError, is_not_needed: bool) -> Check {
    if let ClientError::Api { status: 404, .. } = error {
        return check("systemd", Grade::Skipped, "aiplatd is older than aiplatctl, and does not tell");
    }
    let said = clean(&error.to_string());
    if is_not_needed {
        // A machine without systemd runs containers all the same.
        return check("systemd", Grade::Skipped, format!("{said}; no service of the file is a unit"));
    }
    check("systemd", Grade::Fail, said).cure("systemctl status dbus; journalctl -u dbus -e")
}

/// Without the daemon: whether anybody listens where the bus does.
fn bus() -> Check {
    match UnixStream::connect(BUS) {
        Ok(_) => check("systemd", Grade::Ok, format!("somebody listens at {BUS}")),
        Err(error) => check("systemd", Grade::Warn, format!("{BUS}: {error}")).cure("systemctl status dbus"),
    }
}

fn overall(report: &SystemdReport) -> Vec<Check> {
    let SystemdReport { version, state, failed } = report;
    let mut checks = vec![of_version(&clean(version)), of_state(&clean(state), failed)];
    checks.extend(failed.iter().filter(|unit| !unit.needed_by.is_empty()).map(|unit| {
        let (name, by) = (clean(&unit.name), clean(&unit.needed_by.join(", ")));
        let verb = if unit.needed_by.len() == 1 { "needs" } else { "need" };
        check("failed unit", Grade::Fail, format!("{name} has failed, which {by} {verb}"))
            .cure(format!("systemctl status {name}; journalctl -u {name} -e"))
    }));
    checks
}

/// `252.39-1~deb12u1`, `257 (257.4-1)`.
fn of_version(version: &str) -> Check {
    let number =
        version.split(|c: char| !c.is_ascii_digit()).next().and_then(|number| number.parse::<u32>().ok());
    match number {
        Some(number) if number < TRIED => {
            let found = format!("systemd {version} answers; aiplatd is tried with {TRIED} and newer");
            check("systemd", Grade::Warn, found).cure("upgrade the distribution")
        }
        Some(_) | None => check("systemd", Grade::Ok, format!("systemd {version} answers")),
    }
}

/// systemd's own word for all that it runs.
fn of_state(state: &str, failed: &[FailedUnit]) -> Check {
    let name = "systemd state";
    let others: Vec<String> =
        failed.iter().filter(|unit| unit.needed_by.is_empty()).map(|unit| clean(&unit.name)).collect();
    match state {
        "running" => check(name, Grade::Ok, state),
        "degraded" if others.is_empty() => check(name, Grade::Warn, state).cure("systemctl --failed"),
        "degraded" => {
            let verb = if others.len() == 1 { "has" } else { "have" };
            let found =
                format!("degraded: {} {verb} failed, which no service of the file needs", others.join(", "));
            check(name, Grade::Warn, found).cure("systemctl --failed")
        }
        "initializing" | "starting" => {
            check(name, Grade::Warn, format!("{state}: the machine has not come up yet"))
                .cure("systemctl list-jobs")
        }
        "maintenance" => {
            check(name, Grade::Fail, "maintenance: only the rescue shell runs").cure("systemctl default")
        }
        "stopping" => check(name, Grade::Warn, "stopping: the machine is going down"),
        state => check(name, Grade::Skipped, format!("`{state}`, which this version does not know")),
    }
}

/// What keeps a unit of the file from being had: missing, masked, not understood, or somebody else's files in its way.
fn of_units(units: &[(&ServiceStatus, &str)]) -> Vec<Check> {
    let mut checks = Vec::new();
    for (service, unit) in units {
        let abnormal = |kinds: &[ConditionType]| {
            let mut conditions = service.conditions.iter().map(|it| &it.condition);
            conditions.find(|it| kinds.contains(&it.kind) && it.status != Status::Unknown && !it.is_normal())
        };
        let said = |grade, it: &Condition| {
            let found = format!("{}: {}", clean(&service.name), clean(&it.message));
            check("unit", grade, found).cure(cure(it.reason, &clean(unit)))
        };
        checks.extend(
            abnormal(&[ConditionType::NameTaken, ConditionType::UnitLoaded]).map(|it| said(Grade::Fail, it)),
        );
        checks.extend(abnormal(&[ConditionType::Overridden]).map(|it| said(Grade::Warn, it)));
    }
    if checks.is_empty() {
        let found =
            format!("{} of the file: read by systemd, and nobody is in the way", count(units.len(), "unit"));
        checks.push(check("units", Grade::Ok, found));
    }
    checks
}

fn cure(reason: Reason, unit: &str) -> String {
    if reason == Reason::UnitMasked {
        format!("systemctl unmask {unit}")
    } else if reason == Reason::UnitNotFound {
        "systemctl list-unit-files; aiplatctl edit".to_owned()
    } else if reason == Reason::UnitInvalid {
        format!("systemd-analyze verify {unit}")
    } else if reason == Reason::UnitAlias {
        "aiplatctl edit".to_owned()
    } else {
        format!("systemctl cat {unit}")
    }
}
