//! `configs:`: what they compile to, and what is refused with a sentence.

mod load_support;

use aiplat_core::{
    ResourceId, fingerprint,
    spec::{ContainerSpec, MountSource, OnChange, Platform},
};
use load_support::{Disk, codes, platform, seen, with_services};

/// A service with these lines, in a platform with these configs.
fn file(configs: &str, service: &str) -> String {
    format!("{}configs:\n{configs}", with_services(&format!("  web:\n    image: x:1\n{service}")))
}

fn web(platform: &Platform) -> &ContainerSpec {
    &platform.containers[&ResourceId::container("web")]
}

/// The files that it mounts: key, path, target.
fn mounted(platform: &Platform) -> Vec<(String, String, String)> {
    let mounts = web(platform).runtime.mounts.iter().filter_map(|mount| match &mount.source {
        MountSource::File { file, path } => {
            assert!(mount.read_only, "nobody writes to a config");
            Some((file.to_string(), path.clone(), mount.target.clone()))
        }
        MountSource::Volume { .. }
        | MountSource::Bind { .. }
        | MountSource::Anonymous
        | MountSource::Tmpfs { .. } => None,
    });
    mounts.collect()
}

fn text(platform: &Platform, key: &str) -> String {
    String::from_utf8(platform.files[&ResourceId::file(key)].content.bytes().to_vec()).expect("it is text")
}

#[test]
fn a_config_is_a_file_of_aiplatd_that_is_mounted_as_one_file() {
    let platform = platform(&file("  app.yml: {content: \"a: 1\\n\"}\n", "    configs: [app.yml]\n"));
    let path = "/var/lib/aiplatd/configs/app.yml".to_owned();
    assert_eq!(mounted(&platform), [("file/app.yml".to_owned(), path.clone(), "/app.yml".to_owned())]);
    let spec = &platform.files[&ResourceId::file("app.yml")];
    assert_eq!((spec.path.as_str(), spec.mode, spec.uid, spec.gid), (path.as_str(), 0o444, None, None));
    assert_eq!(text(&platform, "app.yml"), "a: 1\n");
    assert_eq!(web(&platform).policy.on_change[&ResourceId::file("app.yml")], OnChange::Restart);
    assert!(web(&platform).needs(&ResourceId::file("app.yml")));
    assert!(web(&platform).returns_on_failure(), "a config is not what a service writes to");
}

#[test]
fn the_source_is_a_file_a_text_or_a_variable() {
    let text_of =
        "  one: {file: ./etc/one.bin}\n  two: {content: \"port: ${PORT}\"}\n  three: {environment: TOKEN}\n";
    let disk = Disk::with(file(text_of, "    configs: [one, two, three]\n"))
        .and("etc/one.bin", b"\xff\x00 no text")
        .and(".env", "PORT=80\nTOKEN=s3cret\n");
    let loaded = disk.load();
    let platform = loaded.platform.expect("it is good");
    assert_eq!(platform.files[&ResourceId::file("one")].content.bytes(), b"\xff\x00 no text");
    assert_eq!(
        (text(&platform, "two"), text(&platform, "three")),
        ("port: 80".to_owned(), "s3cret".to_owned())
    );
    let watched = std::path::Path::new("/srv/home/etc/one.bin");
    assert!(loaded.read.iter().any(|path| path == watched), "an edit of it is an edit of the platform");
    assert!(!format!("{platform:?}").contains("s3cret"), "what is in a config is never shown");
}

#[test]
fn modes_and_owners_of_a_service_make_a_file_of_their_own() {
    let grant = "    configs:\n      - app\n      - {source: app, target: etc/app.conf, mode: 0440, uid: '103', gid: 104}\n";
    let platform = platform(&file("  app: {content: x}\n", grant));
    let keys: Vec<&str> = platform.files.keys().map(ResourceId::key).collect();
    assert_eq!(keys, ["app", "app@0440-103-104"]);
    let own = &platform.files[&ResourceId::file("app@0440-103-104")];
    assert_eq!((own.mode, own.uid, own.gid, own.config.as_str()), (0o440, Some(103), Some(104), "app"));
    let targets: Vec<String> = mounted(&platform).into_iter().map(|(.., target)| target).collect();
    assert_eq!(targets, ["/app", "/etc/app.conf"]);
}

#[test]
fn the_content_is_in_the_fingerprint_only_where_a_change_recreates() {
    let print = |content: &str, on_change: &str| {
        let configs = format!("  app: {{content: {content}, on_change: {on_change}}}\n");
        fingerprint::of(&web(&platform(&file(&configs, "    configs: [app]\n"))).runtime)
    };
    assert_eq!(print("a", "restart"), print("b", "none"));
    assert_ne!(print("a", "recreate"), print("b", "recreate"));
    let plain = fingerprint::of(&web(&platform(&file("  app: {content: a}\n", ""))).runtime);
    assert_ne!(plain, print("a", "restart"), "where it is mounted is in it");
    let recreates = platform(&file("  app: {content: a, on_change: recreate}\n", "    configs: [app]\n"));
    let key = recreates.files.keys().next().expect("there is one").key();
    assert!(key.starts_with("app@") && key.len() == 16, "each content has a file of its own: {key}");
}

#[test]
fn what_no_active_service_mounts_is_not_written() {
    let text = file("  app: {content: x}\n", "    profiles: [off]\n    configs: [app]\n");
    assert!(platform(&text).files.is_empty());
    assert_eq!(codes(&file("  app: {content: x}\n", "")), ["unused-config"]);
}

/// What a person is told of these configs and this service.
fn told(configs: &str, service: &str) -> String {
    seen(&Disk::with(file(configs, service)))
}

#[test]
fn a_config_that_cannot_be_is_refused() {
    let said = |configs: &str| told(configs, "    configs: [app]\n");
    let cases = [
        ("  app: {}\n", "nothing says what is in the config `app`"),
        ("  app: {file: a, content: b}\n", "`file` and `content` both say what is in the config `app`"),
        ("  app: {file: ./gone}\n", "/srv/home/gone does not exist"),
        ("  app: {environment: NOBODY}\n", "`NOBODY` has no value, and a config is to hold it"),
        ("  app: {external: true}\n", "`external` is not taken: it means a config that a Swarm keeps"),
        ("  app: {content: x, template_driver: golang}\n", "`template_driver` of a config is not supported"),
        ("  app: {content: x, on_change: reload}\n", "`on_change: reload` is not supported by this version"),
        (
            "  app: {content: x, on_change: {reload: {signal: SIGHUP}}}\n",
            "`on_change: reload` is not supported",
        ),
        ("  app: {content: x, on_change: never}\n", "`on_change` cannot be `never`"),
        ("  ../app: {content: x}\n", "`../app` cannot be the name of a config"),
        ("  ..: {content: x}\n", "`..` cannot be the name of a config"),
    ];
    for (configs, sentence) in cases {
        let said = said(configs);
        assert!(said.contains(sentence), "{configs}: {said}");
        assert!(said.ends_with("=> refused\n"), "{configs}: {said}");
    }
    let large = "x".repeat(500 * 1024 + 1);
    let disk = Disk::with(file("  app: {file: ./large}\n", "    configs: [app]\n")).and("large", &large);
    assert!(
        seen(&disk).contains("the config `app` has 500 KiB, and a config has at most 500"),
        "{}",
        seen(&disk)
    );
    let disk = Disk::with(file("  app: {file: ./large}\n", "    configs: [app]\n")).and("large", &large[1..]);
    assert!(disk.load().platform.is_some(), "500 KiB are enough");
}

#[test]
fn words_of_swarm_are_ignored_by_name() {
    let text = file("  app: {content: x, name: other, labels: {a: b}}\n", "    configs: [app]\n");
    assert_eq!(codes(&text), ["ignored-key", "ignored-key"]);
}

#[test]
fn a_mount_that_cannot_be_is_refused() {
    let said = |service: &str| told("  app: {content: x}\n", service);
    let cases = [
        ("    configs: [ap]\n", "`web` mounts the config `ap`, which the file does not declare"),
        ("    configs: [{target: /x}]\n", "an entry of `configs` needs a `source`"),
        ("    configs: [app, {source: app, mode: 0400}]\n", "`web` mounts two things at /app"),
        ("    configs: [app]\n    volumes: [\"./x:/app\"]\n", "`web` mounts two things at /app"),
        ("    configs: [{source: app, mode: 9}]\n", "`mode` cannot be `9`"),
        ("    configs: [{source: app, mode: 07777}]\n", "`mode` cannot be `07777`"),
        ("    configs: [{source: app, uid: root}]\n", "`uid` cannot be `root`"),
        ("    configs: [{source: app, target: /}]\n", "`target` cannot be `/`"),
    ];
    for (service, sentence) in cases {
        let said = said(service);
        assert!(said.contains(sentence), "{service}: {said}");
        assert!(said.ends_with("=> refused\n"), "{service}: {said}");
    }
}

#[test]
fn a_unit_has_no_configs() {
    let service =
        "  ollama:\n    provider: {type: systemd, options: {unit: ollama.service}}\n    configs: [app]\n";
    let said = seen(&Disk::with(format!("{}configs: {{app: {{content: x}}}}\n", with_services(service))));
    assert!(said.contains("`configs` has no meaning for `ollama`"), "{said}");
    assert!(said.contains("a unit reads files of the host"), "{said}");
}

#[test]
fn an_included_file_brings_its_configs_with_its_own_paths() {
    let disk = Disk::with("apiVersion: aiplat/v1\nname: home\ninclude: [part/stack.yaml]\nservices: {}\n")
        .and(
            "part/stack.yaml",
            "services: {web: {image: x, configs: [app]}}\nconfigs: {app: {file: ./app.conf}}\n",
        )
        .and("part/app.conf", "of the part");
    let platform = disk.load().platform.expect("it is good");
    assert_eq!(text(&platform, "app"), "of the part");
}
