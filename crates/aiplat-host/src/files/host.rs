//! The files that configs are: looked at, written and removed in our own folder.

use std::{
    fs,
    io::{self, ErrorKind, Read},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use aiplat_core::{
    ResourceId,
    action::{Action, WriteFile},
    condition::{ErrorClass, Reason},
    observed::ObservedFile,
    spec::{Content, ContentHash, FileSpec},
};
use futures_util::future::BoxFuture;

use super::atomic::{self, Access, Failed, Place, blocking, failed, folder_of, unlink};
use crate::port::{FileHost, HostError, HostErrorKind};

/// As in "cannot tell what became of".
const WHAT: &str = "a config's file";

/// This machine's disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl FileHost for Disk {
    fn observe<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<ObservedFile, HostError>> {
        let path = PathBuf::from(path);
        Box::pin(blocking(WHAT, move || look(&path)))
    }

    fn apply<'a>(&'a self, _id: &'a ResourceId, action: &'a Action) -> BoxFuture<'a, Result<(), HostError>> {
        Box::pin(async move {
            if let Action::WriteFile(write) = action {
                let WriteFile { spec, over } = (**write).clone();
                unless_changed(blocking(WHAT, move || replace(&spec, over.as_ref())).await?, action)
            } else if let Action::RemoveFile { path, content } = action {
                let (path, content) = (PathBuf::from(path), content.clone());
                unless_changed(blocking(WHAT, move || remove(&path, &content)).await?, action)
            } else {
                Err(HostError::misdirected(action, "the disk"))
            }
        })
    }
}

/// Whether it was done, or something else than was last seen is in the place.
enum Done {
    Yes,
    Changed,
}

fn unless_changed(done: Done, action: &Action) -> Result<(), HostError> {
    match done {
        Done::Yes => Ok(()),
        Done::Changed => Err(HostError::new(
            HostErrorKind::Refused,
            ErrorClass::Changed,
            Reason::ActionFailed,
            format!("cannot {action}: somebody has changed it a moment ago; aiplatd looks again"),
        )),
    }
}

fn look(path: &Path) -> Result<ObservedFile, Failed> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(ObservedFile::Absent),
        Err(source) => return Err(failed("read", path)(source)),
    };
    let kind = meta.file_type();
    if !kind.is_file() {
        let what = if kind.is_dir() {
            "a folder"
        } else if kind.is_symlink() {
            "a symbolic link"
        } else {
            "a device, a pipe or a socket"
        };
        return Ok(ObservedFile::Obstructed { what: what.to_owned() });
    }
    match read(path) {
        Ok((bytes, meta)) => Ok(ObservedFile::Present {
            content: Content::new(bytes),
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(ObservedFile::Absent),
        Err(source) => Err(failed("read", path)(source)),
    }
}

/// What is in a plain file; one that has become a link or a pipe since is not opened as such.
fn read(path: &Path) -> io::Result<(Vec<u8>, fs::Metadata)> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = fs::OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let meta = file.metadata()?;
    let mut bytes = Vec::new();
    // One byte more than ours ever have: a larger one is none of ours, whatever it begins with.
    file.take(u64::try_from(Content::BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1))
        .read_to_end(&mut bytes)?;
    Ok((bytes, meta))
}

fn replace(spec: &FileSpec, over: Option<&ContentHash>) -> Result<Done, Failed> {
    let FileSpec { config: _, path, content, mode, uid, gid } = spec;
    let path = Path::new(path);
    let folder = folder_of(path);
    // Nobody else looks into it: an engine that mounts what is in it is root.
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(failed("make the folder", folder))?;
    let access = Access { mode: *mode, uid: *uid, gid: *gid };
    let place = match (look(path)?, over) {
        (ObservedFile::Absent, None) => Place::Free,
        // Done already, by a call whose answer was lost.
        (ObservedFile::Present { content: has, mode: now, uid: owner, gid: group }, _)
            if has == *content
                && now == *mode
                && uid.is_none_or(|uid| uid == owner)
                && gid.is_none_or(|gid| gid == group) =>
        {
            return Ok(Done::Yes);
        }
        (ObservedFile::Present { content: has, .. }, Some(over)) if has.hash() == over => Place::Taken,
        (_, _) => return Ok(Done::Changed),
    };
    atomic::write(path, content.bytes(), access, place)?;
    Ok(Done::Yes)
}

fn remove(path: &Path, content: &ContentHash) -> Result<Done, Failed> {
    match look(path)? {
        ObservedFile::Absent => Ok(Done::Yes),
        ObservedFile::Present { content: has, .. } if has.hash() == content => {
            unlink(path)?;
            Ok(Done::Yes)
        }
        ObservedFile::Present { .. } | ObservedFile::Obstructed { .. } => Ok(Done::Changed),
    }
}
