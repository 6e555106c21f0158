//! Exec probes: a program inside the container, one at a time, killed when its time is up.

use std::{collections::BTreeMap, fs, sync::Mutex, time::Duration};

use aiplat_core::observed::ContainerId;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::json;

use super::{
    DockerBackend,
    calls::Endpoint,
    client::{Call, CallError},
    logs::Frames,
    wire::{Created, ExecInspect},
};
use crate::probe;

/// More of a program's output is read and thrown away.
const MAX_OUTPUT: usize = 4 << 10;
/// Looking after a program whose time is up may itself take no longer.
const KILL_DEADLINE: Duration = Duration::from_secs(5);
/// Programs that could not be killed, of containers that are long gone, are forgotten beyond this.
const MAX_REMEMBERED: usize = 1024;

/// The exec of each container that is on its way: its id, once the engine has told it.
#[derive(Debug, Default)]
pub(super) struct Execs(Mutex<BTreeMap<ContainerId, Option<String>>>);

/// The right to run one exec in a container.
struct Turn<'a> {
    execs: &'a Execs,
    container: &'a ContainerId,
    /// Given to the engine and not yet known to have ended.
    running: Option<String>,
}

impl DockerBackend {
    pub(super) async fn exec(
        &self,
        container: &ContainerId,
        argv: &[String],
        timeout: Duration,
    ) -> Result<String, String> {
        let asked = format!("exec {}", argv.join(" "));
        let Some(mut turn) = self.turn(container).await else {
            return Err(format!("{asked}: the probe before it has not ended yet"));
        };
        let ended = tokio::time::timeout(timeout, self.run_exec(&mut turn, argv)).await;
        match ended {
            Ok(Ok((0, output))) => Ok(said(&asked, 0, &output)),
            Ok(Ok((code, output))) => Err(said(&asked, code, &output)),
            Ok(Err(error)) => Err(format!("{asked}: {}", one_line(error.to_string().as_bytes()))),
            Err(_) => {
                let fate = if self.end(&mut turn).await { "killed" } else { "it still runs" };
                Err(format!("{asked}: timed out after {}; {fate}", probe::precise(timeout)))
            }
        }
    }

    /// `None` while an earlier exec of the container is on its way.
    async fn turn<'a>(&'a self, container: &'a ContainerId) -> Option<Turn<'a>> {
        let earlier = self.execs.claim(container)?;
        let mut turn = Turn { execs: &self.execs, container, running: earlier };
        if turn.running.is_some() && !self.end(&mut turn).await {
            return None;
        }
        Some(turn)
    }

    async fn run_exec(&self, turn: &mut Turn<'_>, argv: &[String]) -> Result<(i64, Vec<u8>), CallError> {
        let body = json!({"AttachStdout": true, "AttachStderr": true, "Cmd": argv});
        let created: Created =
            self.client.read(Call::new(Endpoint::CreateExec(&turn.container.0)).json(&body)).await?;
        turn.running = Some(created.id.clone());
        let start = Call::new(Endpoint::StartExec(&created.id)).json(&json!({"Detach": false, "Tty": false}));
        let mut stream = self.client.open(start).await?;
        let (mut frames, mut output) = (Frames::default(), Vec::new());
        // Read to the end, or the program would block on a full pipe.
        while let Some(piece) = stream.next().await? {
            frames.push(&piece, |frame| {
                let room = MAX_OUTPUT - output.len();
                output.extend_from_slice(&frame.bytes[..frame.bytes.len().min(room)]);
            });
        }
        let inspect: ExecInspect = self.client.read(Call::new(Endpoint::InspectExec(&created.id))).await?;
        if !inspect.running {
            turn.running = None;
        }
        Ok((inspect.exit_code.unwrap_or(-1), output))
    }

    /// Sees to it that the exec has ended; the engine itself has no call for that. `false` if it still runs.
    async fn end(&self, turn: &mut Turn<'_>) -> bool {
        let Some(exec) = turn.running.clone() else { return true };
        let look = self.client.read::<ExecInspect>(Call::new(Endpoint::InspectExec(&exec)));
        let ended = match tokio::time::timeout(KILL_DEADLINE, look).await {
            Ok(Ok(ExecInspect { running: true, pid, .. })) => kill(turn.container, pid),
            Ok(Ok(ExecInspect { running: false, .. })) => true,
            // With its container.
            Ok(Err(CallError::Answered { status, .. })) => status.as_u16() == 404,
            Ok(Err(_)) | Err(_) => false,
        };
        if ended {
            turn.running = None;
        }
        ended
    }
}

/// Kills a process of the container. The descriptor is taken before the check, so that no other process that got the
/// same number meanwhile can be meant.
fn kill(container: &ContainerId, pid: i32) -> bool {
    let Some(pid) = Pid::from_raw(pid) else { return false };
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return false };
    let cgroup = fs::read_to_string(format!("/proc/{}/cgroup", pid.as_raw_nonzero())).unwrap_or_default();
    cgroup.contains(&container.0) && pidfd_send_signal(&process, Signal::KILL).is_ok()
}

fn said(asked: &str, code: i64, output: &[u8]) -> String {
    let output = one_line(output);
    if output.is_empty() {
        format!("{asked}: exit {code}")
    } else {
        format!("{asked}: exit {code}: {output}")
    }
}

fn one_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    words.join(" ")
}

impl Execs {
    /// `None`: one is being made. `Some(id)`: the place is ours, and an earlier one of that id may still run.
    fn claim(&self, container: &ContainerId) -> Option<Option<String>> {
        let mut execs = super::lock(&self.0);
        if execs.len() > MAX_REMEMBERED {
            execs.retain(|_, exec| exec.is_none());
        }
        match execs.insert(container.clone(), None) {
            None => Some(None),
            Some(Some(earlier)) => Some(Some(earlier)),
            Some(None) => None,
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut execs = super::lock(&self.execs.0);
        match self.running.take() {
            None => drop(execs.remove(self.container)),
            running @ Some(_) => drop(execs.insert(self.container.clone(), running)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_exec_at_a_time_and_an_unfinished_one_is_remembered() {
        let (execs, container) = (Execs::default(), ContainerId("c".to_owned()));
        assert_eq!(execs.claim(&container), Some(None));
        let mut turn = Turn { execs: &execs, container: &container, running: None };
        assert_eq!(execs.claim(&container), None, "while it is being made");
        turn.running = Some("e1".to_owned());
        drop(turn);
        assert_eq!(execs.claim(&container), Some(Some("e1".to_owned())));
        drop(Turn { execs: &execs, container: &container, running: None });
        assert_eq!(execs.claim(&container), Some(None));
    }

    #[test]
    fn output_is_one_line() {
        assert_eq!(said("exec x", 1, b" a\r\n\tb\x1b[0m \n"), "exec x: exit 1: a b [0m");
        assert_eq!(said("exec x", 0, b"\n"), "exec x: exit 0");
    }

    #[test]
    fn a_process_outside_the_container_is_not_killed() {
        let us = i32::try_from(std::process::id()).expect("a pid");
        assert!(!kill(&ContainerId("0123456789abcdef".to_owned()), us));
    }
}
