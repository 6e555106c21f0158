//! The demo workload: one static binary that plays every role in demos and tests.
//!
//! `app [serve|crash|job] [KEY=VALUE...]`, `app probe URL`, `app get URL`. The keys are read from the
//! environment; a `KEY=VALUE` argument wins over it. See [`config`] for all of them.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a container's log is its standard output")]

mod client;
mod config;
mod doubles;
mod models;
mod ollama;
mod request;
mod server;

use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use config::{Config, Mode, Role};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match config::role(&arguments, |key| std::env::var(key).ok()) {
        Ok(Role::Probe(url)) => report(client::probe(&url)),
        Ok(Role::Get(url)) => report(client::get(&url).map(|answer| println!("{}", answer.body.trim_end()))),
        Ok(Role::Work(config)) => work(*config),
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

fn report(outcome: Result<(), String>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn work(config: Config) -> ExitCode {
    let started = Instant::now();
    if let Some(Err(message)) = config.config_file.as_deref().map(check_config) {
        return report(Err(message));
    }
    let starts = match config.write_file.as_deref().map(count_start).transpose() {
        Ok(starts) => starts,
        Err(message) => return report(Err(message)),
    };
    match starts {
        Some(starts) => println!("{}: start number {starts}", config.name),
        None => println!("{}: started", config.name),
    }
    match config.mode {
        Mode::Job => job(&config),
        Mode::Serve => report(server::serve(config, started, starts)),
        Mode::Crash => {
            let (after, code) = (config.crash_after, config.exit_code.unwrap_or(1));
            let line =
                config.log_line.clone().unwrap_or_else(|| format!("FATAL: {} crashes as asked", config.name));
            if after.is_zero() {
                crash(&line, code);
            }
            thread::spawn(move || {
                thread::sleep(after);
                crash(&line, code)
            });
            report(server::serve(config, started, starts))
        }
    }
}

fn job(config: &Config) -> ExitCode {
    thread::sleep(config.run_for);
    if let Some(line) = &config.log_line {
        println!("{line}");
    }
    let code = config.exit_code.unwrap_or(0);
    println!("{}: job ends with {code}", config.name);
    ExitCode::from(code)
}

fn crash(line: &str, code: u8) -> ! {
    eprintln!("{line}");
    // The engine reads the pipe after the exit too, but a reader that polls sees the line before the death.
    thread::sleep(Duration::from_millis(10));
    std::process::exit(code.into())
}

/// Refuses a file that is not made of `key = value` lines, as servers do.
fn check_config(path: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("error loading config {}: {error}", path.display()))?;
    let is_wrong = |line: &&str| !line.trim().is_empty() && !line.contains(" = ");
    match text.lines().enumerate().find(|(_, line)| is_wrong(line)) {
        None => Ok(()),
        Some((number, line)) => Err(format!(
            "invalid configuration: {} line {}: `{line}` is no `key = value`",
            path.display(),
            number + 1
        )),
    }
}

/// Adds one to the number in the file, so that a volume shows how often its container was started.
fn count_start(path: &Path) -> Result<u64, String> {
    let failed = |what: &str, error: std::io::Error| format!("cannot {what} {}: {error}", path.display());
    let before = match std::fs::read_to_string(path) {
        Ok(text) => text.trim().parse().map_err(|_| format!("{} holds no number", path.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(error) => return Err(failed("read", error)),
    };
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, format!("{}\n", before + 1)).map_err(|error| failed("write", error))?;
    std::fs::rename(&fresh, path).map_err(|error| failed("replace", error))?;
    Ok(before + 1)
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_start_is_counted_in_the_file() {
        let path = std::env::temp_dir().join(format!("aiplat-demo-app-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        assert_eq!(super::count_start(&path), Ok(1));
        assert_eq!(super::count_start(&path), Ok(2));
        std::fs::write(&path, "not a number").unwrap();
        assert!(super::count_start(&path).is_err());
        std::fs::remove_file(&path).unwrap();
    }
}
