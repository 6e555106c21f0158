//! Which files give a simulated unit which variables, as systemd reads them, and what a look at them shows.

use std::collections::BTreeMap;

use aiplat_core::observed::{ActiveState, FileStamp, Layer, LoadState, ObservedUnit, OwnFiles};

use super::{Package, Unit};

/// Where what is ours of the unit `name` is, or would be.
pub(super) fn paths(name: &str) -> OwnFiles {
    OwnFiles {
        drop_in_path: format!("/etc/systemd/system/{name}.d/50-aiplatd.conf"),
        environment_path: format!("/var/lib/aiplatd/units/{name}.env"),
        unit_path: format!("/etc/systemd/system/{name}"),
        ..OwnFiles::default()
    }
}

/// Where a package has the file of the unit `name`.
pub(super) fn packaged(name: &str) -> String {
    format!("/usr/lib/systemd/system/{name}")
}

/// A unit that nobody brings.
pub(super) fn absent(name: &str) -> ObservedUnit {
    ObservedUnit {
        own: paths(name),
        load_error: load_error(name, &LoadState::NotFound),
        ..ObservedUnit::default()
    }
}

fn load_error(name: &str, load: &LoadState) -> String {
    match load {
        LoadState::Loaded => String::new(),
        LoadState::NotFound => format!("Unit {name} not found."),
        LoadState::Masked => format!("Unit {name} is masked."),
        LoadState::BadSetting => format!("Unit {name} has a bad unit file setting."),
        LoadState::Error | LoadState::Other(_) => format!("Unit {name} failed to load properly."),
    }
}

impl Unit {
    /// What systemd shows of it, with what its files hold.
    pub(crate) fn view(&self) -> ObservedUnit {
        let OwnFiles { drop_in_path, environment_path, unit_path, loaded, .. } = &self.seen.own;
        let name = unit_path.rsplit('/').next().unwrap_or_default();
        let ours = loaded.then(|| drop_in_path.clone());
        let mut drop_ins: Vec<String> = self.others.keys().cloned().chain(ours).collect();
        drop_ins.sort_by_key(|path| last(path).to_owned());
        let files = self
            .files()
            .into_iter()
            .map(|(by, _)| if by == *drop_in_path { environment_path.clone() } else { format!("{by}.env") });
        let is_there = self.seen.own.unit_file.is_some() || matches!(self.inside.package, Package::File(_));
        let stamp = if is_there { self.inside.written.to_string() } else { "absent".to_owned() };
        let is_modelled = self.inside.package != Package::Good && !self.seen.fragment.is_empty();
        ObservedUnit {
            load_error: load_error(name, &self.seen.load),
            drop_ins,
            environment_files: files.collect(),
            needs_reload: self.needs_reload(),
            fragment_stamp: if is_modelled {
                Some(FileStamp(stamp))
            } else {
                self.seen.fragment_stamp.clone()
            },
            next_wall_ms: (name.ends_with(".timer") && self.seen.active == ActiveState::Active).then_some(1),
            layers: self.layers(),
            files_void_in: self.void.clone(),
            ..self.seen.clone()
        }
    }

    /// The files with variables that its drop-ins name, in the order in which systemd reads them: by drop-in, and what each
    /// sets.
    pub(super) fn files(&self) -> Vec<(String, BTreeMap<String, String>)> {
        let OwnFiles { drop_in_path, environment, loaded, unit_file, .. } = &self.seen.own;
        let mut files = self.others.clone();
        let names_it = unit_file.as_ref().is_some_and(|text| text.contains("\nEnvironmentFile="));
        if (*loaded && !self.inside.read.is_foreign) || (self.is_ours() && names_it) {
            files.insert(drop_in_path.clone(), variables(environment.as_deref().unwrap_or_default()));
        }
        let mut files: Vec<_> = files.into_iter().collect();
        files.sort_by_key(|(path, _)| last(path).to_owned());
        files.retain(|(path, _)| self.void.as_ref().is_none_or(|void| last(path) > last(void)));
        files
    }

    /// What a look at its files shows.
    fn layers(&self) -> Vec<Layer> {
        let OwnFiles { drop_in_path, environment_path, .. } = &self.seen.own;
        let own = Layer {
            path: self.seen.fragment.clone(),
            named_in: None,
            variables: self.seen.environment.clone(),
        };
        let files = self.files().into_iter().map(|(by, variables)| {
            let path = if by == *drop_in_path { environment_path.clone() } else { format!("{by}.env") };
            Layer { path, named_in: Some(by), variables }
        });
        std::iter::once(own).chain(files).collect()
    }
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// What an environment file sets, as far as these tests write any.
fn variables(text: &str) -> BTreeMap<String, String> {
    let pair = |line: &str| {
        let (name, value) = line.split_once('=')?;
        let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        Some((name.to_owned(), quoted.map_or(value.to_owned(), unescaped)))
    };
    text.lines().filter_map(pair).collect()
}

/// What stands in double quotes.
fn unescaped(text: &str) -> String {
    let mut value = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        value.extend(if c == '\\' { rest.next() } else { Some(c) });
    }
    value
}
