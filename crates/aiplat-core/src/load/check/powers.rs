//! Default deny, but for mounts: what of a service's options gives it power over the host.

use super::Scene;
use crate::{
    load::{
        diagnostic::{Problem, Sink},
        draft::ServiceDraft,
    },
    spec::{Confinement, Device, Hardware, Identity, Namespace, Options},
};

/// Each of these is as good as root on the host, or lets it look into or change what is not its own.
const CAPABILITIES: [(&str, &str); 15] = [
    ("ALL", "it is all of the others"),
    ("AUDIT_CONTROL", "it controls the audit log of the host"),
    ("BPF", "it loads programs into the kernel of the host"),
    ("CHECKPOINT_RESTORE", "it reads and rewrites processes"),
    ("DAC_READ_SEARCH", "it opens files of the host that are not mounted"),
    ("MAC_ADMIN", "it changes the security policy of the host"),
    ("MAC_OVERRIDE", "it is outside the security policy of the host"),
    ("PERFMON", "it watches every process of the host"),
    ("SYSLOG", "it reads the log of the kernel, and its addresses"),
    ("SYS_ADMIN", "it mounts file systems, which is nearly all that root can do"),
    ("SYS_BOOT", "it restarts the host, or another kernel on it"),
    ("SYS_MODULE", "it loads code into the kernel of the host"),
    ("SYS_PTRACE", "it reads and rewrites processes"),
    ("SYS_RAWIO", "it reads and writes the memory and the disks of the host"),
    ("SYS_TIME", "it sets the clock of the host"),
];
/// Device files without power over the host: those that every container has, those whose effect stays in the
/// container, and GPUs. Whatever is below them, too.
const HARMLESS: [&str; 13] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/net/tun",
    "/dev/fuse",
    "/dev/dri",
    "/dev/kfd",
    "/dev/accel",
    "/dev/dxg",
    "/dev/nvidia-caps",
];

/// One power that a service asks for.
struct Power {
    /// The key that asks for it.
    key: &'static str,
    /// What has to stand in `allow_host_access`.
    word: String,
    /// As in "`privileged: true`".
    asked: String,
    reason: &'static str,
}

/// Whether each power that `service` asks for is allowed; `used`: which entries of `allow_host_access` are needed.
pub(super) fn check(name: &str, service: &ServiceDraft, used: &mut [bool], sink: &mut Sink) {
    for Power { key, word, asked, reason } in powers(&service.options) {
        let mut allowed = false;
        for (entry, used) in service.allow_host_access.iter().zip(used.iter_mut()) {
            let fits = if word.starts_with('/') {
                std::path::Path::new(&word).starts_with(&entry.value)
            } else {
                entry.value == word
            };
            if fits {
                (allowed, *used) = (true, true);
            }
        }
        if !allowed {
            let place = service.places.get(key).copied().unwrap_or(service.place);
            let message = format!("{asked} gives `{name}` power over the host: {reason}");
            sink.add(
                Problem::error("host-access", place, message)
                    .help(format!("if you mean it, add `allow_host_access: [\"{word}\"]` to `{name}`")),
            );
        }
    }
}

fn powers(options: &Options) -> Vec<Power> {
    let Options { process: _, confinement, identity, hardware } = options;
    let Confinement {
        privileged,
        read_only: _,
        cap_add,
        cap_drop: _,
        security_opt,
        sysctls: _,
        group_add: _,
        pid,
        ipc,
        uts,
        userns,
        cgroup,
        cgroup_parent: _,
    } = confinement;
    let Identity { network_mode, .. } = identity;
    let mut powers = Vec::new();
    let mut power = |key, word: &str, asked: String, reason| {
        powers.push(Power { key, word: word.to_owned(), asked, reason });
    };
    let shared = [
        ("network_mode", network_mode, "host-network", "it listens and connects as the host itself"),
        ("pid", pid, "host-pid", "it sees every process, and can end those of its user"),
        ("ipc", ipc, "host-ipc", "it reads and writes the shared memory of other programs"),
        ("uts", uts, "host-uts", "it can rename the host"),
        ("userns_mode", userns, "host-userns", "its root is the host's"),
        ("cgroup", cgroup, "host-cgroup", "it sees the control groups of everything that runs"),
    ];
    for (key, namespace, word, reason) in shared {
        if *namespace == Namespace::Host {
            power(key, word, format!("`{key}: host`"), reason);
        }
    }
    // Whoever has everything has each of the following.
    if *privileged {
        let reason = "it has every capability and every device, and nothing is hidden from it";
        power("privileged", "privileged", "`privileged: true`".to_owned(), reason);
        return powers;
    }
    for capability in cap_add {
        if let Some((_, reason)) = CAPABILITIES.iter().find(|(known, _)| known == capability) {
            power("cap_add", &format!("cap:{capability}"), format!("the capability {capability}"), reason);
        }
    }
    for option in security_opt {
        if matches!(
            option.as_str(),
            "seccomp=unconfined" | "apparmor=unconfined" | "systempaths=unconfined" | "label=disable"
        ) {
            let reason = "it takes away a wall between it and the kernel";
            power("security_opt", "unconfined", format!("`{option}`"), reason);
        }
    }
    powers.extend(devices(hardware));
    powers
}

fn devices(hardware: &Hardware) -> Vec<Power> {
    let Hardware { devices, cdi_devices: _, device_cgroup_rules, requests: _, .. } = hardware;
    let guarded = |Device { source, .. }: &&Device| {
        let path = std::path::Path::new(source);
        !source.starts_with("/dev/nvidia") && !HARMLESS.iter().any(|harmless| path.starts_with(harmless))
    };
    let mut powers: Vec<Power> = devices
        .iter()
        .filter(guarded)
        .map(|Device { source, .. }| Power {
            key: "devices",
            word: source.clone(),
            asked: format!("the device {source}"),
            reason: "what it does with it, it does to the hardware",
        })
        .collect();
    if !device_cgroup_rules.is_empty() {
        powers.push(Power {
            key: "device_cgroup_rules",
            word: "device-rules".to_owned(),
            asked: "`device_cgroup_rules`".to_owned(),
            reason: "it can make and use the device files that they name",
        });
    }
    powers
}

/// What is allowed to a service, and needed by nothing that it asks for.
pub(super) fn unused(scene: &Scene<'_>, name: &str, used: &[bool], sink: &mut Sink) {
    let Some(service) = scene.draft.services.get(name) else { return };
    for (allowed, _) in service.allow_host_access.iter().zip(used).filter(|(_, used)| !**used) {
        let message = if allowed.value.starts_with('/') {
            format!("`{name}` is allowed {} and mounts nothing of it", allowed.value)
        } else {
            format!("`{name}` is allowed `{}` and does not ask for it", allowed.value)
        };
        sink.add(Problem::warning("unused-permission", allowed.place, message).help("remove it").of(name));
    }
}
