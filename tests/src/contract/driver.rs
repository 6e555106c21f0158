//! A pass without a daemon, over any backend: look, plan, do, and hold the prediction to what is then seen.

use std::{sync::Arc, time::Duration};

use aiplat_core::{
    Kind, ResourceId, Timestamp,
    action::Action,
    ledger::Ledger,
    observed::{ObservedContainer, ObservedNetwork, ObservedState},
    plan::{Planned, World, entries, plan},
    predict::predict,
    preview::resources,
    spec::Platform,
};
use aiplat_host::{HostError, Target};
use tokio_util::sync::CancellationToken;

use super::{Machine, Program};
use crate::{build::Sketch, scene::START, shape::shape};

/// A platform on a machine.
pub struct Driver<'a> {
    machine: &'a dyn Machine,
    /// The file in force.
    pub desired: Platform,
    /// As last observed.
    pub observed: ObservedState,
    ledger: Ledger,
    now: Timestamp,
}

impl<'a> Driver<'a> {
    /// `sketch` on `machine`, its programs adapted; nothing is done yet.
    #[must_use]
    pub fn new(machine: &'a dyn Machine, sketch: &Sketch, program: Program) -> Self {
        let desired = platform(machine, sketch, program);
        Self { machine, desired, observed: ObservedState::default(), ledger: Ledger::default(), now: START }
    }

    /// Another file is in force.
    pub fn edit(&mut self, sketch: &Sketch, program: Program) {
        self.desired = platform(self.machine, sketch, program);
    }

    /// The network of the platform that the file calls `key`, as last observed.
    #[must_use]
    pub fn network(&self, key: &str) -> ObservedNetwork {
        let name = self.machine.name(key);
        let mut networks = self.observed.networks.iter();
        networks.find(|network| network.name == name).expect("the network was observed").clone()
    }

    /// Lists everything and looks at everything.
    pub async fn observe(&mut self) {
        let listing = self.machine.backend().observe_all().await.expect("the engine lists");
        self.now = self.now + Duration::from_secs(1);
        self.observed.record_listing(listing, &self.machine.instance(), self.now);
        for id in self.resources() {
            self.look(&id).await;
        }
    }

    /// What this machine has of ours, and what the file asks for.
    #[must_use]
    pub fn resources(&self) -> Vec<ResourceId> {
        resources(&self.desired, &self.observed, &Ledger::default()).into_iter().collect()
    }

    /// Looks at one resource.
    pub async fn look(&mut self, id: &ResourceId) {
        let desired = &self.desired;
        let observed = self.observed.networks.iter();
        let host_name = match id.kind {
            Kind::Network => desired.networks.get(id).map(|spec| spec.host_name.clone()).or_else(|| {
                let mut ours = observed.filter(|n| n.owner.as_ref().is_some_and(|o| o.resource == *id));
                ours.next().map(|network| network.name.clone())
            }),
            Kind::Volume => desired.volumes.get(id).map(|spec| spec.host_name.clone()),
            Kind::Image | Kind::Container | Kind::File | Kind::Unit | Kind::Model | Kind::Host => None,
        };
        let target = Target { id: id.clone(), host_name: host_name.unwrap_or_else(|| id.key().to_owned()) };
        let seen = self.machine.backend().observe(&target).await.expect("the engine is looked at");
        self.now = self.now + Duration::from_secs(1);
        self.observed.record(seen, &self.machine.instance(), self.now);
    }

    /// What is due for `id`.
    #[must_use]
    pub fn due(&self, id: &ResourceId) -> Option<Planned> {
        plan(&self.world(), id).action
    }

    fn world(&self) -> World<'_> {
        World { desired: &self.desired, observed: &self.observed, ledger: &self.ledger, now: self.now }
    }

    /// Does `action`, uncancelled.
    ///
    /// # Errors
    /// As the host.
    pub async fn apply(&self, id: &ResourceId, action: &Action) -> Result<(), HostError> {
        self.machine.backend().apply(id, action, Arc::new(|_| {}), CancellationToken::new()).await
    }

    /// Carries out every plan until nothing is due; panics where a prediction is not what is then seen. The verbs done.
    pub async fn converge(&mut self) -> Vec<String> {
        let mut done = Vec::new();
        self.observe().await;
        for _ in 0..60 {
            let mut idle = true;
            for id in self.resources() {
                let Some(planned) = self.due(&id) else { continue };
                idle = false;
                self.step(&id, &planned).await;
                done.push(format!("{} {}", planned.action.verb(), id.key()));
            }
            if idle {
                return done;
            }
        }
        panic!("it does not end: {done:?}");
    }

    async fn step(&mut self, id: &ResourceId, planned: &Planned) {
        let step = plan(&self.world(), id);
        for entry in entries(&self.world(), id, &step) {
            self.ledger.enter(id, entry);
        }
        let mut predicted = self.observed.clone();
        predict(&mut predicted, &self.desired, id, &planned.action, self.now);
        self.apply(id, &planned.action).await.unwrap_or_else(|error| panic!("{}: {error}", planned.action));
        // Also what the engine made on the way, such as a volume that a container names.
        self.observe().await;
        let instance = self.machine.instance();
        let seen = (shape(&predicted, &instance, id, true), shape(&self.observed, &instance, id, true));
        assert!(seen.0 == seen.1, "{}\npredicted {}\nbut saw {}", planned.action, seen.0, seen.1);
    }

    /// The one container of a service.
    #[must_use]
    pub fn only(&self, service: &str) -> &ObservedContainer {
        let members =
            self.observed.owned.get(&ResourceId::container(service)).map(Vec::as_slice).unwrap_or_default();
        let [only] = members else { panic!("{} containers of {service}", members.len()) };
        only
    }
}

fn platform(machine: &dyn Machine, sketch: &Sketch, program: Program) -> Platform {
    let mut platform = sketch.platform();
    platform.instance = machine.instance();
    platform.images.clear();
    for spec in platform.containers.values_mut() {
        machine.adapt(&mut spec.runtime, program);
        let image = aiplat_core::spec::ImageSpec {
            reference: spec.runtime.image.clone(),
            pull: aiplat_core::spec::PullPolicy::Never,
        };
        platform.images.insert(ResourceId::image(&spec.runtime.image), image);
    }
    platform
}
