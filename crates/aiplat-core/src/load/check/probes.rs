//! Probes that cannot do what they are for.

use super::Scene;
use crate::{
    load::{
        diagnostic::{Problem, Sink},
        draft::Health,
    },
    spec::RestartMode,
};

pub(super) fn check(scene: &Scene<'_>, sink: &mut Sink) {
    for (name, service) in &scene.active {
        let is_restarted_for = match &service.health {
            Health::Probes(probes) => probes.liveness.is_some(),
            Health::Engine(_, liveness) => liveness.is_some(),
            Health::Unsaid | Health::Off(_) | Health::Broken => false,
        };
        if is_restarted_for && service.restart.value == RestartMode::No {
            let message = format!("the `liveness` probe of `{name}` restarts nothing, for `restart` is `no`");
            sink.add(
                Problem::warning("liveness-without-restart", service.restart.place, message)
                    .help("write another `restart`, or remove `liveness`")
                    .of(name),
            );
        }
    }
}
