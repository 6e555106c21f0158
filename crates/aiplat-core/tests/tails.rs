//! What real programs say when they end, recorded: each tail is classified as a person would.
#![allow(clippy::disallowed_methods, reason = "a test reads its recordings")]

use std::{fmt::Write, fs, path::Path};

use aiplat_core::classify::{Diagnosis, End, FailureClass, classify};

/// One file of `tails/`: a head of `key: value` lines, `---`, and the lines as they were printed.
struct Recording {
    name: String,
    head: Vec<(String, String)>,
    tail: Vec<String>,
}

impl Recording {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("it can be read");
        let (head, tail) = text.split_once("\n---\n").expect("a head, `---` and a tail");
        let head = head.lines().filter_map(|line| line.split_once(": "));
        Self {
            name: path.file_name().expect("a file").to_string_lossy().into_owned(),
            head: head.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            tail: tail.lines().map(str::to_owned).collect(),
        }
    }

    fn get(&self, key: &str) -> &str {
        let found = self.head.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    fn diagnosis(&self, at_start: bool) -> Diagnosis {
        classify(&End {
            exit_code: self.get("exit").parse().expect("an exit code"),
            oom_killed: false,
            with_engine: false,
            dependency_down: false,
            at_start,
            tail: &self.tail,
        })
    }
}

fn recordings() -> Vec<Recording> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tails");
    let mut paths: Vec<_> =
        fs::read_dir(folder).expect("recordings").flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().map(|path| Recording::read(path)).collect()
}

#[test]
fn each_recorded_end_has_the_class_that_a_person_gives_it() {
    let mut wrong = String::new();
    for recording in recordings() {
        let Diagnosis { class, quote, advice: _ } = recording.diagnosis(true);
        let wanted = recording.get("class");
        if format!("{class:?}") != wanted {
            let _ = writeln!(wrong, "{}: {class:?}, wanted {wanted}: {quote:?}", recording.name);
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn what_is_quoted_says_the_cause() {
    let mut wrong = String::new();
    for recording in recordings() {
        let Diagnosis { class, quote, .. } = recording.diagnosis(true);
        if class != FailureClass::Unknown && quote.as_deref() != Some(recording.get("quote")) {
            let _ =
                writeln!(wrong, "{}:\n  {quote:?}, wanted\n  {:?}", recording.name, recording.get("quote"));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn after_a_long_run_no_line_tells_the_cause() {
    for recording in recordings() {
        let class = recording.diagnosis(false).class;
        assert!(
            matches!(class, FailureClass::Unknown | FailureClass::CompletedUnexpectedly),
            "{}: {class:?}",
            recording.name
        );
    }
}

#[test]
fn there_are_recordings_of_every_class_that_a_log_tells() {
    let recordings = recordings();
    for class in [
        "PortInUse",
        "PermissionDenied",
        "DiskFull",
        "ImageDefect",
        "ConfigInvalid",
        "WrongCredentials",
        "Unknown",
    ] {
        let of_class = recordings.iter().filter(|recording| recording.get("class") == class).count();
        assert!(of_class >= 2, "{class}: {of_class}");
    }
}
