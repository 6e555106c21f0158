//! Two instances of one logical service: the program of a service runs a second time on this machine, and the file does not
//! ask for it. Said, with the name and port of both, and never acted upon.

use std::collections::BTreeSet;

use super::{Step, World, gate};
use crate::{
    Kind, ResourceId,
    condition::{Condition, ConditionType, Reason},
    observed::{Instance, InstanceOwner, ObservedContainer},
};

/// A program of which two on one machine are, as a rule, one too many: they share a GPU, a port, or a folder of models.
/// Databases are not here: many a machine has several, and means it.
struct Family {
    /// What a person calls it.
    name: &'static str,
    /// The last parts of its images' names.
    images: &'static [&'static str],
    /// Its programs, and the units that are named after them.
    programs: &'static [&'static str],
}

static FAMILIES: [Family; 3] = [
    Family { name: "Ollama", images: &["ollama"], programs: &["ollama"] },
    Family { name: "LocalAI", images: &["localai", "local-ai"], programs: &["local-ai", "localai"] },
    Family { name: "Open WebUI", images: &["open-webui"], programs: &["open-webui"] },
];

/// Whether `id` is an Ollama, by its image or its unit.
pub(super) fn is_ollama(world: &World<'_>, id: &ResourceId) -> bool {
    family(world, id).is_some_and(|family| family.name == "Ollama")
}

/// The programs of which a second instance would be worth a word: those to look for among the machine's processes.
#[must_use]
pub fn programs(world: &World<'_>) -> BTreeSet<String> {
    let families = world.desired.services().filter_map(|(id, _)| family(world, id));
    families.flat_map(|family| family.programs).map(|program| (*program).to_owned()).collect()
}

/// Whether another instance of what `id` is runs; `None` where nobody would mind.
fn condition(world: &World<'_>, id: &ResourceId) -> Option<Condition> {
    let kind = ConditionType::SecondInstance;
    let family = family(world, id)?;
    Some(match said(world, id, family) {
        None => Condition::normal(kind, Reason::AsDesired),
        Some(sentence) => Condition::abnormal(kind, Reason::SecondInstance, sentence),
    })
}

/// The same as a line of `diff`.
pub(super) fn note(world: &World<'_>, id: &ResourceId) -> Option<String> {
    said(world, id, family(world, id)?)
}

/// `step` of the service `id`, with that said in its place.
pub(super) fn apply(world: &World<'_>, id: &ResourceId, mut step: Step) -> Step {
    let said = condition(world, id).filter(|_| !step.conditions.is_empty());
    if let Some(condition) = said {
        let place = step.conditions.iter().position(|it| it.kind > condition.kind);
        step.conditions.insert(place.unwrap_or(step.conditions.len()), condition);
    }
    step
}

/// What `id` says of it. Of several services with one program only the first does: who is told twice takes it for two.
fn said(world: &World<'_>, id: &ResourceId, family: &'static Family) -> Option<String> {
    let members = members(world, family);
    if members.first() != Some(&id) {
        return None;
    }
    let others = others(world, id, family);
    (!others.is_empty()).then(|| sentence(world, &members, family, &others))
}

/// The services of the file that run it, units first: to them containers of others are second ones, too.
fn members<'a>(world: &World<'a>, family: &'static Family) -> Vec<&'a ResourceId> {
    let is_it = |id: &&ResourceId| self::family(world, id).is_some_and(|it| std::ptr::eq(it, family));
    let mut members: Vec<&ResourceId> = world.desired.services().map(|(id, _)| id).filter(is_it).collect();
    members.sort_by_key(|id| (id.kind != Kind::Unit, *id));
    members
}

fn sentence(world: &World<'_>, members: &[&ResourceId], family: &Family, others: &[String]) -> String {
    let own = |id: &&ResourceId| match world.desired.units.get(*id) {
        Some(spec) => spec.unit.clone(),
        None => format!("service `{}`", id.key()),
    };
    let own: Vec<String> = members.iter().map(own).collect();
    format!(
        "{} runs more often on this machine than the file asks for: besides {} as {}, which the file does not ask for; clients may find the wrong one, and all want \
         memory and GPU: stop what is not needed, or name it in the file",
        family.name,
        own.join(" and "),
        others.join(" and as ")
    )
}

fn of_unit(unit: &str) -> Option<&'static Family> {
    let stem = unit.strip_suffix(".service").unwrap_or(unit);
    FAMILIES.iter().find(|family| family.programs.contains(&stem))
}

/// The family of an image reference: by the last part of its name, without tag and digest.
fn of_image(image: &str) -> Option<&'static Family> {
    let name = image.split('@').next().unwrap_or_default();
    let name = name.rsplit('/').next().unwrap_or_default();
    let name = name.split(':').next().unwrap_or_default();
    FAMILIES.iter().find(|family| family.images.contains(&name))
}

fn family(world: &World<'_>, id: &ResourceId) -> Option<&'static Family> {
    match id.kind {
        Kind::Unit => {
            let spec = world.desired.units.get(id)?;
            let program = world.observed.units.get(&spec.unit).map(|unit| unit.program.as_str());
            let by_program = |family: &&Family| program.is_some_and(|it| family.programs.contains(&it));
            of_unit(&spec.unit).or_else(|| FAMILIES.iter().find(by_program))
        }
        Kind::Container => of_image(&world.desired.containers.get(id)?.runtime.image),
        Kind::Network | Kind::Volume | Kind::File | Kind::Image | Kind::Model | Kind::Host => None,
    }
}

/// Who else runs it, and is not in the file. Two that are both in the file are meant.
fn others(world: &World<'_>, id: &ResourceId, family: &Family) -> Vec<String> {
    // Two containers are kept apart by the engine: each has its own name, port and folder.
    let beside = (id.kind == Kind::Unit).then(|| containers(world, family));
    let mut found: Vec<String> = beside.into_iter().flatten().map(|it| described(world, it)).collect();
    // systemd tells of a process by its unit's own name, and the file may have another one of it.
    let is_same = |asked: &str, name: &str| {
        asked == name || world.observed.units.get(asked).is_some_and(|unit| unit.name == name)
    };
    let is_desired = |name: &str| world.desired.units.values().any(|spec| is_same(&spec.unit, name));
    for Instance { program, pid, owner, ports } in &world.observed.instances {
        // One that listens nowhere is a client: `ollama run`, or a helper of the one that serves.
        if !family.programs.contains(&program.as_str()) || ports.is_empty() {
            continue;
        }
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        let facts = format!("process {pid}, port {}", ports.join(", "));
        match owner {
            InstanceOwner::Unit(name) if !is_desired(name) => found.push(format!("{name} ({facts})")),
            InstanceOwner::Nobody => found.push(format!("a program that somebody started by hand ({facts})")),
            // Containers are known from their listing, with the ports that they publish.
            InstanceOwner::Unit(_) | InstanceOwner::Container(_) => {}
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Running containers of the family that no service of the file is.
fn containers<'a>(world: &World<'a>, family: &'a Family) -> impl Iterator<Item = &'a ObservedContainer> {
    let desired = world.desired;
    let leaving = world.observed.owned.iter().filter(|(id, _)| !desired.wants(id)).flat_map(|(_, set)| set);
    let all = world.observed.foreign.iter().chain(leaving);
    all.filter(move |container| {
        let of = of_image(&container.image);
        container.state.is_alive() && of.is_some_and(|of| std::ptr::eq(of, family))
    })
}

fn described(world: &World<'_>, container: &ObservedContainer) -> String {
    let mut ports: Vec<String> =
        container.ports.iter().map(|port| format!("{}:{}", port.host_ip, port.host_port)).collect();
    // One on the host's own network publishes nothing, and listens there all the same.
    let owner = InstanceOwner::Container(container.id.clone());
    let listens = world.observed.instances.iter().filter(|it| it.owner == owner).flat_map(|it| &it.ports);
    ports.extend(listens.map(u16::to_string));
    ports.sort();
    ports.dedup();
    let ports = match ports.as_slice() {
        [] => "no port published".to_owned(),
        [one] => format!("port {one}"),
        many => format!("ports {}", many.join(", ")),
    };
    format!("{}, image {} ({ports})", gate::describe(world, container), container.image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_and_units_are_told_by_the_last_part_of_their_names() {
        let name = |family: Option<&'static Family>| family.map(|family| family.name);
        for image in ["ollama", "ollama/ollama:0.6", "host:5000/x/ollama@sha256:00", "ollama/ollama:rocm"] {
            assert_eq!(name(of_image(image)), Some("Ollama"), "{image}");
        }
        for image in ["ollama-exporter", "ollama/proxy", "sha256:0011", "", "litellm/ollama-x:1"] {
            assert_eq!(name(of_image(image)), None, "{image}");
        }
        assert_eq!(name(of_unit("ollama.service")), Some("Ollama"));
        assert_eq!(name(of_unit("ollama-pull.service")), None);
    }
}
