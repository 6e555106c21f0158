//! The few of systemd's D-Bus interfaces that we use (man 5 `org.freedesktop.systemd1`). None of them starts a systemd: it
//! is there, or the machine has none.

use std::collections::BTreeMap;

use zbus::{OwnedObjectPath, OwnedVariant, proxy};

/// systemd's name on the bus.
pub(super) const SYSTEMD: &str = "org.freedesktop.systemd1";
/// The bus's own name.
pub(super) const BUS: &str = "org.freedesktop.DBus";

/// (what was done, link, target)
pub(super) type FileChange = (String, String, String);

/// Name, description, load, active and sub state, whom it follows, object; of its job: number, type, object.
pub(super) type Listed =
    (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

#[proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
pub(super) trait Manager {
    #[zbus(no_autostart)]
    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    #[zbus(no_autostart)]
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    #[zbus(no_autostart)]
    fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    #[zbus(no_autostart)]
    fn restart_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    #[zbus(no_autostart)]
    fn reset_failed_unit(&self, name: &str) -> zbus::Result<()>;
    #[zbus(no_autostart)]
    fn unmask_unit_files(&self, files: &[&str], runtime: bool) -> zbus::Result<Vec<FileChange>>;
    /// The first answer: whether there was anything to enable.
    #[zbus(no_autostart)]
    fn enable_unit_files(
        &self,
        files: &[&str],
        runtime: bool,
        force: bool,
    ) -> zbus::Result<(bool, Vec<FileChange>)>;
    #[zbus(no_autostart)]
    fn disable_unit_files(&self, files: &[&str], runtime: bool) -> zbus::Result<Vec<FileChange>>;
    /// From the files as they are now; the unit's property of the same meaning is of the last reload.
    #[zbus(no_autostart)]
    fn get_unit_file_state(&self, file: &str) -> zbus::Result<String>;
    /// Control group, number and command line of each.
    #[zbus(no_autostart)]
    fn get_unit_processes(&self, name: &str) -> zbus::Result<Vec<(String, u32, String)>>;
    /// Those in one of the states.
    #[zbus(no_autostart)]
    fn list_units_filtered(&self, states: &[&str]) -> zbus::Result<Vec<Listed>>;
    /// Answers when it is done.
    #[zbus(no_autostart)]
    fn reload(&self) -> zbus::Result<()>;
    #[zbus(no_autostart)]
    fn subscribe(&self) -> zbus::Result<()>;
}

#[proxy(interface = "org.freedesktop.systemd1.Unit", default_service = "org.freedesktop.systemd1")]
pub(super) trait Unit {
    /// Keeps it loaded for as long as we are on the bus.
    #[zbus(name = "Ref", no_autostart)]
    fn keep_loaded(&self) -> zbus::Result<()>;
    /// Takes that back.
    #[zbus(name = "Unref", no_autostart)]
    fn let_go(&self) -> zbus::Result<()>;
}

// Read through the standard interface, and not as properties of the others, so that nothing is cached.
#[proxy(interface = "org.freedesktop.DBus.Properties", default_service = "org.freedesktop.systemd1")]
pub(super) trait Properties {
    #[zbus(no_autostart)]
    fn get(&self, interface: &str, name: &str) -> zbus::Result<OwnedVariant>;
    #[zbus(no_autostart)]
    fn get_all(&self, interface: &str) -> zbus::Result<BTreeMap<String, OwnedVariant>>;
}

#[proxy(
    interface = "org.freedesktop.DBus",
    default_service = "org.freedesktop.DBus",
    default_path = "/org/freedesktop/DBus"
)]
pub(super) trait Daemon {
    fn add_match(&self, rule: &str) -> zbus::Result<()>;
}
