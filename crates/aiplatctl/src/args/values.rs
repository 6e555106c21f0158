//! Values of the command line: durations, moments, conditions.

use std::time::Duration;

use aiplat_api::v1::EventType;

/// What `wait` waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The condition's type, in its own spelling.
    pub(crate) kind: String,
    /// `True`, `False` or `Unknown`.
    pub(crate) status: aiplat_core::condition::Status,
}

/// The beginning of a span of time, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    /// So long ago.
    Ago(Duration),
    /// A moment.
    At(jiff::Timestamp),
}

/// How many lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tail {
    /// All of them.
    All,
    /// The last so many.
    Last(u64),
}

impl Since {
    /// The moment it means.
    pub(crate) fn moment(self, now: jiff::Timestamp) -> jiff::Timestamp {
        match self {
            Self::At(moment) => moment,
            Self::Ago(ago) => now.saturating_sub(ago).unwrap_or(jiff::Timestamp::MIN),
        }
    }
}

impl std::str::FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(moment) = text.parse() {
            return Ok(Self::At(moment));
        }
        duration(text).map(Self::Ago).map_err(|_| {
            "write how long ago, like 90s, 20m, 2h or 3d, or a moment like 2026-11-20T08:00:00Z".to_owned()
        })
    }
}

impl std::str::FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        use aiplat_core::condition::Status;

        let wrong = || "write condition=TYPE, like condition=Ready, or condition=Ready=False".to_owned();
        let rest = text.strip_prefix("condition=").ok_or_else(wrong)?;
        let (kind, status) = rest.split_once('=').unwrap_or((rest, "True"));
        let status = [Status::True, Status::False, Status::Unknown]
            .into_iter()
            .find(|known| known.to_string().eq_ignore_ascii_case(status))
            .ok_or_else(wrong)?;
        // The type is known if it can be read from the wire: no second list of them here.
        let known = |name: &str| {
            serde_json::from_value::<aiplat_core::condition::ConditionType>(serde_json::Value::from(name))
                .ok()
        };
        let spelled =
            kind.chars().next().map(|first| first.to_uppercase().chain(kind.chars().skip(1)).collect());
        let spelled: String = spelled.unwrap_or_default();
        let kind = known(&spelled).ok_or_else(|| {
            format!("`{kind}` is no condition: Ready, Healthy, Started, ImageAvailable, DependenciesReady and so on")
        })?;
        Ok(Self { kind: kind.to_string(), status })
    }
}

/// Longer is for ever, and clocks can still be added to.
const DURATION_MAX: Duration = Duration::from_secs(10 * 366 * 86_400);

/// `90s`, `5m`, `1h30m`, `3d`; a bare number is seconds, as it is for `sleep`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write a duration like 90s, 5m, 1h30m or 3d".to_owned();
    if text.is_empty() {
        return Err(wrong());
    }
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds).min(DURATION_MAX));
    }
    let (days, rest) = match text.split_once('d') {
        Some((days, rest)) => (days.parse::<u64>().map_err(|_| wrong())?, rest),
        None => (0, text),
    };
    let rest = match rest {
        "" => Duration::ZERO,
        rest => {
            rest.parse::<jiff::SignedDuration>().ok().and_then(|d| d.try_into().ok()).ok_or_else(wrong)?
        }
    };
    Ok(Duration::from_secs(days.saturating_mul(86_400)).saturating_add(rest).min(DURATION_MAX))
}

/// A duration that is not over at once.
pub(super) fn some_duration(text: &str) -> Result<Duration, String> {
    duration(text)?
        .as_secs()
        .checked_sub(1)
        .map(|less| Duration::from_secs(less + 1))
        .ok_or_else(|| "write a duration of a second or more, like 90s, 20m, 2h or 3d".to_owned())
}

pub(super) fn tail(text: &str) -> Result<Tail, String> {
    if text == "all" {
        return Ok(Tail::All);
    }
    text.parse().map(Tail::Last).map_err(|_| "write a number of lines, or `all`".to_owned())
}

pub(super) fn event_type(text: &str) -> Result<EventType, String> {
    [("normal", EventType::Normal), ("warning", EventType::Warning)]
        .into_iter()
        .find(|(name, _)| text.eq_ignore_ascii_case(name))
        .map(|(_, kind)| kind)
        .ok_or_else(|| "the types are Normal and Warning".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_that_people_write() {
        let ok = |text: &str| duration(text).ok().map(|d| d.as_secs());
        assert_eq!(ok("90s"), Some(90));
        assert_eq!(ok("90"), Some(90));
        assert_eq!(ok("1h30m"), Some(5_400));
        assert_eq!(ok("3d"), Some(259_200));
        assert_eq!(ok("1d2h"), Some(93_600));
        assert_eq!(ok("0"), Some(0));
        assert_eq!(ok("18446744073709551615"), Some(DURATION_MAX.as_secs()));
        assert_eq!(ok("18446744073709551615d"), Some(DURATION_MAX.as_secs()));
        for wrong in ["", "-5s", "soon", "2x", "d", "5 parsecs"] {
            let found = ok(wrong);
            assert_eq!(found, None, "{wrong}");
        }
    }

    #[test]
    fn wait_takes_a_condition_and_its_status() {
        use aiplat_core::condition::Status;

        let parse = |text: &str| text.parse::<Wanted>();
        assert_eq!(parse("condition=Ready"), Ok(Wanted { kind: "Ready".into(), status: Status::True }));
        assert_eq!(
            parse("condition=ready=false"),
            Ok(Wanted { kind: "Ready".into(), status: Status::False })
        );
        assert!(parse("condition=Redy").is_err());
        assert!(parse("Ready").is_err());
    }
}
