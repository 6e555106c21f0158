//! Structured logs: text for people, JSON for machines.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::args::LogFormat;

/// Sends the log to stderr; `AIPLATD_LOG` filters as `RUST_LOG` does elsewhere.
pub fn init(format: LogFormat) {
    let filter = EnvFilter::try_from_env("AIPLATD_LOG").unwrap_or_else(|_unset| EnvFilter::new("info"));
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    match format {
        LogFormat::Json => builder.json().flatten_event(true).init(),
        // The journal has its own clock.
        LogFormat::Text if std::env::var_os("JOURNAL_STREAM").is_some() => {
            builder.with_ansi(false).without_time().init();
        }
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).init(),
    }
}
