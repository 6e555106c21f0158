//! NVIDIA's container tools: what a container needs to be given a GPU.

use std::{collections::BTreeMap, fs, path::Path};

use aiplat_core::observed::{CdiSpec, NvidiaTools};
use serde_json::Value;

use super::text;

/// Where an engine reads specifications unless told otherwise.
const CDI_DIRS: [&str; 2] = ["etc/cdi", "var/run/cdi"];
const PROGRAMS: [&str; 4] = [
    "usr/bin/nvidia-container-runtime",
    "usr/bin/nvidia-ctk",
    "usr/local/bin/nvidia-container-runtime",
    "usr/local/nvidia/toolkit/nvidia-container-runtime",
];

pub(super) fn tools(root: &Path) -> NvidiaTools {
    let program = PROGRAMS.iter().find(|path| root.join(path).exists()).map(|path| format!("/{path}"));
    let specs =
        CDI_DIRS.iter().flat_map(|folder| fs::read_dir(root.join(folder)).into_iter().flatten().flatten());
    let is_spec =
        |path: &Path| path.extension().is_some_and(|end| ["json", "yaml", "yml"].iter().any(|it| end == *it));
    let specs = specs.map(|entry| entry.path()).filter(|path| is_spec(path));
    let shown = |path: &Path| format!("/{}", path.strip_prefix(root).unwrap_or(path).display());
    let cdi_specs: BTreeMap<String, CdiSpec> = specs.map(|path| (shown(&path), spec(&path))).collect();
    NvidiaTools { program, cdi_specs, dev_char_links: dev_char_links(root) }
}

fn spec(path: &Path) -> CdiSpec {
    let broken = |why: String| CdiSpec { broken: Some(why), ..CdiSpec::default() };
    let Some(text) = text(path) else { return broken("it cannot be read".to_owned()) };
    // JSON is YAML, too.
    let content: Value = match serde_saphyr::from_str(&text) {
        Ok(content) => content,
        Err(error) => {
            let said = error.to_string();
            return broken(said.lines().next().unwrap_or_default().to_owned());
        }
    };
    let Some(kind) = content["kind"].as_str() else { return broken("it has no `kind`".to_owned()) };
    let devices = content["devices"].as_array().into_iter().flatten();
    CdiSpec {
        kind: kind.to_owned(),
        devices: devices.filter_map(|device| device["name"].as_str().map(str::to_owned)).collect(),
        driver: driver(&content),
        broken: None,
    }
}

/// The version at the end of the name of one of the driver's libraries that the specification mounts: `libcuda.so.550.54.15`.
fn driver(content: &Value) -> Option<String> {
    let of_devices =
        content["devices"].as_array().into_iter().flatten().map(|device| &device["containerEdits"]);
    let edits = std::iter::once(&content["containerEdits"]).chain(of_devices);
    let mut paths = edits
        .flat_map(|edits| edits["mounts"].as_array().into_iter().flatten())
        .filter_map(|mount| mount["hostPath"].as_str());
    paths.find_map(|path| {
        let version = path.rsplit_once("/libcuda.so.")?.1;
        version.contains('.').then(|| version.to_owned())
    })
}

/// Whether `/dev/char` leads to NVIDIA's devices, as `nvidia-ctk system create-dev-char-symlinks` makes it
/// (NVIDIA/nvidia-container-toolkit#48); `None` without a device.
fn dev_char_links(root: &Path) -> Option<bool> {
    if !root.join("dev/nvidiactl").exists() {
        return None;
    }
    let links = fs::read_dir(root.join("dev/char")).ok()?.flatten();
    Some(
        links
            .filter_map(|link| fs::read_link(link.path()).ok())
            .any(|to| to.to_string_lossy().contains("nvidia")),
    )
}
