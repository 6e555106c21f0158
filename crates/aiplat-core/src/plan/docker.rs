//! `host/docker`: the engine's own settings, where the file takes charge of them (`host.docker.manage`). What `daemon.json`
//! lacks is added; what it has stays, for the administrator put it there. What is there is kept in a file beside it before it is
//! changed, and the engine is never restarted: that is a person's to do, and said.

mod settings;

use super::{Cause, Readiness, Step, World};
use crate::{
    ResourceId,
    action::{Action, WriteFile},
    condition::{Condition, ConditionType, Reason},
    observed::{EngineSettings, ObservedFile, ObservedState},
    spec::{Content, DockerSpec, FileSpec, Platform},
};

use settings::{Merged, merged};

/// The engine's own file.
pub const DAEMON_JSON: &str = "/etc/docker/daemon.json";
/// Of one that was not there before.
const MODE: u32 = 0o644;

/// The files that are looked at: the engine's own, and the place in which what is there now is kept before it is changed.
#[must_use]
pub fn docker_files(desired: &Platform, observed: &ObservedState) -> Vec<String> {
    if desired.host.docker.is_none() {
        return Vec::new();
    }
    let found = observed.own_files.get(DAEMON_JSON);
    let copy = found.and_then(content).map(|content| copy_path(&content));
    std::iter::once(DAEMON_JSON.to_owned()).chain(copy).collect()
}

fn content(found: &ObservedFile) -> Option<Content> {
    match found {
        ObservedFile::Present { content, .. } => Some(content.clone()),
        ObservedFile::Absent | ObservedFile::Obstructed { .. } => None,
    }
}

/// Each content has a copy of its own: none is written over.
fn copy_path(content: &Content) -> String {
    let hash = &content.hash().0;
    format!("{DAEMON_JSON}.before-{}", hash.get(..12).unwrap_or(hash))
}

pub(super) fn plan(world: &World<'_>) -> Step {
    let Some(spec) = world.desired.host.docker else { return Step::converged() };
    let accepted = Condition::normal(ConditionType::Accepted, Reason::InFile);
    let due = due(world, spec);
    let Readiness { status, reason, message, .. } = due.readiness();
    let ready = Condition { kind: ConditionType::Ready, status, reason, message: message.clone() };
    let mut conditions = vec![accepted];
    conditions.extend(due.others);
    conditions.push(ready);
    let step = match due.next {
        Next::Unknown(_) => Step::progressing(),
        Next::Nothing => Step::converged(),
        Next::Refused(..) => Step::unsatisfied(reason, message),
        Next::Write { write, cause } => Step::act(Action::WriteFile(Box::new(write)), cause),
    };
    step.with(conditions)
}

pub(super) fn readiness(world: &World<'_>) -> Readiness {
    match world.desired.host.docker {
        Some(spec) => due(world, spec).readiness(),
        None => Readiness::not_ready(Reason::NotInFile, "it is not in the file"),
    }
}

/// What a person should know of before the file is changed.
pub(super) fn notes(world: &World<'_>) -> Vec<String> {
    let Some(spec) = world.desired.host.docker else { return Vec::new() };
    let Due { next, others } = due(world, spec);
    let mut notes: Vec<String> =
        others.into_iter().filter(|it| !it.is_normal()).map(|condition| condition.message).collect();
    if let Next::Write { .. } = next {
        notes.push("the engine reads it at its next restart, which is left to you".to_owned());
    }
    notes
}

/// What is to be done, and what is to be said beside that.
struct Due {
    next: Next,
    others: Vec<Condition>,
}

enum Next {
    Unknown(&'static str),
    Nothing,
    Refused(Reason, String),
    Write { write: WriteFile, cause: Cause },
}

impl Due {
    fn readiness(&self) -> Readiness {
        match &self.next {
            Next::Unknown(what) => Readiness::unknown(Reason::NotObserved, *what),
            Next::Nothing => Readiness::ready(Reason::AsDesired),
            Next::Refused(reason, message) => Readiness::not_ready(*reason, message.clone()),
            Next::Write { cause, .. } => {
                Readiness::progressing(Reason::FingerprintDiffers, format!("{DAEMON_JSON}: {cause}"))
            }
        }
    }
}

fn due(world: &World<'_>, spec: DockerSpec) -> Due {
    let only = |next| Due { next, others: Vec::new() };
    let Some(found) = world.observed.own_files.get(DAEMON_JSON) else {
        return only(Next::Unknown("the engine's file has not been looked at yet"));
    };
    // What may be added depends on how it runs: a swarm, flags of its own.
    let Some(engine) = &world.observed.engine.settings else {
        return only(Next::Unknown("the engine has not said yet how it is set up"));
    };
    if let ObservedFile::Obstructed { what } = found {
        let message = format!(
            "{DAEMON_JSON} is {what}: it is left alone; put a plain file there, or take `host.docker` out"
        );
        return only(Next::Refused(Reason::NameTaken, message));
    }
    let before = content(found);
    let wanted = settings::wanted(world, spec, engine);
    let merged = match merged(before.as_ref().map(Content::bytes).unwrap_or_default(), &wanted) {
        Ok(merged) => merged,
        Err(why) => {
            let message = format!(
                "{DAEMON_JSON} is no valid JSON ({why}), and is left alone: the engine would not start with it; mend it, \
                 `python3 -m json.tool {DAEMON_JSON}` shows where"
            );
            return only(Next::Refused(Reason::SettingsInvalid, message));
        }
    };
    let mut others = vec![overridden(&merged, &wanted.left_out), restart_required(&merged, engine)];
    let next = match next(world, found, before, &merged) {
        Some(next) => next,
        None => wanted.missing.map_or(Next::Nothing, |message| Next::Refused(Reason::ToolMissing, message)),
    };
    // Before it is written there is nothing to restart for.
    others
        .retain(|it| it.kind != ConditionType::EngineRestartRequired || !matches!(next, Next::Write { .. }));
    Due { next, others }
}

/// What is written next: first the copy of what is there, then the file.
fn next(world: &World<'_>, found: &ObservedFile, before: Option<Content>, merged: &Merged) -> Option<Next> {
    if merged.added.is_empty() {
        return None;
    }
    let (mode, uid, gid) = match found {
        ObservedFile::Present { mode, uid, gid, .. } => (*mode, Some(*uid), Some(*gid)),
        ObservedFile::Absent | ObservedFile::Obstructed { .. } => (MODE, None, None),
    };
    let file = |path: String, content| FileSpec { config: String::new(), path, content, mode, uid, gid };
    if let Some(before) = &before {
        let path = copy_path(before);
        match world.observed.own_files.get(&path) {
            None => {
                return Some(Next::Unknown(
                    "the place for a copy of the engine's file has not been looked at yet",
                ));
            }
            Some(ObservedFile::Present { content, .. }) if content == before => {}
            Some(ObservedFile::Absent) => {
                let write = WriteFile { spec: file(path, before.clone()), over: None };
                return Some(Next::Write { write, cause: Cause::KeptBefore });
            }
            Some(ObservedFile::Present { .. } | ObservedFile::Obstructed { .. }) => {
                let message = format!("{path}, where a copy is to be kept, is something else: move it away");
                return Some(Next::Refused(Reason::NameTaken, message));
            }
        }
    }
    let write = WriteFile {
        spec: file(DAEMON_JSON.to_owned(), Content::new(merged.text.clone().into_bytes())),
        over: before.map(|before| before.hash().clone()),
    };
    Some(Next::Write { write, cause: Cause::EngineSettings { added: merged.added.clone() } })
}

/// What the administrator, or the machine, has the last word on.
fn overridden(merged: &Merged, left_out: &[String]) -> Condition {
    let kind = ConditionType::Overridden;
    let kept = merged.kept.iter().map(|it| format!("{it}: that stays"));
    let all: Vec<String> = kept.chain(left_out.iter().cloned()).collect();
    if all.is_empty() {
        return Condition::normal(kind, Reason::AsDesired);
    }
    Condition::abnormal(kind, Reason::SetOtherwise, format!("{DAEMON_JSON}: {}", all.join("; ")))
}

/// What the engine says of itself against what its file says.
fn restart_required(merged: &Merged, engine: &EngineSettings) -> Condition {
    let kind = ConditionType::EngineRestartRequired;
    let unread = settings::unread(&merged.settings, engine);
    if unread.is_empty() {
        return Condition::normal(kind, Reason::AsDesired);
    }
    let what_ends = if engine.live_restore {
        "containers outlive it"
    } else {
        "it ends all containers, which aiplatd then starts again in their order"
    };
    let message = format!(
        "the engine does not run with what {DAEMON_JSON} has ({}): `sudo systemctl restart docker` when it suits you ({what_ends}); \
         aiplatd never does that",
        unread.join(", ")
    );
    Condition::abnormal(kind, Reason::EngineRestartRequired, message)
}

/// Whether `id` is this resource.
pub(super) fn is_it(id: &ResourceId) -> bool {
    *id == ResourceId::docker()
}
