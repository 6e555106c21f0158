//! Removes volumes of ours that the file no longer has: a person's word, each by name. No pass ever does.

use std::{collections::BTreeSet, time::Duration};

use aiplat_core::{
    ResourceId,
    condition::{ErrorClass, Reason},
    plan::{self, Kept},
};
use aiplat_host::{HostError, HostErrorKind};

use crate::shared::Shared;

/// Terabytes of small files take their time.
const DEADLINE: Duration = Duration::from_secs(900);

/// Why it was not done.
#[derive(Debug)]
pub enum NotPruned {
    /// It may not be.
    Kept(Kept),
    /// The engine cannot be asked, or refused.
    Host(HostError),
}

/// Removes `volumes`, as the engine names them, or only says whether they may be removed. Nothing is begun unless all of
/// them may be. `by` is who asked for it.
///
/// # Errors
/// Why the first one stays; those before it are gone, unless it is one of [`NotPruned::Kept`] from the start.
pub async fn prune(
    shared: &Shared,
    by: &str,
    volumes: &BTreeSet<String>,
    dry_run: bool,
) -> Result<(), NotPruned> {
    // What was last seen is good enough to show, and not to lose data over.
    shared.relist().await.map_err(NotPruned::Host)?;
    for name in volumes {
        removable(shared, name)?;
    }
    if dry_run {
        return Ok(());
    }
    for name in volumes {
        let removed = remove(shared, by, name).await;
        // Whatever came of it, what there is now is shown.
        let relisted = shared.relist().await;
        removed?;
        relisted.map_err(NotPruned::Host)?;
    }
    Ok(())
}

fn removable(shared: &Shared, name: &str) -> Result<ResourceId, NotPruned> {
    let kept = |because: String| NotPruned::Kept(Kept::Stays(format!("volume `{name}` stays: {because}")));
    let state = shared.lock();
    let world = state.world(shared.now());
    let world =
        world.ok_or_else(|| kept("no file is in force that could say what is left over".to_owned()))?;
    let id = plan::removable_volume(&world, name).map_err(NotPruned::Kept)?;
    if state.spec.refused.is_some() {
        return Err(kept(plan::FILE_REFUSED.to_owned()));
    }
    Ok(id)
}

async fn remove(shared: &Shared, by: &str, name: &str) -> Result<(), NotPruned> {
    // Once more: another file may have come into force while an earlier volume was removed.
    let id = removable(shared, name)?;
    let call = tokio::time::timeout(DEADLINE, shared.host.remove_volume(name));
    let result = call.await.unwrap_or_else(|_elapsed| {
        Err(HostError::new(
            HostErrorKind::OutcomeUnknown,
            ErrorClass::Transient,
            Reason::ActionFailed,
            format!(
                "the engine has not removed volume `{name}` within {DEADLINE:?}; \
                 `aiplatctl prune` shows whether it is there"
            ),
        ))
    });
    let wall_ms = shared.clock.wall_ms();
    let mut state = shared.lock();
    match result {
        Ok(()) => {
            tracing::info!(event = "VolumeRemoved", volume = name, by, "Removed a volume and its data.");
            let text = format!("{by} removed volume `{name}` and its data");
            state.events.note(wall_ms, "VolumeRemoved", &id.to_string(), text);
            Ok(())
        }
        Err(error) => {
            let text = format!("{by} asked for it: {error}");
            state.events.warn(wall_ms, "VolumeNotRemoved", &id.to_string(), text);
            Err(NotPruned::Host(error))
        }
    }
}
