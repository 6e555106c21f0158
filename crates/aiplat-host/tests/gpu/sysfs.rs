//! The GPUs of other vendors, as the kernel's files tell of them.

use std::{path::PathBuf, time::Duration};

use aiplat_core::observed::{Driver, GpuMemory, ObservedGpu, Vendor};
use aiplat_host::{Gpus, gpu::LocalGpus};

use crate::machine::{FIRST, Machine, is_ready, the, write};

fn card(machine: &Machine, number: u32, vendor: &str, bus: &str) -> PathBuf {
    let device = machine.path(&format!("sys/class/drm/card{number}/device"));
    write(&device, &[("vendor", vendor), ("uevent", &format!("DRIVER=any\nPCI_SLOT_NAME={bus}"))]);
    // A connector of the same card.
    write(&machine.path(&format!("sys/class/drm/card{number}-DP-1/device")), &[("vendor", vendor)]);
    device
}

#[tokio::test]
async fn an_amd_gpu_tells_its_memory_load_and_sensors() {
    let machine = Machine::bare();
    let device = card(&machine, 1, "0x1002", "0000:03:00.0");
    let facts = [
        ("mem_info_vram_total", "25753026560"),
        ("mem_info_vram_used", "1753026560"),
        ("gpu_busy_percent", "12"),
        ("product_name", "AMD Radeon RX 7900 XTX"),
    ];
    write(&device, &facts);
    let sensors = [("temp1_input", "54000"), ("power1_average", "57000000"), ("power1_cap", "339000000")];
    write(&device.join("hwmon/hwmon3"), &sensors);
    let facts = machine.gpus().observe().await;
    let expected = ObservedGpu {
        name: Some("AMD Radeon RX 7900 XTX".to_owned()),
        bus: Some("0000:03:00.0".to_owned()),
        memory: Some(GpuMemory { total: 25_753_026_560, free: 24_000_000_000 }),
        utilisation: Some(12),
        temperature: Some(54),
        power: Some(57_000),
        power_limit: Some(339_000),
        ..ObservedGpu::new(Vendor::Amd)
    };
    assert_eq!(the(&facts, "pci-0000:03:00.0"), &expected);
    assert_eq!((facts.gpus.len(), facts.nvidia), (1, Driver::Absent));
}

#[tokio::test]
async fn an_intel_gpu_tells_little_and_the_rest_is_unknown() {
    let machine = Machine::bare();
    card(&machine, 0, "0x8086", "0000:00:02.0");
    let facts = machine.gpus().observe().await;
    let expected = ObservedGpu { bus: Some("0000:00:02.0".to_owned()), ..ObservedGpu::new(Vendor::Intel) };
    assert_eq!(the(&facts, "pci-0000:00:02.0"), &expected);
}

#[tokio::test]
async fn memory_of_which_only_the_size_is_known_is_unknown() {
    let machine = Machine::bare();
    let device = card(&machine, 0, "0x1002", "0000:03:00.0");
    write(&device, &[("mem_info_vram_total", "25753026560")]);
    assert_eq!(the(&machine.gpus().observe().await, "pci-0000:03:00.0").memory, None);
}

#[tokio::test]
async fn a_screen_of_a_server_board_is_no_gpu_and_an_nvidia_card_is_not_listed_twice() {
    let machine = Machine::with_one_gpu();
    card(&machine, 0, "0x1a03", "0000:04:00.0");
    card(&machine, 1, "0x10de", "0000:01:00.0");
    let facts = machine.gpus().observe().await;
    assert_eq!(facts.gpus.len(), 1);
    assert!(is_ready(&facts) && the(&facts, FIRST).name.is_some());
}

#[tokio::test]
async fn gpus_of_several_vendors_are_listed_together() {
    let machine = Machine::with_one_gpu();
    card(&machine, 0, "0x8086", "0000:00:02.0");
    let facts = machine.gpus().observe().await;
    assert_eq!(facts.gpus.len(), 2);
}

/// A file of a driver that hangs does not come back either: here it is one that nobody ever writes into.
#[tokio::test]
async fn a_gpu_whose_files_hang_is_not_gone_and_keeps_nobody_waiting() {
    let machine = Machine::with_one_gpu();
    let device = card(&machine, 1, "0x1002", "0000:03:00.0");
    write(&device, &[("product_name", "AMD Radeon RX 7900 XTX")]);
    let mut options = machine.options();
    options.deadlines.call = Duration::from_secs(1);
    let gpus = LocalGpus::new(options);
    assert_eq!(the(&gpus.observe().await, "pci-0000:03:00.0").lost, None);
    let file = device.join("gpu_busy_percent");
    rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
        .expect("a pipe");
    let facts = gpus.observe().await;
    let said = "reading /sys/class/drm has not come back: the driver hangs";
    let gpu = the(&facts, "pci-0000:03:00.0");
    assert_eq!((gpu.lost.as_deref(), gpu.name.as_deref()), (Some(said), Some("AMD Radeon RX 7900 XTX")));
    assert!(is_ready(&facts), "{facts:?}");
}
