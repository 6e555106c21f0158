//! `aiplatctl`: reads like kubectl, acts like systemctl, logs like docker.
//!
//! A verb is a file in `cmd`: it asks [`source`] (the daemon, or what it last wrote), hands the answer to `render`,
//! prints, and returns an exit code. Rendering is pure: a document and a moment in, text out, with colours in it that
//! the console takes out again where nobody would see them.
//!
//! Deliberately absent: decisions. What is wrong, why, and what will be done about it is said by the daemon; the
//! command never guesses it from names and states.

mod archive;
mod args;
mod cmd;
mod console;
mod engine;
mod exit;
mod find;
mod offline;
pub mod reference;
pub mod render;
mod source;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::exit::{Code, Failure};

/// The description of the command line, for manual pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    args::Args::command()
}

/// Parses the command line, does what it says, and returns the exit code.
#[must_use]
pub fn main() -> ExitCode {
    let args = match command().try_get_matches().and_then(|matches| args::Args::from_arg_matches(&matches)) {
        Ok(args) => args,
        Err(error) => {
            // A help text that nobody reads to its end is no failure.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { Code::Usage } else { Code::Done } as u8);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(run_until_interrupted(args));
            // A prompt or a slow disk must not keep the command from ending.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(Failure::failed(format!("cannot start: {error}"))),
    };
    exit::report(outcome)
}

async fn run_until_interrupted(args: args::Args) -> exit::Outcome {
    tokio::select! {
        biased;
        code = console::interrupted() => Ok(code),
        outcome = cmd::run(args) => outcome,
    }
}
