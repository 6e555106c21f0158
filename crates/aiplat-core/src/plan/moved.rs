//! Tags move. A container is of the image that its tag meant when it was made, and stays so until a person says `update`:
//! a tag that moves by itself recreates nothing.

use super::{Members, World};
use crate::{
    ResourceId,
    observed::{ObservedContainer, ObservedImage},
    spec::ContainerSpec,
};

/// A service whose container is not of the image that its tag means now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// What it runs, by content id.
    pub runs: String,
    /// What the tag means now, by content id.
    pub now: String,
}

/// Whether the tag of the service `id` means another image on this machine than its container was made from.
#[must_use]
pub fn moved(world: &World<'_>, id: &ResourceId) -> Option<Moved> {
    let spec = world.desired.containers.get(id)?;
    let current = Members::of(world, id, spec).current?;
    let now = image_now(world, id)?;
    // One of an earlier file may be of another reference altogether.
    (is_of_same_file(current, spec) && !current.image_id.is_empty() && current.image_id != now)
        .then(|| Moved { runs: current.image_id.clone(), now: now.to_owned() })
}

/// What the tag of the service `id` means on this machine, by content id.
#[must_use]
pub fn image_now<'a>(world: &World<'a>, id: &ResourceId) -> Option<&'a str> {
    let spec = world.desired.containers.get(id)?;
    match world.observed.images.get(&spec.runtime.image)? {
        ObservedImage::Present { id, .. } if !id.is_empty() => Some(id),
        ObservedImage::Present { .. } | ObservedImage::Absent => None,
    }
}

/// The image that an update asks for, as long as the tag still means it: what it has moved on to was not ordered.
pub(super) fn ordered<'a>(world: &World<'a>, id: &ResourceId) -> Option<&'a str> {
    let wanted = world.ledger.get(id)?.orders.image.as_deref()?;
    (image_now(world, id) == Some(wanted)).then_some(wanted)
}

/// Whether `container` was made before the update that was ordered.
pub(super) fn is_outdated(world: &World<'_>, id: &ResourceId, container: &ObservedContainer) -> bool {
    !container.image_id.is_empty() && ordered(world, id).is_some_and(|wanted| container.image_id != wanted)
}

/// Whether the reference of `id` means another image on this machine than `container` was made from.
pub(super) fn is_of_another_image(world: &World<'_>, id: &ResourceId, container: &ObservedContainer) -> bool {
    !container.image_id.is_empty() && image_now(world, id).is_some_and(|now| now != container.image_id)
}

/// Whether `container` differs from the file in nothing but the image that its tag means.
pub(super) fn is_of_same_file(container: &ObservedContainer, spec: &ContainerSpec) -> bool {
    container.fingerprint().is_some_and(|print| print.matches(&spec.runtime))
}
