//! The servers of models of a scene.

use aiplat_core::{
    ResourceId,
    action::Action,
    observed::{ModelManifest, ModelServer, ServerPlace},
    plan::{incarnation, model_endpoint},
};
use aiplat_host::HostError;

use super::Scene;
use crate::sim::{engine::State, models::ModelWorld};

impl Scene {
    /// Looks at the server of the model `id`, and at its size in the registry.
    pub(super) fn look_at_model(&mut self, id: &ResourceId) {
        let Some(spec) = self.desired.models.get(id).cloned() else { return };
        let asked = {
            let world = self.world();
            model_endpoint(&world, &spec.runner).map(|at| (at, incarnation(&world, &spec.runner)))
        };
        let Some((at, run)) = asked else { return };
        let answer = self.models.answer(&at, self.serves(&at.place));
        self.observed.model_servers.insert(spec.runner.clone(), ModelServer { run, answer });
        if let Some(offer) = self.models.registry.get(&spec.model) {
            let manifest = ModelManifest { bytes: offer.size, digest: offer.digest.clone() };
            self.observed.model_sizes.entry(id.clone()).or_default().manifest = Some(Ok(manifest));
        }
    }

    fn serves(&self, place: &ServerPlace) -> bool {
        match place {
            ServerPlace::Host(_) => true,
            ServerPlace::Container { id, .. } => {
                self.engine.containers.get(&id.0).is_some_and(|it| it.state == State::Running)
            }
        }
    }

    /// Lets a server pull, in no time. Panics where nobody could.
    pub(super) fn apply_to_models(&mut self, id: &ResourceId, action: &Action) -> Result<(), HostError> {
        let Action::PullModel(pull) = action else { panic!("{action} of {id}") };
        let runs = self.serves(&pull.at.place);
        assert!(runs || !self.exact_gates, "{action}: its server does not run\n{}", self.text());
        let spec = self.desired.models.get(id).expect("what is pulled is in the file");
        assert_eq!((&spec.model, spec.runner.key()), (&pull.model, pull.at.service.as_str()), "{action}");
        self.models.pull_at_once(pull, runs)
    }

    /// The models of the file that their servers lack.
    pub(super) fn models_differ(&self) -> Vec<String> {
        models_differ(&self.desired, &self.models)
    }
}

/// The models of a file that their servers lack.
#[must_use]
pub fn models_differ(desired: &aiplat_core::spec::Platform, models: &ModelWorld) -> Vec<String> {
    let lacks = desired.models.iter().filter(|(_, spec)| {
        let server = models.servers.get(spec.runner.key());
        !server.is_some_and(|server| server.models.contains_key(&spec.model))
    });
    lacks.map(|(id, spec)| format!("{id}: {} lacks {}", spec.runner.key(), spec.model)).collect()
}
