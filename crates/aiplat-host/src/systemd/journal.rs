//! A unit's journal, by `journalctl`: the one child process that the product starts (docs/adr/0010-units.md).

use std::{
    collections::VecDeque,
    io::ErrorKind,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use aiplat_core::condition::{ErrorClass, Reason};
use bytes::BytesMut;
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, ChildStdout, Command},
    task::JoinHandle,
};

use crate::{
    lines::{EVIDENCE_LINES, Lines, printable},
    port::{HostError, HostErrorKind, LogLine, LogOptions, LogStream},
};

/// A longer line is cut.
const MAX_LINE: usize = 16 << 10;
/// One entry as JSON: a message that is no text is an array of numbers, four bytes and more for each of its own.
const MAX_ENTRY: usize = 1 << 20;
/// So much of what it complains of is kept.
const MAX_COMPLAINT: usize = 1 << 10;
/// Without `--follow` it has the next line, or the end, by then: a journal of many gigabytes is searched in seconds.
const STALL: Duration = Duration::from_secs(30);
/// The evidence of a failure is not worth holding up an observation for longer.
const TAIL_DEADLINE: Duration = Duration::from_secs(2);
/// So far back what the kernel says is searched.
const KERNEL_LINES: usize = 2_000;

/// The journal of `unit`: of its processes, and what systemd says of it.
pub(super) fn read(folder: Option<&Path>, unit: &str, options: &LogOptions) -> Result<LogStream, HostError> {
    let LogOptions { follow, tail, since } = options;
    let lines = tail.map_or_else(|| "all".to_owned(), |tail| tail.to_string());
    let mut arguments = vec![format!("--unit={unit}"), format!("--lines={lines}")];
    arguments.extend(since.map(|since| format!("--since=@{since}")));
    arguments.extend(follow.then(|| "--follow".to_owned()));
    let doing = format!("read the journal of {unit}");
    let journal = Journal::open(&doing, folder, &arguments)?;
    let deadline = (!follow).then_some(STALL);
    let state = Some((journal, doing));
    let lines = stream::unfold(state, move |state| async move {
        let (mut journal, doing) = state?;
        match journal.next(&doing, deadline).await? {
            Ok(line) => Some((Ok(line.into_log_line()), Some((journal, doing)))),
            Err(error) => Some((Err(error), None)),
        }
    });
    Ok(lines.boxed())
}

/// One run of one unit.
pub(super) struct Run<'a> {
    pub(super) unit: &'a str,
    pub(super) invocation: &'a str,
    /// In microseconds since 1970.
    pub(super) began: u64,
}

/// The last lines of what the processes of `run`, which is the unit's last and has ended, wrote; what could be read of it.
pub(super) async fn tail(folder: Option<&Path>, run: &Run<'_>) -> Vec<String> {
    // Of the processes alone: systemd's own sentences would be taken for the program's.
    let arguments = [format!("--lines={EVIDENCE_LINES}"), format!("_SYSTEMD_UNIT={}", run.unit)];
    let doing = format!("read the journal of {}", run.unit);
    last(folder, &doing, &arguments, EVIDENCE_LINES as usize, |line| {
        let text = printable(&line.text);
        (line.is_of(run) && !text.is_empty()).then_some(text)
    })
    .await
}

/// What the kernel and the audit system have said since `began`, in microseconds since 1970, as far as `pick` wants it: the
/// last `most` of it.
pub(super) async fn said_by_the_kernel(
    folder: Option<&Path>,
    began: u64,
    most: usize,
    pick: impl Fn(&str) -> Option<String>,
) -> Vec<String> {
    let arguments = [
        format!("--lines={KERNEL_LINES}"),
        format!("--since=@{}", began / 1_000_000),
        "_TRANSPORT=audit".to_owned(),
        "_TRANSPORT=kernel".to_owned(),
    ];
    last(folder, "read the kernel's journal", &arguments, most, |line| pick(&line.text)).await
}

/// The last `most` of what `pick` makes of the lines that `arguments` ask for.
async fn last(
    folder: Option<&Path>,
    doing: &str,
    arguments: &[String],
    most: usize,
    pick: impl Fn(Line) -> Option<String>,
) -> Vec<String> {
    let mut picked = VecDeque::new();
    let reading = async {
        let mut journal = Journal::open(doing, folder, arguments)?;
        while let Some(line) = journal.next(doing, None).await {
            picked.extend(pick(line?));
            // An entry may be many lines.
            if picked.len() > most {
                picked.pop_front();
            }
        }
        Ok::<(), HostError>(())
    };
    match tokio::time::timeout(TAIL_DEADLINE, reading).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(doing, %error, "The evidence of a unit cannot be read."),
        Err(_) => tracing::debug!(doing, "The evidence of a unit is read too slowly."),
    }
    picked.into()
}

/// One line of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    /// In microseconds since 1970, as text.
    time: String,
    /// Empty when the journal does not know: the process had ended before it looked.
    invocation: String,
    text: String,
}

impl Line {
    fn is_of(&self, run: &Run<'_>) -> bool {
        if !self.invocation.is_empty() {
            return self.invocation == run.invocation;
        }
        run.began > 0 && self.time.parse::<u64>().is_ok_and(|time| time >= run.began)
    }

    /// Which of a service's two streams it came from, the journal does not say.
    fn into_log_line(self) -> LogLine {
        LogLine { timestamp: rfc_3339(&self.time), stderr: false, text: self.text }
    }
}

/// A running `journalctl`; dropped, it is killed.
struct Journal {
    child: Child,
    output: ChildStdout,
    complaint: JoinHandle<String>,
    lines: Lines,
    ready: VecDeque<Line>,
    ended: bool,
}

impl Journal {
    fn open(doing: &str, folder: Option<&Path>, arguments: &[String]) -> Result<Self, HostError> {
        let mut child = command(folder, arguments).spawn().map_err(|error| {
            let (class, next) = if error.kind() == ErrorKind::NotFound {
                (ErrorClass::Unsupported, "install systemd's journal")
            } else {
                (ErrorClass::Transient, "try again")
            };
            refused(class, format!("cannot {doing}: `journalctl` cannot be started ({error}); {next}"))
        })?;
        let (Some(output), Some(complaint)) = (child.stdout.take(), child.stderr.take()) else {
            unreachable!("both are pipes");
        };
        Ok(Self {
            child,
            output,
            complaint: tokio::spawn(beginning(complaint)),
            lines: Lines::new(MAX_ENTRY),
            ready: VecDeque::new(),
            ended: false,
        })
    }

    /// `None` at the end.
    async fn next(&mut self, doing: &str, deadline: Option<Duration>) -> Option<Result<Line, HostError>> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(Ok(line));
            }
            if self.ended {
                return None;
            }
            let read = match deadline {
                None => self.read().await,
                Some(deadline) => tokio::time::timeout(deadline, self.read())
                    .await
                    .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into())),
            };
            match read {
                Ok(true) => {}
                Ok(false) => {
                    self.ended = true;
                    if let Some(error) = self.end(doing).await {
                        return Some(Err(error));
                    }
                }
                Err(error) => {
                    self.ended = true;
                    let message = format!("cannot {doing}: `journalctl` says no more ({error}); try again");
                    return Some(Err(refused(ErrorClass::Transient, message)));
                }
            }
        }
    }

    /// Whether there was anything.
    async fn read(&mut self) -> std::io::Result<bool> {
        let mut piece = BytesMut::with_capacity(16 << 10);
        if self.output.read_buf(&mut piece).await? == 0 {
            return Ok(false);
        }
        let Self { lines, ready, .. } = self;
        lines.push(&piece, |line, cut| ready.extend(entry(line, cut)));
        Ok(true)
    }

    /// What it complained of, if it did not end well.
    async fn end(&mut self, doing: &str) -> Option<HostError> {
        let status = self.child.wait().await;
        if status.as_ref().is_ok_and(ExitStatus::success) {
            return None;
        }
        let complaint = (&mut self.complaint).await.unwrap_or_default();
        let next = "run aiplatd as root, or put its user into the group `systemd-journal`";
        let message = format!("cannot {doing}: `journalctl` says \"{}\"; {next}", printable(&complaint));
        Some(refused(ErrorClass::Denied, message))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.complaint.abort();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the journal has no other interface that needs no C library: ADR 10; an argument vector, no shell"
)]
fn command(folder: Option<&Path>, arguments: &[String]) -> Command {
    let mut command = Command::new("journalctl");
    // Nothing of our environment: no pager, no colours, and what it says is in English.
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8");
    command.args([
        "--output=json",
        "--output-fields=MESSAGE,_SYSTEMD_INVOCATION_ID",
        "--all",
        "--quiet",
        "--no-pager",
    ]);
    command.args(folder.map(|folder| format!("--directory={}", folder.display())));
    command.args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// The beginning of what comes; the rest is read and thrown away, so that its writer is never stopped.
async fn beginning(mut pipe: impl AsyncRead + Unpin) -> String {
    let (mut kept, mut piece) = (Vec::new(), [0_u8; 1024]);
    while let Ok(length @ 1..) = pipe.read(&mut piece).await {
        let room = MAX_COMPLAINT - kept.len();
        kept.extend_from_slice(&piece[..length.min(room)]);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

fn refused(class: ErrorClass, message: String) -> HostError {
    let reason = match class {
        ErrorClass::Denied => Reason::PermissionDenied,
        ErrorClass::Unsupported => Reason::Unsupported,
        ErrorClass::Transient | ErrorClass::Changed | ErrorClass::Rejected | ErrorClass::Bug => {
            Reason::ActionFailed
        }
    };
    HostError::new(HostErrorKind::Refused, class, reason, message)
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "__REALTIME_TIMESTAMP", default)]
    time: String,
    #[serde(rename = "_SYSTEMD_INVOCATION_ID", default)]
    invocation: String,
    #[serde(rename = "MESSAGE", default)]
    message: Value,
}

/// The lines of one entry.
fn entry(json: &[u8], cut: bool) -> Vec<Line> {
    if json.is_empty() {
        return Vec::new();
    }
    let Ok(Entry { time, invocation, message }) = serde_json::from_slice::<Entry>(json) else {
        let why = if cut { "too long" } else { "not readable" };
        let text = format!("(an entry of the journal is {why})");
        return vec![Line { time: String::new(), invocation: String::new(), text }];
    };
    let line = |text: &str| Line { time: time.clone(), invocation: invocation.clone(), text: bounded(text) };
    text(&message).lines().map(line).collect()
}

/// A message is text; an array of its bytes, if they are none; an array of several messages, if the entry has more than
/// one; null, if it has none.
fn text(message: &Value) -> String {
    match message {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let bytes = parts.iter().map(|part| part.as_u64().and_then(|byte| u8::try_from(byte).ok()));
            match bytes.collect::<Option<Vec<u8>>>() {
                Some(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                None => parts.iter().map(text).collect::<Vec<_>>().join("\n"),
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => String::new(),
    }
}

fn bounded(text: &str) -> String {
    if text.len() <= MAX_LINE {
        return text.to_owned();
    }
    let end = (0..=MAX_LINE).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    format!("{}…", &text[..end])
}

/// Empty for what is no time.
fn rfc_3339(micros: &str) -> String {
    let time = micros.parse().ok().and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok());
    time.map_or_else(String::new, |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(json: &str) -> Vec<String> {
        entry(json.as_bytes(), false).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn an_entry_has_its_time_and_its_lines() {
        let json =
            r#"{"__REALTIME_TIMESTAMP":"1700000000123456","MESSAGE":"one\ntwo","_TRANSPORT":"stdout"}"#;
        let line = |text: &str| LogLine {
            timestamp: "2023-11-14T22:13:20.123456Z".to_owned(),
            stderr: false,
            text: text.to_owned(),
        };
        let lines: Vec<LogLine> =
            entry(json.as_bytes(), false).into_iter().map(Line::into_log_line).collect();
        assert_eq!(lines, [line("one"), line("two")]);
    }

    #[test]
    fn a_line_is_of_a_run_by_its_invocation_or_by_its_time_where_it_has_none() {
        let run = Run { unit: "x.service", invocation: "abc", began: 100 };
        let is_of = |time: &str, invocation: &str, run: &Run<'_>| {
            let (time, invocation) = (time.to_owned(), invocation.to_owned());
            Line { time, invocation, text: String::new() }.is_of(run)
        };
        assert!(is_of("50", "abc", &run), "written before the main process began");
        assert!(!is_of("150", "abd", &run), "another run's");
        assert!(is_of("150", "", &run) && !is_of("50", "", &run));
        assert!(!is_of("150", "", &Run { began: 0, ..run }), "nothing of it ever ran");
    }

    #[test]
    fn a_message_may_be_bytes_several_or_none() {
        assert_eq!(texts(r#"{"MESSAGE":[104,105,255,27]}"#), ["hi\u{fffd}\u{1b}"]);
        assert_eq!(texts(r#"{"MESSAGE":["a",[98],"c"]}"#), ["a", "b", "c"]);
        assert!(texts(r#"{"MESSAGE":null}"#).is_empty());
        assert!(texts("{}").is_empty());
        assert!(texts("").is_empty());
        assert_eq!(texts("{"), ["(an entry of the journal is not readable)"]);
        assert_eq!(entry(b"{", true)[0].text, "(an entry of the journal is too long)");
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let text = format!("{}ä", "x".repeat(MAX_LINE - 1));
        assert_eq!(texts(&format!(r#"{{"MESSAGE":"{text}"}}"#)), [format!("{}…", "x".repeat(MAX_LINE - 1))]);
    }

    #[test]
    fn what_is_no_time_is_empty() {
        assert_eq!(rfc_3339("now"), "");
        assert_eq!(rfc_3339("99999999999999999999"), "");
    }
}
