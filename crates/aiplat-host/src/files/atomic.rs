//! Writing files of ours: in one piece, durable, and with a sentence for everything that can go wrong.

use std::{
    fs,
    io::{self, ErrorKind, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use aiplat_core::condition::{ErrorClass, Reason};

use crate::port::{HostError, HostErrorKind};

/// A disk that does not answer costs no more than this.
const DEADLINE: Duration = Duration::from_secs(5);

/// A step on a file that failed: what, to which file, why.
#[derive(Debug)]
pub(crate) struct Failed {
    verb: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// Who may do what with a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Access {
    pub(crate) mode: u32,
    /// `None`: the user that we run as.
    pub(crate) uid: Option<u32>,
    /// `None`: that user's group.
    pub(crate) gid: Option<u32>,
}

/// Whether what is in the place may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Taken,
    Free,
}

/// Puts a new file with `bytes` at `path`, whose folder exists. It is nobody else's to read until it is whole and has its
/// owner; a link in its place is replaced, not followed; and whoever has the old one open goes on reading that.
pub(crate) fn write(path: &Path, bytes: &[u8], access: Access, place: Place) -> Result<(), Failed> {
    let folder = folder_of(path);
    let write = || -> io::Result<()> {
        // A hidden name without our suffix: systemd does not read what a kill in between leaves behind.
        let mut file =
            tempfile::Builder::new().prefix(".aiplatd-").tempfile_in(folder).map_err(without_path)?;
        file.as_file_mut().write_all(bytes)?;
        let Access { mode, uid, gid } = access;
        if uid.is_some() || gid.is_some() {
            std::os::unix::fs::fchown(file.as_file(), uid, gid)?;
        }
        file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        match place {
            Place::Taken => file.persist(path),
            Place::Free => file.persist_noclobber(path),
        }
        .map_err(|error| error.error)?;
        fs::File::open(folder)?.sync_all()
    };
    write().map_err(failed("write", path))
}

/// The same without the hidden name, which is another one with every attempt: one trouble would be a new event each time.
fn without_path(error: io::Error) -> io::Error {
    let text = error.to_string();
    match text.split_once(" at path ") {
        Some((why, _)) => io::Error::new(error.kind(), why.to_owned()),
        None => error,
    }
}

/// Removes a file; what is gone already is a success.
pub(crate) fn unlink(path: &Path) -> Result<(), Failed> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(source) => Err(failed("remove", path)(source)),
    }
}

pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

pub(crate) fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Failed {
    move |source| Failed { verb, path: path.to_owned(), source }
}

/// Does `work` on `what`, beside everything else and within a deadline.
pub(crate) async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> Result<T, Failed> + Send + 'static,
) -> Result<T, HostError> {
    match tokio::time::timeout(DEADLINE, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(done)) => done.map_err(|error| host_error(&error)),
        Ok(Err(panicked)) => Err(HostError::new(
            HostErrorKind::OutcomeUnknown,
            ErrorClass::Bug,
            Reason::InternalError,
            format!("cannot tell what became of {what}: {panicked}; report this as a bug"),
        )),
        Err(_) => Err(HostError::new(
            HostErrorKind::OutcomeUnknown,
            ErrorClass::Transient,
            Reason::ActionFailed,
            format!(
                "cannot tell what became of {what}: the disk does not answer within {}; aiplatd looks again",
                aiplat_core::time::human(DEADLINE)
            ),
        )),
    }
}

fn host_error(error: &Failed) -> HostError {
    let Failed { verb, path, source } = error;
    let (class, reason, next) = meaning(source.kind());
    let message = format!("cannot {verb} {}: {source}; {next}", path.display());
    HostError::new(HostErrorKind::Refused, class, reason, message)
}

fn meaning(kind: ErrorKind) -> (ErrorClass, Reason, &'static str) {
    use ErrorKind::{
        AlreadyExists, IsADirectory, NotADirectory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem,
        StorageFull,
    };
    let among = |kinds: &[ErrorKind]| kinds.contains(&kind);
    if among(&[PermissionDenied]) {
        (ErrorClass::Denied, Reason::PermissionDenied, "run aiplatd as root, or let its user write there")
    } else if among(&[ReadOnlyFilesystem]) {
        let next = "mount it writable, or name it in `ReadWritePaths=` of aiplatd.service";
        (ErrorClass::Denied, Reason::PermissionDenied, next)
    } else if among(&[StorageFull, QuotaExceeded]) {
        (ErrorClass::Transient, Reason::DiskFull, "free space on that disk")
    } else if among(&[IsADirectory, NotADirectory, AlreadyExists]) {
        let next = "something else is in its place: move that away";
        (ErrorClass::Rejected, Reason::ActionRejected, next)
    } else {
        (ErrorClass::Transient, Reason::ActionFailed, "aiplatd tries again")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_trouble_is_one_sentence_with_every_attempt() {
        let folder = tempfile::tempdir().unwrap();
        let access = Access { mode: 0o600, uid: None, gid: None };
        let said = || {
            let error = write(&folder.path().join("absent/x"), b"1", access, Place::Taken).unwrap_err();
            host_error(&error).message
        };
        assert_eq!(said(), said());
        assert!(said().contains("/absent/x") && !said().contains(".aiplatd-"), "{}", said());
    }

    #[test]
    fn a_disk_that_may_not_be_written_is_denied_and_a_full_one_waited_for() {
        let class =
            |kind: ErrorKind| host_error(&failed("write", Path::new("/etc/x"))(io::Error::from(kind))).class;
        assert_eq!(class(ErrorKind::PermissionDenied), ErrorClass::Denied);
        assert_eq!(class(ErrorKind::ReadOnlyFilesystem), ErrorClass::Denied);
        assert_eq!(class(ErrorKind::StorageFull), ErrorClass::Transient);
    }
}
