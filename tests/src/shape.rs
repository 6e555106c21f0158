//! What a prediction is held to.

use std::collections::BTreeMap;

use aiplat_core::{
    ResourceId,
    observed::{ObservedContainer, ObservedImage, ObservedState, Ownership},
    spec::InstanceId,
};

/// What a prediction about `id`, and about what is `instance`'s, is held to: not ids, not times, and not what a program did meanwhile.
#[must_use]
pub fn shape(observed: &ObservedState, instance: &InstanceId, id: &ResourceId, alive: bool) -> String {
    let member = |container: &ObservedContainer| {
        let ObservedContainer {
            id: _,
            name,
            image,
            image_id: _,
            state,
            owner,
            compose: _,
            created: _,
            networks,
            mounts,
            ports,
            detail,
            as_of: _,
        } = container;
        let state = if alive { format!("{state:?}") } else { String::new() };
        let aliases: BTreeMap<&String, Option<&Vec<String>>> =
            networks.iter().map(|(name, endpoint)| (name, endpoint.aliases.as_ref())).collect();
        let mut mounts: Vec<String> =
            mounts.iter().map(|m| format!("{} {} {:?}", m.target, m.writable, m.bind)).collect();
        mounts.sort();
        let ports = if alive { format!("{ports:?}") } else { String::new() };
        let limits = detail.as_ref().map(|detail| &detail.limits);
        format!("{name} {image} {state} {owner:?} {aliases:?} {mounts:?} {ports} {limits:?}")
    };
    let members = observed.owned.get(id).map(Vec::as_slice).unwrap_or_default();
    let mut members: Vec<String> = members.iter().map(member).collect();
    members.sort();
    // Others come and go on the same engine.
    let ours = |owner: &Option<Ownership>| owner.as_ref().is_some_and(|owner| owner.instance == *instance);
    let networks = observed.networks.iter().filter(|network| ours(&network.owner));
    let mut networks: Vec<String> =
        networks.map(|n| format!("{} {:?} {} {}", n.name, n.owner, n.driver, n.internal)).collect();
    networks.sort();
    let volumes = observed.volumes.values().filter(|volume| ours(&volume.owner));
    let volumes: Vec<String> = volumes.map(|v| format!("{} {:?}", v.name, v.owner)).collect();
    let present = |image: &ObservedImage| !matches!(image, ObservedImage::Absent);
    let images: Vec<&String> =
        observed.images.iter().filter(|(_, image)| present(image)).map(|(name, _)| name).collect();
    let facts = observed.model_servers.iter().filter_map(|(id, server)| Some((id, server.facts()?)));
    let models: Vec<String> = facts
        .map(|(id, facts)| {
            let names: Vec<String> = facts.models.iter().map(|it| it.name.to_string()).collect();
            format!("{id}: {}", names.join(" "))
        })
        .collect();
    format!("{members:#?}\n{networks:#?}\n{volumes:#?}\n{images:?}\n{models:?}")
}
