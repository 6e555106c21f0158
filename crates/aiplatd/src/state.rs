//! What the daemon knows: one plain value. Nothing in here waits.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use aiplat_core::{
    Kind, ResourceId, Timestamp,
    condition::{ConditionType, Status},
    ledger::{Ledger, Record, Transition},
    observed::{FileStamp, Incarnation, Listing, Observed, ObservedImage, ObservedState},
    plan::{self, Step, Verdict, World},
    preview,
    spec::{InstanceId, Platform, Removals},
};
use aiplat_host::Target;

use crate::{events::Events, ports::Revision, pulls::Pulls, spec::SpecStatus};

/// Everything that changes.
#[derive(Debug, Default)]
pub struct State {
    /// The file in force; `None` before the first good one.
    pub desired: Option<Arc<Platform>>,
    /// What the hosts were last seen to be like.
    pub observed: ObservedState,
    /// What cannot be observed.
    pub ledger: Ledger,
    /// Why the ledger had to be given up for an older one, if it was.
    pub ledger_lost: Option<String>,
    /// Why the ledger cannot be written, while it cannot: we go on from memory, and say so.
    pub store_failing: Option<String>,
    /// The file on disk.
    pub spec: SpecStatus,
    /// The good files that were in force, the present one last.
    pub history: Vec<Revision>,
    /// What happened.
    pub events: Events,
    /// Actions done since the start, by verb and whether they succeeded.
    pub actions: BTreeMap<(&'static str, bool), u64>,
    /// How long the longest path of services is that waits for each container.
    pub heights: BTreeMap<ResourceId, u32>,
    /// Resources that must be looked at before they are acted on: a hint came, or we wrote.
    stale: BTreeSet<ResourceId>,
    /// Resources to which something was done since they were last looked at: who watches has yet to be told what came of it.
    pub(crate) acted: BTreeSet<ResourceId>,
    /// What dependants last saw of a resource.
    seen: BTreeMap<ResourceId, Seen>,
    /// Resources whose last step was blocked or unsatisfied: looked at again when any container changes.
    pub waiting: BTreeSet<ResourceId>,
    /// The GPUs that there are were compared with those that there were.
    pub inventoried: bool,
    /// Records that have changed since they were last written and may wait a second: transition times.
    pub unsaved: BTreeSet<ResourceId>,
    /// The file in force, and those before it, could not be written: the next start would know an older one.
    pub(crate) files_unsaved: bool,
    /// No earlier file is known, and the engine has not been listed yet.
    pub(crate) without_memory: bool,
    /// Where the rotation of inspects stands.
    pub(crate) rotation: Rotation,
    /// Pulls under way.
    pub(crate) pulls: Pulls,
    /// It may be another engine, or one with other settings, since it was last asked how it is set up.
    pub(crate) engine_is_new: bool,
}

/// Whose turn it is.
#[derive(Debug, Default)]
pub(crate) struct Rotation {
    next: usize,
    /// Thirtieths of a container that are due.
    credit: usize,
}

impl Rotation {
    /// The positions, among `count`, that are due at this listing: each comes once in thirty.
    pub(crate) fn take(&mut self, count: usize) -> Vec<usize> {
        self.credit += count;
        let due = self.credit / 30;
        self.credit %= 30;
        let turns = (0..due).map(|offset| (self.next + offset) % count.max(1)).collect();
        self.next = (self.next + due) % count.max(1);
        turns
    }
}

/// What a dependant can see of a resource: a change of it wakes the dependants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    status: Status,
    message: String,
    incarnation: Option<Incarnation>,
    pending: bool,
    /// Of an image: its content.
    image: Option<ObservedImage>,
}

impl State {
    /// What a daemon knows that has not looked at anything yet.
    #[must_use]
    pub fn remembering(ledger: Ledger, ledger_lost: Option<String>) -> Self {
        Self { ledger, ledger_lost, ..Self::default() }
    }

    /// The world as it is known now; `None` before the first good file.
    #[must_use]
    pub fn world(&self, now: Timestamp) -> Option<World<'_>> {
        let desired = self.desired.as_deref()?;
        Some(World { desired, observed: &self.observed, ledger: &self.ledger, now })
    }

    /// Everything there is to plan.
    #[must_use]
    pub fn ids(&self) -> BTreeSet<ResourceId> {
        self.desired
            .as_deref()
            .map(|desired| preview::resources(desired, &self.observed, &self.ledger))
            .unwrap_or_default()
    }

    /// The resources among them that systemd has.
    #[must_use]
    pub fn of_systemd(&self) -> Vec<ResourceId> {
        self.ids().into_iter().filter(|id| id.kind == Kind::Unit || *id == ResourceId::systemd()).collect()
    }

    /// Whether anything is to be heard from systemd: a unit, or that a reload takes the GPU from containers.
    #[must_use]
    pub fn follows_systemd(&self) -> bool {
        !self.gpu_services().is_empty() || !self.of_systemd().is_empty()
    }

    /// The services that ask for GPUs.
    #[must_use]
    pub fn gpu_services(&self) -> Vec<ResourceId> {
        let services = self.desired.iter().flat_map(|desired| desired.services());
        services.filter(|(_, spec)| !spec.gpus().is_empty()).map(|(id, _)| id.clone()).collect()
    }

    /// The units to look at for `id`: the one that it is, and the one that it was; all of them for systemd itself.
    #[must_use]
    pub fn unit_names(&self, id: &ResourceId) -> BTreeSet<String> {
        let Some(world) = self.world(Timestamp::ZERO) else { return BTreeSet::new() };
        let all = plan::units(&world).into_iter();
        all.filter(|(_, of)| *id == ResourceId::systemd() || *of == id)
            .map(|(name, _)| name.to_owned())
            .collect()
    }

    /// The files of the units, with whose they are and what they looked like when systemd was last asked.
    #[must_use]
    pub fn unit_files(&self) -> BTreeMap<String, (ResourceId, FileStamp)> {
        let Some(world) = self.world(Timestamp::ZERO) else { return BTreeMap::new() };
        let file = |(name, id): (&str, &ResourceId)| {
            let unit = self.observed.units.get(name)?;
            Some((unit.fragment.clone(), (id.clone(), unit.fragment_stamp.clone()?)))
        };
        plan::units(&world).into_iter().filter_map(file).collect()
    }

    /// Whether the file of the unit `name` is ours.
    #[must_use]
    pub fn owns(&self, name: &str) -> bool {
        self.ledger.records.values().any(|record| record.unit.owned.contains_key(name))
    }

    /// Where the file `id` is, or was written by an earlier platform.
    #[must_use]
    pub fn file_path(&self, id: &ResourceId) -> Option<String> {
        plan::file_path(&self.world(Timestamp::ZERO)?, id)
    }

    /// Whether `id` must be looked at before anything is decided.
    #[must_use]
    pub fn must_look(&self, id: &ResourceId) -> bool {
        if self.stale.contains(id) {
            return true;
        }
        match id.kind {
            Kind::Image => !self.observed.images.contains_key(id.key()),
            Kind::Container => {
                let members = self.observed.owned.get(id).map(Vec::as_slice).unwrap_or_default();
                members.iter().any(|member| member.detail.is_none())
            }
            Kind::File => self.file_path(id).is_some_and(|path| !self.observed.own_files.contains_key(&path)),
            // One that is away is asked whenever there is a reason to ask.
            Kind::Unit => {
                let names = self.unit_names(id);
                let away = self.observed.systemd.away.is_some() && !names.is_empty();
                let folders = self.world(Timestamp::ZERO).map(|world| plan::folders_in_doubt(&world, id));
                away || names.iter().any(|name| !self.observed.units.contains_key(name))
                    || folders.iter().flatten().any(|path| !self.observed.folders.contains_key(path))
            }
            Kind::Model => self.runner(id).is_some_and(|runner| {
                self.world(Timestamp::ZERO).is_some_and(|world| plan::is_model_server_unasked(&world, runner))
            }),
            Kind::Host if *id == ResourceId::docker() => {
                let desired = self.desired.as_deref();
                let files = desired.map(|desired| plan::docker_files(desired, &self.observed));
                files.iter().flatten().any(|path| !self.observed.own_files.contains_key(path))
            }
            Kind::Network | Kind::Volume | Kind::Host => false,
        }
    }

    /// The service that is to serve the model `id`.
    #[must_use]
    pub fn runner(&self, id: &ResourceId) -> Option<&ResourceId> {
        Some(&self.desired.as_deref()?.models.get(id)?.runner)
    }

    /// A look begins: a hint that comes during it marks `id` anew.
    pub(crate) fn mark_fresh(&mut self, id: &ResourceId) {
        self.stale.remove(id);
    }

    /// What we wrote to, or were told of.
    pub fn mark_stale(&mut self, id: &ResourceId) {
        self.stale.insert(id.clone());
    }

    /// The host found something else than was observed: what `id` is made from must be looked at too. Answers with
    /// what is to be planned for that.
    pub fn mark_parts_stale(&mut self, id: &ResourceId) -> Vec<ResourceId> {
        let spec = self.desired.as_deref().and_then(|desired| desired.containers.get(id));
        let parts: Vec<ResourceId> = spec.map(|spec| spec.parts().collect()).unwrap_or_default();
        self.stale.extend(parts.iter().cloned());
        parts
    }

    /// Whether dependants see something else of `id` than before.
    pub fn readiness_changed(&mut self, id: &ResourceId, now: Timestamp) -> bool {
        let Some(world) = self.world(now) else { return false };
        let readiness = plan::readiness(&world, id);
        let seen = Seen {
            status: readiness.status,
            // The message counts attempts: only that of a failure is worth a pass of the dependants.
            message: if readiness.progressing { String::new() } else { readiness.message },
            incarnation: plan::incarnation(&world, id),
            pending: plan::replacement_pending(&world, id),
            image: world.observed.images.get(id.key()).filter(|_| id.kind == Kind::Image).cloned(),
        };
        let changed = self.seen.get(id) != Some(&seen);
        self.seen.insert(id.clone(), seen);
        changed
    }

    /// Writes down when conditions changed their status, as events too; answers whether any did. `Unknown` is no
    /// news: a source that is away says nothing, and a value that comes back the same has not changed.
    pub fn note_conditions(&mut self, id: &ResourceId, step: &Step, wall_ms: i64) -> bool {
        let mut changed = false;
        for condition in step.conditions.iter().filter(|condition| condition.status != Status::Unknown) {
            let transitions = &mut self.ledger.entry(id).transitions;
            let before = transitions.get(&condition.kind);
            if before
                .is_some_and(|before| before.status == condition.status && before.reason == condition.reason)
            {
                continue;
            }
            let same_status = before.filter(|before| before.status == condition.status);
            let since = same_status.map_or(wall_ms, |before| before.wall_ms);
            let transition =
                Transition { status: condition.status, reason: condition.reason, wall_ms: since };
            let is_first_and_normal =
                before.is_none() && condition.is_normal() && condition.kind != ConditionType::Ready;
            transitions.insert(condition.kind, transition);
            self.unsaved.insert(id.clone());
            changed = true;
            if !is_first_and_normal {
                self.events.transition(wall_ms, id, condition);
            }
        }
        changed
    }

    /// Remembers who waits for something that only a look at other containers shows.
    pub fn note_waiting(&mut self, id: &ResourceId, step: &Step) {
        match step.verdict {
            Verdict::Blocked { .. } | Verdict::Unsatisfied { .. } | Verdict::Held { .. } => {
                self.waiting.insert(id.clone());
            }
            Verdict::Converged | Verdict::Progressing => {
                self.waiting.remove(id);
            }
        }
    }

    /// What is neither in the file nor on the host needs no memory.
    pub fn forget_if_gone(&mut self, id: &ResourceId, step: &Step) {
        let wanted = self.desired.as_deref().is_none_or(|desired| desired.wants(id));
        if !wanted && step.verdict == Verdict::Converged && self.ledger.records.remove(id).is_some() {
            self.seen.remove(id);
            self.observed.diagnoses.remove(id);
            self.observed.listening.remove(id);
            self.unsaved.insert(id.clone());
        }
    }

    /// How urgent `id` is: what many services wait for comes first, and what a container is made from before it.
    #[must_use]
    pub fn priority(&self, id: &ResourceId) -> u32 {
        match id.kind {
            Kind::Network | Kind::Volume | Kind::File => u32::MAX,
            Kind::Image => u32::MAX - 1,
            Kind::Container | Kind::Unit => self.heights.get(id).copied().unwrap_or(0),
            Kind::Model => 0,
            Kind::Host => u32::MAX,
        }
    }

    /// Puts a file in force.
    pub fn accept(&mut self, platform: Arc<Platform>) {
        let before = self.desired.as_deref();
        let is_same =
            |id: &ResourceId| before.and_then(|before| before.models.get(id)) == platform.models.get(id);
        self.observed.model_sizes.retain(|id, _| is_same(id));
        self.observed.model_servers.retain(|id, _| platform.service(id).is_some());
        self.heights = platform.critical_paths();
        self.desired = Some(platform);
    }

    /// The records of `ids`, to be written.
    pub(crate) fn records<'a>(
        &self,
        ids: impl IntoIterator<Item = &'a ResourceId>,
    ) -> BTreeMap<ResourceId, Option<Record>> {
        ids.into_iter().map(|id| (id.clone(), self.ledger.get(id).cloned())).collect()
    }

    /// What to ask the host for.
    pub(crate) fn target(&self, id: &ResourceId) -> Target {
        Target { id: id.clone(), host_name: self.host_name(id) }
    }

    /// The name by which its host knows `id`.
    #[must_use]
    pub fn host_name(&self, id: &ResourceId) -> String {
        let desired = self.desired.as_deref();
        let owned = |owner: &Option<aiplat_core::observed::Ownership>| {
            let instance = desired.map(|platform| &platform.instance);
            owner.as_ref().is_some_and(|o| o.resource == *id && Some(&o.instance) == instance)
        };
        let host_name = match id.kind {
            Kind::Network => desired
                .and_then(|platform| platform.networks.get(id))
                .map(|spec| spec.host_name.clone())
                .or_else(|| self.observed.networks.iter().find(|n| owned(&n.owner)).map(|n| n.name.clone())),
            Kind::Volume => desired
                .and_then(|platform| platform.volumes.get(id))
                .map(|spec| spec.host_name.clone())
                .or_else(|| self.observed.volumes.values().find(|v| owned(&v.owner)).map(|v| v.name.clone())),
            Kind::Container => {
                desired.and_then(|platform| platform.containers.get(id)).map(|spec| spec.host_name.clone())
            }
            Kind::File => self.file_path(id),
            Kind::Unit => self.unit_names(id).into_iter().next(),
            Kind::Model => {
                desired.and_then(|platform| platform.models.get(id)).map(|spec| spec.model.to_string())
            }
            Kind::Image | Kind::Host => None,
        };
        host_name.unwrap_or_else(|| id.key().to_owned())
    }

    /// Takes in a fresh look, and says which waiting resources may see something new.
    pub(crate) fn record(
        &mut self,
        observed: Observed,
        instance: &InstanceId,
        now: Timestamp,
    ) -> Vec<ResourceId> {
        let before = self.outline();
        self.observed.record(observed, instance, now);
        if self.outline() == before { Vec::new() } else { self.waiting.iter().cloned().collect() }
    }

    pub(crate) fn record_listing(
        &mut self,
        listing: Listing,
        instance: &InstanceId,
        now: Timestamp,
    ) -> BTreeSet<ResourceId> {
        let mut ids = self.ids();
        self.observed.record_listing(listing, instance, now);
        ids.extend(self.ids());
        // What is remembered of somebody who went while we were not there is forgotten in a pass of their own.
        ids.extend(self.ledger.records.keys().cloned());
        // Nobody tells of changes by hand: what is in their places is read again with every listing.
        let is_file = |id: &&ResourceId| id.kind == Kind::File || **id == ResourceId::docker();
        self.stale.extend(ids.iter().filter(is_file).cloned());
        self.spare_the_unknown();
        ids
    }

    /// Without a memory of an earlier file, containers that are there and not in the file were never known to us: perhaps
    /// the state folder was lost, or is another one's. A person decides.
    fn spare_the_unknown(&mut self) {
        if !std::mem::take(&mut self.without_memory) {
            return;
        }
        let Some(desired) = self.desired.as_deref() else { return };
        if self.observed.owned.keys().any(|id| !desired.wants(id)) {
            self.desired =
                Some(Arc::new(Platform { removals: Removals::AwaitConfirmation, ..desired.clone() }));
        }
    }

    /// Names, states and ports of all containers: what gates of other resources look at.
    fn outline(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        for container in self.observed.owned.values().flatten().chain(&self.observed.foreign) {
            container.id.hash(&mut hasher);
            container.name.hash(&mut hasher);
            container.state.is_alive().hash(&mut hasher);
            container.networks.len().hash(&mut hasher);
        }
        self.observed.networks.len().hash(&mut hasher);
        for (name, unit) in &self.observed.units {
            name.hash(&mut hasher);
            unit.active.is_alive().hash(&mut hasher);
            unit.own.loaded.hash(&mut hasher);
            unit.own.drop_in.is_some().hash(&mut hasher);
            unit.needs_reload.hash(&mut hasher);
        }
        hasher.finish()
    }
}
