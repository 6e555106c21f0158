//! Advice on a file that is valid: what works today and bites tomorrow. Each has a name in the table of lints.

mod environment;
mod families;

use std::path::Path;

use super::Scene;
use crate::{
    load::{
        compile::container,
        diagnostic::{Problem, Sink},
        draft::{ServiceDraft, SourceDraft},
    },
    spec::{PullPolicy, UpdateOrder},
};

/// All lints of all services that are to run.
pub(super) fn check(scene: &Scene<'_>, sink: &mut Sink) {
    for (name, service) in &scene.active {
        floating_tag(name, service, sink);
        single_file_binds(name, service, sink);
        published(name, service, sink);
        environment::check(scene, name, service, sink);
        start_first(scene, name, service, sink);
    }
}

/// Judged as the plan judges it, by what the service compiles to.
fn start_first(scene: &Scene<'_>, name: &str, service: &ServiceDraft, sink: &mut Sink) {
    if service.update.order == UpdateOrder::StopFirst {
        return;
    }
    if let Some(why) = container(scene, name, service).kept_from_starting_first() {
        let message = format!("`order: start-first` of `{name}` has no effect: {why}");
        sink.add(
            Problem::warning("start-first-without-effect", service.place, message)
                .because("the old one ends before the new one starts")
                .help("remove `order`, or what keeps both from running at once")
                .of(name),
        );
    }
}

fn floating_tag(name: &str, service: &ServiceDraft, sink: &mut Sink) {
    let Some(image) = &service.image else { return };
    // What is never pulled is built here, and moves when somebody builds it.
    if image.value.contains('@') || service.pull.as_ref().is_some_and(|pull| pull.value == PullPolicy::Never)
    {
        return;
    }
    let last = image.value.rsplit('/').next().unwrap_or_default();
    let message = match last.split_once(':') {
        None => format!("the image of `{name}` has no tag, which means `latest`"),
        Some((_, tag)) if tag == "latest" || tag.ends_with("-latest") => {
            format!("the image of `{name}` has the tag `{tag}`, which moves")
        }
        Some(_) => return,
    };
    sink.add(
        Problem::warning("floating-tag", image.place, message)
            .because(
                "the next pull may bring another version, and the file does not say which one ran before",
            )
            .help("name a version, as in `redis:7.4-alpine`")
            .of(name),
    );
}

/// Extensions of files that people edit.
const EDITED: [&str; 16] = [
    "yml",
    "yaml",
    "json",
    "toml",
    "conf",
    "cfg",
    "cnf",
    "ini",
    "env",
    "txt",
    "xml",
    "properties",
    "template",
    "tmpl",
    "htpasswd",
    "rules",
];
const EDITED_NAMES: [&str; 2] = ["Caddyfile", "Corefile"];

fn single_file_binds(name: &str, service: &ServiceDraft, sink: &mut Sink) {
    for mount in &service.mounts {
        let SourceDraft::Bind { path, .. } = &mount.source else { continue };
        let path = Path::new(path);
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        if !EDITED.contains(&extension.as_ref()) && !EDITED_NAMES.contains(&file.as_ref()) {
            continue;
        }
        let folder = path.parent().unwrap_or(path).display();
        sink.add(
            Problem::warning("single-file-bind", mount.place, format!("`{name}` mounts the single file {file}"))
                .because("editors replace a file by another one of its name, and the container goes on seeing the old one")
                .help(format!("mount its folder {folder}, or `aiplatctl restart {name}` after an edit"))
                .of(name),
        );
    }
}

fn published(name: &str, service: &ServiceDraft, sink: &mut Sink) {
    let image = service.image.as_ref().map_or("", |image| image.value.as_str());
    let is_backend = families::family(image).is_some_and(|family| family.is_backend);
    for port in &service.ports {
        let (ip, target) = (port.value.host_ip, port.value.container_port);
        if is_backend && !ip.is_loopback() {
            let message = format!("port {target} of `{name}`, which keeps data, is published on {ip}");
            sink.add(
                Problem::warning("backend-published", port.place, message)
                    .because("services reach it over their network without a published port")
                    .help("remove the port, or publish it on 127.0.0.1")
                    .of(name),
            );
            continue;
        }
        // What everybody is meant to reach.
        let is_web = port.value.host_port.is_some_and(|port| port == 80 || port == 443);
        if ip.is_unspecified() && !is_web {
            let message = format!("port {target} of `{name}` is published on every address of this machine");
            sink.add(
                Problem::warning("published-on-all-addresses", port.place, message)
                    .because("everybody on the network reaches it, past most host firewalls")
                    .help("leave the address out to publish it on 127.0.0.1, or name the one that is meant")
                    .of(name),
            );
        }
    }
}
