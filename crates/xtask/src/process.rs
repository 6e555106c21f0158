//! The one place that starts processes: argv only, never a shell, every wait with a deadline.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::wait;

/// What a finished process left behind.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The exit status; none if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Finished {
    /// Whether it exited 0.
    pub fn ok(&self) -> bool {
        self.code == Some(0)
    }

    /// What it said, whichever stream it used.
    pub fn said(&self) -> String {
        format!("{}{}", self.stdout, self.stderr).trim().to_owned()
    }
}

/// A command that is not started yet.
#[allow(
    clippy::disallowed_methods,
    reason = "xtask runs the tools of this repository: cargo, apt-get, systemctl and our own binaries"
)]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

/// The cargo that runs us, or the one on the PATH.
pub fn cargo() -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// A command that outlives us: in a session of its own, so that neither ^C nor a closed terminal reaches it.
pub fn in_own_session(program: impl AsRef<OsStr>) -> Command {
    match find("setsid") {
        // Not a group leader yet, so setsid need not fork: the child's id is the program's id.
        Some(setsid) => {
            let mut wrapped = command(setsid);
            wrapped.arg(program);
            wrapped
        }
        // A process group of its own is the next best thing that the standard library has.
        None => {
            let mut plain = command(program);
            plain.process_group(0);
            plain
        }
    }
}

/// Runs it in the foreground, output to ours; fails unless it exits 0.
pub fn run(command: &mut Command) -> Result<()> {
    let line = display(command);
    let status = command.status().with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed: {status}");
    }
    Ok(())
}

/// Runs it to its end and captures what it says; a non-zero exit is a value, not an error.
pub fn capture(command: &mut Command, within: Duration) -> Result<Finished> {
    let line = display(command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start `{line}`"))?;
    let stdout = read_to_end(child.stdout.take());
    let stderr = read_to_end(child.stderr.take());
    let status = match wait_for_exit(&mut child, &line, within) {
        Ok(status) => status,
        Err(error) => {
            child.kill().context("cannot kill a process that hangs")?;
            child.wait()?;
            return Err(error);
        }
    };
    let text = |reader: thread::JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
    };
    Ok(Finished { code: status.code(), stdout: text(stdout), stderr: text(stderr) })
}

/// As [`capture`], and fails unless it exits 0; returns its standard output.
pub fn stdout_of(command: &mut Command, within: Duration) -> Result<String> {
    let line = display(command);
    let finished = capture(command, within)?;
    if !finished.ok() {
        bail!("`{line}` failed: {}", finished.said());
    }
    Ok(finished.stdout)
}

/// Where a program lies on the PATH.
pub fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}

/// Whether a process with this id lives and has this word in its argv, so that a reused id is never mistaken for ours.
pub fn is_alive(pid: u32, argv_contains: &str) -> bool {
    let argv = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&argv).contains(argv_contains) && !is_zombie(pid)
}

/// Our user id, from the kernel: the standard library has no call for it.
pub fn user_id() -> Result<u32> {
    use std::os::unix::fs::MetadataExt;
    Ok(std::fs::metadata("/proc/self").context("cannot read /proc/self")?.uid())
}

/// How a command reads in a message.
pub fn display(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn is_zombie(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
}

fn wait_for_exit(child: &mut Child, line: &str, within: Duration) -> Result<std::process::ExitStatus> {
    let deadline = Instant::now() + within;
    let left = deadline.saturating_duration_since(Instant::now());
    wait::until(&format!("the end of `{line}`"), left, Duration::from_millis(2), || Ok(child.try_wait()?))
}

fn read_to_end(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // A broken pipe ends the output; the exit status tells the rest.
            let _ = stream.read_to_end(&mut bytes);
        }
        bytes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_process_is_a_value_with_what_it_said() {
        let finished = capture(command("ls").arg("/no/such/folder"), Duration::from_secs(10)).unwrap();
        assert!(!finished.ok());
        assert!(finished.said().contains("/no/such/folder"), "{}", finished.said());
    }

    #[test]
    fn a_process_that_hangs_is_killed_at_the_deadline() {
        let begun = Instant::now();
        let error = capture(command("sleep").arg("60"), Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("the end of `sleep 60`"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_process_is_known_by_its_id_and_its_argv() {
        assert!(is_alive(std::process::id(), "xtask"));
        assert!(!is_alive(std::process::id(), "no-such-word"));
    }
}
