//! systemd as a whole: its version, its state, and what has failed.

use std::collections::{BTreeMap, BTreeSet};

use zbus::OwnedObjectPath;

use super::{
    Systemd,
    bus::{CALL_DEADLINE, CallError, within},
    errors::{self, Effect},
    names,
    proxies::PropertiesProxy,
};
use crate::port::{HostError, SystemdOverview};

impl Systemd {
    /// What systemd says of itself, and which of `units` need one that has failed.
    pub(super) async fn overall(&self, units: BTreeSet<String>) -> Result<SystemdOverview, HostError> {
        let asked = self.ask_overall(units).await;
        asked.map_err(|error| errors::host_error("ask systemd how it is", Effect::Read, &error))
    }

    async fn ask_overall(&self, units: BTreeSet<String>) -> Result<SystemdOverview, CallError> {
        let (version, state) = (self.own("Version").await?, self.own("SystemState").await?);
        let manager = self.bus.manager().await?;
        let listed = within(CALL_DEADLINE, manager.list_units_filtered(&["failed"])).await?;
        let mut failed: BTreeMap<String, Vec<String>> =
            listed.into_iter().map(|(name, ..)| (name, Vec::new())).collect();
        if failed.is_empty() {
            return Ok(SystemdOverview { version, state, failed });
        }
        for unit in units.into_iter().filter(|unit| names::check(unit, "look at").is_ok()) {
            let path = within(CALL_DEADLINE, manager.load_unit(&unit)).await?;
            let needs = self.properties(&path).await?.needs();
            for (name, needed_by) in &mut failed {
                if *name == unit || needs.contains(name) {
                    needed_by.push(unit.clone());
                }
            }
        }
        Ok(SystemdOverview { version, state, failed })
    }

    /// A property of systemd's own.
    async fn own(&self, name: &str) -> Result<String, CallError> {
        let connection = self.bus.connection().await?;
        let manager = OwnedObjectPath::try_from("/org/freedesktop/systemd1").map_err(CallError::Failed)?;
        let properties = within(CALL_DEADLINE, PropertiesProxy::new(&connection, &manager)).await?;
        let value = within(CALL_DEADLINE, properties.get("org.freedesktop.systemd1.Manager", name)).await?;
        String::try_from(value).map_err(CallError::Failed)
    }
}
