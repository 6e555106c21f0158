//! What the daemon knows of the machine: the clock, packages, networks, GPUs.

use std::net::{IpAddr, Ipv4Addr};

use aiplat_api::v1::{EngineStatus, HostStatus};
use aiplat_core::condition::{ConditionType, Reason, Status};

use super::{Check, Facts, Grade, check};
use crate::render::text::clean;

/// The networks out of which an engine that is told nothing makes its own (moby, `ipamutils`): address and prefix.
const DEFAULT_POOLS: [(Ipv4Addr, u8); 2] =
    [(Ipv4Addr::new(172, 16, 0, 0), 12), (Ipv4Addr::new(192, 168, 0, 0), 16)];

pub(super) fn checks(facts: &Facts<'_>) -> Vec<Check> {
    let Some(host) = facts.doc.and_then(|doc| doc.host.as_ref()) else { return Vec::new() };
    let mut checks: Vec<Check> =
        [clock(host), conflicts(host), restart(host)].into_iter().flatten().collect();
    checks.extend(overlaps(host));
    checks.extend(gpus(host));
    checks
}

fn clock(host: &HostStatus) -> Option<Check> {
    Some(match host.clock_synchronised? {
        true => check("clock", Grade::Ok, "it is kept right"),
        false => check("clock", Grade::Warn, "nobody keeps it right: certificates and tokens depend on it")
            .cure("sudo timedatectl set-ntp true"),
    })
}

fn conflicts(host: &HostStatus) -> Option<Check> {
    let found = host.conflicting_packages.as_ref()?;
    Some(match found.as_slice() {
        [] => check("packages", Grade::Ok, "none is in the engine's way"),
        some => {
            check("packages", Grade::Warn, format!("{} in the engine's way: {}", some.len(), some.join(", ")))
                .cure(format!("sudo apt remove {}", some.join(" ")))
        }
    })
}

fn restart(host: &HostStatus) -> Option<Check> {
    let by = host.reboot_required_by.as_ref()?;
    (!by.is_empty()).then(|| {
        let found = format!("the machine asks for a restart, for {}", clean(&by.join(", ")));
        check("restart", Grade::Warn, found).cure("sudo systemctl reboot")
    })
}

/// A container network out of a range that the machine reaches elsewhere cuts that off: a VPN's, an office's.
fn overlaps(host: &HostStatus) -> Option<Check> {
    let engine = host.engine.as_ref()?;
    let routes = host.routes.as_ref()?;
    let pools = pools(engine);
    let met: Vec<&String> = routes
        .iter()
        .filter(|route| range(route).is_some_and(|route| pools.iter().any(|pool| overlap(*pool, route))))
        .collect();
    Some(match met.as_slice() {
        [] => check("address pools", Grade::Ok, "no network of the machine's is among the engine's"),
        // With its own defaults an engine looks at the routes when it makes a network, and takes another range.
        some if engine.address_pools.is_empty() => {
            let some: Vec<&str> = some.iter().map(|route| route.as_str()).collect();
            check(
                "address pools",
                Grade::Ok,
                format!("the engine has to leave out {}", clean(&some.join(", "))),
            )
        }
        some => {
            let some: Vec<&str> = some.iter().map(|route| route.as_str()).collect();
            let found = format!(
                "the engine makes networks where the machine has others: {}",
                clean(&some.join(", "))
            );
            check("address pools", Grade::Warn, found).cure(
                "choose another `default-address-pools` in /etc/docker/daemon.json, then restart the engine",
            )
        }
    })
}

fn pools(engine: &EngineStatus) -> Vec<(Ipv4Addr, u8)> {
    if engine.address_pools.is_empty() {
        return DEFAULT_POOLS.to_vec();
    }
    engine.address_pools.iter().filter_map(|pool| range(pool)).collect()
}

/// `172.20.0.0/14 in /24`, `172.20.0.0/16 by wg0`.
fn range(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, prefix) = text.split_whitespace().next()?.split_once('/')?;
    match address.parse().ok()? {
        IpAddr::V4(address) => Some((address, prefix.parse().ok().filter(|prefix| *prefix <= 32)?)),
        IpAddr::V6(_) => None,
    }
}

fn overlap((one, of_one): (Ipv4Addr, u8), (other, of_other): (Ipv4Addr, u8)) -> bool {
    let bits = u32::from(of_one.min(of_other));
    let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
    u32::from(one) & mask == u32::from(other) & mask
}

/// The daemon's own conditions of the machine: what is abnormal of them, and the GPUs in a word when all is well.
fn gpus(host: &HostStatus) -> Vec<Check> {
    let of = |kind: ConditionType| host.conditions.iter().map(|it| &it.condition).find(|it| it.kind == kind);
    let mut checks = Vec::new();
    match of(ConditionType::GPUReady) {
        // Of one that is gone there is a line of its own, and the others are well.
        Some(ready) if ready.status == Status::False && ready.reason != Reason::GPUGone => {
            // What a restart of the machine cures, and what the driver has to say.
            let restart = [Reason::GPUDriverMismatch, Reason::GPUHung].contains(&ready.reason);
            let cure = if restart { "sudo systemctl reboot" } else { "sudo dmesg | grep -i -e nvrm -e xid" };
            checks.push(check("gpu", Grade::Fail, clean(&ready.message)).cure(cure));
        }
        Some(_) => {
            let there = host.gpus.iter().filter(|gpu| !gpu.gone).count();
            let found = format!("{there} of them, driver {}", host.driver.clone().unwrap_or_default());
            checks.push(check("gpu", Grade::Ok, clean(&found)));
        }
        None => {}
    }
    let gone = host.gpus.iter().filter(|gpu| gpu.gone);
    checks.extend(gone.map(|gpu| {
        let found = format!("{}: {}", clean(&gpu.id), clean(&gpu.message));
        check("gpu gone", Grade::Fail, found).cure("sudo dmesg | grep -i -e nvrm -e xid")
    }));
    checks.extend(container_gpus(host));
    checks.extend(stale_specs(host));
    checks
}

/// A specification names the files of one driver: with another one the container does not start, or runs without a GPU.
fn stale_specs(host: &HostStatus) -> Vec<Check> {
    let name = "gpu spec";
    let anew = |path: &str| format!("sudo nvidia-ctk cdi generate --output={}", clean(path));
    let broken = host.cdi_specs.iter().filter(|(_, what)| what.starts_with("broken"));
    let mut checks: Vec<Check> = broken
        .map(|(path, what)| {
            check(name, Grade::Fail, format!("{}: {}", clean(path), clean(what))).cure(anew(path))
        })
        .collect();
    let Some(loaded) = &host.driver_version else { return checks };
    checks.extend(host.cdi_drivers.iter().filter(|(_, made_for)| *made_for != loaded).map(
        |(path, made_for)| {
            let found = format!(
                "{} is made for driver {}, and {} is loaded",
                clean(path),
                clean(made_for),
                clean(loaded)
            );
            check(name, Grade::Fail, found).cure(anew(path))
        },
    ));
    checks
}

/// What a container needs beside the driver to be given a GPU, and to keep it over a reload of systemd.
fn container_gpus(host: &HostStatus) -> Option<Check> {
    host.driver_version.as_ref()?;
    let engine = host.engine.as_ref()?;
    let has_runtime = engine.runtimes.iter().any(|name| name == "nvidia");
    let has_spec = host.cdi_specs.values().any(|what| what.starts_with("nvidia.com/gpu"));
    let name = "gpu in containers";
    Some(if engine.cdi && has_spec {
        check(name, Grade::Ok, "by the Container Device Interface")
    } else if has_runtime && engine.cgroup_driver == "systemd" {
        check(
            name,
            Grade::Warn,
            "by the runtime `nvidia` under the cgroup driver `systemd`: a reload of systemd can take the GPU from a container that runs",
        )
        .cure("sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml (Docker 25 or newer), or sudo nvidia-ctk system create-dev-char-symlinks --create-all")
    } else if has_runtime {
        check(name, Grade::Ok, "by the runtime `nvidia`")
    } else {
        check(name, Grade::Fail, "the engine has neither the runtime `nvidia` nor a specification of its devices")
            .cure("install nvidia-container-toolkit; sudo nvidia-ctk runtime configure --runtime=docker; sudo systemctl restart docker")
    })
}

#[cfg(test)]
mod tests {
    use aiplat_api::v1::{GpuStatus, StatusCondition};
    use aiplat_core::condition::Condition;

    use super::*;

    #[test]
    fn ranges_overlap_where_the_wider_one_holds_the_other() {
        let range = |text: &str| range(text).expect("a range");
        assert!(overlap(range("172.20.0.0/14 in /24"), range("172.22.5.0/24 by wg0")));
        assert!(overlap(range("10.8.0.0/24"), range("10.0.0.0/8")));
        assert!(!overlap(range("172.20.0.0/14"), range("172.24.0.0/16")));
        assert!(overlap(range("0.0.0.0/0"), range("192.168.1.0/24")));
    }

    #[test]
    fn pools_of_the_engines_own_are_told_of_and_are_no_problem() {
        let engine = EngineStatus { version: "28".to_owned(), ..EngineStatus::default() };
        let routes = Some(vec!["192.168.1.0/24 by eth0".to_owned()]);
        let host = HostStatus { engine: Some(engine.clone()), routes, ..HostStatus::default() };
        assert_eq!(overlaps(&host).map(|check| check.grade), Some(Grade::Ok));
        let chosen = EngineStatus { address_pools: vec!["192.168.0.0/16 in /24".to_owned()], ..engine };
        let host = HostStatus { engine: Some(chosen), ..host };
        let check = overlaps(&host).expect("it is checked");
        assert!(check.grade == Grade::Warn && check.found.contains("192.168.1.0/24 by eth0"), "{check:?}");
    }

    #[test]
    fn a_specification_for_another_driver_is_told_with_both_versions() {
        let path = "/etc/cdi/nvidia.yaml".to_owned();
        let host = HostStatus {
            driver_version: Some("550.90.07".to_owned()),
            cdi_drivers: [(path.clone(), "550.54.15".to_owned())].into(),
            cdi_specs: [("/etc/cdi/odd.yaml".to_owned(), "broken: it has no `kind`".to_owned())].into(),
            ..HostStatus::default()
        };
        let found = stale_specs(&host);
        assert_eq!(found.len(), 2);
        assert!(found[0].found.contains("/etc/cdi/odd.yaml: broken"), "{found:?}");
        assert!(found[1].found.contains("made for driver 550.54.15, and 550.90.07 is loaded"), "{found:?}");
        assert_eq!(found[1].cure, "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml");
        let same = HostStatus { driver_version: Some("550.54.15".to_owned()), cdi_specs: [].into(), ..host };
        assert!(stale_specs(&same).is_empty());
    }

    #[test]
    fn a_gpu_that_is_gone_is_not_counted_and_not_forgotten() {
        let gone = GpuStatus { id: "GPU-1".to_owned(), gone: true, ..GpuStatus::default() };
        let there = GpuStatus { id: "GPU-2".to_owned(), ..GpuStatus::default() };
        let ready = Condition {
            kind: ConditionType::GPUReady,
            status: Status::True,
            reason: Reason::Present,
            message: String::new(),
        };
        let conditions =
            vec![StatusCondition { condition: ready, last_transition_time: None, observed_generation: 1 }];
        let checks = gpus(&HostStatus { gpus: vec![gone, there], conditions, ..HostStatus::default() });
        let told: Vec<(&str, Grade)> = checks.iter().map(|it| (it.name, it.grade)).collect();
        assert!(told.contains(&("gpu", Grade::Ok)) && told.contains(&("gpu gone", Grade::Fail)), "{told:?}");
        assert!(checks.iter().any(|it| it.found.starts_with("1 of them")), "{told:?}");
    }

    #[test]
    fn what_a_container_needs_for_a_gpu_is_asked_only_where_there_is_one() {
        let host = HostStatus { engine: Some(EngineStatus::default()), ..HostStatus::default() };
        assert!(container_gpus(&host).is_none());
        let host = HostStatus { driver_version: Some("550.54.15".to_owned()), ..host };
        assert_eq!(container_gpus(&host).map(|check| check.grade), Some(Grade::Fail));
        let with = |driver: &str| EngineStatus {
            runtimes: vec!["nvidia".to_owned()],
            cgroup_driver: driver.to_owned(),
            ..EngineStatus::default()
        };
        let grade =
            |engine| container_gpus(&HostStatus { engine: Some(engine), ..host.clone() }).map(|it| it.grade);
        assert_eq!(grade(with("cgroupfs")), Some(Grade::Ok));
        assert_eq!(grade(with("systemd")), Some(Grade::Warn));
        let specs = [("/etc/cdi/nvidia.yaml".to_owned(), "nvidia.com/gpu: 0, all".to_owned())].into();
        let host = HostStatus { cdi_specs: specs, ..host.clone() };
        let engine = EngineStatus { cdi: true, ..with("systemd") };
        let check = container_gpus(&HostStatus { engine: Some(engine), ..host });
        assert_eq!(check.map(|it| it.grade), Some(Grade::Ok));
    }
}
