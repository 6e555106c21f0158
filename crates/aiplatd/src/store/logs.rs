//! Kept logs: one file a service below `logs/` in the state folder, replaced as a whole, readable by us alone.

use std::{fs, io, io::Write, os::unix::fs::DirBuilderExt, path::Path};

/// Services whose last lines are kept; the oldest go.
const SERVICES_MAX: usize = 256;

/// Replaces what is kept of `service`.
pub(super) fn write(folder: &Path, service: &str, lines: &[Vec<u8>]) -> io::Result<()> {
    let folder = folder.join("logs");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    // Not synced: after a power cut an older log, or none, is no loss.
    let mut file = tempfile::NamedTempFile::new_in(&folder)?;
    for line in lines {
        file.write_all(line)?;
    }
    file.persist(folder.join(file_name(service))).map_err(|error| error.error)?;
    remove_oldest(&folder)
}

/// What is kept of `service`, line by line.
pub(super) fn read(folder: &Path, service: &str) -> io::Result<Vec<Vec<u8>>> {
    match fs::read(folder.join("logs").join(file_name(service))) {
        Ok(bytes) => Ok(bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// A service's name comes from the API, too: nothing in it may lead out of the folder.
fn file_name(service: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '_' };
    format!("{}.jsonl", service.chars().map(safe).collect::<String>())
}

fn remove_oldest(folder: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)?.flatten() {
        files.push((entry.metadata()?.modified()?, entry.path()));
    }
    files.sort();
    let extra = files.len().saturating_sub(SERVICES_MAX);
    files.into_iter().take(extra).try_for_each(|(_, path)| fs::remove_file(path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_written_is_read_and_nobody_else_may() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(read(folder.path(), "web").expect("nothing is no error"), Vec::<Vec<u8>>::new());
        let lines = vec![b"{\"a\":1}\n".to_vec(), b"{\"b\":2}\n".to_vec()];
        write(folder.path(), "web", &lines).expect("written");
        assert_eq!(read(folder.path(), "web").expect("read"), lines);
        let mode =
            |path: &str| fs::metadata(folder.path().join(path)).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode("logs"), mode("logs/web.jsonl")), (0o700, 0o600));
    }

    #[test]
    fn a_name_leads_nowhere_else() {
        assert_eq!(file_name("../../etc/passwd"), ".._.._etc_passwd.jsonl");
    }

    #[test]
    fn the_oldest_go() {
        let folder = tempfile::tempdir().expect("a folder");
        for number in 0..SERVICES_MAX + 3 {
            write(folder.path(), &format!("s{number}"), &[b"x\n".to_vec()]).expect("written");
        }
        assert_eq!(fs::read_dir(folder.path().join("logs")).expect("there").count(), SERVICES_MAX);
    }
}
