//! How long to wait after a failure. The class of an error decides; no retry loop exists elsewhere.

use std::time::Duration;

use crate::reconciler::Requeue;

/// What a failure is, which decides about the retry. The adapter that met the error says the class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorClass {
    /// May go away by itself, as a busy or unreachable engine: retried for ever, with [`Backoff::TRANSIENT`].
    Transient,
    /// What we knew was out of date: looked at again at once, [`CHANGED_MAX`] times in a row; then as `Transient`.
    Changed,
    /// The request itself is wrong: not retried until the spec or the resource changes.
    Rejected,
    /// We are not allowed to: retried slowly, with [`Backoff::DENIED`], since a person may grant it at any time.
    Denied,
    /// The host cannot: not retried until the host changes.
    Unsupported,
    /// Our own fault: retried with [`Backoff::BUG`]; that resource only.
    Bug,
}

/// How often in a row [`ErrorClass::Changed`] is retried without a delay.
pub const CHANGED_MAX: u32 = 3;

/// When to try again after `attempt` failures in a row of this class, counted from 1. The seed moves the jitter: a hash of
/// the key, so that a hundred services that failed together do not come back together.
#[must_use]
pub fn retry(class: ErrorClass, attempt: u32, seed: u64) -> Requeue {
    match class {
        ErrorClass::Transient => Requeue::After(delay(&Backoff::TRANSIENT, attempt, seed)),
        ErrorClass::Changed if attempt <= CHANGED_MAX => Requeue::Now,
        ErrorClass::Changed => Requeue::After(delay(&Backoff::TRANSIENT, attempt - CHANGED_MAX, seed)),
        ErrorClass::Denied => Requeue::After(delay(&Backoff::DENIED, attempt, seed)),
        ErrorClass::Bug => Requeue::After(delay(&Backoff::BUG, attempt, seed)),
        ErrorClass::Rejected | ErrorClass::Unsupported => Requeue::OnChange,
    }
}

/// A capped exponential back-off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The delay after the first failure.
    pub first: Duration,
    /// By how much it grows with each further failure; 0 is read as 1.
    pub factor: u32,
    /// The longest delay.
    pub max: Duration,
    /// How much of the delay the jitter may take away, in percent; above 100 is read as 100. It only shortens, so that
    /// `max` holds.
    pub jitter_percent: u32,
}

impl Backoff {
    /// For what may go away by itself: from 1 s to 300 s.
    pub const TRANSIENT: Self = Self::doubling(Duration::from_secs(1), Duration::from_secs(300));
    /// For what a person must grant: from 60 s to 15 min.
    pub const DENIED: Self = Self::doubling(Duration::from_secs(60), Duration::from_secs(15 * 60));
    /// For our own faults, panics among them: from 1 s to 300 s. A variable of its own: it is tuned for other reasons.
    pub const BUG: Self = Self::doubling(Duration::from_secs(1), Duration::from_secs(300));

    /// Doubles from `first` to `max`, with a jitter of 20 %.
    #[must_use]
    pub const fn doubling(first: Duration, max: Duration) -> Self {
        Self { first, factor: 2, max, jitter_percent: 20 }
    }
}

/// The delay after `attempt` failures in a row: none after none, `first` after one, then `factor` times more each, at most
/// `max`, less the jitter, which depends on the seed and the attempt only. Saturating in everything.
#[must_use]
pub fn delay(policy: &Backoff, attempt: u32, seed: u64) -> Duration {
    let Backoff { first, factor, max, jitter_percent } = *policy;
    let Some(growths) = attempt.checked_sub(1) else { return Duration::ZERO };
    // 94 doublings take a nanosecond beyond the longest duration: more steps change nothing.
    let full = (0..growths.min(94)).fold(first, |full, _| full.saturating_mul(factor.max(1))).min(max);
    let jitter_max = full.as_nanos() / 100 * u128::from(jitter_percent.min(100));
    // The upper 32 bits of the hash as a fraction of one.
    let fraction = u128::from(mix(seed ^ mix(u64::from(attempt))) >> 32);
    full.saturating_sub(from_nanos(
        (jitter_max >> 32) * fraction + (((jitter_max & 0xffff_ffff) * fraction) >> 32),
    ))
}

fn from_nanos(nanos: u128) -> Duration {
    const NANOS_PER_SEC: u128 = 1_000_000_000;
    let secs = u64::try_from(nanos / NANOS_PER_SEC).unwrap_or(u64::MAX);
    Duration::new(secs, (nanos % NANOS_PER_SEC) as u32)
}

/// The finalizer of SplitMix64: every bit of the input moves every bit of the output. Ours, since the hashers of the
/// standard library may change between releases.
const fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: Backoff = Backoff {
        first: Duration::from_secs(1),
        factor: 2,
        max: Duration::from_secs(300),
        jitter_percent: 0,
    };

    #[test]
    fn it_doubles_up_to_the_cap() {
        let secs = |attempt| delay(&PLAIN, attempt, 7).as_secs();
        assert_eq!([0, 1, 2, 3, 4, 9, 10, 11, u32::MAX].map(secs), [0, 1, 2, 4, 8, 256, 300, 300, 300]);
    }

    #[test]
    fn odd_policies_saturate() {
        let zero_factor = Backoff { factor: 0, ..PLAIN };
        assert_eq!(delay(&zero_factor, 50, 0), Duration::from_secs(1));
        let endless = Backoff { first: Duration::MAX, max: Duration::MAX, jitter_percent: 900, ..PLAIN };
        assert!(delay(&endless, u32::MAX, 3) <= Duration::MAX);
        assert_eq!(
            delay(&Backoff { first: Duration::from_secs(900), ..PLAIN }, 1, 0),
            Duration::from_secs(300)
        );
    }

    #[test]
    fn a_tiny_first_delay_reaches_the_cap() {
        let tiny = Backoff { first: Duration::from_nanos(1), ..PLAIN };
        assert_eq!([40, 60, u32::MAX].map(|attempt| delay(&tiny, attempt, 0)), [PLAIN.max; 3]);
    }

    #[test]
    fn the_jitter_is_pinned() {
        let millis = |seed| delay(&Backoff::TRANSIENT, 5, seed).as_millis();
        assert_eq!([0, 1, 2].map(millis), [12_864, 13_181, 15_546]);
    }

    #[test]
    fn the_class_decides_the_retry() {
        assert_eq!(retry(ErrorClass::Changed, CHANGED_MAX, 0), Requeue::Now);
        assert_eq!(retry(ErrorClass::Changed, CHANGED_MAX + 1, 0), retry(ErrorClass::Transient, 1, 0));
        assert_eq!(retry(ErrorClass::Rejected, 1, 0), Requeue::OnChange);
        assert_eq!(retry(ErrorClass::Unsupported, 1, 0), Requeue::OnChange);
        let slow = |class| match retry(class, 1, 0) {
            Requeue::After(delay) => delay.as_secs_f64().round() as u64,
            Requeue::Now | Requeue::OnChange => panic!("{class:?} waits"),
        };
        assert!((48..=60).contains(&slow(ErrorClass::Denied)));
        assert!(slow(ErrorClass::Bug) <= 1);
    }

    proptest! {
        #[test]
        fn jitter_stays_within_its_share(first in 1u64..1_000_000, percent in 0u32..=100, attempt in 1u32..40, seed: u64) {
            let jittered = Backoff { first: Duration::from_micros(first), jitter_percent: percent, ..PLAIN };
            let full = delay(&Backoff { jitter_percent: 0, ..jittered }, attempt, seed);
            let got = delay(&jittered, attempt, seed);
            prop_assert!(got <= full);
            prop_assert!(got >= full - full * percent / 100);
            prop_assert_eq!(got, delay(&jittered, attempt, seed));
        }

        #[test]
        fn seeds_spread_the_jitter(attempt in 1u32..40, seed in 0u64..1_000_000) {
            let spread: std::collections::BTreeSet<_> =
                (seed..seed + 50).map(|seed| delay(&Backoff::TRANSIENT, attempt, seed).as_millis() / 10).collect();
            prop_assert!(spread.len() > 10, "50 seeds gave only {} delays", spread.len());
        }
    }
}
