//! Small grammars, as tables: variables, durations, sizes, CPUs, commands, ports, volumes, env files, YAML.

mod load_support;

use std::time::Duration;

use aiplat_core::{
    ResourceId,
    load::ByteSize,
    spec::{
        ContainerSpec, EngineCheck, MountSource, PostgresProbe, ProbeKind, ProbeSpec, RestartMode, Scheme,
        Trust,
    },
};
use load_support::{Disk, codes, platform, with_services};

fn service(yaml: &str) -> Option<ContainerSpec> {
    service_with_env(yaml, "")
}

fn service_with_env(yaml: &str, env: &str) -> Option<ContainerSpec> {
    let text = with_services(&format!("  a:\n    image: x\n    {yaml}\nvolumes: {{v: {{}}}}\n"));
    let mut platform = Disk::with(text).and(".env", env).load().platform?;
    platform.containers.remove(&ResourceId::container("a"))
}

#[test]
fn variables() {
    let env = "SET=value\nEMPTY=\nOTHER=other\n_U1=under\n";
    let table = [
        ("$SET", Some("value")),
        ("${SET}", Some("value")),
        ("a$SET-b", Some("avalue-b")),
        ("$SET$OTHER", Some("valueother")),
        ("$_U1.x", Some("under.x")),
        ("$$SET", Some("$SET")),
        ("$$$SET", Some("$value")),
        ("$${SET}", Some("${SET}")),
        ("${SET:-d}", Some("value")),
        ("${SET-d}", Some("value")),
        ("${EMPTY}", Some("")),
        ("${EMPTY:-d}", Some("d")),
        ("${EMPTY-d}", Some("")),
        ("${UNSET:-d}", Some("d")),
        ("${UNSET-d}", Some("d")),
        ("${UNSET:-}", Some("")),
        ("${UNSET:-$SET}", Some("value")),
        ("${UNSET:-${OTHER}}", Some("other")),
        ("${UNSET:-${UNSET2:-${SET}!}}", Some("value!")),
        ("${UNSET:-a}b}", Some("ab}")),
        ("${UNSET:-$${X}}", Some("${X}")),
        ("${UNSET:-a:-b?c+d}", Some("a:-b?c+d")),
        ("${SET:+r}", Some("r")),
        ("${EMPTY:+r}", Some("")),
        ("${EMPTY+r}", Some("r")),
        ("${UNSET:+r}", Some("")),
        ("${UNSET+${NOPE}}", Some("")),
        ("${SET:+$OTHER}", Some("other")),
        ("${SET:?m}", Some("value")),
        ("${EMPTY?m}", Some("")),
        ("${SET:-$UNSET}", Some("value")),
        ("$UNSET", None),
        ("${UNSET}", None),
        ("${EMPTY:?m}", None),
        ("${UNSET?m}", None),
        ("${UNSET:-$UNSET2}", None),
        ("${SET:+$UNSET}", None),
        ("$", None),
        ("a $ b", None),
        ("$(date)", None),
        ("$1", None),
        ("${", None),
        ("${SET", None),
        ("${}", None),
        ("${1}", None),
        ("${SET!x}", None),
        ("${SET:x}", None),
        ("${a b}", None),
        ("${secret.key}", None),
        ("${service.web.host}", None),
    ];
    for (text, expected) in table {
        for quoted in [format!("'{text}'"), format!("\"{text}\"")] {
            let found = service_with_env(&format!("environment: {{V: {quoted}}}"), env);
            let found = found.map(|service| service.runtime.environment["V"].clone());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }
}

#[test]
fn variables_stand_wherever_a_value_does_but_not_in_keys() {
    let env = "PORT=8080\nN=0.5\nYES=true\nT=30s\nIMG=redis\nLIST=a,b\n";
    let yaml = "environment: {$PORT: x}\n    ports: [\"${PORT}:80\"]\n    stop_grace_period: ${T}\n    deploy: {resources: {limits: {cpus: $N}}}\n    command: run ${IMG} \"$LIST\"\n    healthcheck: {disable: $YES}";
    let service = service_with_env(yaml, env).expect("right");
    assert_eq!(service.runtime.environment.keys().collect::<Vec<_>>(), ["$PORT"]);
    assert_eq!(service.runtime.ports[0].host_port, Some(8080));
    assert_eq!(service.policy.stop_grace, Duration::from_secs(30));
    assert_eq!(service.live.limits.nano_cpus, 500_000_000);
    assert_eq!(service.runtime.command.as_deref(), Some(&["run", "redis", "a,b"].map(str::to_owned)[..]));
}

#[test]
fn a_value_out_of_a_variable_is_never_shown() {
    let text = with_services("  a: {image: x, ports: [\"${PORT}\"]}\n");
    let disk = Disk::with(text).and(".env", "FIRST=1\nPORT=hunter2 is secret\n");
    let seen = load_support::seen(&disk);
    assert!(!seen.contains("an entry of `ports` cannot be `hunter2"), "{seen}");
    assert!(seen.contains("`PORT` is set at .env:2"), "{seen}");
}

#[test]
fn lines_of_env_files_are_never_shown() {
    let disk = Disk::with(with_services("  a: {image: x}\n"))
        .and(".env", "PASSWORD=hunter2\nTOKEN=\"hunter3\nX Y=hunter4\n");
    let seen = load_support::seen(&disk);
    assert!(seen.contains("/srv/home/.env:2:1") && seen.contains("=> refused"), "{seen}");
    assert!(!seen.contains("hunter"), "{seen}");
}

#[test]
fn durations() {
    let table: [(&str, Option<u64>); 24] = [
        ("10s", Some(10_000)),
        ("1m30s", Some(90_000)),
        ("500ms", Some(500)),
        ("1.5s", Some(1_500)),
        ("1h", Some(3_600_000)),
        ("1h1m1s1ms", Some(3_661_001)),
        ("2d", Some(172_800_000)),
        ("1w", Some(604_800_000)),
        ("1000us", Some(1)),
        ("1000µs", Some(1)),
        ("1000000ns", Some(1)),
        (".5s", Some(500)),
        ("0", Some(0)),
        ("0s", Some(0)),
        ("10", None),
        ("", None),
        ("s", None),
        ("10 s", None),
        ("10x", None),
        ("-1s", None),
        ("1s2", None),
        ("1..5s", None),
        ("1e3s", None),
        ("99999999999999999999s", None),
    ];
    for (text, expected) in table {
        let found =
            service(&format!("stop_grace_period: \"{text}\"")).map(|service| service.policy.stop_grace);
        assert_eq!(found, expected.map(Duration::from_millis), "{text}");
    }
}

#[test]
fn sizes_are_docker_s() {
    let table: [(&str, Option<i64>); 24] = [
        ("0", Some(0)),
        ("1024", Some(1024)),
        ("1b", Some(1)),
        ("1k", Some(1 << 10)),
        ("64kb", Some(64 << 10)),
        ("1KiB", Some(1 << 10)),
        ("512m", Some(512 << 20)),
        ("512M", Some(512 << 20)),
        ("1MB", Some(1 << 20)),
        ("1g", Some(1 << 30)),
        ("1GiB", Some(1 << 30)),
        ("1.5g", Some(3 << 29)),
        ("0.5k", Some(512)),
        ("2t", Some(2 << 40)),
        ("1p", Some(1 << 50)),
        ("1 g", Some(1 << 30)),
        ("16g", Some(16 << 30)),
        ("", None),
        ("g", None),
        ("-1g", None),
        ("1x", None),
        ("1.2.3g", None),
        ("1gg", None),
        ("99999999999p", None),
    ];
    for (text, expected) in table {
        assert_eq!(text.parse::<ByteSize>().ok().map(|size| size.0), expected, "{text}");
    }
}

#[test]
fn cpus() {
    for (text, expected) in [
        ("2", Some(2_000_000_000)),
        ("\"2\"", Some(2_000_000_000)),
        ("0.5", Some(500_000_000)),
        ("'.25'", Some(250_000_000)),
        ("0.000000001", Some(1)),
        ("0", Some(0)),
        ("two", None),
        ("1e3", None),
        ("-1", None),
    ] {
        let found = service(&format!("deploy: {{resources: {{limits: {{cpus: {text}}}}}}}"));
        assert_eq!(found.map(|service| service.live.limits.nano_cpus), expected, "{text}");
    }
}

#[test]
fn commands_are_split_without_a_shell() {
    let table: [(&str, &[&str]); 12] = [
        ("redis-server --save \"\"", &["redis-server", "--save", ""]),
        ("echo 'a b' c", &["echo", "a b", "c"]),
        ("echo \"a 'b'\"", &["echo", "a 'b'"]),
        ("echo a\\ b", &["echo", "a b"]),
        ("echo \"a\\\"b\"", &["echo", "a\"b"]),
        ("echo \"a\\nb\"", &["echo", "a\\nb"]),
        ("a'b'c", &["abc"]),
        ("  spaced   out  ", &["spaced", "out"]),
        ("sh -c 'echo $$HOME && ls | wc'", &["sh", "-c", "echo $HOME && ls | wc"]),
        ("a && b | c > d", &["a", "&&", "b", "|", "c", ">", "d"]),
        ("", &[]),
        ("echo *", &["echo", "*"]),
    ];
    for (text, expected) in table {
        let yaml = format!("command: |-\n      {text}");
        let found = service(&yaml).unwrap_or_else(|| panic!("{text}")).runtime.command;
        let expected: Vec<String> = expected.iter().map(|&word| word.to_owned()).collect();
        assert_eq!(found, Some(expected), "{text}");
    }
    assert_eq!(
        service("command: [a, 1, true, ~x]").expect("right").runtime.command.expect("given"),
        ["a", "1", "true", "~x"]
    );
    assert_eq!(service("command:").expect("right").runtime.command, None);
    assert_eq!(service("command: []").expect("right").runtime.command, Some(Vec::new()));
    assert_eq!(service("entrypoint: []").expect("right").runtime.entrypoint, Some(Vec::new()));
}

#[test]
fn ports() {
    let table: [(&str, &[&str]); 16] = [
        ("80", &["127.0.0.1:(any)->80"]),
        ("'8080:80'", &["127.0.0.1:8080->80"]),
        ("8080:80", &["127.0.0.1:8080->80"]),
        ("22:22", &["127.0.0.1:22->22"]),
        ("'0.0.0.0:8080:80'", &["0.0.0.0:8080->80"]),
        ("'[::1]:8080:80'", &["[::1]:8080->80"]),
        ("'[::]:8080:80'", &["[::]:8080->80"]),
        ("'53:53/udp'", &["127.0.0.1:53/udp->53"]),
        ("'53:53/UDP'", &["127.0.0.1:53/udp->53"]),
        ("'127.0.0.1::80'", &["127.0.0.1:(any)->80"]),
        ("'9000-9002:8000-8002'", &["127.0.0.1:9000->8000", "127.0.0.1:9001->8001", "127.0.0.1:9002->8002"]),
        ("'3000-3001'", &["127.0.0.1:(any)->3000", "127.0.0.1:(any)->3001"]),
        ("{target: 80}", &["127.0.0.1:(any)->80"]),
        ("{target: 80, published: 8080}", &["127.0.0.1:8080->80"]),
        ("{target: '80', published: '8080', host_ip: 0.0.0.0, protocol: udp}", &["0.0.0.0:8080/udp->80"]),
        ("{target: 80, published: 8080, host_ip: '::1', x-note: mine}", &["[::1]:8080->80"]),
    ];
    for (text, expected) in table {
        let ports = service(&format!("ports: [{text}]")).unwrap_or_else(|| panic!("{text}")).runtime.ports;
        let found: Vec<String> =
            ports.iter().map(|port| format!("{port}->{}", port.container_port)).collect();
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn volumes() {
    let bind = |path: &str, create| format!("bind {path} create={create}");
    let table = [
        ("/data", "anonymous".to_owned(), "/data", false),
        ("v:/data", "volume v home_v".to_owned(), "/data", false),
        ("v:/data:ro", "volume v home_v".to_owned(), "/data", true),
        ("v:/data/:rw", "volume v home_v".to_owned(), "/data", false),
        ("./conf:/conf", bind("/srv/home/conf", true), "/conf", false),
        ("./conf/:/conf:ro,cached", bind("/srv/home/conf", true), "/conf", true),
        ("../x:/x", bind("/srv/x", true), "/x", false),
        ("/mnt//a/./b/../c:/x", bind("/mnt/a/c", true), "/x", false),
        ("{type: volume, source: v, target: /d, read_only: true}", "volume v home_v".to_owned(), "/d", true),
        ("{type: volume, target: /d}", "anonymous".to_owned(), "/d", false),
        ("{type: bind, source: ./c, target: /d}", bind("/srv/home/c", true), "/d", false),
        (
            "{type: bind, source: c, target: /d, bind: {create_host_path: false}}",
            bind("/srv/home/c", false),
            "/d",
            false,
        ),
        ("{type: tmpfs, target: /t}", "tmpfs None".to_owned(), "/t", false),
        ("{type: tmpfs, target: /t, tmpfs: {size: 64m}}", "tmpfs Some(67108864)".to_owned(), "/t", false),
        ("{type: tmpfs, target: /t, tmpfs: {size: 1024}}", "tmpfs Some(1024)".to_owned(), "/t", false),
    ];
    for (text, source, target, read_only) in table {
        let mounts = service(&format!(
            "volumes: [{}]",
            if text.starts_with('{') { text.to_owned() } else { format!("\"{text}\"") }
        ))
        .unwrap_or_else(|| panic!("{text}"))
        .runtime
        .mounts;
        let found = match &mounts[0].source {
            MountSource::Volume { volume, host_name } => format!("volume {} {host_name}", volume.key()),
            MountSource::Bind { path, create } => bind(path, *create),
            MountSource::File { file, path } => format!("{file} {path}"),
            MountSource::Anonymous => "anonymous".to_owned(),
            MountSource::Tmpfs { size } => format!("tmpfs {size:?}"),
        };
        assert_eq!(
            (found, mounts[0].target.as_str(), mounts[0].read_only),
            (source, target, read_only),
            "{text}"
        );
    }
}

#[test]
fn restarts() {
    for (text, expected) in [
        ("no", RestartMode::No),
        ("\"no\"", RestartMode::No),
        ("false", RestartMode::No),
        ("always", RestartMode::Always),
        ("unless-stopped", RestartMode::Always),
        ("on-failure", RestartMode::OnFailure(None)),
        ("on-failure:3", RestartMode::OnFailure(Some(3))),
    ] {
        assert_eq!(service(&format!("restart: {text}")).expect(text).policy.restart, expected, "{text}");
    }
    assert_eq!(service("labels: {}").expect("right").policy.restart, RestartMode::Default);
}

#[test]
fn health_checks() {
    let probe = |yaml: &str| {
        let service = service(&format!("healthcheck: {yaml}")).unwrap_or_else(|| panic!("{yaml}"));
        let probe = service.policy.probe.map_or("none".to_owned(), |probe| {
            format!(
                "{} every {:?} in {:?}, {} times, after {:?}",
                probe.kind, probe.interval, probe.timeout, probe.retries, probe.start_period
            )
        });
        (probe, service.runtime.engine_health_off)
    };
    let rest = "every 30s in 30s, 3 times, after 0ns";
    let table = [
        ("{test: [CMD, a, b c]}", format!("exec a b c {rest}")),
        ("{test: [CMD-SHELL, a || exit 1]}", format!("exec /bin/sh -c a || exit 1 {rest}")),
        ("{test: a || exit 1}", format!("exec /bin/sh -c a || exit 1 {rest}")),
        ("{tcp: {port: 6379}}", format!("tcp :6379 {rest}")),
        ("{http: {port: 80}}", format!("GET http :80/ {rest}")),
        ("{http: {port: 80, path: '/a?b', method: HEAD, scheme: http}}", format!("HEAD http :80/a?b {rest}")),
        (
            "{tcp: {port: 1}, interval: 5s, timeout: 1s, retries: 9, start_period: 2m, start_interval: 1s}",
            "tcp :1 every 5s in 1s, 9 times, after 120s".to_owned(),
        ),
        ("{exec: {command: [pg_isready, -U, me]}}", format!("exec pg_isready -U me {rest}")),
        ("{https: {port: 443}}", format!("GET https :443/ {rest}")),
        ("{http: {port: 443, scheme: https, tls: {verify: false}}}", format!("GET https :443/ {rest}")),
        ("{redis: {}}", format!("redis :6379 {rest}")),
        ("{redis: {port: 1, username: a, password: b, tls: true}}", format!("redis :1 {rest}")),
        ("{postgres: {user: a}}", format!("postgres :5432 {rest}")),
        (
            "{readiness: {tcp: {port: 1}, interval: 1s}}",
            "tcp :1 every 1s in 30s, 3 times, after 0ns".to_owned(),
        ),
        ("{liveness: {tcp: {port: 1}}}", "none".to_owned()),
        ("{startup: {tcp: {port: 1}}}", "none".to_owned()),
        ("{test: [NONE]}", "none".to_owned()),
        ("{disable: true}", "none".to_owned()),
        ("{disable: true, test: [CMD, a]}", "none".to_owned()),
    ];
    for (yaml, expected) in table {
        assert_eq!(probe(yaml), (expected, true), "{yaml}");
    }
    assert!(!service("labels: {}").expect("right").runtime.engine_health_off);
}

#[test]
fn what_a_probe_asks() {
    let kind = |yaml: &str| {
        let service = service(&format!("healthcheck: {yaml}")).unwrap_or_else(|| panic!("{yaml}"));
        service.policy.probe.expect("a probe").kind
    };
    let ProbeKind::Http(http) = kind(
        "{http: {port: 1, scheme: https, status: [200, 301-308], body: ok, tls: {ca: certs/ca.pem}, host: x.org}}",
    ) else {
        panic!("not http")
    };
    assert_eq!(http.scheme, Scheme::Https(Trust::Authority("/srv/home/certs/ca.pem".to_owned())));
    assert_eq!((http.status, http.body), (vec![(200, 200), (301, 308)], Some("ok".to_owned())));
    let env = "REDIS=hunter2\nEMPTY=\n";
    let with_env = |yaml: &str| service_with_env(&format!("healthcheck: {yaml}"), env).expect("right");
    let asked = with_env("{redis: {password: \"${REDIS}\"}}").policy.probe.expect("a probe");
    assert_eq!(
        format!("{:?}", asked.kind),
        "Redis(RedisProbe { port: 6379, username: None, password: Some(Password(***)), tls: None })"
    );
    let asked =
        with_env("{postgres: {user: a, database: b, password: \"${EMPTY}\"}}").policy.probe.expect("a probe");
    let expected =
        PostgresProbe { port: 5432, user: "a".to_owned(), database: Some("b".to_owned()), password: None };
    assert_eq!(asked.kind, ProbeKind::Postgres(expected), "an empty password is none");
}

#[test]
fn probes_inside_a_healthcheck_have_its_times_unless_they_say_their_own() {
    let said = |yaml: &str| {
        let policy = service(&format!("healthcheck: {yaml}")).unwrap_or_else(|| panic!("{yaml}")).policy;
        [policy.startup, policy.probe, policy.liveness].map(|probe| {
            probe.map_or("-".to_owned(), |probe| {
                let ProbeSpec { kind, interval, timeout, retries, start_period, via } = probe;
                format!("{kind} {interval:?} {timeout:?} {retries} {start_period:?} {via:?}")
            })
        })
    };
    assert_eq!(
        said(
            "{tcp: {port: 1}, interval: 5s, timeout: 2s, start_period: 1m, liveness: {tcp: {port: 2}, retries: 9}}"
        ),
        ["-", "tcp :1 5s 2s 3 60s Address", "tcp :2 5s 2s 9 60s Address"]
    );
    assert_eq!(
        said(
            "{startup: {tcp: {port: 3}, interval: 1s}, readiness: {tcp: {port: 1}, via: namespace}, start_period: 1m}"
        ),
        ["tcp :3 1s 30s 3 60s Address", "tcp :1 30s 30s 3 0ns Namespace", "-"],
        "the time to start belongs to what is asked first"
    );
}

#[test]
fn a_check_of_the_engine_is_passed_on() {
    let runtime = |yaml: &str| service(&format!("healthcheck: {yaml}")).unwrap_or_else(|| panic!("{yaml}"));
    let own = runtime("{source: engine}");
    assert!(
        !own.runtime.engine_health_off && own.runtime.engine_check.is_none() && own.policy.probe.is_none()
    );
    let given = runtime("{source: engine, test: curl -f x, interval: 5s, retries: 2}");
    let check = EngineCheck {
        test: vec!["CMD-SHELL".to_owned(), "curl -f x".to_owned()],
        interval: Some(Duration::from_secs(5)),
        retries: Some(2),
        ..EngineCheck::default()
    };
    assert_eq!((given.runtime.engine_check, given.policy.probe), (Some(check), None));
    let live = runtime("{source: engine, liveness: {tcp: {port: 1}}}");
    assert!(!live.runtime.engine_health_off && live.policy.liveness.is_some());
    assert!(runtime("{source: engine, test: [NONE]}").runtime.engine_health_off);
    assert!(runtime("{source: aiplatd, tcp: {port: 1}}").policy.probe.is_some());
}

#[test]
fn environments_are_texts_just_as_written() {
    let env = "FROM_FILE=file\n";
    let yaml = "environment: {A: yes, B: 1.10, C: 012, D: true, E: \"\", F: 'x: y', G: 1_000, H: 22:22, I: 0o17, FROM_FILE: , NOWHERE: }";
    let service = service_with_env(yaml, env).expect("right");
    let found: Vec<(&str, &str)> =
        service.runtime.environment.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(
        found,
        [
            ("A", "yes"),
            ("B", "1.10"),
            ("C", "012"),
            ("D", "true"),
            ("E", ""),
            ("F", "x: y"),
            ("FROM_FILE", "file"),
            ("G", "1_000"),
            ("H", "22:22"),
            ("I", "0o17"),
        ]
    );
    let service =
        service_with_env("environment: [A=1, B=, \"C=x=y\", FROM_FILE, \"D= spaced \"]", env).expect("right");
    let found: Vec<(&str, &str)> =
        service.runtime.environment.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(found, [("A", "1"), ("B", ""), ("C", "x=y"), ("D", " spaced "), ("FROM_FILE", "file")]);
}

#[test]
fn env_files() {
    let file = "\u{feff}# a comment\n\nPLAIN=a b  \nexport EXPORTED=1\n  INDENTED = spaced\nHASH=a#b # c\nONLY=# nothing\nSINGLE='a $X # \\n'\nDOUBLE=\"a\\n\\$b \\\"c\\\"\"\nREF=${PLAIN}!\nDEF=${NOPE:-d}\nMULTI=\"one\ntwo\"\nCOLON: yes\nEMPTY=\nBASE=$TOP\nURL=http://x:1/?a=b&c\r\nNAMED\nABSENT\nLAST=end";
    let disk = Disk::with(with_services("  a: {image: x:1, env_file: app.env}\n"))
        .and("app.env", file)
        .and(".env", "TOP=top\nNAMED=n\n");
    let loaded = disk.load();
    assert_eq!(loaded.diagnostics, []);
    let platform = loaded.platform.expect("right");
    let environment = &platform.containers[&ResourceId::container("a")].runtime.environment;
    let found: Vec<(&str, &str)> = environment.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(
        found,
        [
            ("BASE", "top"),
            ("COLON", "yes"),
            ("DEF", "d"),
            ("DOUBLE", "a\n$b \"c\""),
            ("EMPTY", ""),
            ("EXPORTED", "1"),
            ("HASH", "a#b"),
            ("INDENTED", "spaced"),
            ("LAST", "end"),
            ("MULTI", "one\ntwo"),
            ("NAMED", "n"),
            ("ONLY", ""),
            ("PLAIN", "a b"),
            ("REF", "a b!"),
            ("SINGLE", "a $X # \\n"),
            ("URL", "http://x:1/?a=b&c"),
        ]
    );
}

#[test]
fn a_raw_env_file_is_taken_literally() {
    let text = with_services("  a: {image: x:1, env_file: [{path: raw.env, format: raw}]}\n");
    let disk = Disk::with(text).and("raw.env", "# c\nA=\"q\" $X # y\nB='z'\n");
    let platform = disk.load().platform.expect("right");
    let environment = &platform.containers[&ResourceId::container("a")].runtime.environment;
    assert_eq!(environment["A"], "\"q\" $X # y");
    assert_eq!(environment["B"], "'z'");
}

#[test]
fn later_env_files_and_the_environment_win() {
    let text = with_services("  a: {image: x:1, env_file: [one.env, ./two.env], environment: {C: three}}\n");
    let disk = Disk::with(text).and("one.env", "A=one\nB=one\nC=one\n").and("two.env", "B=two\nC=two\n");
    let platform = disk.load().platform.expect("right");
    let environment = &platform.containers[&ResourceId::container("a")].runtime.environment;
    assert_eq!((&*environment["A"], &*environment["B"], &*environment["C"]), ("one", "two", "three"));
}

#[test]
fn missing_env_files_are_errors_unless_they_may_be() {
    let missing = |yaml: &str| codes(&with_services(&format!("  a: {{image: x:1, env_file: {yaml}}}\n")));
    assert_eq!(missing("no.env"), ["file-missing"]);
    assert_eq!(missing("[no.env, {path: no2.env}, {path: no3.env, required: true}]"), ["file-missing"; 3]);
    assert_eq!(missing("[{path: no.env, required: false}]"), Vec::<&str>::new());
    assert_eq!(codes("apiVersion: aiplat/v1\nname: a\nenv_file: [no.env]\nservices: {}\n"), ["file-missing"]);
    assert_eq!(codes("apiVersion: aiplat/v1\nname: a\nenv_file: [$A]\nservices: {}\n"), ["bad-value"]);
    // `.env` beside the file counts only where no `env_file` is named.
    let disk = Disk::with("apiVersion: aiplat/v1\nname: $N\nenv_file: a.env\nservices: {}\n")
        .and("a.env", "N=a")
        .and(".env", "N=b");
    assert_eq!(disk.load().platform.expect("right").name, "a");
}

#[test]
fn profiles_are_switched_on_in_the_file_or_in_an_env_file() {
    let text = |active: &str| {
        format!(
            "apiVersion: aiplat/v1\nname: a\n{active}services:\n  a: {{image: x}}\n  b: {{image: x, profiles: [ui, ai]}}\n  c: {{image: x, profiles: [debug]}}\n"
        )
    };
    let running = |active: &str, env: &str| {
        let loaded = Disk::with(text(active)).and(".env", env).load();
        loaded
            .platform
            .expect("right")
            .containers
            .keys()
            .map(|id| id.key().to_owned())
            .collect::<Vec<_>>()
            .concat()
    };
    assert_eq!(running("", ""), "a");
    assert_eq!(running("active_profiles: [ui]\n", ""), "ab");
    assert_eq!(running("active_profiles: [\"*\"]\n", ""), "abc");
    assert_eq!(running("", "COMPOSE_PROFILES=debug, ui\n"), "abc");
    assert_eq!(running("active_profiles: [ai]\n", "COMPOSE_PROFILES=debug\n"), "abc");
}

#[test]
fn anchors_and_merges() {
    let text = "apiVersion: aiplat/v1\nname: a\nx-base: &base {image: x, user: one, labels: {a: b}}\nx-more: &more {image: y, restart: always}\nservices:\n  a: {<<: *base, user: two}\n  b: {<<: [*more, *base]}\n  c: *more\n";
    let platform = platform(text);
    let of = |name: &str| {
        let spec = &platform.containers[&ResourceId::container(name)];
        (spec.runtime.image.clone(), spec.runtime.user.clone(), spec.policy.restart)
    };
    assert_eq!(of("a"), ("x".to_owned(), Some("two".to_owned()), RestartMode::Default));
    assert_eq!(of("b"), ("y".to_owned(), Some("one".to_owned()), RestartMode::Always));
    assert_eq!(of("c"), ("y".to_owned(), None, RestartMode::Always));
}

#[test]
fn yaml_in_all_its_dress() {
    for text in [
        "\u{feff}apiVersion: aiplat/v1\r\nname: a\r\nservices:\r\n  a:\r\n    image: x\r\n",
        "---\napiVersion: aiplat/v1\nname: a\nservices: {a: {image: x}}\n...\n",
        "%YAML 1.2\n---\napiVersion: aiplat/v1\nname: a\nservices: {a: {image: x}}\n",
        "{\"apiVersion\": \"aiplat/v1\", \"name\": \"a\", \"services\": {\"a\": {\"image\": \"x\"}}}",
        "apiVersion: aiplat/v1\nname: !!str a\nservices:\n  a:\n    image: >-\n      x\n",
        "apiVersion: aiplat/v1\nname: a\nx-anything: [1, {a: \"${NOT_READ}\"}]\nservices:\n  x-note: left alone\n  a: {image: x, x-y: 1}\n",
    ] {
        assert_eq!(platform(text).containers[&ResourceId::container("a")].runtime.image, "x", "{text}");
    }
}

#[test]
fn the_stronger_pull_policy_holds_for_an_image() {
    let text = with_services(
        "  a: {image: x}\n  b: {image: x, pull_policy: always}\n  c: {image: y, pull_policy: never}\n",
    );
    let platform = platform(&text);
    assert_eq!(format!("{:?}", platform.images[&ResourceId::image("x")].pull), "Always");
    assert_eq!(format!("{:?}", platform.images[&ResourceId::image("y")].pull), "Never");
}
