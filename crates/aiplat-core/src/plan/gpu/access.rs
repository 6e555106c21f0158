//! How a container gets at its GPUs: by the Container Device Interface where engine and specification allow it, for what was
//! given in that way survives a reload of systemd; by the engine's device requests otherwise.

use std::collections::BTreeSet;

use super::{Closed, Given, GivenGpus, Grant, is_chosen};
use crate::{
    ResourceId,
    condition::Reason,
    observed::{CdiSpec, GpuId, ObservedGpu},
    plan::World,
    spec::{CDI_KIND, DeviceRequest, GpuNeeds, GpuRequest, WantedGpus},
};

/// Writes the specification anew, for the driver that is loaded.
const REFRESH: &str = "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml";

/// What a container with `gpus` is made with.
pub(super) fn grant(
    world: &World<'_>,
    id: &ResourceId,
    requests: &[GpuRequest],
    gpus: BTreeSet<GpuId>,
) -> Result<Grant, Closed> {
    // All there are, whatever they are: what Compose means by it.
    let all = requests.iter().all(|request| request.wanted == WantedGpus::All && !narrows(request));
    let given = if all { Given::All } else { Given::These(gpus) };
    if !is_chosen(requests) {
        let cdi = uses_cdi(world, id);
        if cdi && let Some(closed) = unusable(world, &given) {
            return Err(closed);
        }
        if !cdi {
            runtime(world, id)?;
        }
        return Ok(Grant { given: GivenGpus { gpus: given, cdi }, requests: None });
    }
    let mut granted = without_gpus(world, id);
    if let Some(names) = cdi_names(world, &given) {
        granted.push(DeviceRequest {
            driver: Some("cdi".to_owned()),
            device_ids: names,
            ..DeviceRequest::default()
        });
        return Ok(Grant { given: GivenGpus { gpus: given, cdi: true }, requests: Some(granted) });
    }
    toolkit(world)?;
    if all {
        return Ok(Grant { given: GivenGpus { gpus: given, cdi: false }, requests: None });
    }
    let (mut capabilities, mut options) = (BTreeSet::new(), std::collections::BTreeMap::new());
    for request in of_gpus(world, id) {
        capabilities.extend(request.capabilities.iter().cloned());
        options.extend(request.options.clone());
    }
    let device_ids = match &given {
        Given::These(gpus) => gpus.iter().map(|gpu| gpu.0.clone()).collect(),
        Given::All | Given::None => Vec::new(),
    };
    granted.push(DeviceRequest {
        driver: Some("nvidia".to_owned()),
        count: 0,
        device_ids,
        capabilities: capabilities.into_iter().collect(),
        options,
    });
    Ok(Grant { given: GivenGpus { gpus: given, cdi: false }, requests: Some(granted) })
}

/// How the engine is set up to hand out GPUs, in a text that is only compared.
pub(super) fn set_up(world: &World<'_>) -> String {
    let settings = world.observed.engine.settings.as_ref();
    let tools = world.observed.machine.nvidia_tools.as_ref();
    let specs = tools.map(|tools| {
        tools.cdi_specs.iter().map(|(path, it)| format!("{path} {:?} {:?}", it.driver, it.broken))
    });
    format!(
        "{:?} {:?} {:?} {:?}",
        settings.map(|it| (&it.version, &it.runtimes, &it.cdi_dirs)),
        tools.map(|tools| &tools.program),
        specs.map(Iterator::collect::<Vec<_>>),
        world.observed.gpus.nvidia.version()
    )
}

/// Whether a card may be in the machine and not fit.
fn narrows(request: &GpuRequest) -> bool {
    let GpuNeeds { min_vram, min_compute_capability, min_driver: _, vram, optional: _ } = &request.needs;
    min_vram.is_some() || min_compute_capability.is_some() || vram.is_some()
}

fn of_gpus<'a>(world: &World<'a>, id: &ResourceId) -> impl Iterator<Item = &'a DeviceRequest> + use<'a> {
    let spec = world.desired.containers.get(id);
    let requests = spec.map(|spec| spec.runtime.options.hardware.requests.as_slice()).unwrap_or_default();
    requests.iter().filter(|request| request.is_for_gpus())
}

/// What it asks of other drivers.
pub(super) fn without_gpus(world: &World<'_>, id: &ResourceId) -> Vec<DeviceRequest> {
    let spec = world.desired.containers.get(id);
    let requests = spec.map(|spec| spec.runtime.options.hardware.requests.as_slice()).unwrap_or_default();
    requests.iter().filter(|request| !request.is_for_gpus()).cloned().collect()
}

fn uses_cdi(world: &World<'_>, id: &ResourceId) -> bool {
    let spec = world.desired.containers.get(id);
    let runtime = spec.and_then(|spec| spec.runtime.options.process.runtime.as_deref());
    runtime != Some("nvidia")
}

/// NVIDIA's specifications where this engine reads them.
fn specs<'a>(world: &World<'a>) -> Vec<(&'a str, &'a CdiSpec)> {
    let dirs = world.observed.engine.settings.as_ref().and_then(|settings| settings.cdi_dirs.as_ref());
    let (Some(dirs), Some(tools)) = (dirs, &world.observed.machine.nvidia_tools) else { return Vec::new() };
    let is_read =
        |path: &str| dirs.iter().any(|dir| path.starts_with(&format!("{}/", dir.trim_end_matches('/'))));
    let found = tools.cdi_specs.iter().filter(|(path, spec)| spec.kind == CDI_KIND && is_read(path));
    found.map(|(path, spec)| (path.as_str(), spec)).collect()
}

/// Made for another driver than the one that is loaded: its paths lead nowhere, or to the wrong libraries.
pub(super) fn stale_for(spec: &CdiSpec, loaded: Option<&str>) -> Option<String> {
    let made_for = spec.driver.as_deref()?;
    (loaded? != made_for).then(|| made_for.to_owned())
}

fn usable<'a>(world: &World<'a>) -> Option<&'a CdiSpec> {
    let loaded = world.observed.gpus.nvidia.version();
    let fits = |spec: &&CdiSpec| spec.broken.is_none() && stale_for(spec, loaded).is_none();
    specs(world).into_iter().map(|(_, spec)| spec).find(fits)
}

/// The names of `given` in the Container Device Interface, if the engine and a specification know all of them.
fn cdi_names(world: &World<'_>, given: &Given) -> Option<Vec<String>> {
    let spec = usable(world)?;
    let listed = |name: &str| spec.devices.iter().any(|device| device == name);
    let name = |id: &GpuId| {
        let index = world.observed.gpus.gpus.get(id).and_then(|gpu: &ObservedGpu| gpu.index);
        // By its number only where the specification has no UUIDs at all: numbers may change with a boot.
        let by_index = index.map(|index| index.to_string()).filter(|_| {
            world.observed.gpus.gpus.len() == 1
                && !spec.devices.iter().any(|device| device.starts_with("GPU-"))
        });
        [Some(id.0.clone()), by_index].into_iter().flatten().find(|name| listed(name))
    };
    let names: Option<Vec<String>> = match given {
        Given::None => None,
        Given::All => listed("all").then(|| vec!["all".to_owned()]),
        Given::These(gpus) => gpus.iter().map(name).collect(),
    };
    Some(names?.into_iter().map(|name| format!("{CDI_KIND}={name}")).collect())
}

/// Why a container that was given its GPUs by the Container Device Interface cannot be started now.
pub(super) fn unusable(world: &World<'_>, given: &Given) -> Option<Closed> {
    // Without knowing what the engine reads, nothing is known to be wrong with it.
    world.observed.engine.settings.as_ref()?.cdi_dirs.as_ref()?;
    world.observed.machine.nvidia_tools.as_ref()?;
    if *given == Given::None || cdi_names(world, given).is_some() || usable(world).is_some() {
        return None;
    }
    let loaded = world.observed.gpus.nvidia.version();
    let all = specs(world);
    let closed = |message: String| Some(Closed::new(Reason::CDISpecStale, message));
    let Some((path, spec)) = all.first() else {
        return closed(format!(
            "the engine knows no GPU by the Container Device Interface any more: no specification is left; `{REFRESH}`"
        ));
    };
    if let Some(why) = &spec.broken {
        return closed(format!("{path} cannot be read ({why}): `{REFRESH}`"));
    }
    stale_for(spec, loaded).and_then(|made_for| {
        closed(format!(
            "{path} was made for driver {made_for}, and {} is loaded: `{REFRESH}`",
            loaded.unwrap_or("another")
        ))
    })
}

/// The engine's own requests need NVIDIA's toolkit.
fn toolkit(world: &World<'_>) -> Result<(), Closed> {
    let Some(tools) = &world.observed.machine.nvidia_tools else { return Ok(()) };
    if tools.program.is_some() {
        return Ok(());
    }
    if let Some(closed) = unusable(world, &Given::All) {
        return Err(closed);
    }
    Err(Closed::new(
        Reason::GPURuntimeMissing,
        "the engine cannot hand out GPUs: NVIDIA's container toolkit is not installed; `sudo apt install \
         nvidia-container-toolkit` from NVIDIA's repository, then `sudo nvidia-ctk runtime configure --runtime=docker && sudo \
         systemctl restart docker`",
    ))
}

/// The runtime that `runtime: nvidia` names.
fn runtime(world: &World<'_>, id: &ResourceId) -> Result<(), Closed> {
    let Some(settings) = &world.observed.engine.settings else { return Ok(()) };
    if uses_cdi(world, id) || settings.runtimes.iter().any(|known| known == "nvidia") {
        return Ok(());
    }
    toolkit(world)?;
    Err(Closed::new(
        Reason::GPURuntimeMissing,
        "the engine has no runtime `nvidia`: `sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker`",
    ))
}
