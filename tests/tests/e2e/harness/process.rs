//! Processes: the one place that makes them, and the binary under test.

use std::{
    ffi::OsStr,
    fs::File,
    io::Read,
    os::fd::AsRawFd,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use super::until;

/// A command that is not started yet. Argv only, never a shell.
#[allow(clippy::disallowed_methods, reason = "end-to-end tests run the real binaries and a private engine")]
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

/// Runs it to its end; panics unless it exits 0.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?} failed: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The path of the daemon under test. It is opened once and run through that handle, so that a build that replaces
/// the file meanwhile does not change what is tested.
pub(crate) fn daemon_binary() -> PathBuf {
    static BINARY: OnceLock<File> = OnceLock::new();
    let file = BINARY.get_or_init(|| {
        let path = built("aiplatd");
        File::open(&path).unwrap_or_else(|error| panic!("cannot open {}: {error}", path.display()))
    });
    PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()))
}

/// The path of the command under test.
pub(crate) fn ctl_binary() -> PathBuf {
    built("aiplatctl")
}

/// A binary of this workspace, beside the folder of the test executables; built when it is missing.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test executable has a path");
    let folder = test.ancestors().nth(2).expect("it lies in target/PROFILE/deps");
    let path = folder.join(name);
    if !path.exists() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        succeed(command(cargo).current_dir(root).args(["build", "--package", name]));
    }
    path
}

/// How a process ended and what it said.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) said: String,
}

/// Waits for the end of `child`, whose output goes to pipes.
pub(crate) fn finish(mut child: Child, within: Duration) -> Finished {
    let readers = [pipe(child.stdout.take()), pipe(child.stderr.take())];
    let status = wait_for_exit(&mut child, within);
    let said = readers.into_iter().map(|reader| reader.join().unwrap_or_default()).collect();
    match status {
        Some(status) => Finished { code: status.code(), said },
        None => panic!("it did not end within {within:?}; it said:\n{said}"),
    }
}

/// `None`: it lives on after `within`, and has been killed.
pub(crate) fn wait_for_exit(child: &mut Child, within: Duration) -> Option<std::process::ExitStatus> {
    let mut status = None;
    until(within, || {
        status = child.try_wait().expect("our own child can be waited for");
        status.is_some()
    });
    if status.is_none() {
        drop(child.kill());
        drop(child.wait());
    }
    status
}

fn pipe(stream: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(mut stream) = stream {
            drop(stream.read_to_end(&mut text));
        }
        String::from_utf8_lossy(&text).into_owned()
    })
}

/// Runs it to its end and captures what it says; any exit code is a value.
pub(crate) fn capture(command: &mut Command, within: Duration) -> Finished {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(command.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}")), within)
}

/// Sends a signal to a child that lives.
pub(crate) fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a pid is not zero");
    rustix::process::kill_process(pid, signal)
        .unwrap_or_else(|error| panic!("cannot signal {pid:?}: {error}"));
}

/// A TCP port that is free now, below the kernel's range of ephemeral ports so that no connection takes it.
pub(crate) fn free_port() -> u16 {
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        let port = 20_000 + u16::try_from(super::random() % 12_000).expect("it is below 12,000");
        if std::net::TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port was found");
}
