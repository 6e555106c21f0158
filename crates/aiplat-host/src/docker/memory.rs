//! What listings and events taught us about whose things are whose, so that an event that names only an engine id can
//! be told of as a resource. Never acted upon: it only addresses hints.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use aiplat_core::{
    ResourceId,
    observed::{AsOf, ContainerId, ObservedContainer, ObservedImage},
    spec::InstanceId,
};

use super::reference::Reference;

/// More images than this are not kept apart: a file has dozens.
const MAX_IMAGES: usize = 4096;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Counts the moments at which something was asked.
    moments: AtomicU64,
    /// Engine id to our resource, `None` for foreign ones. Replaced by every listing.
    containers: Mutex<BTreeMap<String, Option<ResourceId>>>,
    /// References as written that somebody looked at, with the content id found.
    images: Mutex<BTreeMap<String, Option<String>>>,
    /// The last run that was seen to have ended, by engine id.
    ended: Mutex<BTreeMap<String, Ended>>,
}

/// A run that has ended, in the engine's own texts.
#[derive(Debug, Clone)]
struct Ended {
    started: String,
    finished: String,
    /// When the run before it had ended; empty when that is not known.
    after: String,
}

impl Memory {
    /// Now, in the adapter's own counting.
    pub(crate) fn moment(&self) -> AsOf {
        AsOf(self.moments.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub(crate) fn learn_containers(&self, containers: &[ObservedContainer], instance: &InstanceId) {
        let known = containers.iter().map(|container| {
            let owner = container.owner.as_ref().filter(|owner| owner.instance == *instance);
            (container.id.0.clone(), owner.map(|owner| owner.resource.clone()))
        });
        let known: BTreeMap<String, Option<ResourceId>> = known.collect();
        super::lock(&self.ended).retain(|id, _| known.contains_key(id));
        *super::lock(&self.containers) = known;
    }

    /// Takes note of the end of a run, and says when the one before it had ended: its log begins there. Not at its own
    /// start, for the engine notes that only when it hears of it, and a program in a hurry has then said all it had to say.
    pub(crate) fn log_begins(&self, id: &ContainerId, started: &str, finished: &str) -> String {
        let mut ended = super::lock(&self.ended);
        let after = match ended.get(&id.0) {
            None => String::new(),
            Some(known) if known.started == started => known.after.clone(),
            Some(before) => before.finished.clone(),
        };
        let run = Ended { started: started.to_owned(), finished: finished.to_owned(), after: after.clone() };
        ended.insert(id.0.clone(), run);
        after
    }

    pub(crate) fn learn_container(&self, id: &str, resource: &ResourceId) {
        super::lock(&self.containers).insert(id.to_owned(), Some(resource.clone()));
    }

    pub(crate) fn learn_foreign(&self, id: &str) {
        super::lock(&self.containers).insert(id.to_owned(), None);
    }

    pub(crate) fn forget_container(&self, id: &str) {
        super::lock(&self.containers).remove(id);
    }

    /// `None`: never heard of it. `Some(None)`: foreign.
    pub(crate) fn resource_of(&self, id: &ContainerId) -> Option<Option<ResourceId>> {
        super::lock(&self.containers).get(&id.0).cloned()
    }

    pub(crate) fn learn_image(&self, reference: &str, image: &ObservedImage) {
        let id = match image {
            ObservedImage::Absent => None,
            ObservedImage::Present { id, .. } => Some(id.clone()),
        };
        let mut images = super::lock(&self.images);
        if images.len() < MAX_IMAGES || images.contains_key(reference) {
            images.insert(reference.to_owned(), id);
        }
    }

    /// The images of ours that an event about `names` (references or content ids) may concern.
    pub(crate) fn images_named(&self, names: &[&str]) -> BTreeSet<ResourceId> {
        let canonical: BTreeSet<String> =
            names.iter().filter_map(|name| Some(Reference::parse(name)?.canonical())).collect();
        let concerns = |(reference, id): &(&String, &Option<String>)| {
            names.iter().any(|name| id.as_deref() == Some(name))
                || Reference::parse(reference)
                    .is_some_and(|reference| canonical.contains(&reference.canonical()))
        };
        let images = super::lock(&self.images);
        images.iter().filter(concerns).map(|(reference, _)| ResourceId::image(reference)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_a_run_begins_where_the_run_before_it_ended() {
        let (memory, id) = (Memory::default(), ContainerId("c".to_owned()));
        assert_eq!(memory.log_begins(&id, "t1", "t2"), "");
        assert_eq!(memory.log_begins(&id, "t3", "t4"), "t2");
        assert_eq!(memory.log_begins(&id, "t3", "t4"), "t2", "looked at twice");
        assert_eq!(memory.log_begins(&id, "t5", "t6"), "t4");
        memory.learn_containers(&[], &InstanceId("i".to_owned()));
        assert_eq!(memory.log_begins(&id, "t5", "t6"), "", "it was gone");
    }

    #[test]
    fn an_image_is_known_by_any_spelling_and_by_its_content() {
        let memory = Memory::default();
        memory.learn_image("redis", &ObservedImage::Absent);
        let present = ObservedImage::Present { id: "sha256:1".to_owned(), has_healthcheck: false };
        memory.learn_image("docker.io/library/nginx:1", &present);
        let named = |name: &str| {
            memory.images_named(&[name]).into_iter().map(|id| id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(named("redis:latest"), ["image/redis"]);
        assert_eq!(named("nginx:1"), ["image/docker.io/library/nginx:1"]);
        assert_eq!(named("sha256:1"), ["image/docker.io/library/nginx:1"]);
        assert!(named("redis:7").is_empty());
    }
}
