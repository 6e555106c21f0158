//! The GPU adapter: NVIDIA's through NVML, AMD's and Intel's through sysfs. It changes nothing.
//!
//! A driver may hang, and what waits for it in the kernel cannot be stopped. So each source is asked on one thread of its own,
//! for life (`worker`): whoever asks waits no longer than the call that is under way may take, and a thread that hangs is waited
//! for by nobody and doubled by nobody. Both users of NVML, this one and the stream of events (`events`), share one session
//! (`session`), because NVML counts its users: what only one of them closes stays open.

mod calls;
mod events;
mod nvml;
mod session;
mod sysfs;
mod versions;
mod worker;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use aiplat_core::observed::{Driver, GpuEvent, GpuFacts, GpuId, ObservedGpu};
use futures_util::{FutureExt, future::BoxFuture, stream::BoxStream};

use crate::{lock, port::Gpus};

use calls::Calls;
use session::Sessions;
use worker::{Silence, Worker};

/// Where the adapter finds the machine, and how long it waits for it.
#[derive(Debug, Clone)]
pub struct GpuOptions {
    /// The kernel's view of the devices: `/sys`.
    pub sys: PathBuf,
    /// Where the package manager writes down what it did: `/var/log`.
    pub logs: PathBuf,
    /// NVIDIA's library, as it is given to the loader: `libnvidia-ml.so.1`, or a path.
    pub library: PathBuf,
    /// Folders in which a library that is not loaded is looked for.
    pub library_folders: Vec<PathBuf>,
    /// How long calls may take.
    pub deadlines: Deadlines,
    /// The pause before a session that failed is opened anew; doubled with each failure.
    pub first_pause: Duration,
    /// The longest such pause.
    pub longest_pause: Duration,
}

/// How long calls may take before the driver is said to hang.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// A call that may wake the driver up: without persistence mode it loads each GPU's firmware then, for seconds.
    pub open: Duration,
    /// Any other call.
    pub call: Duration,
    /// All calls of one look together.
    pub look: Duration,
}

/// The GPUs of a machine. Made without touching it: threads start, and the library is loaded, with the first look.
#[derive(Debug)]
pub struct LocalGpus {
    options: Arc<GpuOptions>,
    sessions: Arc<Sessions>,
    nvidia: Worker<NvidiaFacts>,
    others: Worker<BTreeMap<GpuId, ObservedGpu>>,
    /// The GPUs of other vendors as they were last seen, for when sysfs does not answer.
    last: Mutex<BTreeMap<GpuId, ObservedGpu>>,
}

/// What NVML says.
#[derive(Debug, Clone)]
struct NvidiaFacts {
    driver: Driver,
    gpus: BTreeMap<GpuId, ObservedGpu>,
}

impl GpuOptions {
    /// Those of this machine.
    #[must_use]
    pub fn of_this_machine() -> Self {
        // The loader decides which file it takes; these are for telling whether there is one at all.
        let folders = ["x86_64-linux-gnu", "aarch64-linux-gnu"].map(|of| format!("/usr/lib/{of}"));
        let others = ["/usr/lib64", "/usr/lib", "/usr/local/nvidia/lib64", "/usr/lib/wsl/lib"];
        Self {
            sys: PathBuf::from("/sys"),
            logs: PathBuf::from("/var/log"),
            library: PathBuf::from(versions::LIBRARY),
            library_folders: folders
                .into_iter()
                .map(PathBuf::from)
                .chain(others.map(PathBuf::from))
                .collect(),
            deadlines: Deadlines::default(),
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(30),
        }
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        let [open, call, look] = [30, 5, 60].map(Duration::from_secs);
        Self { open, call, look }
    }
}

impl LocalGpus {
    /// An adapter for the machine that `options` lead to.
    #[must_use]
    pub fn new(options: GpuOptions) -> Self {
        let options = Arc::new(options);
        let sessions = Arc::new(Sessions::new(options.clone()));
        let (look, shared) = (options.deadlines.look, sessions.clone());
        let mut reader = nvml::Reader::new(options.clone());
        let nvidia = Worker::new("gpu-nvidia", look, move |calls| reader.look(&shared, calls));
        let of_sys = options.clone();
        let read = move |calls: &Calls| {
            calls.make("reading /sys/class/drm", of_sys.deadlines.call, || sysfs::gpus(&of_sys.sys))
        };
        let others = Worker::new("gpu-sysfs", look, read);
        Self { options, sessions, nvidia, others, last: Mutex::default() }
    }

    async fn look(&self) -> GpuFacts {
        let (nvidia, others) = tokio::join!(self.nvidia.ask(), self.others.ask());
        let nvidia = nvidia
            .unwrap_or_else(|silence| NvidiaFacts { driver: driver_of(silence), gpus: BTreeMap::new() });
        let others = match others {
            Ok(others) => {
                lock(&self.last).clone_from(&others);
                others
            }
            Err(silence) => unanswering(lock(&self.last).clone(), &silence),
        };
        GpuFacts { nvidia: nvidia.driver, gpus: nvidia.gpus.into_iter().chain(others).collect() }
    }
}

impl Gpus for LocalGpus {
    fn observe(&self) -> BoxFuture<'_, GpuFacts> {
        self.look().boxed()
    }

    fn events(&self) -> BoxStream<'static, GpuEvent> {
        events::stream(self.options.clone(), self.sessions.clone())
    }
}

fn driver_of(silence: Silence) -> Driver {
    match silence {
        Silence::Hung { call } => Driver::Hung { call },
        Silence::Ended { message } => Driver::Failed { message },
    }
}

/// GPUs that were there and cannot be looked at: they are not gone, and nothing is known of them.
fn unanswering(last: BTreeMap<GpuId, ObservedGpu>, silence: &Silence) -> BTreeMap<GpuId, ObservedGpu> {
    let said = match silence {
        Silence::Hung { call } => format!("{call} has not come back: the driver hangs"),
        Silence::Ended { message } => message.clone(),
    };
    let unanswering = |(id, gpu): (GpuId, ObservedGpu)| {
        let known = ObservedGpu { name: gpu.name, bus: gpu.bus, ..ObservedGpu::new(gpu.vendor) };
        (id, ObservedGpu { lost: Some(said.clone()), ..known })
    };
    last.into_iter().map(unanswering).collect()
}
