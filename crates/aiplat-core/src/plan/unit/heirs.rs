//! A unit that goes from one entry of platform.yaml to another: an entry that has got another name, or two that have swapped their
//! units. What is ours of it goes along. Were it removed by the one and written by the other, each would undo the other's work.

use super::Look;
use crate::{
    ResourceId,
    ledger::UnitRecord,
    plan::World,
    spec::{Management, WRITTEN_BY},
};

/// The entry, another than `id`, whose unit `name` is now. One that only looks at it takes nothing over.
pub(super) fn heir<'a>(world: &World<'a>, id: &ResourceId, name: &str) -> Option<&'a ResourceId> {
    let others = world.desired.units.iter().filter(|(other, _)| *other != id);
    let mut heirs = others.filter(|(_, spec)| {
        spec.management != Management::Observe && (spec.unit == name || spec.main() == name)
    });
    heirs.next().map(|(heir, _)| heir)
}

/// Whether `id` may forget `name`: the heir knows that it is ours.
pub(super) fn is_handed_over(world: &World<'_>, id: &ResourceId, name: &str) -> bool {
    heir(world, id, name).and_then(|heir| world.ledger.get(heir)).is_some_and(|record| {
        record.unit.owned.contains_key(name) || record.unit.files_of.as_deref() == Some(name)
    })
}

impl Look<'_> {
    /// `unit`, with what other entries have left to this one, and without what this one has left to them.
    pub(super) fn inherit(&self, mut unit: UnitRecord) -> UnitRecord {
        let is_let_go = |name: &str| is_handed_over(self.world, self.id, name);
        unit.owned.retain(|name, _| !is_let_go(name));
        if self.spec.management == Management::Observe {
            return unit;
        }
        for (name, print) in self.others().flat_map(|other| &other.owned) {
            if *name == self.spec.unit || name == self.spec.main() {
                unit.owned.entry(name.clone()).or_insert_with(|| print.clone());
            }
        }
        let is_free = unit.files_of.as_deref().is_none_or(|name| heir(self.world, self.id, name).is_some());
        if is_free && self.others().any(|other| other.files_of.as_ref() == Some(&self.spec.unit)) {
            unit.files_of = Some(self.spec.unit.clone());
        } else if unit.files_of.as_deref().is_some_and(is_let_go) {
            // Of two that swap, the second one finds its drop-in there and nobody who remembers it.
            let there = self.service.own.drop_in.as_ref();
            let is_ours = there.is_some_and(|text| text.starts_with(WRITTEN_BY));
            unit.files_of = is_ours.then(|| self.spec.unit.clone());
        }
        unit
    }

    fn others(&self) -> impl Iterator<Item = &UnitRecord> {
        let records = self.world.ledger.records.iter();
        records.filter(|(other, _)| *other != self.id).map(|(_, record)| &record.unit)
    }
}
