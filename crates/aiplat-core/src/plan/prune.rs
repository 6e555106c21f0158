//! Volumes that outlive their entry in the file. No plan removes one: whether a person's word may is decided here.

use std::fmt;

use super::{World, gate};
use crate::{
    ResourceId,
    observed::{ObservedContainer, ObservedVolume, Ownership},
    spec::Removals,
};

/// Why nothing that the file in force does not name goes while the file on disk is not in force.
pub const FILE_REFUSED: &str =
    "the file on disk is not in force, and may name it; correct that first (`aiplatctl validate`)";

/// Why a volume is not removed although somebody has named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// There is none of that name.
    NoSuch(String),
    /// It is there and stays.
    Stays(String),
}

/// Volumes of ours that no entry of the file names any more.
pub fn left_volumes<'a>(world: &World<'a>) -> impl Iterator<Item = (&'a ObservedVolume, &'a Ownership)> {
    let World { desired, observed, .. } = *world;
    observed.volumes.values().filter_map(move |volume| {
        let owner = volume.owner.as_ref().filter(|owner| owner.instance == desired.instance)?;
        let is_named = desired.volumes.values().any(|spec| spec.host_name == volume.name);
        (!is_named).then_some((volume, owner))
    })
}

/// A container, ours or not, running or not, that has the volume `name` mounted, in words.
#[must_use]
pub fn mounted_by(world: &World<'_>, name: &str) -> Option<String> {
    let mut all = world.observed.owned.values().flatten().chain(&world.observed.foreign);
    let mounts = |container: &&ObservedContainer| {
        container.mounts.iter().any(|mount| mount.volume.as_deref() == Some(name))
    };
    all.find(mounts).map(|user| gate::describe(world, user))
}

/// Whether the volume that the engine calls `name` may be removed, and whose it was.
///
/// # Errors
/// Why it is kept.
pub fn removable_volume(world: &World<'_>, name: &str) -> Result<ResourceId, Kept> {
    let Some(volume) = world.observed.volumes.get(name) else {
        let same_key = left_volumes(world).find(|(_, owner)| owner.resource.key() == name);
        let next = match same_key {
            Some((volume, _)) => format!("name it as the engine does: `{}`", volume.name),
            None => "`aiplatctl prune` lists those that can be removed".to_owned(),
        };
        return Err(Kept::NoSuch(format!("there is no volume `{name}` on this machine; {next}")));
    };
    let stays = |because: String| Err(Kept::Stays(format!("volume `{name}` stays: {because}")));
    let entry = world.desired.volumes.iter().find(|(_, spec)| spec.host_name == name);
    if let Some((id, _)) = entry {
        return stays(format!("it is in the file ({id}); take it out of the file first"));
    }
    let Some(owner) = volume.owner.as_ref().filter(|owner| owner.instance == world.desired.instance) else {
        return stays(format!("{}; if its data may go, run `docker volume rm {name}`", foreign(volume)));
    };
    match world.desired.removals {
        Removals::AwaitConfirmation => {
            return stays("what the file takes away waits for `aiplatctl apply --confirm`".to_owned());
        }
        Removals::WhenFileIsGood => return stays(FILE_REFUSED.to_owned()),
        Removals::From(at) if at > world.now => {
            return stays("the file has been changed this very moment; say it again".to_owned());
        }
        Removals::From(_) => {}
    }
    if let Some(user) = mounted_by(world, name) {
        return stays(format!(
            "it is mounted in {user}; remove that container first, even if it does not run"
        ));
    }
    Ok(owner.resource.clone())
}

fn foreign(volume: &ObservedVolume) -> String {
    match (&volume.owner, &volume.compose) {
        (Some(owner), _) => format!("it belongs to another aiplatd, instance {}", owner.instance),
        (None, Some(origin)) => format!("it belongs to Docker Compose's project `{}`", origin.project),
        (None, None) => "it does not carry our labels".to_owned(),
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuch(sentence) | Self::Stays(sentence) => f.write_str(sentence),
        }
    }
}
