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
    spec::{ContainerSpec, Platform},
};

use crate::{
    events::rfc3339,
    ports::Revision,
    shared::Shared,
    spec::{self, Intent},
    state::State,
};

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
    back_to: Option<u64>,
) {
    let (images, taken_back) = (present_images(state), taken_back_now(state));
    if let Some(last) = state.history.last_mut() {
        (last.images, last.taken_back) = (images, taken_back);
    }
    let change = match state.desired.as_deref() {
        Some(before) => changes(before, platform),
        None => "the first good file".to_owned(),
    };
    let number = platform.generation;
    let revision = Revision { number, wall_ms, change, back_to, files: files.clone(), ..Revision::default() };
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
    let image = |spec: &ContainerSpec, members: &Members<'_>| {
        let id = members.current.map(|current| &current.image_id).filter(|id| !id.is_empty())?;
        Some((spec.service.clone(), id.clone()))
    };
    of_services(state, image)
}

/// The services whose edit in force was tried and taken back. What an update moved to is not in the file.
fn taken_back_now(state: &State) -> Vec<String> {
    let taken = |spec: &ContainerSpec, members: &Members<'_>| {
        members.taken_back.filter(|it| it.image.is_none()).map(|_| spec.service.clone())
    };
    of_services(state, taken)
}

/// What `find` finds out of the services in force.
fn of_services<T, C: Default + FromIterator<T>>(
    state: &State,
    find: impl Fn(&ContainerSpec, &Members<'_>) -> Option<T>,
) -> C {
    let Some(desired) = state.desired.as_deref() else { return C::default() };
    let (observed, ledger) = (&state.observed, &state.ledger);
    let world = World { desired, observed, ledger, now: aiplat_core::Timestamp::ZERO };
    let found = desired.containers.iter().filter_map(|(id, spec)| find(spec, &Members::of(&world, id, spec)));
    found.collect()
}

/// All that are kept, the present one last.
#[must_use]
pub fn list(shared: &Shared) -> Vec<RevisionInfo> {
    let state = shared.lock();
    let (present, taken_back_now) = (present_images(&state), taken_back_now(&state));
    let in_force = state.spec.generation;
    let info = |revision: &Revision| {
        let Revision { number, wall_ms, change, back_to, images, taken_back, files: _ } = revision;
        let in_force = *number == in_force;
        RevisionInfo {
            revision: *number,
            time: rfc3339(*wall_ms),
            change: change.clone(),
            images: if in_force { present.clone() } else { images.clone() },
            in_force,
            back_to: *back_to,
            taken_back: if in_force { taken_back_now.clone() } else { taken_back.clone() },
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

/// Puts the text of a revision in place of the file, which is then in force. An edit on disk that never came into force is
/// kept beside it.
///
/// # Errors
/// When the revision is not kept, or when the file cannot be read or written.
pub async fn rollback(shared: &Shared, number: u64, confirm: bool) -> Result<ApplyReply, String> {
    let Some(RevisionText { text, .. }) = text(shared, number) else {
        return Err(format!(
            "there is no revision {number} any more; `aiplatctl history` lists those that are kept"
        ));
    };
    let intent = Intent { commanded: true, confirmed: confirm, back_to: Some(number), ..Intent::default() };
    spec::write(shared, &text, intent).await
}

/// Keeps what is on disk and not in force under another name; the path, if there was anything to keep.
pub(crate) fn keep_edit(shared: &Shared) -> Result<Option<String>, String> {
    let root = shared.source.root();
    let on_disk =
        shared.source.read(root).map_err(|error| format!("cannot read {}: {error}", root.display()))?;
    let is_edit =
        |text: &Vec<u8>| !text.iter().all(u8::is_ascii_whitespace) && !shared.lock().spec.is_text(root, text);
    let Some(edit) = on_disk.filter(is_edit) else { return Ok(None) };
    let now = rfc3339(shared.clock.wall_ms()).replace(':', "-");
    let kept = shared.source.keep(&edit, &format!(".refused-{now}"))?;
    Ok(Some(kept.display().to_string()))
}
