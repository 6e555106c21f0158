//! What paths of this machine look like: stamps that differ when content, owner or mode does.

pub(crate) mod atomic;
mod host;

pub use host::Disk;

use std::{collections::BTreeMap, fs, io, os::unix::fs::MetadataExt, path::Path, time::Duration};

use aiplat_core::observed::FileStamp;

/// Entries of a folder that count, and no deeper than one level: a configuration, not a data folder.
const ENTRIES_MAX: usize = 256;
/// A file system that does not answer (NFS) costs no more than this.
const DEADLINE: Duration = Duration::from_secs(2);

/// Where the unit of the package lets aiplatd write besides its own folders. A test compares it with the unit.
const WRITABLE: [&str; 5] = ["/srv", "/opt", "/mnt", "/media", "/data"];

/// Why `folder` could not be written to, and how to let aiplatd, where the unit of the package is why.
#[must_use]
pub fn read_only(folder: &Path, error: &io::Error) -> Option<String> {
    if error.kind() != io::ErrorKind::ReadOnlyFilesystem {
        return None;
    }
    let folder = folder.display();
    Some(format!(
        "the unit of aiplatd lets it write below {} and to its own folders only; `ReadWritePaths={folder}` in [Service], by \
         `systemctl edit aiplatd`, adds this one at the next `systemctl restart aiplatd`",
        WRITABLE.join(", ")
    ))
}

/// The stamps of `paths`; without those that could not be read in time.
pub async fn stamps(paths: Vec<String>) -> BTreeMap<String, FileStamp> {
    let read = tokio::task::spawn_blocking(move || {
        paths.into_iter().map(|path| (path.clone(), stamp(Path::new(&path)))).collect()
    });
    match tokio::time::timeout(DEADLINE, read).await {
        Ok(Ok(stamps)) => stamps,
        Ok(Err(_)) | Err(_) => BTreeMap::new(),
    }
}

/// The stamp of what `path` leads to; that it leads to nothing is a stamp, too.
#[must_use]
pub fn stamp(path: &Path) -> FileStamp {
    let Ok(meta) = fs::metadata(path) else { return FileStamp("absent".to_owned()) };
    if !meta.is_dir() {
        return FileStamp(of(&meta));
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten().take(ENTRIES_MAX);
    let mut entries: Vec<String> = entries
        .filter_map(|entry| Some(format!("{}={}", entry.file_name().display(), of(&entry.metadata().ok()?))))
        .collect();
    entries.sort();
    FileStamp(format!("{} {}", of(&meta), digest(&entries)))
}

/// The change time moves with content, owner and mode, and nobody can set it back.
fn of(meta: &fs::Metadata) -> String {
    format!("{}:{}:{}.{}", meta.ino(), meta.size(), meta.ctime(), meta.ctime_nsec())
}

/// FNV-1a: the ledger keeps stamps, and a folder's entries would make a long one.
fn digest(parts: &[String]) -> String {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain(*b"\n"));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn content_mode_and_presence_make_another_stamp() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("app.conf");
        let mut seen = vec![stamp(&file)];
        fs::write(&file, "a").expect("written");
        seen.push(stamp(&file));
        fs::write(&file, "ab").expect("written");
        seen.push(stamp(&file));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("changed");
        seen.push(stamp(&file));
        for pair in seen.windows(2) {
            assert_ne!(pair[0], pair[1]);
        }
        assert_eq!(stamp(&file), stamp(&file));
    }

    #[test]
    fn the_sentence_names_the_folders_of_the_unit() {
        let unit = include_str!("../../../deploy/aiplatd.service");
        let lines = unit.lines().filter_map(|line| line.strip_prefix("ReadWritePaths="));
        let paths: Vec<&str> =
            lines.flat_map(str::split_whitespace).map(|path| path.trim_start_matches('-')).collect();
        let own = ["/etc/systemd/system", "/etc/docker"];
        assert_eq!(paths, [&WRITABLE[..], &own].concat());
        let said = |kind: io::ErrorKind| read_only(Path::new("/var/x"), &io::Error::from(kind));
        assert!(
            said(io::ErrorKind::ReadOnlyFilesystem).is_some_and(|it| it.contains("ReadWritePaths=/var/x"))
        );
        assert_eq!(said(io::ErrorKind::PermissionDenied), None);
    }

    #[test]
    fn a_file_in_a_folder_changes_the_stamp_of_the_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("a"), "1").expect("written");
        let before = stamp(folder.path());
        fs::write(folder.path().join("a"), "22").expect("written");
        assert_ne!(before, stamp(folder.path()));
    }
}
