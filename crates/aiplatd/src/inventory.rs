//! GPUs that came and went since the machine was last looked at, the boots in between included.

use aiplat_core::{
    ResourceId, Timestamp,
    inventory::{self, InventoryChange},
    observed::GpuId,
};

use crate::state::State;

/// Takes the GPUs that were just looked at into the inventory, and tells of those that came and went. Whether the inventory is
/// another than it was.
pub(crate) fn take(state: &mut State, now: Timestamp, wall_ms: i64) -> bool {
    let first = !std::mem::replace(&mut state.inventoried, state.observed.gpus.is_known());
    let since = match (first, state.ledger.rebooted) {
        (true, true) => {
            let up = i64::try_from(now.since(Timestamp::ZERO).as_millis()).unwrap_or(0);
            format!("since the boot of {}", minute(wall_ms.saturating_sub(up)))
        }
        (true, false) => "since aiplatd was last running".to_owned(),
        (false, _) => format!("since {}", minute(wall_ms)),
    };
    let State { ledger, observed, events, .. } = state;
    let known = &mut ledger.entry(&ResourceId::local()).inventory;
    let before = known.clone();
    let changes = inventory::take(known, &observed.gpus, wall_ms, &since);
    let is_other = *known != before;
    let name = |id: &GpuId| {
        let name = known.get(id).and_then(|known| known.name.clone());
        name.map_or_else(|| id.short().to_owned(), |name| format!("{} ({name})", id.short()))
    };
    let resource = ResourceId::local().to_string();
    for change in changes {
        match change {
            InventoryChange::New(id) => {
                events.note(wall_ms, "GPUFound", &resource, format!("{} is in this machine", name(&id)));
            }
            InventoryChange::Back(id) => {
                events.note(wall_ms, "GPUBack", &resource, format!("{} is there again", name(&id)));
            }
            InventoryChange::Gone(id) => {
                let said = format!(
                    "{} is gone {since}: `lspci -nn | grep -i nvidia` says whether the bus sees it, `sudo dmesg | grep -i -e \
                     nvrm -e xid` what the driver says",
                    name(&id)
                );
                events.warn(wall_ms, "GPUGone", &resource, said);
            }
        }
    }
    is_other
}

/// To the minute, for a sentence.
fn minute(wall_ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(wall_ms).unwrap_or_default();
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}
