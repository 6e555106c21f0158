//! What one file changes of another, in a line: for the list of those that were in force.

use crate::{
    fingerprint,
    spec::{ContainerSpec, OwnUnit, Platform, UnitSpec},
};

/// `+ollama -n8n litellm (image, environment)`; what else differs is named by its kind.
#[must_use]
pub fn changes(before: &Platform, after: &Platform) -> String {
    let mut said = Vec::new();
    if before.name != after.name {
        said.push(format!("name {} -> {}", before.name, after.name));
    }
    for (id, new) in &after.containers {
        match before.containers.get(id) {
            None => said.push(format!("+{}", id.key())),
            Some(old) if old != new => said.push(format!("{} ({})", id.key(), fields(old, new))),
            Some(_) => {}
        }
    }
    for (id, new) in &after.units {
        match before.units.get(id) {
            None => said.push(format!("+{}", id.key())),
            Some(old) if old != new => said.push(format!("{} ({})", id.key(), unit_fields(old, new))),
            Some(_) => {}
        }
    }
    let gone = before.services().map(|(id, _)| id).filter(|id| !after.wants(id));
    said.extend(gone.map(|id| format!("-{}", id.key())));
    let others = [
        ("networks", before.networks != after.networks),
        ("volumes", before.volumes != after.volumes),
        ("configs", before.files != after.files),
        ("gates", before.gates != after.gates),
        ("reconcile", before.settings != after.settings),
    ];
    said.extend(others.iter().filter(|(_, differs)| *differs).map(|(name, _)| (*name).to_owned()));
    if said.is_empty() { "nothing that is carried out".to_owned() } else { said.join(" ") }
}

fn unit_fields(old: &UnitSpec, new: &UnitSpec) -> String {
    let mut fields = fingerprint::changed(&fingerprint::fields(old), &fingerprint::fields(new));
    let more = [
        ("management", old.management != new.management),
        ("depends_on", old.dependencies != new.dependencies),
        ("healthcheck", old.probe != new.probe),
        ("restart", old.restart != new.restart),
        ("on_calendar", old.timer() != new.timer()),
        ("stop_signal", stop(old, |own| own.stop_signal.clone()) != stop(new, |own| own.stop_signal.clone())),
        ("stop_grace_period", stop(old, |own| Some(own.stop_grace)) != stop(new, |own| Some(own.stop_grace))),
    ];
    fields.extend(more.iter().filter(|(_, differs)| *differs).map(|(name, _)| (*name).to_owned()));
    if fields.is_empty() { "settings".to_owned() } else { fields.join(", ") }
}

fn stop<T>(spec: &UnitSpec, of: impl FnOnce(&OwnUnit) -> Option<T>) -> Option<T> {
    spec.own.as_ref().and_then(of)
}

fn fields(old: &ContainerSpec, new: &ContainerSpec) -> String {
    let mut fields =
        fingerprint::changed(&fingerprint::fields(&old.runtime), &fingerprint::fields(&new.runtime));
    let more = [
        ("container_name", old.host_name != new.host_name),
        ("networks", old.live.networks != new.live.networks),
        ("limits", old.live.limits != new.live.limits),
        ("on_change", old.policy.on_change != new.policy.on_change),
        ("depends_on", old.policy.dependencies != new.policy.dependencies),
        ("healthcheck", old.policy.probe != new.policy.probe),
        ("restart", old.policy.restart != new.policy.restart),
    ];
    fields.extend(more.iter().filter(|(_, differs)| *differs).map(|(name, _)| (*name).to_owned()));
    if fields.is_empty() { "settings".to_owned() } else { fields.join(", ") }
}
