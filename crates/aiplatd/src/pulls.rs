//! Pulls under way. One whose image does not fit on the engine's disk is ended before it has filled it: which one, and why, is
//! the plan's to say.

use std::{collections::BTreeMap, sync::Arc};

use aiplat_core::{
    ResourceId,
    action::Action,
    condition::{ErrorClass, Reason},
    plan::{self, NoRoom},
};
use aiplat_host::{HostError, HostErrorKind, Progress};
use tokio_util::sync::CancellationToken;

use crate::{shared::Shared, state::State};

/// Pulls under way, in the order of their beginning.
#[derive(Debug, Default)]
pub(crate) struct Pulls {
    next: u64,
    under_way: BTreeMap<u64, UnderWay>,
}

#[derive(Debug)]
struct UnderWay {
    image: ResourceId,
    cancel: CancellationToken,
    ended: Option<NoRoom>,
}

impl Pulls {
    /// Whether there are any.
    pub(crate) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    fn end(&mut self, no_room: &NoRoom) {
        for pull in self.under_way.values_mut().filter(|pull| pull.image == no_room.image) {
            pull.cancel.cancel();
            pull.ended.get_or_insert_with(|| no_room.clone());
        }
    }
}

impl Shared {
    /// Pulls `image`, unless what is still to come of it turns out not to fit.
    pub(crate) async fn pull(
        &self,
        image: &ResourceId,
        action: &Action,
        progress: Progress,
        cancel: CancellationToken,
    ) -> Result<(), HostError> {
        let begun = Begun::new(self, image, cancel.clone());
        let result = self.host.apply(image, action, progress, cancel).await;
        match (result, begun.ended()) {
            (Err(_), Some(NoRoom { image: _, needed, message })) => Err(HostError {
                needs_room: Some(needed),
                ..HostError::new(HostErrorKind::Refused, ErrorClass::Transient, Reason::DiskFull, message)
            }),
            (result, _) => result,
        }
    }

    /// Takes the bytes of a pull of `image` as they come.
    pub(crate) fn pull_progress(self: &Arc<Self>, image: &ResourceId) -> Progress {
        let (shared, image) = (Arc::clone(self), image.clone());
        Arc::new(move |progress| {
            shared.lock().observed.pulls.insert(image.clone(), progress);
            shared.end_pull_without_room();
            shared.changed();
        })
    }

    /// Ends the pull that the plan says does not fit, if there is one.
    pub(crate) fn end_pull_without_room(&self) {
        let state = &mut *self.lock();
        let no_room = state.world(self.now()).and_then(|world| plan::pull_without_room(&world));
        if let Some(no_room) = no_room {
            state.pulls.end(&no_room);
        }
    }
}

/// A pull that has begun; whoever gives it up, its traces go with it.
struct Begun<'a> {
    shared: &'a Shared,
    number: u64,
}

impl<'a> Begun<'a> {
    fn new(shared: &'a Shared, image: &ResourceId, cancel: CancellationToken) -> Self {
        let mut state = shared.lock();
        let number = state.pulls.next;
        state.pulls.next += 1;
        state.pulls.under_way.insert(number, UnderWay { image: image.clone(), cancel, ended: None });
        if let Some(free) = free_for_images(&state) {
            state.observed.room_before_pull.entry(image.clone()).or_insert(free);
        }
        drop(state);
        // The room on the disk is looked at more often from now on.
        shared.look_soon.notify_one();
        Self { shared, number }
    }

    fn ended(&self) -> Option<NoRoom> {
        self.shared.lock().pulls.under_way.get(&self.number)?.ended.clone()
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let state = &mut *self.shared.lock();
        let Some(UnderWay { image, .. }) = state.pulls.under_way.remove(&self.number) else { return };
        if !state.pulls.under_way.values().any(|pull| pull.image == image) {
            state.observed.pulls.remove(&image);
            state.observed.room_before_pull.remove(&image);
        }
    }
}

fn free_for_images(state: &State) -> Option<u64> {
    let root = &state.observed.engine.settings.as_ref()?.data_root;
    Some(state.observed.machine.file_system_of(root)?.1.room?.free)
}
