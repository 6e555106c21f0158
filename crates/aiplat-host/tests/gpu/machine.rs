//! A machine with NVIDIA's driver: a folder with the double as its library, a scenario beside it, and a sysfs.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use aiplat_core::observed::{Driver, GpuEvent, GpuFacts, GpuId, ObservedGpu};
use aiplat_host::{
    Gpus,
    gpu::{Deadlines, GpuOptions, LocalGpus},
};
use futures_util::{StreamExt, stream::BoxStream};
use serde_json::{Value, json};

/// Longer than anything takes on a slow machine that works.
const DEADLINE: Duration = Duration::from_secs(20);
/// The first GPU's name for good.
/// More than any kernel counts to.
pub const NOBODY: u32 = 5_000_000;
pub const FIRST: &str = "GPU-8f3a1c2e-1111-2222-3333-444455556666";
/// The second's.
pub const SECOND: &str = "GPU-0b1c2d3e-1111-2222-3333-444455556666";

/// The machine; its files go with it.
pub struct Machine {
    folder: tempfile::TempDir,
    scenario: Value,
}

impl Machine {
    /// One GPU, driver and library of one version, and both answer.
    pub fn with_one_gpu() -> Self {
        let machine = Self::bare();
        machine.install_library("550.54.15", &[]);
        machine.load_module(Some("550.54.15"));
        machine.plug_in("0000:01:00.0", "0x10de", "0x030000");
        let mut machine = machine;
        machine.change(|scenario| {
            *scenario =
                json!({"driver": "550.54.15", "cuda": 12040, "gpus": [gpu(FIRST, "00000000:01:00.0")]});
        });
        machine
    }

    /// And a second GPU.
    pub fn with_two_gpus() -> Self {
        let mut machine = Self::with_one_gpu();
        machine.plug_in("0000:02:00.0", "0x10de", "0x030200");
        machine.change(|scenario| push(&mut scenario["gpus"], gpu(SECOND, "00000000:02:00.0")));
        machine
    }

    /// No card, no driver, no library.
    pub fn bare() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for made in ["lib", "log", "sys/bus/pci/devices", "sys/class/drm"] {
            fs::create_dir_all(folder.path().join(made)).expect("made");
        }
        Self { folder, scenario: json!({}) }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a version of the library in place, as a package would: a new file, and the link that leads to it. `without` are the
    /// functions that this version does not have.
    pub fn install_library(&self, version: &str, without: &[&str]) {
        let mut library = fs::read(double()).expect("the double of the library");
        for function in without {
            hide(&mut library, function);
        }
        let file = self.path(&format!("lib/libnvidia-ml.so.{version}"));
        fs::write(&file, library).expect("written");
        let (link, new) = (self.path("lib/libnvidia-ml.so.1"), self.path("lib/new"));
        std::os::unix::fs::symlink(file, &new).expect("linked");
        fs::rename(new, link).expect("put in place");
    }

    /// Loads the kernel module of a version, or unloads it.
    pub fn load_module(&self, version: Option<&str>) {
        let folder = self.path("sys/module/nvidia");
        match version {
            Some(version) => {
                fs::create_dir_all(&folder).expect("made");
                fs::write(folder.join("version"), format!("{version}\n")).expect("written");
            }
            None => fs::remove_dir_all(folder).expect("removed"),
        }
    }

    /// A device on the bus, with or without a driver.
    pub fn plug_in(&self, bus: &str, vendor: &str, class: &str) {
        let folder = self.path("sys/bus/pci/devices").join(bus);
        write(&folder, &[("vendor", vendor), ("class", class)]);
    }

    /// Changes what the driver says, at once.
    pub fn change(&mut self, change: impl FnOnce(&mut Value)) {
        change(&mut self.scenario);
        let (file, new) = (self.path("lib/scenario.json"), self.path("lib/scenario.new"));
        fs::write(&new, self.scenario.to_string()).expect("written");
        fs::rename(new, file).expect("put in place");
    }

    /// The driver tells of something.
    pub fn event(&mut self, gpu: usize, kind: u64, data: u64) {
        self.change(|scenario| {
            push(&mut scenario["events"], json!({"gpu": gpu, "type": kind, "data": data}));
        });
    }

    /// How often a function was called so far.
    pub fn called(&self, function: &str) -> usize {
        let calls = fs::read_to_string(self.path("lib/scenario.json.calls")).unwrap_or_default();
        calls.lines().filter(|call| *call == function).count()
    }

    pub fn options(&self) -> GpuOptions {
        let (open, call, look) = (Duration::from_secs(10), Duration::from_secs(5), Duration::from_secs(20));
        GpuOptions {
            sys: self.path("sys"),
            logs: self.path("log"),
            library: self.path("lib/libnvidia-ml.so.1"),
            library_folders: vec![self.path("lib")],
            deadlines: Deadlines { open, call, look },
            first_pause: Duration::from_millis(10),
            longest_pause: Duration::from_millis(50),
        }
    }

    pub fn gpus(&self) -> LocalGpus {
        LocalGpus::new(self.options())
    }
}

/// A GPU that answers everything.
pub fn gpu(uuid: &str, bus: &str) -> Value {
    json!({
        "uuid": uuid, "name": "NVIDIA GeForce RTX 4090", "bus": bus, "memory": [24_000, 20_000, 3_500],
        "capability": [8, 9], "utilisation": 37, "temperature": 61, "power": 120_500, "power_limit": 450_000,
        "persistence": true, "recovery": 0, "processes": [[NOBODY, 3_000], [NOBODY - 1, null]], "mig": false,
        "events": 0xff9f,
    })
}

fn push(list: &mut Value, item: Value) {
    if list.is_null() {
        *list = json!([]);
    }
    list.as_array_mut().expect("a list").push(item);
}

/// Writes small files into a folder of a sysfs.
pub fn write(folder: &Path, files: &[(&str, &str)]) {
    fs::create_dir_all(folder).expect("made");
    for (name, text) in files {
        fs::write(folder.join(name), format!("{text}\n")).expect("written");
    }
}

/// The double, where cargo has put it: beside this test.
fn double() -> PathBuf {
    let test = std::env::current_exe().expect("this test's file");
    let beside = test.parent().expect("its folder").to_owned();
    let above = beside.parent().expect("the folder above").to_owned();
    let made =
        [beside, above].into_iter().map(|folder| folder.join("libnvidia_ml.so")).find(|file| file.exists());
    made.expect("libnvidia_ml.so beside this test: it is built as a dev-dependency")
}

/// An older library lacks the symbol: here its name is made another one, which the loader then does not find.
fn hide(library: &mut [u8], function: &str) {
    let name: Vec<u8> = [b"\0", function.as_bytes(), b"\0"].concat();
    let places: Vec<usize> = library
        .windows(name.len())
        .enumerate()
        .filter(|(_, window)| *window == name)
        .map(|(at, _)| at + 1)
        .collect();
    assert!(!places.is_empty(), "the double has no function {function}");
    for at in places {
        library[at] = b'x';
    }
}

/// Looks until it is as wanted.
pub async fn until(gpus: &LocalGpus, wanted: impl Fn(&GpuFacts) -> bool) -> GpuFacts {
    let begun = Instant::now();
    loop {
        let facts = gpus.observe().await;
        if wanted(&facts) {
            return facts;
        }
        assert!(begun.elapsed() < DEADLINE, "it stays like this: {facts:#?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until something has happened that only the files show.
pub async fn eventually(what: &str, happened: impl Fn() -> bool) {
    let begun = Instant::now();
    while !happened() {
        assert!(begun.elapsed() < DEADLINE, "{what} does not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The next event.
pub async fn next(events: &mut BoxStream<'static, GpuEvent>) -> GpuEvent {
    let next = tokio::time::timeout(DEADLINE, events.next()).await;
    next.expect("an event in time").expect("a stream without an end")
}

pub fn id(name: &str) -> GpuId {
    GpuId(name.to_owned())
}

pub fn the<'a>(facts: &'a GpuFacts, name: &str) -> &'a ObservedGpu {
    facts.gpus.get(&id(name)).unwrap_or_else(|| panic!("no {name} in {facts:#?}"))
}

pub fn is_ready(facts: &GpuFacts) -> bool {
    matches!(facts.nvidia, Driver::Ready { .. })
}
