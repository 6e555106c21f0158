//! A disk in memory, and the loader on it.
#![allow(dead_code, reason = "every test binary uses its own part")]

pub mod schema;

use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use aiplat_core::{
    load::{Facts, Files, Loaded, load, render},
    spec::{InstanceId, Platform},
};

/// Files by path; a path under `denied` cannot be read.
#[derive(Default)]
pub struct Disk {
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    pub denied: Vec<PathBuf>,
    pub asked: RefCell<Vec<PathBuf>>,
}

impl Disk {
    /// `platform.yaml` in `/srv/home`, where the tests live.
    pub fn with(text: impl AsRef<[u8]>) -> Self {
        Self::default().and("platform.yaml", text)
    }

    pub fn and(mut self, name: &str, text: impl AsRef<[u8]>) -> Self {
        self.files.insert(Path::new("/srv/home").join(name), text.as_ref().to_vec());
        self
    }

    pub fn load(&self) -> Loaded {
        load(Path::new("/srv/home/platform.yaml"), self, &facts())
    }
}

impl Files for Disk {
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, String> {
        self.asked.borrow_mut().push(path.to_owned());
        if self.denied.iter().any(|denied| denied == path) {
            return Err("permission denied (os error 13)".to_owned());
        }
        Ok(self.files.get(path).cloned())
    }

    fn list(&self, folder: &Path) -> Result<Option<Vec<PathBuf>>, String> {
        if self.denied.iter().any(|denied| denied == folder) {
            return Err("permission denied (os error 13)".to_owned());
        }
        let inside: Vec<PathBuf> =
            self.files.keys().filter(|path| path.parent() == Some(folder)).cloned().collect();
        Ok((!inside.is_empty()).then_some(inside))
    }
}

pub fn facts() -> Facts {
    Facts {
        instance: InstanceId("test-instance".to_owned()),
        state_dir: PathBuf::from("/var/lib/aiplatd"),
        home: None,
        capacity: None,
        accept_compose: false,
    }
}

/// The platform of a file that must be right.
pub fn platform(text: &str) -> Platform {
    let loaded = Disk::with(text).load();
    match loaded.platform {
        Some(platform) => platform,
        None => panic!("should load:\n{text}\n{}", render(&loaded.diagnostics, &loaded.sources, false, 110)),
    }
}

/// What a person sees of a file.
pub fn seen(disk: &Disk) -> String {
    let loaded = disk.load();
    let mut out = render(&loaded.diagnostics, &loaded.sources, false, 110);
    out.push_str(if loaded.platform.is_some() { "\n=> taken\n" } else { "\n=> refused\n" });
    out
}

/// Codes of all diagnostics, in order.
pub fn codes(text: &str) -> Vec<&'static str> {
    Disk::with(text).load().diagnostics.iter().map(|diagnostic| diagnostic.code).collect()
}

/// A platform with these services, indented by two.
pub fn with_services(services: &str) -> String {
    format!("apiVersion: aiplat/v1\nname: home\nservices:\n{services}")
}
