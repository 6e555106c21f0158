//! Whether a service computes on the GPUs that it has. A program that finds none as a rule says so in a line of its log, goes on
//! with the CPU, and is called healthy by everybody.

use std::time::Duration;

use super::{Allocation, allocation, memory, requests, runs_with};
use crate::{
    ResourceId, bytes,
    condition::{Condition, ConditionType, Reason, Status},
    observed::{GpuId, Incarnation, LoadedModel},
    plan::{World, incarnation, model, readiness},
    secret::redacted_line,
};

/// Programs say how they are set up within this of their start, and it is looked for once a run.
const SAID_WITHIN: Duration = Duration::from_secs(15);
/// One that takes its memory at its start has it by then.
const TAKEN_WITHIN: Duration = Duration::from_secs(300);

/// What programs write when they have found no GPU; in small letters. Ollama: `discover/gpu.go`, `discover/types.go`. PyTorch and
/// llama.cpp: their own warnings.
const WORDS: [&str; 7] = [
    "no compatible gpus were discovered",
    "msg=\"inference compute\" id=cpu",
    "library=cpu",
    "no usable gpu found",
    "torch not compiled with cuda enabled",
    "cuda initialization: ",
    "no cuda-capable device is detected",
];

/// The log of a run that is to be read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogCheck {
    /// The run.
    pub run: Incarnation,
    /// For how long it has been running.
    pub running: Duration,
}

/// The log of `id` that is to be read for words of a GPU that was not found, if it was not yet.
#[must_use]
pub fn log_due(world: &World<'_>, id: &ResourceId) -> Option<LogCheck> {
    if requests(world, id).is_empty() || !matches!(allocation(world, id), Allocation::Granted(_)) {
        return None;
    }
    let run = incarnation(world, id)?;
    let running = running(world, id)?;
    let is_read = world.observed.log_words.get(id).is_some_and(|known| known.run == run);
    (!is_read && running >= SAID_WITHIN).then_some(LogCheck { run, running })
}

/// For how long the present run of `id` has been seen to run.
fn running(world: &World<'_>, id: &ResourceId) -> Option<Duration> {
    let sighting = match world.desired.units.get(id) {
        Some(spec) => world.observed.unit_sightings.get(spec.main())?,
        None => {
            let members = world.observed.owned.get(id)?;
            let alive = members.iter().find(|member| member.state.is_alive())?;
            world.observed.sightings.get(&alive.id)?
        }
    };
    Some(world.now.since(sighting.running_since?))
}

/// The line that tells of a GPU that was not found.
#[must_use]
pub fn word_of_cpu<'a>(lines: impl Iterator<Item = &'a str>) -> Option<String> {
    let tells = |line: &&str| {
        let line = line.to_ascii_lowercase();
        WORDS.iter().any(|word| line.contains(word))
    };
    lines.into_iter().find(tells).map(|line| redacted_line(line, []))
}

/// Whether `id` computes on its GPU; nothing where that cannot be told.
pub(in crate::plan) fn condition(world: &World<'_>, id: &ResourceId) -> Option<Condition> {
    if requests(world, id).is_empty() || readiness(world, id).status != Status::True {
        return None;
    }
    let Allocation::Granted(gpus) = allocation(world, id) else { return None };
    let kind = ConditionType::GPUInUse;
    let no = |message: String| Some(Condition::abnormal(kind, Reason::OnCPU, message));
    // Whoever is blind is told of as that, and healed.
    if super::sight::blind(world, id).is_some() {
        return None;
    }
    let loaded = model::loaded(world, id).unwrap_or_default();
    if let Some(model) = loaded.iter().find(|it| it.size_vram == 0 && it.size > 0) {
        return no(format!(
            "{} is in memory and not on the GPU, though {}: it runs on the CPU, many times slower{}",
            model.name,
            free(world, &gpus),
            said(world, id).map(|line| format!("; it has said: {line}")).unwrap_or_default()
        ));
    }
    if let Some(model) = loaded.first() {
        return Some(Condition { message: share(model), ..Condition::normal(kind, Reason::Present) });
    }
    if let Some(line) = said(world, id) {
        return no(format!(
            "it has found no GPU at its start, though {}, and runs on the CPU, many times slower: {line}; `aiplatctl restart {}` \
             lets it look again",
            free(world, &gpus),
            id.key()
        ));
    }
    let idle = memory::declared(world, id).is_some()
        && running(world, id)? >= TAKEN_WITHIN
        && !serves_models(world, id)
        && unused(world, id, &gpus)?;
    if idle {
        return no(
            "it says that it takes memory of its GPU (`vram`), and none of its processes is on it".to_owned()
        );
    }
    None
}

fn said(world: &World<'_>, id: &ResourceId) -> Option<String> {
    let known = world.observed.log_words.get(id)?;
    (incarnation(world, id).as_ref() == Some(&known.run)).then(|| known.line.clone())?
}

/// Whether it takes memory of the GPU only while a model is in use.
fn serves_models(world: &World<'_>, id: &ResourceId) -> bool {
    world.desired.models.values().any(|spec| spec.runner == *id)
}

/// Whether the driver lists its processes on none of `gpus`; `None`: it does not list any.
fn unused(world: &World<'_>, id: &ResourceId, gpus: &std::collections::BTreeSet<GpuId>) -> Option<bool> {
    runs_with(world, id)?;
    let mut all = gpus.iter().map(|gpu| {
        let observed = world.observed.gpus.gpus.get(gpu)?;
        observed.processes.as_ref()?;
        Some(!memory::has_process(world, id, observed))
    });
    all.try_fold(true, |unused, one| Some(unused && one?))
}

fn free(world: &World<'_>, gpus: &std::collections::BTreeSet<GpuId>) -> String {
    let free = gpus.iter().filter_map(|gpu| {
        let memory = world.observed.gpus.gpus.get(gpu)?.memory?;
        Some(format!("{} has {} free", gpu.short(), bytes::human(memory.free)))
    });
    let free: Vec<String> = free.collect();
    if free.is_empty() { "it has a GPU".to_owned() } else { free.join(" and ") }
}

/// `llama3.1:8b is on the GPU`, or how much of it is.
fn share(model: &LoadedModel) -> String {
    let LoadedModel { name, size, size_vram, .. } = model;
    if size_vram >= size {
        return format!("{name} is on the GPU");
    }
    let percent = u128::from(*size_vram) * 100 / u128::from(*size.max(&1));
    format!(
        "{percent}% of {name} is on the GPU, the rest in the machine's memory: it does not fit, and is slower for it"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_write_when_they_have_found_no_gpu_is_known() {
        let of_ollama = "time=2026-11-20T10:00:00Z level=INFO source=gpu.go:386 msg=\"no compatible GPUs were discovered\"";
        let of_cpu = "level=INFO source=types.go:130 msg=\"inference compute\" id=0 library=cpu variant=avx2 total=\"31.2 GiB\"";
        let of_torch = "UserWarning: CUDA initialization: Found no NVIDIA driver on your system.";
        for line in [of_ollama, of_cpu, of_torch] {
            assert_eq!(word_of_cpu(["starting", line, "listening"].into_iter()).as_deref(), Some(line));
        }
        let with_gpu =
            "level=INFO source=types.go:130 msg=\"inference compute\" id=GPU-8f3a library=cuda compute=8.9";
        assert_eq!(word_of_cpu(["starting", with_gpu, "using the cpu backend for tests"].into_iter()), None);
    }
}
