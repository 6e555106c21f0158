//! A container's log: the engine's multiplexed stream, taken apart into lines.

use std::collections::VecDeque;

use aiplat_core::observed::ContainerId;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{StreamExt, stream};

use super::{
    DockerBackend,
    calls::Endpoint,
    client::{Call, Stream},
    errors,
};
use crate::{
    lines::Lines,
    port::{HostError, LogLine, LogOptions, LogStream},
};

/// A longer line is cut.
const MAX_LINE: usize = 16 << 10;
/// The engine's timestamp and the space after it.
const MAX_STAMP: usize = 40;
/// A frame is handed on in pieces of at most this.
const MAX_PIECE: usize = 64 << 10;

impl DockerBackend {
    pub(super) async fn read_log(
        &self,
        container: &ContainerId,
        options: &LogOptions,
    ) -> Result<LogStream, HostError> {
        let LogOptions { follow, tail, since } = options;
        let doing = format!("read the log of container {container}");
        // Only with a terminal is the stream not multiplexed; before API 1.42 nothing in the answer says which it is.
        let inspect = self.inspect_container(container).await.map_err(|error| self.error(&doing, error))?;
        let mut call = Call::new(Endpoint::ContainerLogs(&container.0))
            .query("stdout", "1")
            .query("stderr", "1")
            .query("timestamps", "1")
            .query("follow", if *follow { "1" } else { "0" })
            .query("tail", tail.map_or_else(|| "all".to_owned(), |tail| tail.to_string()));
        if let Some(since) = since {
            call = call.query("since", since.to_string());
        }
        let stream = self.client.open(call).await.map_err(|error| self.error(&doing, error))?;
        let socket = self.client.socket().to_owned();
        let state = (stream, Decoder::new(inspect.config.tty), false);
        let lines = stream::unfold(state, move |(mut stream, mut decoder, mut ended)| {
            let (socket, doing) = (socket.clone(), doing.clone());
            async move {
                let item = match next_line(&mut stream, &mut decoder, &mut ended).await? {
                    Ok(line) => Ok(line),
                    Err(error) => Err(errors::host_error(&doing, &socket, error)),
                };
                Some((item, (stream, decoder, ended)))
            }
        });
        Ok(lines.boxed())
    }
}

/// `None` at the end; after an error, too.
async fn next_line(
    stream: &mut Stream,
    decoder: &mut Decoder,
    ended: &mut bool,
) -> Option<Result<LogLine, super::client::CallError>> {
    loop {
        if let Some(line) = decoder.ready.pop_front() {
            return Some(Ok(line));
        }
        if *ended {
            return None;
        }
        match stream.next().await {
            Ok(Some(piece)) => decoder.take(&piece),
            Ok(None) => {
                *ended = true;
                decoder.finish();
            }
            Err(error) => {
                *ended = true;
                return Some(Err(error));
            }
        }
    }
}

/// From the bytes of the stream to lines.
#[derive(Debug)]
struct Decoder {
    frames: Option<Frames>,
    stdout: Lines,
    stderr: Lines,
    ready: VecDeque<LogLine>,
}

impl Decoder {
    fn new(tty: bool) -> Self {
        let lines = || Lines::new(MAX_LINE + MAX_STAMP);
        Self {
            frames: (!tty).then(Frames::default),
            stdout: lines(),
            stderr: lines(),
            ready: VecDeque::new(),
        }
    }

    fn take(&mut self, piece: &Bytes) {
        let Self { frames, stdout, stderr, ready } = self;
        let Some(frames) = frames else {
            stdout.push(piece, |line, cut| ready.push_back(log_line(line, cut, false)));
            return;
        };
        frames.push(piece, |frame| {
            let lines = if frame.stderr { &mut *stderr } else { &mut *stdout };
            // The engine keeps long lines in parts, and puts a timestamp before every part.
            let text = if frame.first && !lines.is_empty() { after_stamp(frame.bytes) } else { frame.bytes };
            lines.push(text, |line, cut| ready.push_back(log_line(line, cut, frame.stderr)));
        });
    }

    fn finish(&mut self) {
        for (lines, stderr) in [(&mut self.stdout, false), (&mut self.stderr, true)] {
            if !lines.is_empty() {
                lines.finish(|line, cut| self.ready.push_back(log_line(line, cut, stderr)));
            }
        }
    }
}

fn log_line(line: &[u8], mut cut: bool, stderr: bool) -> LogLine {
    let mut text = after_stamp(line);
    let stamp = line[..line.len() - text.len()].trim_ascii();
    if text.len() > MAX_LINE {
        text = &text[..MAX_LINE];
        cut = true;
    }
    let mut text = String::from_utf8_lossy(text).into_owned();
    if cut {
        text.push('…');
    }
    LogLine { timestamp: String::from_utf8_lossy(stamp).into_owned(), stderr, text }
}

/// What follows `2026-11-21T00:11:26.031575391Z `; all of it, if it does not begin so.
fn after_stamp(line: &[u8]) -> &[u8] {
    let Some(space) = line.iter().take(MAX_STAMP).position(|byte| *byte == b' ') else {
        // An empty line has its timestamp alone.
        return if is_stamp(line) { &[] } else { line };
    };
    if is_stamp(&line[..space]) { &line[space + 1..] } else { line }
}

fn is_stamp(word: &[u8]) -> bool {
    let shape = b"dddd-dd-ddTdd:dd:dd";
    let fits = |(byte, want): (&u8, &u8)| if *want == b'd' { byte.is_ascii_digit() } else { byte == want };
    (shape.len() + 1..MAX_STAMP).contains(&word.len()) && word.iter().zip(shape).all(fits)
}

/// The engine's multiplexing: eight bytes (stream, three zeros, length), then that many of text.
#[derive(Debug, Default)]
pub(super) struct Frames {
    buffer: BytesMut,
    /// Of the frame that has begun: where it came from, and what is still to come.
    open: Option<(bool, usize)>,
    first: bool,
}

/// A frame, or a piece of a very long one.
pub(super) struct Frame<'a> {
    pub(super) stderr: bool,
    /// It is the beginning of its frame.
    pub(super) first: bool,
    pub(super) bytes: &'a [u8],
}

impl Frames {
    pub(super) fn push(&mut self, piece: &[u8], mut each: impl FnMut(Frame<'_>)) {
        self.buffer.extend_from_slice(piece);
        loop {
            match self.open {
                None => {
                    let Some((header, _)) = self.buffer.split_first_chunk::<8>() else { return };
                    let [stream, _, _, _, length @ ..] = *header;
                    self.buffer.advance(8);
                    self.open = Some((stream == 2, u32::from_be_bytes(length) as usize));
                    self.first = true;
                }
                Some((stderr, left)) => {
                    let length = left.min(MAX_PIECE);
                    if self.buffer.len() < length {
                        return;
                    }
                    let bytes = self.buffer.split_to(length);
                    each(Frame { stderr, first: self.first, bytes: &bytes });
                    self.first = false;
                    self.open = (left > length).then_some((stderr, left - length));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: &str = "2026-11-21T00:11:26.031575391Z";

    fn frame(stream: u8, text: &str) -> Vec<u8> {
        let length = u32::try_from(text.len()).expect("short").to_be_bytes();
        [&[stream, 0, 0, 0], &length[..], text.as_bytes()].concat()
    }

    #[track_caller]
    fn check(tty: bool, bytes: &[u8], expected: &[(&str, bool, &str)]) {
        for size in [1, 7, 4096] {
            let mut decoder = Decoder::new(tty);
            bytes.chunks(size).for_each(|piece| decoder.take(&Bytes::copy_from_slice(piece)));
            decoder.finish();
            let seen: Vec<_> = decoder
                .ready
                .iter()
                .map(|line| (line.timestamp.as_str(), line.stderr, line.text.as_str()))
                .collect();
            assert_eq!(seen, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn stdout_and_stderr_are_told_apart_and_empty_lines_kept() {
        let bytes = [
            frame(1, &format!("{STAMP} one\n")),
            frame(2, &format!("{STAMP} two\n")),
            frame(1, &format!("{STAMP} \n")),
            frame(1, &format!("{STAMP} last")),
        ];
        let expected = [(STAMP, true, "two"), (STAMP, false, "one")];
        let [two, one] = expected;
        check(false, &bytes.concat(), &[one, two, (STAMP, false, ""), (STAMP, false, "last")]);
    }

    #[test]
    fn a_line_kept_in_parts_is_one_line_with_one_timestamp() {
        let bytes = [
            frame(1, &format!("{STAMP} first part,")),
            frame(2, &format!("{STAMP} between\n")),
            frame(1, &format!("{STAMP}  second part\n")),
        ];
        check(false, &bytes.concat(), &[(STAMP, true, "between"), (STAMP, false, "first part, second part")]);
    }

    #[test]
    fn a_terminal_is_not_multiplexed() {
        let text = format!("{STAMP} one\r\n{STAMP} two\r\n");
        check(true, text.as_bytes(), &[(STAMP, false, "one"), (STAMP, false, "two")]);
    }

    #[test]
    fn what_is_not_a_timestamp_is_text() {
        check(false, &frame(1, "hello world\n"), &[("", false, "hello world")]);
    }

    #[test]
    fn a_long_line_is_cut() {
        let mut decoder = Decoder::new(false);
        let part = format!("{STAMP} {}", "x".repeat(MAX_LINE));
        for text in [part.clone(), part, format!("{STAMP} end\n"), format!("{STAMP} next\n")] {
            decoder.take(&Bytes::from(frame(1, &text)));
        }
        let lengths: Vec<usize> = decoder.ready.iter().map(|line| line.text.chars().count()).collect();
        assert_eq!(lengths, [MAX_LINE + 1, 4]);
        assert!(decoder.ready[0].text.ends_with("x…"));
    }
}
