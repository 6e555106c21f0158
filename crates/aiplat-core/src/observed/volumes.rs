//! What volumes take on their disks. The engine walks them to find out, so it is asked seldom, and each size has an age. In
//! memory only: after a restart of the daemon growth is measured anew.

use std::{collections::BTreeMap, time::Duration};

use crate::Timestamp;

/// Growth is told of the last day.
const DAY: Duration = Duration::from_secs(86_400);
/// Of what was measured before, one in so long is kept.
const APART: Duration = Duration::from_secs(3_600);

/// The sizes of volumes, by the engine's name. Absent: not measured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeSizes {
    /// The oldest first, and never empty.
    measured: BTreeMap<String, Vec<VolumeSize>>,
}

/// A size, and when it was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VolumeSize {
    /// When.
    pub at: Timestamp,
    /// Bytes.
    pub bytes: u64,
}

/// How much a volume has grown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Growth {
    /// Bytes; fewer than none: it has shrunk.
    pub bytes: i64,
    /// In this time, a day at most and a little.
    pub over: Duration,
}

impl VolumeSizes {
    /// Takes in what was measured now. A volume that is gone, or could not be measured this time, has no size any more.
    pub fn take_in(&mut self, sizes: BTreeMap<String, u64>, now: Timestamp) {
        let mut before = std::mem::take(&mut self.measured);
        for (name, bytes) in sizes {
            let mut measured = before.remove(&name).unwrap_or_default();
            if let [.., kept, last] = measured.as_slice()
                && last.at.since(kept.at) < APART
            {
                measured.pop();
            }
            measured.push(VolumeSize { at: now, bytes });
            // One that is a day old is what the newest is compared with; older ones are of no use.
            while measured.get(1).is_some_and(|second| now.since(second.at) >= DAY) {
                measured.remove(0);
            }
            self.measured.insert(name, measured);
        }
    }

    /// The last size of the volume that the engine calls `name`.
    #[must_use]
    pub fn size(&self, name: &str) -> Option<VolumeSize> {
        self.measured.get(name)?.last().copied()
    }

    /// How much it has grown within the last day, or since it was first measured.
    #[must_use]
    pub fn growth(&self, name: &str) -> Option<Growth> {
        let measured = self.measured.get(name)?;
        let (first, last) = (measured.first()?, measured.last()?);
        let over = last.at.since(first.at);
        let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        (!over.is_zero()).then(|| Growth { bytes: signed(last.bytes) - signed(first.bytes), over })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(minutes: u32) -> Timestamp {
        Timestamp::from_boot(MINUTE * minutes)
    }

    #[test]
    fn growth_is_of_the_last_day_and_little_is_kept_for_it() {
        let mut sizes = VolumeSizes::default();
        let mut take = |minutes: u32, bytes: u64| {
            sizes.take_in(BTreeMap::from([("v".to_owned(), bytes)]), at(minutes));
            (sizes.growth("v"), sizes.measured["v"].len())
        };
        assert_eq!(take(0, 1_000), (None, 1), "one look tells of no growth");
        assert_eq!(take(10, 900).0, Some(Growth { bytes: -100, over: 10 * MINUTE }));
        for turn in 2..=600 {
            let (growth, kept) = take(turn * 10, u64::from(turn) * 10);
            let Growth { bytes, over } = growth.expect("it was measured before");
            assert!(kept <= 27, "{kept}");
            assert!(over <= DAY + APART, "{over:?}");
            if turn > 150 {
                assert!(
                    over >= DAY && bytes == i64::try_from(over.as_secs() / 60).unwrap_or(0),
                    "{over:?} {bytes}"
                );
            }
        }
    }

    #[test]
    fn what_is_gone_has_no_size_and_one_that_comes_again_begins_anew() {
        let mut sizes = VolumeSizes::default();
        sizes.take_in(BTreeMap::from([("v".to_owned(), 7)]), at(0));
        sizes.take_in(BTreeMap::new(), at(10));
        assert_eq!((sizes.size("v"), sizes.growth("v")), (None, None));
        sizes.take_in(BTreeMap::from([("v".to_owned(), 9)]), at(20));
        assert_eq!(sizes.size("v"), Some(VolumeSize { at: at(20), bytes: 9 }));
        assert_eq!(sizes.growth("v"), None);
    }
}
