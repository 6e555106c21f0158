//! The good files that were in force, and the way back to one of them.
//!
//! Going back is an edit like any other: the file's text is put in its place, and the daemon converges to that.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use aiplat_api::v1::{ApplyReply, RevisionInfo, RevisionText};
use aiplat_core::{
    changes::changes,
    plan::{Members, World},
    spec::Platform,
};

use crate::{events::rfc3339, ports::Revision, shared::Shared, spec, state::State};

/// Revisions kept.
const KEPT: usize = 10;
/// All of them together take no more room than this; the present one is kept in any case.
const BYTES_MAX: usize = 4 << 20;

/// `platform` comes into force, read from `files`.
pub(crate) fn note(
    state: &mut State,
    platform: &Platform,
    wall_ms: i64,
    files: &BTreeMap<PathBuf, Option<Vec<u8>>>,
) {
    let images = present_images(state);
    if let Some(last) = state.history.last_mut() {
        last.images = images;
    }
    let change = match state.desired.as_deref() {
        Some(before) => changes(before, platform),
        None => "the first good file".to_owned(),
    };
    let number = platform.generation;
    let revision = Revision { number, wall_ms, change, images: BTreeMap::new(), files: files.clone() };
    state.history.push(revision);
    let size = |revision: &Revision| revision.files.values().flatten().map(Vec::len).sum::<usize>();
    while state.history.len() > KEPT
        || (state.history.len() > 1 && state.history.iter().map(size).sum::<usize>() > BYTES_MAX)
    {
        state.history.remove(0);
    }
}

/// The file in force was edited in a way that changes nothing (a comment): its revision is what is on disk, so that going
/// back shows what is lost. Answers whether it was another text.
pub(crate) fn follow(state: &mut State, files: &BTreeMap<PathBuf, Option<Vec<u8>>>) -> bool {
    let in_force = state.spec.generation;
    let last = state.history.last_mut().filter(|it| it.number == in_force && it.files != *files);
    last.is_some_and(|last| {
        last.files.clone_from(files);
        true
    })
}

/// What the services run, by name.
fn present_images(state: &State) -> BTreeMap<String, String> {
    let Some(desired) = state.desired.as_deref() else { return BTreeMap::new() };
    let (observed, ledger) = (&state.observed, &state.ledger);
    let world = World { desired, observed, ledger, now: aiplat_core::Timestamp::ZERO };
    let image = |(id, spec): (&aiplat_core::ResourceId, &aiplat_core::spec::ContainerSpec)| {
        let current = Members::of(&world, id, spec).current?;
        (!current.image_id.is_empty()).then(|| (spec.service.clone(), current.image_id.clone()))
    };
    desired.containers.iter().filter_map(image).collect()
}

/// All that are kept, the present one last.
#[must_use]
pub fn list(shared: &Shared) -> Vec<RevisionInfo> {
    let state = shared.lock();
    let present = present_images(&state);
    let in_force = state.spec.generation;
    let info = |revision: &Revision| {
        let Revision { number, wall_ms, change, images, files: _ } = revision;
        let in_force = *number == in_force;
        RevisionInfo {
            revision: *number,
            time: rfc3339(*wall_ms),
            change: change.clone(),
            images: if in_force { present.clone() } else { images.clone() },
            in_force,
        }
    };
    state.history.iter().map(info).collect()
}

/// The text of one of them; `None`: it is not kept.
#[must_use]
pub fn text(shared: &Shared, number: u64) -> Option<RevisionText> {
    let root = shared.source.root();
    let revision = shared.lock().history.iter().find(|it| it.number == number).cloned()?;
    let others = revision.files.iter().filter(|(path, _)| *path != root);
    // What cannot be read now differs, too.
    let differs =
        |(path, then): &(&PathBuf, &Option<Vec<u8>>)| shared.source.read(path).ok().as_ref() != Some(*then);
    let others = others.filter(differs).map(|(path, _)| path.display().to_string()).collect();
    Some(RevisionText { revision: number, text: content(&revision, root), others })
}

fn content(revision: &Revision, root: &Path) -> String {
    let bytes = revision.files.get(root).cloned().flatten().unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Puts the text of a revision in place of the file, which is then in force.
///
/// # Errors
/// When it is not kept, when the file on disk holds an edit that never came into force, or when it cannot be written.
pub async fn rollback(shared: &Shared, number: u64, confirm: bool) -> Result<ApplyReply, String> {
    let Some(RevisionText { text, .. }) = text(shared, number) else {
        return Err(format!(
            "there is no revision {number} any more; `aiplatctl history` lists those that are kept"
        ));
    };
    let root = shared.source.root();
    let on_disk =
        shared.source.read(root).map_err(|error| format!("cannot read {}: {error}", root.display()))?;
    if on_disk.is_some_and(|on_disk| !shared.lock().spec.is_text(shared.source.root(), &on_disk)) {
        return Err(format!(
            "{} has been edited, and the edit is not in force: going back would lose it; put it in force with \
             `aiplatctl apply`, or undo it, and try again",
            root.display()
        ));
    }
    spec::apply(shared, Some(text), confirm).await
}
