//! The GPUs that this machine is known to have: one that is gone is not the same as none.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::observed::{Driver, GpuFacts, GpuId};

/// A GPU that was there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KnownGpu {
    /// The model.
    pub name: Option<String>,
    /// Its place on the bus.
    pub bus: Option<String>,
    /// Since when it is not there any more; `None`: it is.
    pub gone: Option<Gone>,
}

/// Since when a GPU is not there any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// Milliseconds since 1970.
    pub wall_ms: i64,
    /// As a person reads it: `since the boot of 2026-11-21 05:10 UTC`.
    pub since: String,
}

/// One that was taken out, and not replaced, is not told of for ever.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30 * 24 * 3_600);

/// What a look has changed of what is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InventoryChange {
    /// It was not known.
    New(GpuId),
    /// It was gone, and is there again.
    Back(GpuId),
    /// It was there, and is not.
    Gone(GpuId),
}

/// Takes `facts` into what is `known`; answers with what is another than it was. `since` is what a person is told of one that is
/// missing now. While the driver cannot be asked, nothing is gone.
pub fn take(
    known: &mut BTreeMap<GpuId, KnownGpu>,
    facts: &GpuFacts,
    wall_ms: i64,
    since: &str,
) -> Vec<InventoryChange> {
    let mut changes = Vec::new();
    for (id, gpu) in facts.gpus.iter().filter(|(_, gpu)| gpu.parent.is_none()) {
        match known.get_mut(id) {
            None => changes.push(InventoryChange::New(id.clone())),
            Some(was) if was.gone.is_some() => changes.push(InventoryChange::Back(id.clone())),
            Some(_) => {}
        }
        let was = known.entry(id.clone()).or_default();
        *was = KnownGpu {
            name: gpu.name.clone().or(was.name.take()),
            bus: gpu.bus.clone().or(was.bus.take()),
            gone: None,
        };
    }
    // A card without its driver is still in the machine.
    if matches!(facts.nvidia, Driver::Ready { .. } | Driver::Absent) {
        let missing =
            known.iter_mut().filter(|(id, was)| was.gone.is_none() && !facts.gpus.contains_key(*id));
        for (id, was) in missing {
            was.gone = Some(Gone { wall_ms, since: since.to_owned() });
            changes.push(InventoryChange::Gone(id.clone()));
        }
    }
    let long = i64::try_from(FORGOTTEN_AFTER.as_millis()).unwrap_or(i64::MAX);
    known.retain(|_, was| was.gone.as_ref().is_none_or(|gone| wall_ms.saturating_sub(gone.wall_ms) < long));
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observed::{ObservedGpu, Vendor};

    const DAY: i64 = 24 * 3_600 * 1_000;

    fn ready(ids: &[&str]) -> GpuFacts {
        let gpu = |id: &&str| (GpuId((*id).to_owned()), ObservedGpu::new(Vendor::Nvidia));
        GpuFacts {
            nvidia: Driver::Ready { version: "550.54.15".to_owned(), cuda: None },
            gpus: ids.iter().map(gpu).collect(),
        }
    }

    #[test]
    fn one_that_is_gone_is_told_once_and_forgotten_after_a_month() {
        let gpu = |id: &str| GpuId(id.to_owned());
        let mut known = BTreeMap::new();
        assert_eq!(take(&mut known, &ready(&["a"]), 0, "now"), [InventoryChange::New(gpu("a"))]);
        assert_eq!(take(&mut known, &ready(&["a"]), 0, "now"), []);
        assert_eq!(take(&mut known, &ready(&[]), DAY, "since then"), [InventoryChange::Gone(gpu("a"))]);
        assert_eq!(take(&mut known, &ready(&[]), 2 * DAY, "later"), []);
        assert_eq!(known[&gpu("a")].gone.as_ref().map(|gone| gone.since.as_str()), Some("since then"));
        assert_eq!(take(&mut known, &ready(&["a"]), 3 * DAY, "now"), [InventoryChange::Back(gpu("a"))]);
        take(&mut known, &ready(&[]), 4 * DAY, "since then");
        take(&mut known, &ready(&[]), 33 * DAY, "now");
        assert!(known.contains_key(&gpu("a")));
        take(&mut known, &ready(&[]), 34 * DAY, "now");
        assert!(known.is_empty());
    }

    #[test]
    fn nothing_is_gone_while_the_driver_cannot_be_asked() {
        let mut known = BTreeMap::new();
        take(&mut known, &ready(&["a"]), 0, "now");
        let hung = Driver::Hung { call: "nvmlInit_v2".to_owned() };
        assert_eq!(take(&mut known, &GpuFacts { nvidia: hung, gpus: BTreeMap::new() }, 1, "now"), []);
        let absent = GpuFacts { nvidia: Driver::Absent, gpus: BTreeMap::new() };
        assert_eq!(
            take(&mut known, &absent, 1, "now").len(),
            1,
            "a driver that is gone with its card tells all"
        );
    }
}
