//! What the binary is asked to be: argv and environment, parsed once.

use std::path::PathBuf;
use std::time::Duration;

use crate::ollama;

/// The usage text.
pub const USAGE: &str = "usage: app [serve|crash|job] [KEY=VALUE...] | app probe URL | app get URL
keys (environment or KEY=VALUE): NAME MODE PORT TCP_PORT READY_AFTER BIND REDIS_PORT POSTGRES_PORT PASSWORD UPSTREAMS CRASH_AFTER EXIT_CODE LOG_LINE RUN_FOR WRITE_FILE OLLAMA_HOST OLLAMA_MODELS PULL_SIZE PULL_MS";

/// What this process does.
#[derive(Debug, PartialEq)]
pub enum Role {
    /// A workload, the usual case.
    Work(Box<Config>),
    /// Exits 0 if the URL answers 2xx (`http://`) or accepts a connection (`tcp://`).
    Probe(String),
    /// Prints the body of the URL.
    Get(String),
}

/// How the workload behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    /// Serves until it is killed.
    Serve,
    /// Serves for `CRASH_AFTER` ms, prints `LOG_LINE` to stderr, exits with `EXIT_CODE` (1).
    Crash,
    /// Sleeps `RUN_FOR` ms, prints `LOG_LINE`, exits with `EXIT_CODE` (0).
    Job,
}

/// The keys, each with its default.
#[derive(Debug, PartialEq)]
pub struct Config {
    /// `NAME`: what it calls itself; the host name by default.
    pub name: String,
    /// `VERSION`: set by the image to its tag, so that a change of image shows.
    pub version: Option<String>,
    /// `MODE`: serve, crash or job; the first argument wins.
    pub mode: Mode,
    /// `PORT`: HTTP, 8080 by default.
    pub port: u16,
    /// `TCP_PORT`: a plain listener, opened when ready; none by default.
    pub tcp_port: Option<u16>,
    /// `READY_AFTER` in ms: until then `/health` and `/ready` answer 503 and the TCP port is closed.
    pub ready_after: Duration,
    /// `BIND`: the address to listen on, 0.0.0.0 by default.
    pub bind: String,
    /// `REDIS_PORT`: answers as a Redis would that is asked whether it is there; none by default.
    pub redis_port: Option<u16>,
    /// `POSTGRES_PORT`: the same of a PostgreSQL; none by default.
    pub postgres_port: Option<u16>,
    /// `PASSWORD`: what those two want to hear first.
    pub password: Option<String>,
    /// `UPSTREAMS`: `host:port,...`; `/` reports whether each accepts a connection, and `/deep` is well if all do.
    pub upstreams: Vec<String>,
    /// `CRASH_AFTER` in ms.
    pub crash_after: Duration,
    /// `EXIT_CODE`, 0 to 255.
    pub exit_code: Option<u8>,
    /// `LOG_LINE`.
    pub log_line: Option<String>,
    /// `RUN_FOR` in ms: how long a job takes.
    pub run_for: Duration,
    /// `CONFIG_FILE`: a file of `key = value` lines, without which it does not start.
    pub config_file: Option<PathBuf>,
    /// `WRITE_FILE`: a file that counts the starts.
    pub write_file: Option<PathBuf>,
    /// `OLLAMA_MODELS`: the folder of the models that `/api/tags` lists; without it that of `HOME`, as with Ollama.
    pub models: Option<PathBuf>,
    /// `PULL_SIZE`: bytes of each model that is pulled, 64 MiB by default.
    pub pull_size: u64,
    /// `PULL_MS`: how long the pull of a slow one takes.
    pub pull_takes: Duration,
}

/// Reads argv and environment.
pub fn role(arguments: &[String], environment: impl Fn(&str) -> Option<String>) -> Result<Role, String> {
    match arguments {
        [verb, url] if verb == "probe" => return Ok(Role::Probe(url.clone())),
        [verb, url] if verb == "get" => return Ok(Role::Get(url.clone())),
        [verb, ..] if verb == "probe" || verb == "get" => return Err(USAGE.to_owned()),
        _ => {}
    }
    let (mode, overrides) = match arguments.split_first() {
        Some((first, rest)) if !first.contains('=') => (Some(first.clone()), rest),
        Some(_) | None => (None, arguments),
    };
    let overrides: Vec<(&str, &str)> = overrides
        .iter()
        .map(|pair| pair.split_once('=').ok_or_else(|| format!("`{pair}` is not KEY=VALUE\n{USAGE}")))
        .collect::<Result<_, _>>()?;
    let value = |key: &str| {
        let given =
            overrides.iter().rev().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned());
        given.or_else(|| environment(key)).filter(|value| !value.is_empty())
    };
    Config::read(mode.or_else(|| value("MODE")), value).map(|config| Role::Work(Box::new(config)))
}

impl Config {
    fn read(mode: Option<String>, value: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        // As Ollama is told where to listen; the two keys of our own without it.
        let ollama = value("OLLAMA_HOST").map(|host| ollama::address(&host)).transpose()?;
        let (bind, port) = ollama.map(|(bind, port)| (Some(bind), Some(port))).unwrap_or_default();
        Ok(Self {
            name: value("NAME").unwrap_or_else(host_name),
            version: value("VERSION"),
            mode: parse_mode(mode.as_deref().unwrap_or("serve"))?,
            port: port.or(number(&value, "PORT")?).unwrap_or(8080),
            tcp_port: number(&value, "TCP_PORT")?,
            ready_after: millis(&value, "READY_AFTER")?,
            bind: bind.or_else(|| value("BIND")).unwrap_or_else(|| "0.0.0.0".to_owned()),
            redis_port: number(&value, "REDIS_PORT")?,
            postgres_port: number(&value, "POSTGRES_PORT")?,
            password: value("PASSWORD"),
            upstreams: value("UPSTREAMS").map(|list| split(&list)).unwrap_or_default(),
            crash_after: millis(&value, "CRASH_AFTER")?,
            exit_code: number(&value, "EXIT_CODE")?,
            log_line: value("LOG_LINE"),
            run_for: millis(&value, "RUN_FOR")?,
            config_file: value("CONFIG_FILE").map(PathBuf::from),
            write_file: value("WRITE_FILE").map(PathBuf::from),
            models: value("OLLAMA_MODELS").map(PathBuf::from).or_else(|| {
                let home = PathBuf::from(value("HOME")?);
                Some(home.join(".ollama/models"))
            }),
            pull_size: number(&value, "PULL_SIZE")?.unwrap_or(64 << 20),
            pull_takes: millis(&value, "PULL_MS")?,
        })
    }
}

fn parse_mode(word: &str) -> Result<Mode, String> {
    match word {
        "serve" => Ok(Mode::Serve),
        "crash" => Ok(Mode::Crash),
        "job" => Ok(Mode::Job),
        other => Err(format!("`{other}` is no mode\n{USAGE}")),
    }
}

fn number<T: std::str::FromStr>(
    value: impl Fn(&str) -> Option<String>,
    key: &str,
) -> Result<Option<T>, String> {
    let parse =
        |text: String| text.trim().parse().map_err(|_| format!("{key}={text} is not a number in range"));
    value(key).map(parse).transpose()
}

fn millis(value: impl Fn(&str) -> Option<String>, key: &str) -> Result<Duration, String> {
    Ok(Duration::from_millis(number(value, key)?.unwrap_or(0)))
}

fn split(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn host_name() -> String {
    let read = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    match read.trim() {
        "" => "demo".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Role, String> {
        let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        role(&arguments, |key| {
            environment.iter().find(|(name, _)| *name == key).map(|(_, v)| (*v).to_owned())
        })
    }

    fn config(arguments: &[&str], environment: &[(&str, &str)]) -> Config {
        match parse(arguments, environment) {
            Ok(Role::Work(config)) => *config,
            other => panic!("expected a workload, got {other:?}"),
        }
    }

    #[test]
    fn nothing_given_serves_on_8080() {
        let config = config(&[], &[("NAME", "web")]);
        assert_eq!((config.mode, config.port, config.tcp_port), (Mode::Serve, 8080, None));
    }

    #[test]
    fn an_argument_wins_over_the_environment() {
        let config = config(
            &["crash", "EXIT_CODE=3"],
            &[("MODE", "job"), ("EXIT_CODE", "1"), ("UPSTREAMS", "a:1, b:2")],
        );
        assert_eq!((config.mode, config.exit_code), (Mode::Crash, Some(3)));
        assert_eq!(config.upstreams, ["a:1", "b:2"]);
    }

    #[test]
    fn mistakes_are_named() {
        assert!(parse(&[], &[("PORT", "99999")]).unwrap_err().contains("PORT=99999"));
        assert!(parse(&["server"], &[]).unwrap_err().contains("`server`"));
        assert!(parse(&["probe"], &[]).unwrap_err().contains("usage"));
    }
}
