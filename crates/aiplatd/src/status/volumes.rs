//! Volumes and paths of the machine: what they take, and the room that there is for them.

use aiplat_api::v1::{HostPathStatus, VolumeGrowth, VolumeUsage};
use aiplat_core::{
    observed::Growth,
    plan::{self, Pressure, World},
};

/// Of the volume that the engine calls `name`.
pub(super) fn usage(world: &World<'_>, name: &str) -> VolumeUsage {
    let sizes = &world.observed.volume_sizes;
    let size = sizes.size(name);
    let Around { mount, free, pressure } =
        plan::volume_place(world, name).map(|place| around(world, &place)).unwrap_or_default();
    VolumeUsage {
        size: size.map(|size| size.bytes),
        measured_secs_ago: size.map(|size| world.now.since(size.at).as_secs()),
        growth: sizes.growth(name).map(|Growth { bytes, over }| VolumeGrowth { bytes, secs: over.as_secs() }),
        mount,
        free,
        pressure,
    }
}

/// Those that services write to.
pub(super) fn host_paths(world: &World<'_>) -> Vec<HostPathStatus> {
    let path = |(path, users): (String, std::collections::BTreeSet<String>)| {
        let Around { mount, free, pressure } = around(world, &path);
        HostPathStatus { path, mount, free, pressure, used_by: users.into_iter().collect() }
    };
    plan::host_paths(world).into_iter().map(path).collect()
}

/// The file system that something is on.
#[derive(Default)]
struct Around {
    mount: Option<String>,
    free: Option<u64>,
    pressure: Option<Pressure>,
}

fn around(world: &World<'_>, place: &str) -> Around {
    let Some((mount, file_system)) = world.observed.machine.file_system_of(place) else {
        return Around::default();
    };
    Around {
        mount: Some(mount.to_owned()),
        free: file_system.room.map(|room| room.free),
        pressure: plan::pressure(file_system, world.desired.host.disk_pressure),
    }
}
