//! What is looked at besides what the file names: folders of data that a unit is about to leave, and programs that run a second
//! time on this machine. Nothing is done to either.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use aiplat_core::{
    Kind, ResourceId, Timestamp,
    observed::Instance,
    plan::{self, World},
    spec::{Platform, Protocol},
};

use crate::shared::Shared;

/// How often the machine's processes are looked through, where the file has a service that nobody wants twice.
const INSTANCES_EVERY: Duration = Duration::from_secs(30);

/// Looks for second instances, for ever.
pub async fn follow_instances(shared: Arc<Shared>) {
    let mut versions = shared.versions();
    while shared.lock().desired.is_none() {
        if versions.changed().await.is_err() {
            return;
        }
    }
    loop {
        shared.look_for_instances().await;
        tokio::time::sleep(INSTANCES_EVERY).await;
    }
}

impl Shared {
    async fn look_for_instances(&self) {
        let programs = {
            let state = self.lock();
            state.world(self.now()).map(|world| plan::programs(&world)).unwrap_or_default()
        };
        let found = self.instances_of(programs).await;
        let services: Vec<ResourceId> = {
            let mut state = self.lock();
            if state.observed.instances == found {
                return;
            }
            state.observed.instances = found;
            state.desired.iter().flat_map(|desired| desired.services()).map(|(id, _)| id.clone()).collect()
        };
        self.schedule(services);
        self.changed();
    }

    async fn instances_of(&self, programs: BTreeSet<String>) -> Vec<Instance> {
        if programs.is_empty() { Vec::new() } else { self.units.instances(programs).await }
    }

    /// Second instances of what `desired` asks for, which is not in force yet.
    pub(crate) async fn second_instances(&self, desired: &Platform) -> Vec<Instance> {
        let programs = {
            let state = self.lock();
            plan::programs(&World {
                desired,
                observed: &state.observed,
                ledger: &state.ledger,
                now: self.now(),
            })
        };
        self.instances_of(programs).await
    }

    /// Looks at the folders that the unit `id` is about to leave, and at those it is about to use; answers whether they are
    /// others than they were.
    pub(crate) async fn look_at_folders(&self, id: &ResourceId) -> bool {
        if id.kind != Kind::Unit {
            return false;
        }
        let paths = {
            let state = self.lock();
            state.world(self.now()).map(|world| plan::folders_in_doubt(&world, id)).unwrap_or_default()
        };
        self.take_in_folders(paths).await
    }

    /// The same for all units of a file that is not in force yet.
    pub(crate) async fn look_for_folders(&self, desired: &Platform) {
        let paths = {
            let state = self.lock();
            let world =
                World { desired, observed: &state.observed, ledger: &state.ledger, now: Timestamp::ZERO };
            // Also of those that leave the file.
            let known = state.ledger.records.keys().filter(|id| id.kind == Kind::Unit);
            let units: BTreeSet<&ResourceId> = desired.units.keys().chain(known).collect();
            units.into_iter().flat_map(|id| plan::folders_in_doubt(&world, id)).collect()
        };
        self.take_in_folders(paths).await;
    }

    /// Looks who holds the ports that the service `id` is about to take; answers whether that is another than it was.
    pub(crate) async fn look_at_ports(&self, id: &ResourceId) -> bool {
        if id.kind != Kind::Container {
            return false;
        }
        let ports = {
            let state = self.lock();
            state.world(self.now()).map(|world| plan::ports_in_doubt(&world, id)).unwrap_or_default()
        };
        self.take_in_ports(id, ports).await
    }

    /// The same for all services of a file that is not in force yet.
    pub(crate) async fn look_for_ports(&self, desired: &Platform) {
        let all: Vec<_> = {
            let state = self.lock();
            let world =
                World { desired, observed: &state.observed, ledger: &state.ledger, now: Timestamp::ZERO };
            desired.containers.keys().map(|id| (id.clone(), plan::ports_in_doubt(&world, id))).collect()
        };
        for (id, ports) in all {
            self.take_in_ports(&id, ports).await;
        }
    }

    async fn take_in_ports(&self, id: &ResourceId, ports: Vec<(u16, Protocol)>) -> bool {
        let held = if ports.is_empty() { Vec::new() } else { self.host.port_holders(ports).await };
        let mut state = self.lock();
        let known = &mut state.observed.held_ports;
        let before = if held.is_empty() { known.remove(id) } else { known.insert(id.clone(), held) };
        before.unwrap_or_default() != known.get(id).cloned().unwrap_or_default()
    }

    async fn take_in_folders(&self, paths: Vec<String>) -> bool {
        if paths.is_empty() {
            return false;
        }
        let found = self.units.folders(paths.clone()).await;
        let mut state = self.lock();
        let known = &mut state.observed.folders;
        let is_news = paths.iter().any(|path| known.get(path) != found.get(path));
        // One that cannot be read any more is not as it was: nobody knows.
        known.retain(|path, _| !paths.contains(path));
        known.extend(found);
        is_news
    }
}
