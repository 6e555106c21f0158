//! What requires a recreate, as one short hash that is written on the container.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::spec::{ContainerRuntime, Mount, MountSource};

/// `v1:<key id>:<hash>`: the version names the function that made it, so that an upgrade of aiplatd restarts
/// nobody; the key id names the key of the HMAC over secrets (`0`: no secret is covered).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The text of the label.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first eight digits of the hash, for names.
    #[must_use]
    pub fn short(&self) -> &str {
        let hash = self.0.rsplit(':').next().unwrap_or_default();
        hash.get(..8).unwrap_or(hash)
    }

    /// Whether a container made with this one is what `runtime` asks for. A version or key that this program
    /// does not know cannot be compared, and what cannot be compared is left alone.
    #[must_use]
    pub fn matches(&self, runtime: &ContainerRuntime) -> bool {
        if self.0.starts_with("v1:0:") { *self == v1(runtime) } else { true }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Fingerprint {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

/// The fingerprint that a container made today would get.
#[must_use]
pub fn of(runtime: &ContainerRuntime) -> Fingerprint {
    v1(runtime)
}

/// Hashes of the single fields, so that `diff` can name what changed: `image`, `environment.TZ`, `ports`.
pub type FieldHashes = BTreeMap<String, String>;

/// The hash of every field that is set; what is at its default is left out, so that a new field changes nobody's hash.
#[must_use]
pub fn fields(runtime: &ContainerRuntime) -> FieldHashes {
    canonical(runtime).into_iter().map(|(name, value)| (name, digest(&value, 8))).collect()
}

/// The names of the fields that differ, sorted.
#[must_use]
pub fn changed(before: &FieldHashes, after: &FieldHashes) -> Vec<String> {
    let mut names: Vec<String> = before.keys().chain(after.keys()).cloned().collect();
    names.sort();
    names.dedup();
    names.retain(|name| before.get(name) != after.get(name));
    names
}

fn v1(runtime: &ContainerRuntime) -> Fingerprint {
    let mut text = String::new();
    for (name, value) in canonical(runtime) {
        // Length-prefixed, so that no value can pretend to be another field.
        text.push_str(&format!("{}:{name}={}:{value}\n", name.len(), value.len()));
    }
    Fingerprint(format!("v1:0:{}", digest(&text, 24)))
}

/// Field by field, in a fixed order, defaults left out. A change of this function needs a `v2` beside it.
fn canonical(runtime: &ContainerRuntime) -> Vec<(String, String)> {
    let ContainerRuntime {
        image,
        command,
        entrypoint,
        environment,
        user,
        labels,
        stop_signal,
        ports,
        mounts,
        engine_health_off,
    } = runtime;
    let mut out = vec![("image".to_owned(), image.clone())];
    let mut push =
        |name: &str, value: Option<String>| out.extend(value.map(|value| (name.to_owned(), value)));
    push("command", command.as_ref().map(|argv| list(argv)));
    push("entrypoint", entrypoint.as_ref().map(|argv| list(argv)));
    push("user", user.clone());
    push("stop_signal", stop_signal.clone());
    let mut ports: Vec<String> =
        ports.iter().map(|port| format!("{port}->{}/{}", port.container_port, port.protocol)).collect();
    ports.sort();
    push("ports", (!ports.is_empty()).then(|| list(&ports)));
    push("healthcheck", engine_health_off.then(|| "off".to_owned()));
    for (name, value) in environment {
        push(&format!("environment.{name}"), Some(value.clone()));
    }
    for (name, value) in labels {
        push(&format!("labels.{name}"), Some(value.clone()));
    }
    for mount in mounts {
        push(&format!("volumes.{}", mount.target), Some(mount_text(mount)));
    }
    out
}

fn mount_text(mount: &Mount) -> String {
    let Mount { target: _, source, read_only } = mount;
    let source = match source {
        MountSource::Volume { volume: _, host_name } => format!("volume:{host_name}"),
        // Whether a missing folder is made first says nothing about the container that then runs.
        MountSource::Bind { path, create: _ } => format!("bind:{path}"),
        MountSource::Anonymous => "anonymous".to_owned(),
        MountSource::Tmpfs { size } => format!("tmpfs:{}", size.unwrap_or(0)),
    };
    if *read_only { format!("{source}:ro") } else { source }
}

fn list(items: &[String]) -> String {
    items.iter().map(|item| format!("{}:{item},", item.len())).collect()
}

fn digest(text: &str, digits: usize) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(text.as_bytes()) {
        hex.push_str(&format!("{byte:02x}"));
    }
    hex.truncate(digits);
    hex
}
