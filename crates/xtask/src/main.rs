//! The commands of this repository: `cargo xtask VERB`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks to its user")]

mod bench;
mod demo;
mod docker;
mod engine;
mod foreign;
mod gpu_live;
mod image;
mod leaks;
mod licences;
mod options;
mod package;
mod process;
mod reference;
mod sources;
mod spdx;
mod step;
mod tar;
mod test;
mod testhost;
mod wait;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use options::Verb;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let verb = match options::parse(&arguments) {
        Ok(verb) => verb,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    match run(verb) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Where there is no GPU to look at: neither a success nor a failure.
const NO_GPU: u8 = 3;

fn run(verb: Verb) -> Result<ExitCode> {
    let root = root()?;
    let verdict = |fine| if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    match verb {
        Verb::Help => println!("{}", options::USAGE),
        Verb::Test { only, yes } => {
            return test::test(&root, &test::select(&only)?, engine::consent(yes)).map(verdict);
        }
        Verb::Docs => println!("{}", reference::write(&root)?),
        Verb::Check => return test::test(&root, &test::QUICK, engine::consent(false)).map(verdict),
        Verb::Package(options) => println!("{}", package::build(&root, &options)?),
        Verb::Licences => println!("{}", licences::check(&root)?),
        Verb::Image { yes } => {
            let (docker, version) = engine::ensure(engine::consent(yes))?;
            println!("engine {version}\n{}", image::import(&docker, &image::build(&root)?)?);
        }
        Verb::Demo(options) => demo::run(&root, &options)?,
        Verb::DemoDown => demo::down()?,
        Verb::Bench(options) => bench::run(&root, &options)?,
        Verb::GpuLive => {
            return Ok(match gpu_live::run(&root)? {
                gpu_live::Outcome::Same => ExitCode::SUCCESS,
                gpu_live::Outcome::Different => ExitCode::FAILURE,
                gpu_live::Outcome::NoGpu => ExitCode::from(NO_GPU),
            });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The repository: where cargo says our manifest is, two folders up.
fn root() -> Result<PathBuf> {
    let manifest =
        std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    Path::new(&manifest).join("../..").canonicalize().context("cannot find the repository: use `cargo xtask`")
}
