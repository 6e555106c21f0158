//! The binary, as a script runs it.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use super::server::Server;

/// How long a line may take to appear.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The command with nothing of this machine in its environment.
#[expect(clippy::disallowed_methods, reason = "the test runs the binary that it tests")]
pub(crate) fn command(socket: &Path, folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aiplatctl"));
    command
        .env_clear()
        .env("AIPLATD_SOCKET", socket)
        .env("AIPLATD_CONFIG", folder.join("platform.yaml"))
        .env("AIPLATD_STATE_DIR", folder)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs it to its end.
pub(crate) fn run(socket: &Path, folder: &Path, args: &[&str]) -> Run {
    finish(command(socket, folder, args))
}

/// Runs a prepared command to its end.
pub(crate) fn finish(mut command: Command) -> Run {
    let output = command.output().expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the output is text");
    Run { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

impl Server {
    /// Runs the command against this daemon.
    pub(crate) fn run(&self, args: &[&str]) -> Run {
        run(&self.socket(), self.folder(), args)
    }

    /// Starts a command that does not end by itself.
    pub(crate) fn start(&self, args: &[&str]) -> Started {
        let mut child = command(&self.socket(), self.folder(), args).spawn().expect("the binary runs");
        let lines = read_lines(child.stdout.take().expect("it is piped"));
        Started { child, lines }
    }
}

/// A command that goes on until it is dropped.
pub(crate) struct Started {
    child: Child,
    lines: mpsc::Receiver<String>,
}

fn read_lines(out: ChildStdout) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

impl Started {
    /// The next line of stdout.
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line in time")
    }

    /// Presses Ctrl-C and waits for the end.
    pub(crate) fn interrupt(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
        self.child.wait().expect("it ends").code()
    }

    /// Waits for the end.
    pub(crate) fn wait(mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }

    /// Lines that are already there.
    pub(crate) fn rest(&self) -> Vec<String> {
        self.lines.iter().collect()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
