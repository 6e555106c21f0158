//! The last lines of containers that are gone: their log goes with them in the engine, and is what a person asks for
//! the morning after.

use std::time::Duration;

use aiplat_api::v1::LogRecord;
use aiplat_core::{
    ResourceId,
    observed::{ContainerId, ObservedContainer},
};
use aiplat_host::{LogLine, LogOptions};
use futures_util::StreamExt;
use jiff::Timestamp;

use crate::shared::Shared;

/// Lines that are kept of a container.
pub const LINES: usize = 200;
/// So far back an earlier run of the same container is looked for.
const SEARCHED: u32 = 5_000;
/// No line is kept longer.
const LINE_MAX: usize = 4 << 10;
/// A log that cannot be read in this time is not worth a removal that waits.
const DEADLINE: Duration = Duration::from_secs(5);

/// Keeps the end of the log of `container`, which is about to be removed. That it cannot be kept keeps nothing from
/// happening; one that never said anything leaves what is kept of its predecessor.
pub async fn keep(shared: &Shared, id: &ResourceId, container: &ContainerId) {
    let options = LogOptions { tail: u32::try_from(LINES).ok(), ..LogOptions::default() };
    let read = async {
        let lines = shared.host.logs(container, &options).await?;
        Ok::<_, aiplat_host::HostError>(
            lines.filter_map(|line| async { line.ok() }).collect::<Vec<_>>().await,
        )
    };
    let lines = match tokio::time::timeout(DEADLINE, read).await {
        Ok(Ok(lines)) if !lines.is_empty() => lines,
        Ok(Ok(_)) => return,
        Ok(Err(error)) => return tracing::debug!(%id, error = %error, "Its last lines could not be read."),
        Err(_elapsed) => return tracing::debug!(%id, "Its last lines could not be read in time."),
    };
    let kept = lines.into_iter().map(|line| to_json(&record(id.key(), line)));
    if let Err(error) = shared.store.keep_log(id.key(), kept.collect()).await {
        tracing::debug!(%id, error = %error, "Its last lines could not be kept.");
    }
}

/// When the run before the present one of `container` ended; `None`: there was none. While it runs the engine goes on
/// showing that end. (The start of the present run says less: a program in a hurry has spoken before the engine notes it.)
#[must_use]
pub fn end_of_run_before(container: &ObservedContainer) -> Option<Timestamp> {
    let detail = container.detail.as_ref()?;
    let end = if container.state.is_alive() { &detail.finished_at } else { &detail.started_at };
    // A time that never was is Go's zero.
    end.parse().ok().filter(|end: &Timestamp| end.as_second() > 0)
}

/// The last lines that `container` wrote until its run before the present one had `ended`, as lines of JSON.
pub async fn until(
    shared: &Shared,
    service: &str,
    container: &ContainerId,
    ended: Timestamp,
) -> Vec<Vec<u8>> {
    let options = LogOptions { tail: Some(SEARCHED), ..LogOptions::default() };
    let read = async {
        let lines = shared.host.logs(container, &options).await.ok()?;
        let is_earlier = |line: &LogLine| line.timestamp.parse::<Timestamp>().is_ok_and(|at| at <= ended);
        Some(lines.filter_map(|line| async { line.ok().filter(is_earlier) }).collect::<Vec<_>>().await)
    };
    let lines = tokio::time::timeout(DEADLINE, read).await.ok().flatten().unwrap_or_default();
    let skip = lines.len().saturating_sub(LINES);
    lines.into_iter().skip(skip).map(|line| to_json(&record(service, line))).collect()
}

/// Of the lines of two runs those of the later one.
#[must_use]
pub fn later(one: Vec<Vec<u8>>, other: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let end = |lines: &[Vec<u8>]| -> Option<Timestamp> {
        serde_json::from_slice::<LogRecord>(lines.last()?).ok()?.time.parse().ok()
    };
    if end(&one) >= end(&other) { one } else { other }
}

/// A line as the API gives it.
#[must_use]
pub fn record(service: &str, line: LogLine) -> LogRecord {
    let LogLine { timestamp, stderr, text } = line;
    LogRecord { service: service.to_owned(), time: timestamp, stderr, text }
}

/// A record as one line of JSON, cut to a length that can be kept.
fn to_json(record: &LogRecord) -> Vec<u8> {
    let mut short = record.clone();
    short.text = short.text.chars().take(LINE_MAX / 4).collect();
    let mut text = serde_json::to_vec(&short).unwrap_or_default();
    text.push(b'\n');
    text
}
