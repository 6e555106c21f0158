//! Moments as people say them.

use jiff::Timestamp;

/// How long ago `moment` (RFC 3339) was: `5s`, `2m`, `3h`, `3d`. Clocks step back: then it was just now.
#[must_use]
pub fn age(now: Timestamp, moment: &str) -> String {
    let Ok(moment) = moment.parse::<Timestamp>() else { return "-".to_owned() };
    let ago = now.duration_since(moment);
    let ago = std::time::Duration::try_from(ago).unwrap_or_default();
    if ago.as_secs() == 0 { "0s".to_owned() } else { aiplat_core::time::human(ago) }
}

/// Like [`age`], of something that may not be known.
#[must_use]
pub fn age_of(now: Timestamp, moment: Option<&str>) -> String {
    moment.map_or_else(|| "-".to_owned(), |moment| age(now, moment))
}

/// When something is to happen: `2026-11-20T08:00:00Z (in 3h)`.
#[must_use]
pub fn due(now: Timestamp, moment: &str) -> String {
    let Ok(due) = moment.parse::<Timestamp>() else { return moment.to_owned() };
    let left = std::time::Duration::try_from(due.duration_since(now)).unwrap_or_default();
    let left = std::time::Duration::from_secs(left.as_secs());
    format!("{} (in {})", second(moment), aiplat_core::time::human(left))
}

/// Whether `moment` is at or after `start`. What cannot be read is not left out.
#[must_use]
pub fn is_since(moment: &str, start: Timestamp) -> bool {
    moment.parse::<Timestamp>().map_or(true, |moment| moment >= start)
}

/// The moment to the second, in UTC: `2026-11-20T08:00:00Z`.
#[must_use]
pub fn second(moment: &str) -> String {
    match moment.parse::<Timestamp>() {
        Ok(moment) => moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        Err(_) => moment.to_owned(),
    }
}
