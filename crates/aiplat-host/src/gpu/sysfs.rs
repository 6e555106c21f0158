//! GPUs as the kernel knows them: AMD's and Intel's with what their drivers tell, NVIDIA's cards by their place on the bus.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use aiplat_core::observed::{GpuId, GpuMemory, ObservedGpu, Vendor};

const AMD: &str = "0x1002";
const INTEL: &str = "0x8086";
const NVIDIA: &str = "0x10de";
/// Display controllers: VGA is 0x0300, one without a screen 0x0302.
const DISPLAY: &str = "0x03";
/// No machine has more; what is beyond is a fault of the kernel's, and not ours to follow.
const MAX_ENTRIES: usize = 4096;

/// The AMD and Intel GPUs that have a driver.
pub(super) fn gpus(sys: &Path) -> BTreeMap<GpuId, ObservedGpu> {
    let cards = entries(&sys.join("class/drm"));
    let cards = cards.into_iter().filter(|card| is_card(card));
    cards.filter_map(|card| gpu(&card.join("device"))).collect()
}

/// Where on the bus NVIDIA's cards are, with or without a driver, in the order of the bus.
pub(super) fn nvidia_cards(sys: &Path) -> Vec<String> {
    let is_gpu = |device: &PathBuf| {
        word(&device.join("vendor")).is_some_and(|vendor| vendor == NVIDIA)
            && word(&device.join("class")).is_some_and(|class| class.starts_with(DISPLAY))
    };
    let cards = entries(&sys.join("bus/pci/devices")).into_iter().filter(is_gpu);
    cards.filter_map(|card| Some(card.file_name()?.to_str()?.to_owned())).collect()
}

fn gpu(device: &Path) -> Option<(GpuId, ObservedGpu)> {
    let vendor = match word(&device.join("vendor"))?.as_str() {
        AMD => Vendor::Amd,
        INTEL => Vendor::Intel,
        _ => return None,
    };
    let bus = bus(device)?;
    let sensors = entries(&device.join("hwmon"));
    let sensor = |name: &str| sensors.iter().find_map(|folder| number(&folder.join(name)));
    let total = number(&device.join("mem_info_vram_total"));
    let used = number(&device.join("mem_info_vram_used"));
    // Both or none: without what is used there is no telling what is free.
    let memory = total.zip(used).map(|(total, used)| GpuMemory { total, free: total.saturating_sub(used) });
    let milliwatts = |microwatts: u64| u32::try_from(microwatts / 1000).ok();
    let gpu = ObservedGpu {
        name: word(&device.join("product_name")),
        bus: Some(bus.clone()),
        memory,
        utilisation: number(&device.join("gpu_busy_percent")).and_then(|percent| u32::try_from(percent).ok()),
        temperature: sensor("temp1_input").and_then(|degrees| u32::try_from(degrees / 1000).ok()),
        power: sensor("power1_average").or_else(|| sensor("power1_input")).and_then(milliwatts),
        power_limit: sensor("power1_cap").or_else(|| sensor("power1_max")).and_then(milliwatts),
        ..ObservedGpu::new(vendor)
    };
    Some((GpuId(format!("pci-{bus}")), gpu))
}

/// `card0`, and not its connectors (`card0-DP-1`).
fn is_card(path: &Path) -> bool {
    let number = path.file_name().and_then(|name| name.to_str()?.strip_prefix("card"));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn bus(device: &Path) -> Option<String> {
    let facts = fs::read_to_string(device.join("uevent")).ok()?;
    facts.lines().find_map(|line| line.strip_prefix("PCI_SLOT_NAME=")).map(|bus| bus.trim().to_owned())
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let found = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<PathBuf> = found.take(MAX_ENTRIES).map(|entry| entry.path()).collect();
    found.sort();
    found
}

fn word(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn number(path: &Path) -> Option<u64> {
    word(path)?.parse().ok()
}
