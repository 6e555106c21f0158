//! Units among the services of a generated platform.

use std::collections::BTreeMap;

use aiplat_core::spec::{Dependency, Management};
use proptest::{collection::vec, option, prelude::*};

use super::{NAMES, sketches};
use crate::build::{Service, Sketch, UnitService, completed, healthy, optional, restarting, started, unit};

/// Names of services that are units, and before which of [`NAMES`] each comes: edges lead backwards only.
pub const UNITS: [(&str, usize); 2] = [("gpu", 2), ("agent", 4)];

/// The names of systemd under which they may be.
#[must_use]
pub fn unit_names() -> Vec<String> {
    let of = |(name, _): (&str, usize)| {
        [format!("{name}-package.service"), format!("{name}-own.service"), format!("{name}-own.timer")]
    };
    UNITS.into_iter().flat_map(of).collect()
}

/// Platforms of which some services are units.
pub fn sketches_with_units() -> impl Strategy<Value = Sketch> {
    (sketches(), units()).prop_map(|(sketch, units)| units.on(sketch))
}

/// Units for a platform.
#[derive(Debug, Clone)]
pub struct Units(Vec<Option<Choices>>);

#[derive(Debug, Clone)]
struct Choices {
    version: u32,
    own: Option<u32>,
    timer: bool,
    management: Management,
    probe: bool,
    /// On whom it depends: an index into the services before it, and how.
    needs: Vec<(usize, u8)>,
    /// Who depends on it: an index into the services after it, and how.
    needed: Vec<(usize, u8)>,
}

/// Some units, who needs them and whom they need.
pub fn units() -> impl Strategy<Value = Units> {
    let management = prop_oneof![
        4 => Just(Management::Configure),
        3 => Just(Management::Full),
        1 => Just(Management::Observe),
    ];
    let edges = || vec((0..5_usize, 0..5_u8), 0..3);
    let program = (option::of(1..4_u32), prop::bool::weighted(0.4));
    let parts = (0..4_u32, program, management, any::<bool>(), edges(), edges());
    let one = parts.prop_map(|(version, (own, timer), management, probe, needs, needed)| Choices {
        version,
        own,
        timer: timer && own.is_some(),
        management,
        probe,
        needs,
        needed,
    });
    vec(option::weighted(0.8, one), UNITS.len()).prop_map(Units)
}

fn is_job(service: &Service) -> bool {
    service.app.ends.as_ref().is_some_and(|end| end.exit_code == 0)
}

fn edge(kind: u8) -> Dependency {
    match kind {
        0 => started(),
        1 => restarting(healthy()),
        2 => optional(healthy()),
        _ => healthy(),
    }
}

impl Units {
    /// The same platform with these units.
    #[must_use]
    pub fn on(self, mut sketch: Sketch) -> Sketch {
        for ((name, position), choices) in UNITS.into_iter().zip(self.0) {
            if let Some(choices) = choices {
                let made = choices.unit(name, position, &sketch);
                choices.wire(&made, position, &mut sketch);
                sketch.units.push(made);
            }
        }
        sketch
    }
}

impl Choices {
    fn unit(&self, name: &str, position: usize, sketch: &Sketch) -> UnitService {
        let mut needs = BTreeMap::new();
        for (index, kind) in &self.needs {
            let on = NAMES.get(*index).filter(|_| *index < position);
            let service = on.and_then(|on| sketch.services.iter().find(|service| service.name == *on));
            if let Some(service) = service {
                needs.insert(service.name.clone(), if is_job(service) { completed() } else { edge(*kind) });
            } else if let Some(earlier) = sketch.units.get(*index) {
                needs.insert(earlier.name.clone(), edge(*kind));
            }
        }
        let Self { version, own, timer, management, probe, .. } = *self;
        // What is only looked at has nothing of ours.
        let is_ours = management != Management::Observe;
        let (version, own) = if is_ours { (version, own) } else { (0, None) };
        let timer = timer && is_ours;
        // Between two runs there is nothing to ask.
        UnitService { version, own, timer, management, probe: probe && !timer, needs, ..unit(name) }
    }

    fn wire(&self, made: &UnitService, position: usize, sketch: &mut Sketch) {
        for (index, kind) in &self.needed {
            let name = NAMES.get(*index).filter(|_| *index >= position);
            let service = name.and_then(|name| sketch.services.iter_mut().find(|it| it.name == *name));
            if let Some(service) = service {
                service.needs.insert(made.name.clone(), edge(*kind));
            }
        }
    }
}
