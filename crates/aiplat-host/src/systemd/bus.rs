//! The connection to the bus for calls: made at first use, and again after a loss. Every call has a deadline.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    num::NonZeroUsize,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aiplat_core::observed::AsOf;
use zbus::{Connection, connection};

use super::proxies::{ManagerProxy, PropertiesProxy};
use crate::lock;

/// systemd answers in milliseconds, or it is busy reading its files, or it hangs.
pub(super) const CALL_DEADLINE: Duration = Duration::from_secs(5);
/// It reads every unit file of the machine; 100 units take 0.1 s.
pub(super) const RELOAD_DEADLINE: Duration = Duration::from_secs(60);

/// Signals that wait for their reader. Beyond it the connection is not read, answers included, until there is room.
const QUEUE: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

/// Why a call has no answer that can be used.
#[derive(Debug, Clone)]
pub(super) enum CallError {
    /// There is no connection: nothing was sent.
    Connect {
        /// Where to.
        address: String,
        /// Why.
        source: zbus::Error,
    },
    /// There is no answer.
    TimedOut {
        /// After so long.
        after: Duration,
    },
    /// The answer is an error, or there is none because the connection broke.
    Failed(zbus::Error),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Bus {
    address: Option<String>,
    open: tokio::sync::Mutex<Option<Connection>>,
    /// Counts the moments at which something was asked.
    moments: AtomicU64,
    /// Units that systemd keeps loaded for our present connection.
    kept: Mutex<BTreeSet<String>>,
    /// Units that were looked at, by systemd's own name for them: what they were called.
    known: Mutex<BTreeMap<String, BTreeSet<String>>>,
}

impl Bus {
    pub(super) fn new(address: Option<String>) -> Self {
        Self {
            address,
            open: tokio::sync::Mutex::default(),
            moments: AtomicU64::default(),
            kept: Mutex::default(),
            known: Mutex::default(),
        }
    }

    /// Now, in the adapter's own counting.
    pub(super) fn moment(&self) -> AsOf {
        AsOf(self.moments.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The present connection, or a new one.
    pub(super) async fn connection(&self) -> Result<Connection, CallError> {
        let mut open = self.open.lock().await;
        if let Some(connection) = open.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        let connection = self.dial().await?;
        // systemd has let go of them with the old one.
        self.forget_kept();
        *open = Some(connection.clone());
        Ok(connection)
    }

    /// A connection of its own.
    pub(super) async fn dial(&self) -> Result<Connection, CallError> {
        let builder = match &self.address {
            None => connection::Builder::system(),
            Some(address) => connection::Builder::address(address.as_str()),
        };
        let builder = builder.max_queued(QUEUE);
        let built = match tokio::time::timeout(CALL_DEADLINE, builder.build()).await {
            Ok(built) => built,
            Err(_) => Err(zbus::Error::from(io::Error::from(io::ErrorKind::TimedOut))),
        };
        built.map_err(|source| CallError::Connect { address: self.described(), source })
    }

    pub(super) async fn manager(&self) -> Result<ManagerProxy<'static>, CallError> {
        let connection = self.connection().await?;
        within(CALL_DEADLINE, ManagerProxy::new(&connection)).await
    }

    pub(super) async fn version(&self) -> Result<String, CallError> {
        let connection = self.connection().await?;
        let properties = PropertiesProxy::new(&connection, "/org/freedesktop/systemd1");
        let properties = within(CALL_DEADLINE, properties).await?;
        let version = properties.get("org.freedesktop.systemd1.Manager", "Version");
        let version = within(CALL_DEADLINE, version).await?;
        String::try_from(version).map_err(CallError::Failed)
    }

    /// Takes note that `unit` is kept loaded from now on, or no more; whether that is a change.
    pub(super) fn note_kept(&self, unit: &str, keep: bool) -> bool {
        let mut kept = lock(&self.kept);
        if keep { kept.insert(unit.to_owned()) } else { kept.remove(unit) }
    }

    /// systemd has let go of all units, or it is another one.
    pub(super) fn forget_kept(&self) {
        lock(&self.kept).clear();
    }

    /// `unit` was looked at, and systemd's own name for it is `id`: hints are about that one.
    pub(super) fn learn(&self, id: &str, unit: &str) {
        lock(&self.known).entry(id.to_owned()).or_default().insert(unit.to_owned());
    }

    /// What the unit with systemd's own name `id` was called; empty if nobody has looked at it.
    pub(super) fn known_as(&self, id: &str) -> BTreeSet<String> {
        lock(&self.known).get(id).cloned().unwrap_or_default()
    }

    fn described(&self) -> String {
        self.address.clone().unwrap_or_else(|| "the system bus".to_owned())
    }
}

/// The answer to a call, if it comes in time.
pub(super) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = zbus::Result<T>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(CallError::Failed),
        Err(_) => Err(CallError::TimedOut { after: limit }),
    }
}
