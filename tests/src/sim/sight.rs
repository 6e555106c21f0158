//! Whether containers reach the GPUs that they were given.

use std::collections::BTreeSet;

use aiplat_core::{
    Timestamp,
    observed::{ContainerId, Sight},
};

use super::Engine;

/// Which containers do not reach their GPUs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Blind {
    /// None.
    #[default]
    None,
    /// These runs: what a reload of systemd does.
    Runs(BTreeSet<(ContainerId, Timestamp)>),
    /// These containers, however often they are restarted.
    Containers(BTreeSet<ContainerId>),
    /// All that there are, and all that will be.
    All,
}

impl Engine {
    /// Whether the container of this id does not reach its GPUs.
    #[must_use]
    pub fn is_blind(&self, id: &ContainerId) -> bool {
        let started = self.containers.get(&id.0).and_then(|it| it.started);
        match &self.blind {
            Blind::None => false,
            Blind::Runs(runs) => started.is_some_and(|started| runs.contains(&(id.clone(), started))),
            Blind::Containers(containers) => containers.contains(id),
            Blind::All => true,
        }
    }

    /// What `nvidia-smi` says in a container.
    #[must_use]
    pub fn sight(&self, id: &ContainerId) -> Sight {
        let said = "Failed to initialize NVML: Unknown Error";
        if self.is_blind(id) { Sight::Blind(said.to_owned()) } else { Sight::Sees(1) }
    }
}
