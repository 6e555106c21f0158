//! GPUs: what services ask for, what there is, and what containers were given.

use aiplat_core::{
    observed::{
        CdiSpec, Driver, GivenGpus, GpuFacts, GpuId, GpuMemory, GpuProcess, Mismatch, NvidiaTools,
        ObservedGpu, Owner, Recovery, Vendor,
    },
    spec::{GpuNeeds, GpuRequest},
};
use proptest::{collection::vec, option, prelude::*, sample::select};

use super::NAMES;
use crate::build::{Sketch, all_gpus, gpus, gpus_named};

const GIB: u64 = 1 << 30;
const CARDS: [&str; 3] = ["GPU-aaaaaaaa-1", "GPU-bbbbbbbb-2", "GPU-cccccccc-3"];

/// Two cards of 24 GiB on which everything that [`requests`] generates can run.
#[must_use]
pub fn two_cards() -> GpuFacts {
    let card = |index: u32| ObservedGpu {
        index: Some(index),
        name: Some("Card".to_owned()),
        memory: Some(GpuMemory { total: 24 * GIB, free: 24 * GIB }),
        compute_capability: Some((8, 6)),
        processes: Some(Vec::new()),
        ..ObservedGpu::new(Vendor::Nvidia)
    };
    GpuFacts {
        nvidia: Driver::Ready { version: "550.54.15".to_owned(), cuda: None },
        gpus: [(GpuId(CARDS[0].to_owned()), card(0)), (GpuId(CARDS[1].to_owned()), card(1))].into(),
    }
}

/// Requests of services, by their places in [`NAMES`].
pub fn requests() -> impl Strategy<Value = Vec<(usize, GpuRequest)>> {
    let needs = (option::of(select(vec![8 * GIB, 24 * GIB])), option::of(1..5_u64), any::<bool>()).prop_map(
        |(min_vram, vram, optional)| GpuNeeds {
            min_vram,
            vram: vram.map(|gib| gib * GIB),
            optional,
            ..GpuNeeds::default()
        },
    );
    let wanted =
        select(vec![all_gpus(), gpus(1), gpus(1), gpus(2), gpus_named(&["1"]), gpus_named(&[CARDS[0]])]);
    let request = (wanted, needs).prop_map(|(request, needs)| GpuRequest { needs, ..request });
    vec((0..NAMES.len(), request), 0..3)
}

/// `sketch` whose services ask for these.
#[must_use]
pub fn asking(mut sketch: Sketch, requests: &[(usize, GpuRequest)]) -> Sketch {
    for (index, request) in requests {
        if let Some(service) = sketch.services.iter_mut().find(|it| it.name == NAMES[*index]) {
            service.gpus = vec![request.clone()];
        }
    }
    sketch
}

/// What a label says, or nothing.
pub fn labels() -> impl Strategy<Value = Option<GivenGpus>> {
    let text = select(vec![
        "none",
        "all",
        "cdi:all",
        CARDS[0],
        "cdi:GPU-bbbbbbbb-2",
        "GPU-aaaaaaaa-1,GPU-bbbbbbbb-2",
        "GPU-gone",
    ]);
    option::of(text.prop_map(|text| {
        let Ok(given) = text.parse();
        given
    }))
}

fn drivers() -> impl Strategy<Value = Driver> {
    let message = || "odd".to_owned();
    prop_oneof![
        4 => Just(Driver::Ready { version: "550.54.15".to_owned(), cuda: None }),
        3 => Just(Driver::Mismatch(Mismatch::default())),
        1 => Just(Driver::Hung { call: message() }),
        1 => Just(Driver::NotObserved),
        1 => Just(Driver::Absent),
        1 => Just(Driver::NoPermission { message: message() }),
        1 => Just(Driver::NotLoaded { message: message() }),
    ]
}

/// Any GPUs.
pub fn facts() -> impl Strategy<Value = GpuFacts> {
    let recovery = select(vec![
        None,
        None,
        Some(Recovery::None),
        Some(Recovery::DrainAndReset),
        Some(Recovery::Other(9)),
    ]);
    let memory = option::of((0..48_u64, 0..48_u64));
    let gpu = (memory, recovery, any::<bool>(), 0..4_u32, any::<bool>()).prop_map(
        |(memory, recovery, lost, index, divided)| {
            let owner = Owner::Unit("db-package.service".to_owned());
            ObservedGpu {
                index: Some(index),
                memory: memory.map(|(total, free)| GpuMemory { total: total * GIB, free: free * GIB }),
                recovery,
                lost: (lost && index == 0).then(|| "lost".to_owned()),
                mig: Some(divided && index == 3),
                processes: (!divided)
                    .then(|| vec![GpuProcess { pid: 1, memory: Some(GIB), name: "x".to_owned(), owner }]),
                ..ObservedGpu::new(Vendor::Nvidia)
            }
        },
    );
    let cards = prop::collection::btree_map(
        select(CARDS.to_vec()).prop_map(|name| GpuId(name.to_owned())),
        gpu,
        0..3,
    );
    (drivers(), cards).prop_map(|(nvidia, gpus)| GpuFacts { nvidia, gpus })
}

/// Any of NVIDIA's tools.
pub fn tools() -> impl Strategy<Value = Option<NvidiaTools>> {
    let spec = |driver: &str| CdiSpec {
        kind: "nvidia.com/gpu".to_owned(),
        devices: vec!["all".to_owned(), CARDS[0].to_owned(), CARDS[1].to_owned()],
        driver: Some(driver.to_owned()),
        broken: None,
    };
    let specs = select(vec![None, Some(spec("550.54.15")), Some(spec("535.1"))]);
    option::of((any::<bool>(), specs).prop_map(|(program, spec)| NvidiaTools {
        program: program.then(|| "/usr/bin/nvidia-ctk".to_owned()),
        cdi_specs: spec.map(|spec| ("/etc/cdi/nvidia.yaml".to_owned(), spec)).into_iter().collect(),
        dev_char_links: None,
    }))
}
