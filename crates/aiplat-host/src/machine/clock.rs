//! Whether somebody keeps the clock right. An ACME certificate, a log line and a token all depend on it.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// systemd-timedated is started for each question and ends half a minute later: it is not asked in every look.
const ASK_EVERY: Duration = Duration::from_secs(600);
const DEADLINE: Duration = Duration::from_secs(5);

/// When it was asked, and what was said.
type Answer = (Instant, Option<bool>);

/// Remembers the last answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Synchronisation {
    last: Arc<Mutex<Option<Answer>>>,
}

impl Synchronisation {
    /// `None` where nobody can be asked.
    pub(super) async fn look(&self, root: &Path) -> Option<bool> {
        // systemd-timesyncd leaves word by itself.
        if root.join("run/systemd/timesync/synchronized").exists() {
            return Some(true);
        }
        let last = *crate::lock(&self.last);
        if let Some((at, answer)) = last
            && at.elapsed() < ASK_EVERY
        {
            return answer;
        }
        // Another root is not the machine whose bus this is.
        let asks = root == Path::new("/");
        let answer =
            if asks { tokio::time::timeout(DEADLINE, ask()).await.ok().and_then(Result::ok) } else { None };
        *crate::lock(&self.last) = Some((Instant::now(), answer));
        answer
    }
}

/// The kernel's own word, whoever keeps the clock: chrony, ntpd, a hypervisor's agent.
async fn ask() -> zbus::Result<bool> {
    let bus = zbus::Connection::system().await?;
    let reply = bus
        .call_method(
            Some("org.freedesktop.timedate1"),
            "/org/freedesktop/timedate1",
            Some("org.freedesktop.DBus.Properties"),
            "Get",
            &("org.freedesktop.timedate1", "NTPSynchronized"),
        )
        .await?;
    let value: zbus::OwnedVariant = reply.body().deserialize()?;
    bool::try_from(value)
}
