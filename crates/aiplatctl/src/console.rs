//! The terminal, or what is there instead of it: the only file that reads or writes one.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _},
    sync::atomic::{AtomicBool, Ordering},
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use crate::exit::{Code, Failure};

/// Another program has the terminal: Ctrl-C is for that one.
static LENT: AtomicBool = AtomicBool::new(false);
/// The cursor is hidden.
static HIDDEN: AtomicBool = AtomicBool::new(false);

/// What is known of stdout.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    /// A person looks at it.
    pub(crate) terminal: bool,
    /// Columns, if it has an end.
    pub(crate) width: Option<usize>,
    /// Rows; of a pipe, no bound.
    pub(crate) height: usize,
}

/// Looks at stdout.
pub(crate) fn screen() -> Screen {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return Screen { terminal: false, width: None, height: usize::MAX };
    }
    let size = rustix::termios::tcgetwinsize(&stdout).ok();
    let (width, height) = size.map_or((0, 0), |size| (size.ws_col, size.ws_row));
    Screen { terminal: true, width: Some(known(width, 80)), height: known(height, 24) }
}

/// What a terminal that does not know its size (a serial line) says of it is 0, also of one side alone: it gets what all have.
fn known(size: u16, usual: usize) -> usize {
    if size == 0 { usual } else { usize::from(size) }
}

/// Columns of the terminal that stderr is, if it is one.
pub(crate) fn width_of_notes() -> Option<usize> {
    let stderr = io::stderr();
    if !stderr.is_terminal() {
        return None;
    }
    rustix::termios::tcgetwinsize(&stderr)
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|width| *width > 0)
}

/// Whether lines on stdout can be drawn over.
pub(crate) fn can_redraw() -> bool {
    screen().terminal && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Whether somebody can be asked.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Prints to stdout: colours only where they are seen.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = anstream::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}

/// Prints a line to stdout.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    print(&format!("{text}\n"))
}

/// Prints to stdout as it is, escape sequences included: for moving the cursor of a terminal.
pub(crate) fn control(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}

/// Bytes of a program in a container, as they are: to stdout, or to stderr.
pub(crate) fn bytes(bytes: &[u8], errors: bool) -> Result<(), Failure> {
    let mut out: Box<dyn io::Write> =
        if errors { Box::new(io::stderr().lock()) } else { Box::new(io::stdout().lock()) };
    out.write_all(bytes)?;
    out.flush()?;
    Ok(())
}

/// What is typed, or comes through the pipe, piece by piece; it ends with the input. A thread waits for it: whoever
/// does not want it any more leaves that thread behind, and it ends with the process.
pub(crate) fn input() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(4);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(read @ 1..) = io::stdin().lock().read(&mut buffer) {
            if sender.blocking_send(buffer[..read].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Prints a line to stderr. If that fails there is nobody left to tell.
pub(crate) fn note(text: &str) {
    let mut stderr = anstream::stderr().lock();
    let _ = writeln!(stderr, "{text}");
}

/// Hides the cursor while something is redrawn again and again.
pub(crate) fn hide_cursor() -> Result<(), Failure> {
    HIDDEN.store(true, Ordering::Relaxed);
    control("\u{1b}[?25l")
}

/// Begins a new line behind the `^C` that the terminal has shown.
pub(crate) fn end_line() {
    if io::stderr().is_terminal() {
        note("");
    }
}

/// Leaves the terminal as it was found.
pub(crate) fn restore() {
    if HIDDEN.swap(false, Ordering::Relaxed) {
        let _ = control("\u{1b}[?25h");
    }
}

/// Asks on the terminal; an empty answer is `default`. The end of the input is a no.
pub(crate) async fn ask(question: &str, choices: &[(char, &str)], default: char) -> Result<char, Failure> {
    loop {
        let prompt = format!("{question} [{}] ", keys(choices, default));
        let answer = tokio::task::spawn_blocking(move || read_answer(&prompt)).await;
        let answer = answer.map_err(|error| Failure::failed(format!("cannot read the answer: {error}")))?;
        let Some(answer) = answer? else { return Ok('n') };
        let answer = answer.trim().to_lowercase();
        let Some(first) = answer.chars().next() else { return Ok(default) };
        if let Some((key, _)) = choices.iter().find(|(key, _)| *key == first) {
            return Ok(*key);
        }
    }
}

/// `y/N`, and for more than that `y yes, e edit again, N no`.
fn keys(choices: &[(char, &str)], default: char) -> String {
    let key = |key: char| if key == default { key.to_ascii_uppercase() } else { key };
    let named = |(it, meaning): &(char, &str)| format!("{} {meaning}", key(*it));
    match choices {
        [(yes, _), (no, _)] => format!("{}/{}", key(*yes), key(*no)),
        more => more.iter().map(named).collect::<Vec<_>>().join(", "),
    }
}

/// Asks for a yes or a no.
pub(crate) async fn confirm(question: &str) -> Result<bool, Failure> {
    Ok(ask(question, &[('y', "yes"), ('n', "no")], 'n').await? == 'y')
}

fn read_answer(prompt: &str) -> io::Result<Option<String>> {
    {
        // Not held while somebody thinks: who gives up with Ctrl-C wants to be told so, and that is written there too.
        let mut stderr = anstream::stderr().lock();
        write!(stderr, "{prompt}")?;
        stderr.flush()?;
    }
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer)?;
    Ok((read > 0).then_some(answer))
}

/// While this lives, another program has the terminal.
pub(crate) struct Lent;

impl Lent {
    pub(crate) fn out() -> Self {
        LENT.store(true, Ordering::SeqCst);
        Self
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        LENT.store(false, Ordering::SeqCst);
    }
}

/// Resolves when the user presses Ctrl-C in this program, or somebody asks it to end.
pub(crate) async fn interrupted() -> Code {
    // Where no handler can be had, the signal ends the process as it always did.
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    let Ok(mut interrupt) = signal(SignalKind::interrupt()) else { return std::future::pending().await };
    loop {
        // Both can be dropped at any time: a signal that has come is not forgotten.
        tokio::select! {
            biased;
            _ = terminate.recv() => return Code::Terminated,
            _ = interrupt.recv() => {}
        }
        if !LENT.load(Ordering::SeqCst) {
            return Code::Interrupted;
        }
    }
}

/// `text` as stdout is to see it: with its colours, or without.
/// The text without its colours.
pub(crate) fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

pub(crate) fn colors(text: &str) -> String {
    colored(text, anstream::AutoStream::choice(&io::stdout()))
}

/// `text` as stderr is to see it: with its colours, or without.
pub(crate) fn colors_of_notes(text: &str) -> String {
    colored(text, anstream::AutoStream::choice(&io::stderr()))
}

fn colored(text: &str, choice: anstream::ColorChoice) -> String {
    if choice == anstream::ColorChoice::Never { without_colors(text) } else { text.to_owned() }
}

/// Takes out colours, and leaves what moves the cursor.
fn without_colors(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !matches!(c, '0'..='9' | ';' | '?')).unwrap_or(part.len());
        match part[end..].strip_prefix('m') {
            Some(rest) => out.push_str(rest),
            None => {
                out.push_str("\u{1b}[");
                out.push_str(part);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::known;

    #[test]
    fn a_width_counts_also_where_the_height_is_not_known() {
        assert_eq!((known(40, 80), known(0, 24)), (40, 24));
    }
}
