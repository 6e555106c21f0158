//! A newer package over an older one.

use crate::{PLATFORM, harness::Host};

#[test]
fn an_upgrade_restarts_the_daemon_and_no_service_and_keeps_the_file() {
    let Some(host) = Host::boot() else { return };
    host.install("current.deb");
    host.converge(PLATFORM);
    let (runs, pid) = (host.runs(), host.property("MainPID"));
    host.install("newer.deb");
    let version = host.ok(&["dpkg-query", "--show", "--showformat=${Version}", "aiplatd"]);
    assert!(version.ends_with("+next"), "{version}");
    assert_ne!(host.property("MainPID"), pid, "the new program runs");
    host.wait_ready();
    assert_eq!(host.runs(), runs);
    assert_eq!(host.read("/etc/aiplatd/platform.yaml").as_deref(), Some(PLATFORM));

    // A file that was taken away is not put back by an upgrade: an empty platform would end every service.
    host.ok(&["rm", "/etc/aiplatd/platform.yaml"]);
    host.install("current.deb");
    host.wait("the missing file is said", |host| host.property("StatusText").contains("SpecMissing"));
    assert_eq!((host.read("/etc/aiplatd/platform.yaml"), host.runs()), (None, runs));
}

#[test]
fn a_disabled_daemon_stays_disabled() {
    let Some(host) = Host::boot() else { return };
    host.install("current.deb");
    host.ok(&["systemctl", "disable", "--now", "aiplatd"]);
    host.install("newer.deb");
    assert_eq!(host.run(&["systemctl", "is-enabled", "aiplatd"]).out.trim(), "disabled");
    assert_eq!(host.property("ActiveState"), "inactive");
}
