//! Waiting is always on a predicate, with a deadline.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Asks until there is an answer; an error of the predicate ends the wait.
pub fn until<T>(
    what: &str,
    within: Duration,
    every: Duration,
    mut predicate: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(value) = predicate()? {
            return Ok(value);
        }
        if begun.elapsed() >= within {
            bail!("waited {} for {what}, in vain", seconds(within));
        }
        thread::sleep(every);
    }
}

/// A duration as people read it: `0.42 s`, `3.1 s`, `2 min 5 s`.
pub fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{:.2} s", duration.as_secs_f64()),
        1..=119 => format!("{:.1} s", duration.as_secs_f64()),
        whole => format!("{} min {} s", whole / 60, whole % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_returns_as_soon_as_there_is_an_answer() {
        let mut asked = 0;
        let answer = until("three", Duration::from_secs(10), Duration::ZERO, || {
            asked += 1;
            Ok((asked == 3).then_some(asked))
        });
        assert_eq!(answer.unwrap(), 3);
    }

    #[test]
    fn the_deadline_names_what_was_waited_for() {
        let error = until::<()>("the moon", Duration::ZERO, Duration::ZERO, || Ok(None)).unwrap_err();
        assert_eq!(error.to_string(), "waited 0.00 s for the moon, in vain");
    }

    #[test]
    fn durations_are_for_people() {
        assert_eq!(seconds(Duration::from_millis(3140)), "3.1 s");
        assert_eq!(seconds(Duration::from_secs(125)), "2 min 5 s");
    }
}
