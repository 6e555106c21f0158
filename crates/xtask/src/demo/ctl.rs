//! aiplatctl, as a visitor would type it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::daemon::Binaries;
use super::folder::Folder;
use crate::docker::text;
use crate::process::{Finished, capture, command};

const TIMEOUT: Duration = Duration::from_secs(20);

/// The client of the demo's daemon.
#[derive(Debug, Clone)]
pub struct Ctl {
    program: PathBuf,
    socket: PathBuf,
}

/// One line of `aiplatctl get services`.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// The printed word: Ready, Pending, CrashLoop and so on.
    pub status: String,
    /// Where it is reached, or `-`.
    pub endpoint: String,
    /// Why it is as it is.
    pub message: String,
}

impl Service {
    /// Whether nothing is left to do for it.
    pub fn is_settled(&self) -> bool {
        matches!(self.status.as_str(), "Ready" | "Completed")
    }

    /// The published port of the host, if there is one.
    pub fn host_port(&self) -> Option<u16> {
        self.endpoint.split_whitespace().next()?.rsplit_once(':')?.1.parse().ok()
    }
}

impl Ctl {
    /// The client of the daemon in this folder.
    pub fn new(binaries: &Binaries, folder: &Folder) -> Self {
        Self { program: binaries.ctl.clone(), socket: folder.socket() }
    }

    /// Runs a verb; the exit status is the caller's to judge.
    pub fn call(&self, arguments: &[impl AsRef<OsStr>]) -> Result<Finished> {
        capture(command(&self.program).arg("--socket").arg(&self.socket).args(arguments), TIMEOUT)
    }

    /// `get services -o json`; fails if the daemon does not answer, or answers from its file only.
    pub fn services(&self) -> Result<Vec<Service>> {
        let answer = self.call(&["get", "services", "-o", "json"])?;
        // It would show what a daemon last wrote, even that of another one on this machine, and say so.
        if !answer.ok() || answer.stderr.contains("not reachable") {
            bail!("aiplatctl get services: {}", answer.said());
        }
        parse_services(&answer.stdout)
    }

    /// `why NAME`: its sentence, in one line, without what comes next.
    pub fn why(&self, name: &str) -> Result<String> {
        let said = self.call(&["why", name])?.said();
        let sentence = said.lines().take_while(|line| !line.trim_start().starts_with("next:"));
        Ok(sentence.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" "))
    }

    /// `is-ready`.
    pub fn is_ready(&self) -> Result<bool> {
        Ok(self.call(&["is-ready"])?.ok())
    }

    /// `diff -f FILE`: true if there is nothing to do. The file is named: the daemon may not have seen a save yet.
    pub fn plans_nothing(&self, file: &Path) -> Result<bool> {
        let answer = self.call(&[OsStr::new("diff"), OsStr::new("-f"), file.as_os_str()])?;
        match answer.code {
            Some(0) => Ok(true),
            // It differs, or nobody listens yet: whether the daemon lives is asked elsewhere.
            Some(1 | 5) => Ok(false),
            Some(_) | None => bail!("aiplatctl diff: {}", answer.said()),
        }
    }

    /// How a verb reads for a visitor who wants to type it.
    pub fn line(&self, verb: &str) -> String {
        format!("{} --socket {} {verb}", self.program.display(), self.socket.display())
    }
}

fn parse_services(json: &str) -> Result<Vec<Service>> {
    let parsed: Value = serde_json::from_str(json).context("aiplatctl get services -o json is not JSON")?;
    let rows = parsed.as_array().context("aiplatctl get services -o json is no array")?;
    Ok(rows.iter().map(service).collect())
}

fn service(row: &Value) -> Service {
    let or_dash = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
    Service {
        name: text(row, "name").to_owned(),
        status: text(row, "status").to_owned(),
        endpoint: or_dash("endpoint"),
        message: row["message"].as_str().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_and_absent_fields_forgiven() {
        let rows = parse_services(
            r#"[{"name":"web","type":"ctr","status":"Ready","restarts":2,"endpoint":"0.0.0.0:3000 (LAN)","message":""},
                {"name":"db","status":"Pending","endpoint":null}]"#,
        )
        .unwrap();
        assert_eq!((rows[0].host_port(), rows[0].is_settled()), (Some(3000), true));
        assert_eq!(
            (rows[1].endpoint.as_str(), rows[1].host_port(), rows[1].is_settled()),
            ("-", None, false)
        );
        assert!(parse_services("stale").is_err());
    }
}
