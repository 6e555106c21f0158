//! The next step for one file that aiplatd writes: written when it is absent or differs, removed when nothing wants it any
//! more. Whose a file is stands in the ledger alone: what is not of our writing is never touched.

use super::{Cause, Entry, Gate, Readiness, Step, World, container, fight};
use crate::{
    Kind, ResourceId,
    action::{Action, WriteFile},
    condition::{Condition, ConditionType, Reason},
    ledger::FileRecord,
    observed::{Incarnation, ObservedFile},
    spec::{ContentHash, FileSpec},
};

pub(super) fn plan(world: &World<'_>, id: &ResourceId) -> Step {
    let Some(spec) = world.desired.files.get(id) else { return undesired(world, id) };
    let Readiness { status, reason, message, .. } = readiness(world, id);
    let conditions = vec![
        Condition::normal(ConditionType::Accepted, Reason::InFile),
        Condition { kind: ConditionType::Ready, status, reason, message },
    ];
    let step = match world.observed.own_files.get(&spec.path) {
        None => Step::progressing(),
        Some(found) => match (Look { world, id, spec, found }).due() {
            Due::Nothing => Step::converged(),
            Due::Taken(gate) => Step::blocked(world, vec![gate]),
            Due::Write { over, cause } => {
                Step::act(Action::WriteFile(Box::new(WriteFile { spec: spec.clone(), over })), cause)
            }
        },
    };
    step.with(conditions)
}

pub(super) fn readiness(world: &World<'_>, id: &ResourceId) -> Readiness {
    let Some(spec) = world.desired.files.get(id) else {
        return Readiness::not_ready(Reason::NotInFile, "it is not in the file");
    };
    let Some(found) = world.observed.own_files.get(&spec.path) else {
        return Readiness::unknown(Reason::NotObserved, "it has not been looked at yet");
    };
    let failure = world.ledger.get(id).and_then(|record| record.failure.as_ref());
    match (Look { world, id, spec, found }).due() {
        Due::Nothing => Readiness::ready(Reason::AsDesired),
        Due::Taken(gate) => Readiness::not_ready(gate.reason(), gate.to_string()),
        Due::Write { .. } => match (failure, found) {
            (Some(failure), _) => Readiness::not_ready(failure.reason, failure.message.clone()),
            (None, ObservedFile::Absent) => Readiness::progressing(Reason::Missing, "it is not written yet"),
            (None, ObservedFile::Present { .. } | ObservedFile::Obstructed { .. }) => {
                Readiness::progressing(Reason::FingerprintDiffers, "it is not as the file says yet")
            }
        },
    }
}

/// What is in it, as the run of a thing that does not run: who mounts it looks again when this changes.
pub(super) fn incarnation(world: &World<'_>, id: &ResourceId) -> Option<Incarnation> {
    let hash = content_on_disk(world, id)?;
    Some(Incarnation(hash.0))
}

/// What is in the file `id` now, as far as it is known.
pub(super) fn content_on_disk(world: &World<'_>, id: &ResourceId) -> Option<ContentHash> {
    let spec = world.desired.files.get(id)?;
    match world.observed.own_files.get(&spec.path)? {
        ObservedFile::Present { content, .. } => Some(content.hash().clone()),
        ObservedFile::Absent | ObservedFile::Obstructed { .. } => None,
    }
}

/// Where `id` is, or was written by an earlier file.
#[must_use]
pub fn file_path(world: &World<'_>, id: &ResourceId) -> Option<String> {
    let wanted = world.desired.files.get(id).map(|spec| spec.path.clone());
    wanted.or_else(|| remembered(world, id).path)
}

/// What is to be done with one file.
enum Due {
    Nothing,
    /// Somebody else has something in its place.
    Taken(Gate),
    Write {
        over: Option<ContentHash>,
        cause: Cause,
    },
}

/// A file of the platform, and what is in its place.
struct Look<'a> {
    world: &'a World<'a>,
    id: &'a ResourceId,
    spec: &'a FileSpec,
    found: &'a ObservedFile,
}

impl Look<'_> {
    fn due(&self) -> Due {
        let record = remembered(self.world, self.id);
        let wanted = self.spec.content.hash();
        match self.found {
            ObservedFile::Absent => {
                let was_there = record.written.as_ref() == Some(wanted) && record.writing.is_none();
                let cause = if was_there { Cause::FileMeddledWith } else { Cause::Missing };
                Due::Write { over: None, cause }
            }
            ObservedFile::Obstructed { what } => Due::Taken(self.taken(what)),
            ObservedFile::Present { content, .. } if *content == self.spec.content && self.has_access() => {
                Due::Nothing
            }
            ObservedFile::Present { content, .. } => {
                if !is_ours(&record, &self.spec.path, content.hash()) {
                    return Due::Taken(self.taken("a file that is not of aiplatd's writing"));
                }
                // Of ours, or what somebody has made of ours since.
                let last = record.writing.filter(|it| it == content.hash()).or(record.written);
                let cause = if last.as_ref() == Some(wanted) {
                    Cause::FileMeddledWith
                } else {
                    let (added, removed) = content.lines_changed(&self.spec.content);
                    Cause::ContentDiffers { added, removed }
                };
                Due::Write { over: Some(content.hash().clone()), cause }
            }
        }
    }

    /// Whether mode and owner are as they should be.
    fn has_access(&self) -> bool {
        let FileSpec { mode, uid, gid, .. } = self.spec;
        match self.found {
            ObservedFile::Present { mode: has, uid: owner, gid: group, .. } => {
                has == mode && uid.is_none_or(|uid| uid == *owner) && gid.is_none_or(|gid| gid == *group)
            }
            ObservedFile::Absent | ObservedFile::Obstructed { .. } => false,
        }
    }

    fn taken(&self, what: &str) -> Gate {
        let FileSpec { config, path, .. } = self.spec;
        let message = format!(
            "the place of the config `{config}` is taken: {path} is {what}; look at it, and if it may go, remove it: aiplatd \
             then writes its own"
        );
        Gate::NameTaken { reason: Reason::NameTaken, message }
    }
}

fn remembered(world: &World<'_>, id: &ResourceId) -> FileRecord {
    world.ledger.get(id).map(|record| record.file.clone()).unwrap_or_default()
}

/// Whether what was found at `path` is of our writing, or was before somebody changed it.
fn is_ours(record: &FileRecord, path: &str, found: &ContentHash) -> bool {
    record.path.as_deref() == Some(path)
        && (record.written.is_some() || record.writing.as_ref() == Some(found))
}

/// No service wants it any more: what we wrote goes, once no container mounts it.
fn undesired(world: &World<'_>, id: &ResourceId) -> Step {
    let record = remembered(world, id);
    let Some(path) = &record.path else { return Step::converged() };
    let content = match world.observed.own_files.get(path) {
        None => return Step::progressing(),
        Some(ObservedFile::Present { content, .. }) if is_ours(&record, path, content.hash()) => content,
        // Gone already, or not of our writing.
        Some(ObservedFile::Present { .. } | ObservedFile::Absent | ObservedFile::Obstructed { .. }) => {
            return Step::converged();
        }
    };
    let message = "it is no longer in the file";
    let conditions = vec![
        Condition::abnormal(ConditionType::Accepted, Reason::NotInFile, message),
        Condition::abnormal(
            ConditionType::Ready,
            Reason::NotInFile,
            format!("{message} and is being removed"),
        ),
    ];
    if let Some(step) = container::engine_away(world) {
        return step;
    }
    if let Some(gate) = container::removal_gate(world).or_else(|| still_mounted(world, path)) {
        return Step::blocked(world, vec![gate]).with(conditions);
    }
    let action = Action::RemoveFile { path: path.clone(), content: content.hash().clone() };
    Step::act(action, Cause::NotInFile).with(conditions)
}

/// A container that mounts it, running or not: it could not be started again.
fn still_mounted(world: &World<'_>, path: &str) -> Option<Gate> {
    let containers = world.observed.owned.values().flatten().chain(&world.observed.foreign);
    let mut users = containers.filter(|it| it.mounts.iter().any(|mount| mount.bind.as_deref() == Some(path)));
    users.next().map(|user| Gate::StillUsed { by: format!("container `{}`", user.name) })
}

/// What `step` changes in the record of the file `id`.
pub(super) fn entries(world: &World<'_>, id: &ResourceId, step: &Step) -> Vec<Entry> {
    debug_assert_eq!(id.kind, Kind::File);
    let before = remembered(world, id);
    let mut after = before.clone();
    let found = before.path.as_ref().and_then(|path| world.observed.own_files.get(path));
    if let Some(ObservedFile::Present { content, .. }) = found
        && after.writing.as_ref() == Some(content.hash())
    {
        after.written = after.writing.take();
    }
    if let Some(Action::WriteFile(write)) = step.action.as_ref().map(|planned| &planned.action) {
        if after.path.as_ref() != Some(&write.spec.path) {
            after = FileRecord { path: Some(write.spec.path.clone()), ..FileRecord::default() };
        }
        after.writing = Some(write.spec.content.hash().clone());
    }
    let mut entries: Vec<Entry> = fight::revert(world, id, step).map(Entry::Reverted).into_iter().collect();
    entries.extend((after != before).then_some(Entry::File(after)));
    entries
}
