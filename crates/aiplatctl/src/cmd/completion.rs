//! `completion`: scripts for shells.

use clap_complete::Shell as Known;

use crate::{
    args::Shell,
    console,
    exit::{Code, Failure, Outcome},
};

pub(super) fn run(shell: Shell) -> Outcome {
    let shell = match shell {
        Shell::Bash => Known::Bash,
        Shell::Zsh => Known::Zsh,
        Shell::Fish => Known::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut crate::command(), "aiplatctl", &mut script);
    let script = String::from_utf8(script).map_err(|error| Failure::failed(error.to_string()))?;
    console::print(&script)?;
    Ok(Code::Done)
}
