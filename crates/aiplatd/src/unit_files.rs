//! The files of units that others write: an upgrade, or a person. That one was written anew is worth an event, and no drift.

use std::time::Duration;

use aiplat_core::{
    ResourceId,
    observed::{FileStamp, ObservedUnit},
};

use crate::shared::Shared;

/// How often the files of units are looked at.
const EVERY: Duration = Duration::from_secs(5);

impl Shared {
    /// Follows the files of units, for ever: of one that is written anew systemd tells nobody before it is told to read it.
    pub async fn follow_unit_files(&self) {
        loop {
            tokio::time::sleep(EVERY).await;
            let known = self.lock().unit_files();
            if known.is_empty() {
                continue;
            }
            let stamps = self.host.stamps(known.keys().cloned().collect()).await;
            let is_another = |(path, (_, stamp)): &(String, (ResourceId, FileStamp))| {
                stamps.get(path).is_some_and(|now| now != stamp)
            };
            let rewritten: Vec<ResourceId> =
                known.into_iter().filter(is_another).map(|(_, (id, _))| id).collect();
            for id in &rewritten {
                self.lock().mark_stale(id);
            }
            self.schedule(rewritten);
        }
    }

    /// The program's own unit file is not ours, and an upgrade may write it anew: worth an event, and no drift.
    pub(crate) fn note_rewritten(&self, looked_at: Option<&ResourceId>, seen: &[(String, ObservedUnit)]) {
        let mut state = self.lock();
        for (name, unit) in seen {
            // What we write ourselves is written anew by us.
            if unit.fragment == unit.own.unit_path && state.owns(name) {
                continue;
            }
            let units = state.desired.iter().flat_map(|desired| &desired.units);
            let mut of = units.filter(|(_, spec)| spec.unit == *name).map(|(id, _)| id.clone());
            let Some(id) = of.next().or_else(|| looked_at.cloned()) else { continue };
            drop(of);
            let before = state.observed.units.get(name).filter(|before| before.fragment == unit.fragment);
            let stamp = before.and_then(|before| before.fragment_stamp.clone());
            if stamp.is_some() && unit.fragment_stamp.is_some() && stamp != unit.fragment_stamp {
                let unread = "; systemd has not read it yet: `systemctl daemon-reload` lets it";
                let said = format!(
                    "{} was written anew by somebody else; what aiplatd adds to it stays{}",
                    unit.fragment,
                    if unit.needs_reload { unread } else { "" }
                );
                state.events.note(self.clock.wall_ms(), "UnitFileChanged", &id.to_string(), said);
            }
        }
    }
}
