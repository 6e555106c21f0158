//! Default deny of power over the host.

mod load_support;

use std::path::Path;

use aiplat_core::load::load;
use load_support::{Disk, codes, facts, seen, with_services};

fn mount(volume: &str, allow: &str) -> String {
    with_services(&format!(
        "  a:\n    image: x:1\n    lint: {{allow: [single-file-bind]}}\n    volumes: [{volume}]\n    allow_host_access: [{allow}]\n"
    ))
}

#[test]
fn guarded_paths_are_refused_however_they_are_written() {
    let paths = [
        "/",
        "//",
        "/etc",
        "/etc/",
        "//etc",
        "/etc/../etc",
        "/srv/../etc/passwd",
        "/proc",
        "/sys/fs/cgroup",
        "/dev",
        "/boot",
        "/root",
        "/root/.ssh",
        "/run",
        "/run/docker.sock",
        "/var/run",
        "/var/run/docker.sock",
        "/var/lib/docker",
        "/var/lib/docker/volumes",
        "/var",
        "/var/lib",
        "/srv/proxy/docker.sock",
        "/run/containerd/containerd.sock",
        "../../etc",
        "../../../../..",
        "./../../proc/1/root",
        "/var/lib/containerd",
    ];
    for path in paths {
        let text = mount(&format!("\"{path}:/x\""), "");
        assert_eq!(codes(&text), ["host-access"], "short {path}");
        let text = mount(&format!("{{type: bind, source: \"{path}\", target: /x, read_only: true}}"), "");
        assert_eq!(codes(&text), ["host-access"], "long {path}");
    }
}

#[test]
fn other_paths_are_nobodys_business() {
    for path in [
        "/srv/other",
        "/srv/data",
        "/home/me/etc",
        "./etc",
        "/etcetera",
        "/runner",
        "/mnt/var/run",
        "/opt/app",
        "/var/log",
    ] {
        assert_eq!(codes(&mount(&format!("\"{path}:/x\""), "")), Vec::<&str>::new(), "{path}");
    }
}

#[test]
fn a_guarded_path_that_is_named_is_mounted() {
    for (path, allow) in [
        ("/etc", "/etc"),
        ("/etc/ssl", "/etc"),
        ("/etc/", "/etc/../etc/"),
        ("/", "/"),
        ("/etc", "/"),
        ("/var/run/docker.sock", "/var/run/docker.sock"),
        ("/var", "/var"),
    ] {
        assert_eq!(
            codes(&mount(&format!("\"{path}:/x\""), allow)),
            Vec::<&str>::new(),
            "{path} with {allow}"
        );
    }
    for (path, allow) in [("/etc", "/etc/ssl"), ("/etc", "/etcetera"), ("/var", "/var/run")] {
        assert!(
            codes(&mount(&format!("\"{path}:/x\""), allow)).contains(&"host-access"),
            "{path} with {allow}"
        );
    }
}

#[test]
fn the_clock_may_be_read_but_not_written() {
    assert_eq!(codes(&mount("\"/etc/localtime:/etc/localtime:ro\"", "")), Vec::<&str>::new());
    assert_eq!(codes(&mount("\"/etc/timezone:/etc/timezone:ro\"", "")), Vec::<&str>::new());
    assert_eq!(codes(&mount("\"/etc/localtime:/etc/localtime\"", "")), ["host-access"]);
}

#[test]
fn our_own_state_is_never_mounted() {
    for (path, allow) in
        [("/var/lib/aiplatd", "/var/lib/aiplatd"), ("/var/lib/aiplatd/x", "/"), ("/var/lib/aiplatd", "")]
    {
        assert!(
            codes(&mount(&format!("\"{path}:/x\""), allow)).contains(&"state-folder"),
            "{path} with {allow}"
        );
    }
    // What contains it can be named, as what contains the engine's files can.
    assert_eq!(codes(&mount("\"/var/lib:/x\"", "/var/lib")), Vec::<&str>::new());
}

#[test]
fn the_file_that_decides_what_runs_is_not_written_by_what_runs() {
    for path in [".", "./", "/srv/home", "./platform.yaml", "/srv"] {
        assert_eq!(codes(&mount(&format!("\"{path}:/x\""), "")), ["host-access"], "{path}");
        assert_eq!(codes(&mount(&format!("\"{path}:/x:ro\""), "")), Vec::<&str>::new(), "{path}");
        assert_eq!(codes(&mount(&format!("\"{path}:/x\""), "/srv")), Vec::<&str>::new(), "{path}");
    }
    assert_eq!(codes(&mount("\"./data:/x\"", "")), Vec::<&str>::new());
}

#[test]
fn files_beside_a_platform_in_etc_may_be_read() {
    let codes = |volume: &str| {
        let disk = Disk {
            files: [("/etc/aiplatd/platform.yaml".into(), mount(volume, "").into())].into(),
            ..Disk::default()
        };
        let loaded = load(Path::new("/etc/aiplatd/platform.yaml"), &disk, &facts());
        loaded.diagnostics.iter().map(|diagnostic| diagnostic.code).collect::<Vec<_>>()
    };
    assert_eq!(codes("\"./prometheus.yml:/x:ro\""), Vec::<&str>::new());
    for refused in
        ["./prometheus.yml:/x", ".:/x:ro", "./platform.yaml:/x:ro", "../passwd:/x:ro", "/etc:/x:ro"]
    {
        assert_eq!(codes(&format!("\"{refused}\"")), ["host-access"], "{refused}");
    }
}

#[test]
fn a_volume_that_is_a_bind_in_disguise_is_a_bind() {
    let volume = |device: &str, allow: &str| {
        let service = mount("\"v:/x\"", allow);
        format!("{service}volumes: {{v: {{driver_opts: {{type: none, o: bind, device: {device}}}}}}}\n")
    };
    assert_eq!(codes(&volume("/etc", "")), ["host-access"]);
    assert_eq!(codes(&volume("/srv/../etc/", "")), ["host-access"]);
    assert_eq!(codes(&volume("/etc", "/etc")), Vec::<&str>::new());
    assert_eq!(codes(&volume("/srv/data", "")), Vec::<&str>::new());
    assert_eq!(codes(&volume("\":/export\"", "")), Vec::<&str>::new());
}

#[test]
fn what_a_person_sees() {
    let text = with_services(
        "  a:\n    image: x:1\n    volumes:\n      - /var/run/docker.sock:/var/run/docker.sock\n      - /:/host:ro\n      - /var:/v\n      - /etc/app:/etc/app\n      - /var/lib/aiplatd:/state\n      - sneaky:/e\nvolumes: {sneaky: {driver_opts: {type: none, o: bind, device: /etc}}}\n",
    );
    insta::assert_snapshot!(seen(&Disk::with(text)));
}
