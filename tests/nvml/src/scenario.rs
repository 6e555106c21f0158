//! The file that says what the machine is like.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use serde::Deserialize;

/// What may be written in the file. Numbers of errors are NVML's: 18 is a driver and a library that do not belong together.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// The driver's version; empty: the function is not supported.
    pub driver: String,
    /// As `nvmlSystemGetCudaDriverVersion_v2` gives it: 12040.
    pub cuda: i32,
    /// Counts the loads of the driver: sessions and handles of another one are dead.
    pub generation: u32,
    /// Calls that fail, and with what; `nvmlInit_v2` among them.
    pub errors: BTreeMap<String, u32>,
    /// Calls that do not come back for as long as they are named here.
    pub hang: Vec<String>,
    /// Functions that the driver does not have, though the library has their symbol.
    pub missing: Vec<String>,
    /// The GPUs, in NVML's order.
    pub gpus: Vec<Device>,
    /// What has happened so far, in order: added to, never taken from.
    pub events: Vec<Event>,
}

/// A GPU or a slice of one. What is not said is not supported.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Device {
    pub uuid: String,
    pub name: Option<String>,
    /// As in `00000000:01:00.0`.
    pub bus: Option<String>,
    /// Total, free and used bytes.
    pub memory: Option<(u64, u64, u64)>,
    pub capability: Option<(u32, u32)>,
    pub utilisation: Option<u32>,
    pub temperature: Option<u32>,
    /// Milliwatts.
    pub power: Option<u32>,
    /// Milliwatts.
    pub power_limit: Option<u32>,
    pub persistence: Option<bool>,
    /// The value of the field, by number.
    pub recovery: Option<u32>,
    /// Their pids, and bytes that the driver may not know.
    pub processes: Option<Vec<(u32, Option<u64>)>>,
    /// Whether it is divided; without it, it cannot be.
    pub mig: Option<bool>,
    /// Into what; a hole is a place for a slice that nobody has made.
    pub slices: Vec<Option<Device>>,
    /// The types of events that it can tell of.
    pub events: u64,
    /// Every call that names it fails with this.
    pub lost: Option<u32>,
    /// Calls that fail on it.
    pub errors: BTreeMap<String, u32>,
}

/// Something that the driver tells of.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// The GPU, by index.
    pub gpu: usize,
    /// One bit of NVML's: 8 is an XID, 256 a change of MIG.
    #[serde(rename = "type")]
    pub kind: u64,
    /// Of an XID, its number.
    #[serde(default)]
    pub data: u64,
}

/// How often the file is read where its change is waited for.
pub const POLL: Duration = Duration::from_millis(5);

/// What the file says now; `None`: it cannot be read, or is not understood.
pub fn now() -> Option<Scenario> {
    let text = std::fs::read(path()?).ok()?;
    serde_json::from_slice(&text).ok()
}

/// What the file says once it does not let `call` hang.
pub fn when_it_does_not_hang(call: &str) -> Option<Scenario> {
    loop {
        let scenario = now()?;
        if !scenario.hang.iter().any(|hanging| hanging == call) {
            return Some(scenario);
        }
        std::thread::sleep(POLL);
    }
}

/// Notes that `call` was made. A call that cannot be noted is made all the same: the file that is missing is what a test sees.
pub fn note(call: &str) {
    let Some(path) = path() else { return };
    let mut name = path.clone().into_os_string();
    name.push(".calls");
    if let Ok(mut file) = OpenOptions::new().create(true).append(true).open(name) {
        // One write, so that two threads' lines do not mix.
        let _ = file.write_all(format!("{call}\n").as_bytes());
    }
}

fn path() -> Option<&'static PathBuf> {
    static PATH: OnceLock<Option<PathBuf>> = OnceLock::new();
    let named = || std::env::var_os("AIPLAT_FAKE_NVML").map(PathBuf::from);
    PATH.get_or_init(|| named().or_else(|| Some(own_file()?.parent()?.join("scenario.json")))).as_ref()
}

/// Where this library was loaded from: the mapping of the process that has one of its functions in it.
fn own_file() -> Option<PathBuf> {
    let inside = own_file as fn() -> Option<PathBuf> as usize;
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    maps.lines().find_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (from, to) = range.split_once('-')?;
        let within =
            usize::from_str_radix(from, 16).ok()? <= inside && inside < usize::from_str_radix(to, 16).ok()?;
        within.then(|| rest.find('/').map(|at| Path::new(&rest[at..]).to_owned()))?
    })
}
