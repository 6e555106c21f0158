//! Default deny: what gives a container power over the host must be named in `allow_host_access`.

use std::path::{Path, PathBuf};

use super::{Scene, powers};
use crate::load::{
    decode::normal,
    diagnostic::{Problem, Sink},
    draft::{MountDraft, ServiceDraft, SourceDraft, VolumeDraft},
    layers::overlay_folder,
};

/// These, what is in them, and what contains them.
const GUARDED: [(&str, &str); 10] = [
    ("/etc", "the configuration of the host"),
    ("/proc", "the processes of the host"),
    ("/sys", "the kernel of the host"),
    ("/dev", "the devices of the host"),
    ("/boot", "the kernel of the host"),
    ("/root", "the home of root"),
    ("/run", "the sockets of the host"),
    ("/var/run", "the sockets of the host"),
    ("/var/lib/docker", "the engine's own files"),
    ("/var/lib/containerd", "the engine's own files"),
];
/// Whoever talks to one of these can do anything on the host.
const SOCKETS: [&str; 4] = ["docker.sock", "containerd.sock", "podman.sock", "crio.sock"];
/// World-readable, harmless, and mounted by half of all Compose files.
const HARMLESS: [&str; 2] = ["/etc/localtime", "/etc/timezone"];

/// What the host is made of, besides the fixed paths.
pub(in crate::load) struct Ours<'a> {
    /// The file that is being read.
    pub(in crate::load) root: &'a Path,
    /// All files that it is made of.
    pub(in crate::load) parts: &'a [PathBuf],
    pub(in crate::load) state_dir: &'a Path,
}

pub(super) fn check(scene: &Scene<'_>, ours: &Ours<'_>, sink: &mut Sink) {
    let (root, state_dir) = (normal(ours.root), normal(ours.state_dir));
    let parts: Vec<PathBuf> = ours.parts.iter().map(|part| normal(part)).collect();
    let ours = &Ours { root: &root, parts: &parts, state_dir: &state_dir };
    for (name, service) in &scene.draft.services {
        let mut used = vec![false; service.allow_host_access.len()];
        for mount in &service.mounts {
            let Some(path) = host_path(scene, mount) else { continue };
            guard(name, service, mount, &normal(Path::new(path)), ours, &mut used, sink);
        }
        powers::check(name, service, &mut used, sink);
        powers::unused(scene, name, &used, sink);
    }
}

/// The path of the host behind a mount: of a bind, or of a volume that is one in disguise.
fn host_path<'a>(scene: &Scene<'a>, mount: &'a MountDraft) -> Option<&'a str> {
    match &mount.source {
        SourceDraft::Bind { path, .. } => Some(path),
        SourceDraft::Volume(name) => scene.draft.volumes.get(name).and_then(disguised),
        SourceDraft::Anonymous | SourceDraft::Tmpfs { .. } => None,
    }
}

/// `driver_opts: {type: none, o: bind, device: /path}`.
fn disguised(volume: &VolumeDraft) -> Option<&str> {
    let is_local = volume.driver.as_deref().is_none_or(|driver| driver == "local");
    let device = volume.driver_opts.get("device").map(|device| device.value.as_str())?;
    // An NFS export also begins with `:/`; only paths of this machine begin with `/`.
    (is_local && device.starts_with('/')).then_some(device)
}

fn guard(
    name: &str,
    service: &ServiceDraft,
    mount: &MountDraft,
    path: &Path,
    ours: &Ours<'_>,
    used: &mut [bool],
    sink: &mut Sink,
) {
    if path.starts_with(ours.state_dir) {
        sink.add(
            Problem::error(
                "state-folder",
                mount.place,
                format!("{} is where aiplatd keeps its own state", path.display()),
            )
            .because("no container may have it, `allow_host_access` or not")
            .help("mount another folder"),
        );
        return;
    }
    let Some(reason) = reason(path, ours, mount.read_only) else { return };
    let mut allowed = false;
    for (entry, used) in service.allow_host_access.iter().zip(used) {
        if path.starts_with(&entry.value) {
            (allowed, *used) = (true, true);
        }
    }
    if !allowed {
        let path = path.display();
        sink.add(
            Problem::error(
                "host-access",
                mount.place,
                format!("mounting {path} gives `{name}` power over the host: {reason}"),
            )
            .help(format!(
                "if you mean it, add `allow_host_access: [{path}]` to `{name}`; else mount a narrower path"
            )),
        );
    }
}

/// Why `path` is guarded, if it is.
fn reason(path: &Path, ours: &Ours<'_>, read_only: bool) -> Option<String> {
    if read_only && HARMLESS.iter().any(|harmless| path == Path::new(harmless)) {
        return None;
    }
    // By default the platform lives in /etc: files beside it are as much for its services as those of a Compose file.
    let folder = ours.root.parent().filter(|folder| folder.starts_with("/etc/"));
    if read_only && folder.is_some_and(|folder| path.starts_with(folder) && !ours.root.starts_with(path)) {
        return None;
    }
    if path == Path::new("/") {
        return Some("it is all of its files".to_owned());
    }
    if path.file_name().is_some_and(|name| SOCKETS.iter().any(|socket| name == *socket)) {
        return Some("whoever talks to this socket can do anything".to_owned());
    }
    for (guarded, what) in GUARDED {
        if path == Path::new(guarded) {
            return Some(format!("it is {what}"));
        }
        if path.starts_with(guarded) {
            return Some(format!("it is part of {what}"));
        }
    }
    let overlays = overlay_folder(ours.root);
    if !read_only && (overlays.starts_with(path) || ours.parts.iter().any(|part| part.starts_with(path))) {
        return Some("whoever writes the platform's own file decides what runs here".to_owned());
    }
    let inside = GUARDED.iter().map(|(guarded, _)| Path::new(*guarded)).chain([ours.state_dir]);
    let mut inside = inside.filter(|guarded| guarded.starts_with(path));
    inside.next().map(|guarded| format!("it contains {}", guarded.display()))
}
