//! How the command ends: a code, and on stderr what failed and what to do next. Never a backtrace.

use std::{io, process::ExitCode};

use aiplat_api::client::ClientError;

use crate::{
    console,
    render::{style, text::wrap},
};

/// Exit codes: a promise to scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    /// Done, and as wished.
    Done = 0,
    /// The operation failed; of `diff`: there are differences.
    Failed = 1,
    /// Wrong usage or an invalid file.
    Usage = 2,
    /// Not ready.
    NotReady = 3,
    /// No resource of that name.
    NoSuch = 4,
    /// The daemon is not reachable.
    NotReachable = 5,
    /// Ctrl-C.
    Interrupted = 130,
    /// SIGTERM.
    Terminated = 143,
}

/// What a verb returns.
pub(crate) type Outcome = Result<Code, Failure>;

/// Why a verb did not do its work.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    /// Of `exec`: the program's own, which is the command's then.
    program: Option<u8>,
    /// `None`: everything has been said, or there is nobody to say it to.
    message: Option<String>,
    tip: Option<String>,
}

impl Failure {
    /// What failed; empty when everything has been said.
    pub(crate) fn message(&self) -> &str {
        self.message.as_deref().unwrap_or_default()
    }

    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, program: None, message: Some(message.into()), tip: None }
    }

    /// The operation failed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Code::Failed, message)
    }

    /// It was asked for in a wrong way.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Code::Usage, message)
    }

    /// Ends with `code` and says nothing more.
    pub(crate) fn quiet(code: Code) -> Self {
        Self { code, program: None, message: None, tip: None }
    }

    /// Ends as a program in a container ended.
    pub(crate) fn program(code: u8) -> Self {
        Self { program: Some(code), ..Self::quiet(Code::Done) }
    }

    /// What to try next.
    pub(crate) fn tip(mut self, tip: impl Into<String>) -> Self {
        self.tip = Some(tip.into());
        self
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match &error {
            ClientError::NotReachable(reason) => {
                Self::new(Code::NotReachable, error.to_string()).tip(reason.next_step())
            }
            ClientError::Api { status, message } => {
                let code = match status {
                    400 | 422 => Code::Usage,
                    404 => Code::NoSuch,
                    _ => Code::Failed,
                };
                Self::new(code, message.clone())
            }
            ClientError::Malformed { source, .. } => Self::failed(format!("{error}: {source}"))
                .tip("`aiplatctl version` shows whether the command and the daemon are of the same version"),
            ClientError::TooLarge { .. } => Self::failed(error.to_string()),
        }
    }
}

/// Failing to print: nobody reads any more, which is no failure, or the disk behind stdout is full, which is one.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::quiet(Code::Done)
        } else {
            Self::failed(format!("cannot write the output: {error}"))
        }
    }
}

/// Says what is left to say, and turns the outcome into the code.
pub(crate) fn report(outcome: Outcome) -> ExitCode {
    let (code, program) = match outcome {
        Ok(code) => (code, None),
        Err(Failure { code, program, message, tip }) => {
            let wrapped = |text: &str, indent| {
                let lines = text.lines().map(|line| wrap(line, console::width_of_notes(), indent));
                lines.collect::<Vec<_>>().join("\n")
            };
            if let Some(message) = message {
                let said = format!("{} {message}", style::paint(style::ERROR, "error:"));
                console::note(&wrapped(&said, 7));
            }
            if let Some(tip) = tip {
                let said = format!("  {} {tip}", style::paint(style::GOOD, "tip:"));
                console::note(&wrapped(&said, 7));
            }
            (code, program)
        }
    };
    if code == Code::Interrupted {
        console::end_line();
    }
    // Colours and the cursor are as they were, whatever was going on.
    console::restore();
    ExitCode::from(program.unwrap_or(code as u8))
}
