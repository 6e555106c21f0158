//! Machines as they show themselves, written below a temporary folder.

use std::{collections::BTreeSet, fs, path::Path};

use aiplat_core::observed::{CdiSpec, Firewall, Memory};

use super::*;

fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a folder");
    for (path, content) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("made");
        fs::write(path, content).expect("written");
    }
    root
}

const CPUINFO: &str = "processor\t: 0\nmodel name\t: AMD Ryzen 9 5950X 16-Core Processor\nphysical id\t: 0\ncore id\t\t: 0\nflags\t\t: fpu vme\n\nprocessor\t: 1\nmodel name\t: AMD Ryzen 9 5950X 16-Core Processor\nphysical id\t: 0\ncore id\t\t: 0\nflags\t\t: fpu vme\n";

#[test]
fn threads_of_one_core_are_counted_as_threads_and_not_as_cores() {
    let root = machine(&[("proc/cpuinfo", CPUINFO)]);
    let cpu = hardware::cpu(root.path()).expect("it is known");
    assert_eq!((cpu.threads, cpu.cores, cpu.model.as_str()), (2, 1, "AMD Ryzen 9 5950X 16-Core Processor"));
    assert_eq!(hardware::virtualisation(root.path()).as_deref(), Some("none"));
}

#[test]
fn a_virtual_machine_and_a_container_say_what_they_are() {
    let inside = CPUINFO.replace("fpu vme", "fpu hypervisor");
    let root = machine(&[("proc/cpuinfo", &inside), ("sys/class/dmi/id/sys_vendor", "QEMU\n")]);
    assert_eq!(hardware::virtualisation(root.path()).as_deref(), Some("virtual machine (QEMU)"));
    let root = machine(&[("proc/cpuinfo", &inside), ("run/systemd/container", "lxc\n")]);
    assert_eq!(hardware::virtualisation(root.path()).as_deref(), Some("container (lxc)"));
}

#[test]
fn memory_is_in_bytes() {
    let meminfo = "MemTotal:       65806352 kB\nMemFree:         1024000 kB\nMemAvailable:   60000000 kB\nBuffers: 0 kB\nCached: 0 kB\nSwapCached: 0 kB\nActive: 0 kB\nInactive: 0 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\nDirty: 0 kB\nWriteback: 0 kB\nMapped: 0 kB\nSlab: 0 kB\nCommitted_AS: 0 kB\nVmallocTotal: 0 kB\nVmallocUsed: 0 kB\nVmallocChunk: 0 kB\n";
    let root = machine(&[("proc/meminfo", meminfo)]);
    let expected = Memory { total: 65_806_352 * 1024, available: 60_000_000 * 1024 };
    assert_eq!(hardware::memory(root.path()), Some(expected));
}

#[test]
fn what_is_not_there_is_not_known_and_is_no_failure() {
    let root = machine(&[]);
    let facts = read(root.path());
    assert_eq!((facts.cpu, facts.memory, facts.kernel, facts.distribution), (None, None, None, None));
    assert_eq!((facts.cgroups, facts.reboot_required_by, facts.conflicting_packages), (None, None, None));
    assert_eq!(facts.firewalls, Some(Vec::new()));
}

#[test]
fn version_2_of_control_groups_is_told_by_its_list_of_controllers() {
    let one = machine(&[("sys/fs/cgroup/memory/tasks", "")]);
    let two = machine(&[("sys/fs/cgroup/cgroup.controllers", "cpu memory\n")]);
    assert_eq!((hardware::cgroups(one.path()), hardware::cgroups(two.path())), (Some(1), Some(2)));
}

#[test]
fn debian_names_the_packages_that_ask_for_a_restart() {
    let root = machine(&[
        ("run/reboot-required", "*** System restart required ***\n"),
        ("run/reboot-required.pkgs", "linux-image-6.1.0-40-amd64\nlibssl3\nlibssl3\n"),
    ]);
    let by = software::reboot_required_by(root.path()).expect("it is known");
    assert_eq!(by, ["libssl3", "linux-image-6.1.0-40-amd64"]);
}

#[test]
fn a_kernel_whose_modules_are_gone_asks_for_a_restart_and_one_without_any_does_not() {
    let replaced = machine(&[
        ("proc/sys/kernel/osrelease", "6.12.1-arch1-1\n"),
        ("lib/modules/6.12.4-arch1-1/modules.dep", ""),
    ]);
    let by = software::reboot_required_by(replaced.path()).expect("it is known");
    assert_eq!(by, ["the kernel, 6.12.1-arch1-1, whose modules are gone"]);
    let none = machine(&[("proc/sys/kernel/osrelease", "6.12.1\n")]);
    assert_eq!(software::reboot_required_by(none.path()), Some(Vec::new()));
}

#[test]
fn packages_in_each_others_way_are_those_that_are_installed() {
    let entry = |name: &str, status: &str| format!("Package: {name}\nStatus: {status}\nVersion: 1\n\n");
    let status = |names: &[&str]| -> String {
        let gone = entry("docker-engine", "deinstall ok config-files");
        names.iter().map(|name| entry(name, "install ok installed")).chain([gone]).collect()
    };
    let found = |names: &[&str]| {
        let root = machine(&[("var/lib/dpkg/status", &status(names))]);
        software::conflicting_packages(root.path()).expect("dpkg is there")
    };
    assert!(found(&["docker.io", "containerd", "runc"]).is_empty(), "Debian's own belong together");
    assert_eq!(
        found(&["docker-ce", "containerd.io", "docker.io", "podman-docker"]),
        ["podman-docker", "docker.io"]
    );
}

#[test]
fn a_firewall_that_is_installed_says_whether_it_is_at_work() {
    let root = machine(&[
        ("etc/ufw/ufw.conf", "# comment\nENABLED=yes\nLOGLEVEL=low\n"),
        ("etc/firewalld/firewalld.conf", ""),
    ]);
    let found = network::firewalls(root.path()).expect("it is known");
    let of = |name: &str, active| Firewall { name: name.to_owned(), active: Some(active) };
    assert_eq!(found, [of("ufw", true), of("firewalld", false)]);
}

#[test]
fn routes_are_those_besides_the_default_and_the_engines_own() {
    let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\neth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\ndocker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\nwg0\t000014AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
    let root = machine(&[("proc/net/route", table)]);
    let routes = network::routes(root.path()).expect("it is known");
    assert_eq!(routes.len(), 1, "{routes:?}");
    assert_eq!((routes[0].network.to_string().as_str(), routes[0].prefix), ("172.20.0.0", 16));
    assert_eq!(routes[0].interface, "wg0");
}

const CDI: &str = r#"---
cdiVersion: 0.5.0
kind: nvidia.com/gpu
containerEdits:
  mounts:
  - hostPath: /usr/lib/x86_64-linux-gnu/libcuda.so.550.54.15
    containerPath: /usr/lib/x86_64-linux-gnu/libcuda.so.550.54.15
devices:
- name: "0"
  containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
- name: GPU-8f3a1c2e-1111-2222-3333-444455556666
  containerEdits: {}
- name: all
  containerEdits: {}
"#;

#[test]
fn a_cdi_specification_names_its_devices_and_the_driver_that_it_was_made_for() {
    let root = machine(&[
        ("etc/cdi/nvidia.yaml", CDI),
        ("var/run/cdi/broken.json", "{\"kind\": [}"),
        ("etc/cdi/README", "no specification"),
        ("usr/bin/nvidia-ctk", ""),
    ]);
    let tools = nvidia::tools(root.path());
    assert_eq!(tools.program.as_deref(), Some("/usr/bin/nvidia-ctk"));
    assert_eq!(
        tools.cdi_specs.keys().collect::<Vec<_>>(),
        ["/etc/cdi/nvidia.yaml", "/var/run/cdi/broken.json"]
    );
    let devices = ["0", "GPU-8f3a1c2e-1111-2222-3333-444455556666", "all"].map(str::to_owned).to_vec();
    let expected = CdiSpec {
        kind: "nvidia.com/gpu".to_owned(),
        devices,
        driver: Some("550.54.15".to_owned()),
        broken: None,
    };
    assert_eq!(tools.cdi_specs["/etc/cdi/nvidia.yaml"], expected);
    assert!(tools.cdi_specs["/var/run/cdi/broken.json"].broken.is_some());
    assert_eq!(tools.dev_char_links, None, "without a device nothing is missing");
}

#[test]
fn links_to_the_devices_are_found() {
    let root = machine(&[("dev/nvidiactl", ""), ("dev/char/note", "")]);
    assert_eq!(nvidia::tools(root.path()).dev_char_links, Some(false));
    std::os::unix::fs::symlink("../nvidiactl", root.path().join("dev/char/195:255")).expect("made");
    assert_eq!(nvidia::tools(root.path()).dev_char_links, Some(true));
}

#[test]
fn the_flags_of_the_engine_are_those_of_the_dockerd_that_runs() {
    let none =
        machine(&[("proc/1/cmdline", "/sbin/init\0"), ("proc/12/cmdline", "grep\0dockerd\0--debug\0")]);
    assert_eq!(software::engine_flags(none.path()), None);
    let line = "/usr/bin/dockerd\0-H\0fd://\0--log-driver=journald\0--live-restore\0";
    let root = machine(&[("proc/7/cmdline", line), ("proc/self/cmdline", "dockerd\0--odd\0")]);
    let flags = software::engine_flags(root.path()).expect("it runs");
    assert_eq!(flags.iter().map(String::as_str).collect::<Vec<_>>(), ["live-restore", "log-driver"]);
}

#[test]
fn a_file_that_is_too_long_is_no_text() {
    let root = machine(&[]);
    let path = root.path().join("long");
    fs::write(&path, vec![b'x'; usize::try_from(FILE_MAX).expect("it fits") + 1]).expect("written");
    assert_eq!(text(&path), None);
}

#[tokio::test]
async fn this_machine_tells_of_itself() {
    let facts = ThisMachine::default().facts(BTreeSet::from(["/".to_owned()])).await;
    assert!(facts.cpu.is_some_and(|cpu| cpu.cores > 0 && cpu.threads >= cpu.cores));
    assert!(facts.memory.is_some_and(|memory| memory.total > memory.available));
    assert!(facts.kernel.is_some() && facts.addresses.is_some() && facts.cgroups.is_some());
    assert!(facts.mounted_on.contains_key("/"));
    assert!(Path::new("/proc").exists());
}
