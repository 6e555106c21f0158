//! The environment that a process was started with.

use std::{collections::BTreeMap, fs::File, io::Read, path::Path};

/// More is no environment: the kernel gives a program 2 MiB for it and its arguments.
const SIZE_MAX: u64 = 4 << 20;

/// What is known of a process's environment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Environ {
    /// It was started with this.
    Known(BTreeMap<String, String>),
    /// systemd has forked it, and it is not the program yet.
    NotYet,
    /// It cannot be read, the process has written over it, or the number belongs to another process by now.
    Unknown,
}

/// The environment of `pid`, if it is a process of the run `invocation`.
pub(super) fn of(proc: &Path, pid: u32, invocation: &str) -> Environ {
    let process = proc.join(pid.to_string());
    // Before the environment: a program that is loaded between the two is waited for, and not taken for a stranger.
    let name = read(&process.join("comm")).unwrap_or_default();
    let Some(bytes) = read(&process.join("environ")) else { return Environ::Unknown };
    let environment = parse(&bytes);
    // systemd gives it to every process that it starts for a service.
    if environment.get("INVOCATION_ID").map(String::as_str) == Some(invocation) {
        return Environ::Known(environment);
    }
    // Until its program is loaded it is called `(name)`, and for a moment before that as its parent is; while it is loaded
    // the kernel shows nothing at all.
    let is_loading = name.starts_with(b"(") || name.starts_with(b"systemd") || bytes.is_empty();
    if is_loading { Environ::NotYet } else { Environ::Unknown }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(SIZE_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// `NAME=value`, each with a zero byte after it. Of two with one name the program sees the first.
fn parse(bytes: &[u8]) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    for entry in bytes.split(|byte| *byte == 0) {
        let entry = String::from_utf8_lossy(entry);
        if let Some((name, value)) = entry.split_once('=').filter(|(name, _)| !name.is_empty()) {
            environment.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
    }
    environment
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn seen(environ: &[u8], name: &str) -> Environ {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("7")).unwrap();
        fs::write(folder.path().join("7/environ"), environ).unwrap();
        fs::write(folder.path().join("7/comm"), name).unwrap();
        of(folder.path(), 7, "abc")
    }

    #[test]
    fn what_a_process_of_the_run_was_started_with() {
        let environ = b"A=1\0EMPTY=\0MULTI=a\nb=c\0INVOCATION_ID=abc\0A=2\0BAD\xff=\xfe\0=x\0noise\0";
        let expected = [
            ("A", "1"),
            ("BAD\u{fffd}", "\u{fffd}"),
            ("EMPTY", ""),
            ("INVOCATION_ID", "abc"),
            ("MULTI", "a\nb=c"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(seen(environ, "systemd\n"), Environ::Known(expected));
    }

    #[test]
    fn what_is_not_known_to_be_of_the_run_is_unknown() {
        assert_eq!(seen(b"A=1\0INVOCATION_ID=abd\0", "web\n"), Environ::Unknown, "another run or process");
        assert_eq!(seen(b"postgres: writer\0\0\0\0", "postgres\n"), Environ::Unknown, "written over");
        assert_eq!(of(Path::new("/nonexistent"), 7, "abc"), Environ::Unknown);
    }

    #[test]
    fn what_is_still_a_copy_of_systemd_is_waited_for() {
        assert_eq!(seen(b"HOME=/\0TERM=linux\0", "(web)\n"), Environ::NotYet);
        assert_eq!(seen(b"HOME=/\0TERM=linux\0", "systemd\n"), Environ::NotYet);
        assert_eq!(seen(b"", "web\n"), Environ::NotYet, "in the middle of it");
    }
}
