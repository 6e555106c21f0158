//! What requires a recreate, as one short hash that is written on the container.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::spec::{
    ContainerRuntime, EngineCheck, FileSpec, Hardening, Mount, MountOptions, MountSource, NetworkSpec,
    OwnUnit, Recursive, Subnet, UnitSpec, VolumeSpec,
};

/// What has a fingerprint: a spec whose every change of these fields needs the object to be made anew.
pub trait Fingerprinted {
    /// Name and value of every field that is set, in a fixed order. What is at its default is left out, so that a new
    /// field changes nobody's hash. A change of an implementation needs a `v2` beside it.
    fn canonical(&self) -> Vec<(String, String)>;
}

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

    /// Whether an object made with this one is what `spec` asks for. A version or key that this program does not know
    /// cannot be compared, and what cannot be compared is left alone.
    #[must_use]
    pub fn matches(&self, spec: &impl Fingerprinted) -> bool {
        if self.0.starts_with("v1:0:") { *self == of(spec) } else { true }
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

/// The fingerprint that an object made today would get.
#[must_use]
pub fn of(spec: &impl Fingerprinted) -> Fingerprint {
    let mut text = String::new();
    for (name, value) in spec.canonical() {
        // Length-prefixed, so that no value can pretend to be another field.
        text.push_str(&format!("{}:{name}={}:{value}\n", name.len(), value.len()));
    }
    Fingerprint(format!("v1:0:{}", digest(text.as_bytes(), 24)))
}

/// Hashes of the single fields, so that `diff` can name what changed: `image`, `environment.TZ`, `ports`.
pub type FieldHashes = BTreeMap<String, String>;

/// The hash of every field that is set.
#[must_use]
pub fn fields(spec: &impl Fingerprinted) -> FieldHashes {
    spec.canonical().into_iter().map(|(name, value)| (name, digest(value.as_bytes(), 8))).collect()
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

impl Fingerprinted for ContainerRuntime {
    fn canonical(&self) -> Vec<(String, String)> {
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
            engine_check,
            options,
        } = self;
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
        push("healthcheck", engine_check.as_ref().map(check_text));
        for (name, value) in environment {
            push(&format!("environment.{name}"), Some(value.clone()));
        }
        for (name, value) in labels {
            push(&format!("labels.{name}"), Some(value.clone()));
        }
        for mount in mounts {
            let key = if matches!(mount.source, MountSource::File { .. }) { "configs" } else { "volumes" };
            push(&format!("{key}.{}", mount.target), Some(mount_text(mount)));
        }
        for (key, value) in options.words() {
            push(key, Some(value.to_string()));
        }
        out
    }
}

impl Fingerprinted for UnitSpec {
    /// What a change of needs a restart.
    fn canonical(&self) -> Vec<(String, String)> {
        let Self {
            service: _,
            unit,
            management: _,
            own,
            environment,
            restart: _,
            dependencies: _,
            probe: _,
            startup: _,
            liveness: _,
            gpus: _,
        } = self;
        let variable = |(name, value): (&String, &String)| (format!("environment.{name}"), value.clone());
        let program = own.iter().flat_map(program);
        let unit = std::iter::once(("unit".to_owned(), unit.clone()));
        unit.chain(environment.iter().map(variable)).chain(program).collect()
    }
}

/// What a process has from its start on. How it is stopped, and when it is started, is systemd's to know.
fn program(own: &OwnUnit) -> Vec<(String, String)> {
    let OwnUnit { command, user, group, working_dir, stop_signal: _, stop_grace: _, hardening, timer: _ } =
        own;
    let fields = [
        ("command", Some(list(command))),
        ("user", user.clone()),
        ("group", group.clone()),
        ("working_dir", working_dir.clone()),
        ("hardening", (*hardening == Hardening::None).then(|| "none".to_owned())),
    ];
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// What a text is recognised by.
#[must_use]
pub fn of_text(text: &str) -> String {
    digest(text.as_bytes(), 24)
}

impl Fingerprinted for FileSpec {
    fn canonical(&self) -> Vec<(String, String)> {
        let Self { config: _, path, content, mode, uid, gid } = self;
        let number = |number: Option<u32>| number.map(|number| number.to_string());
        let set = [
            ("path", Some(path.clone())),
            ("content", Some(content.hash().0.clone())),
            ("mode", Some(format!("{mode:o}"))),
            ("uid", number(*uid)),
            ("gid", number(*gid)),
        ];
        set.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

impl Fingerprinted for NetworkSpec {
    fn canonical(&self) -> Vec<(String, String)> {
        // Its name tells which network it is, and whoever owns an external one decides what it is like.
        let Self {
            host_name: _,
            external: _,
            driver,
            driver_opts,
            internal,
            enable_ipv6,
            ipv4_off,
            attachable,
            labels,
            subnets,
            ipam_driver,
            ipam_options,
        } = self;
        let mut out = Vec::new();
        let mut flag = |name: &str, set: bool| out.extend(set.then(|| (name.to_owned(), "true".to_owned())));
        flag("internal", *internal);
        flag("enable_ipv6", *enable_ipv6);
        flag("enable_ipv4.off", *ipv4_off);
        flag("attachable", *attachable);
        out.extend(driver.iter().map(|driver| ("driver".to_owned(), driver.clone())));
        out.extend(entries("driver_opts", driver_opts));
        out.extend(entries("labels", labels));
        for Subnet { subnet, gateway, ip_range, aux_addresses } in subnets {
            let parts = [Some(subnet), gateway.as_ref(), ip_range.as_ref()];
            let parts = parts.map(|part| part.cloned().unwrap_or_default());
            out.push((format!("ipam.{subnet}"), list(&parts)));
            out.extend(entries("ipam.aux_addresses", aux_addresses));
        }
        out.extend(ipam_driver.iter().map(|driver| ("ipam.driver".to_owned(), driver.clone())));
        out.extend(entries("ipam.options", ipam_options));
        out
    }
}

impl Fingerprinted for VolumeSpec {
    fn canonical(&self) -> Vec<(String, String)> {
        let Self { host_name: _, external: _, driver, driver_opts, labels } = self;
        let driver = driver.iter().map(|driver| ("driver".to_owned(), driver.clone()));
        driver.chain(entries("driver_opts", driver_opts)).chain(entries("labels", labels)).collect()
    }
}

/// `labels.NAME` and its value, for each.
fn entries<'a>(
    field: &'a str,
    map: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = (String, String)> + 'a {
    map.iter().map(move |(name, value)| (format!("{field}.{name}"), value.clone()))
}

fn check_text(check: &EngineCheck) -> String {
    let EngineCheck { test, interval, timeout, retries, start_period } = check;
    let nanos = |time: &Option<Duration>| time.map(|time| time.as_nanos().to_string());
    let retries = retries.map(|retries| retries.to_string());
    let rest = [nanos(interval), nanos(timeout), retries, nanos(start_period)].map(Option::unwrap_or_default);
    format!("{};{}", list(test), list(&rest))
}

fn mount_text(mount: &Mount) -> String {
    let Mount { target: _, source, read_only, options } = mount;
    let source = match source {
        MountSource::Volume { volume: _, host_name } => format!("volume:{host_name}"),
        // Whether a missing folder is made first says nothing about the container that then runs.
        MountSource::Bind { path, create: _ } => format!("bind:{path}"),
        MountSource::File { file: _, path } => format!("config:{path}"),
        MountSource::Anonymous => "anonymous".to_owned(),
        MountSource::Tmpfs { size } => format!("tmpfs:{}", size.unwrap_or(0)),
    };
    let source = if *read_only { format!("{source}:ro") } else { source };
    format!("{source}{}", option_text(options))
}

/// `:name=value` for each that is set.
fn option_text(options: &MountOptions) -> String {
    let MountOptions { propagation, recursive, nocopy, subpath, labels, mode } = options;
    let recursive = match recursive {
        Recursive::Enabled => None,
        Recursive::Disabled => Some("disabled".to_owned()),
        Recursive::Writable => Some("writable".to_owned()),
        Recursive::Readonly => Some("readonly".to_owned()),
    };
    let labels = (!labels.is_empty())
        .then(|| list(&labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()));
    let set = [
        ("propagation", propagation.clone()),
        ("recursive", recursive),
        ("nocopy", nocopy.then(|| "true".to_owned())),
        ("subpath", subpath.clone()),
        ("labels", labels),
        ("mode", mode.map(|mode| format!("{mode:o}"))),
    ];
    set.into_iter().filter_map(|(name, value)| Some(format!(":{name}={}", value?))).collect()
}

fn list(items: &[String]) -> String {
    items.iter().map(|item| format!("{}:{item},", item.len())).collect()
}

/// The first `digits` of the hash of `bytes`.
pub(crate) fn digest(bytes: &[u8], digits: usize) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        hex.push_str(&format!("{byte:02x}"));
    }
    hex.truncate(digits);
    hex
}
