//! Files of the host: what aiplatd writes for configs, and what others do to them.

use std::collections::BTreeMap;

use aiplat_core::{
    ResourceId,
    action::{Action, WriteFile},
    condition::{ErrorClass, Reason},
    observed::ObservedFile,
    spec::{Content, ContentHash, FileSpec},
};
use aiplat_host::{FileHost, HostError, HostErrorKind};
use futures_util::{FutureExt, future::BoxFuture};

use super::{
    backend::SimPort,
    engine::{Answer, Container, Engine, refuse},
};

impl Engine {
    /// What is at `path`.
    #[must_use]
    pub fn file(&self, path: &str) -> ObservedFile {
        self.files.get(path).cloned().unwrap_or(ObservedFile::Absent)
    }

    /// Somebody puts a file there, or other bytes into the one that is there.
    pub fn put_file(&mut self, path: &str, bytes: &[u8]) {
        let file =
            ObservedFile::Present { content: Content::new(bytes), mode: 0o644, uid: 1_000, gid: 1_000 };
        self.note_write(path, file);
    }

    /// Somebody else has a file there, which is nobody's to touch.
    pub fn add_foreign_file(&mut self, path: &str, bytes: &[u8]) {
        self.put_file(path, bytes);
        self.foreign_files.insert(path.to_owned());
    }

    /// Somebody removes it.
    pub fn remove_file(&mut self, path: &str) {
        self.files.remove(path);
    }

    fn note_write(&mut self, path: &str, file: ObservedFile) {
        self.files.insert(path.to_owned(), file);
        *self.writes.entry(path.to_owned()).or_default() += 1;
    }

    pub(crate) fn is_there(&self, path: &str) -> bool {
        self.paths.contains(path) || self.files.contains_key(path)
    }

    /// Every path of the host that it mounts is there.
    pub(crate) fn mounted(&self, container: &Container) -> Answer<()> {
        let binds = container.mounts.iter().filter_map(|mount| mount.bind.as_ref());
        match binds.into_iter().find(|path| !self.is_there(path)) {
            Some(path) => refuse(400, format!("bind source path does not exist: {path}")),
            None => Ok(()),
        }
    }

    /// What is in the files that it mounts.
    pub(crate) fn contents(&self, container: &Container) -> BTreeMap<String, ContentHash> {
        let binds = container.mounts.iter().filter_map(|mount| mount.bind.as_ref());
        let contents = binds.filter_map(|path| match self.files.get(path)? {
            ObservedFile::Present { content, .. } => Some((path.clone(), content.hash().clone())),
            ObservedFile::Absent | ObservedFile::Obstructed { .. } => None,
        });
        contents.collect()
    }

    pub(crate) fn write(&mut self, write: &WriteFile) -> Result<(), HostError> {
        let WriteFile { spec, over } = write;
        let FileSpec { config: _, path, content, mode, uid, gid } = spec;
        let found = self.file(path);
        let wanted = ObservedFile::Present {
            content: content.clone(),
            mode: *mode,
            uid: uid.unwrap_or(0),
            gid: gid.unwrap_or(0),
        };
        if found != wanted && hash(&found) != over.as_ref() {
            return Err(changed(path));
        }
        self.note_write(path, wanted);
        Ok(())
    }

    pub(crate) fn unwrite(&mut self, path: &str, content: &ContentHash) -> Result<(), HostError> {
        let found = self.file(path);
        if found != ObservedFile::Absent && hash(&found) != Some(content) {
            return Err(changed(path));
        }
        self.remove_file(path);
        Ok(())
    }
}

fn hash(file: &ObservedFile) -> Option<&ContentHash> {
    match file {
        ObservedFile::Present { content, .. } => Some(content.hash()),
        ObservedFile::Absent | ObservedFile::Obstructed { .. } => None,
    }
}

fn changed(path: &str) -> HostError {
    let message = format!("{path} is not what it was");
    HostError::new(HostErrorKind::Refused, ErrorClass::Changed, Reason::ActionFailed, message)
}

impl FileHost for SimPort {
    fn observe<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<ObservedFile, HostError>> {
        let look = async move {
            tokio::time::sleep(std::time::Duration::from_micros(300)).await;
            Ok(self.host.settle().engine.file(path))
        };
        self.unless_dead(look).boxed()
    }

    fn apply<'a>(&'a self, id: &'a ResourceId, action: &'a Action) -> BoxFuture<'a, Result<(), HostError>> {
        let progress: aiplat_host::Progress = std::sync::Arc::new(|_| {});
        self.unless_dead(async move { self.host.act(id, action, &progress).await }).boxed()
    }
}
