//! One look at one unit.

use std::{collections::BTreeMap, path::Path, time::Duration};

use aiplat_core::observed::{Incarnation, LoadState, ObservedUnit, UnitEvidence};
use tokio::time::Instant;
use zbus::OwnedObjectPath;

use super::{
    Systemd, apparmor,
    bus::{CALL_DEADLINE, CallError, within},
    decode::Properties,
    environ::{self, Environ},
    errors::{self, Effect},
    files, journal, layers, names,
    proxies::{PropertiesProxy, UnitProxy},
};
use crate::port::HostError;

/// A simple service counts as active before its program is loaded, and no signal says when it is.
const EXEC: Duration = Duration::from_millis(500);
const EXEC_POLL: Duration = Duration::from_millis(2);

impl Systemd {
    pub(super) async fn look_at(&self, unit: &str) -> Result<ObservedUnit, HostError> {
        names::check(unit, "look at")?;
        let as_of = self.bus.moment();
        let asked = self.ask(unit).await;
        let (mut observed, properties) =
            asked.map_err(|error| errors::host_error(&format!("look at {unit}"), Effect::Read, &error))?;
        observed.as_of = as_of;
        self.answers.note_run(unit, observed.invocation.as_ref());
        observed.own = files::read(files::Paths::of(&self.options, unit)).await?;
        observed.own.loaded = observed.drop_ins.contains(&observed.own.drop_in_path);
        let (layers, void_in) = layers::read(&observed, unit, &self.options.units).await;
        (observed.layers, observed.files_void_in) = (layers, void_in);
        observed.home = home(&observed.user);
        if let Some(Incarnation(invocation)) = &observed.invocation {
            observed.effective = self.effective(observed.main_pid, invocation).await;
            if has_failed(&observed) {
                let UnitEvidence { journal, denials } = self.left_behind(unit, invocation, &properties).await;
                (observed.tail, observed.denials) = (journal, denials);
            }
        }
        Ok(observed)
    }

    /// Of its present or last run.
    pub(super) async fn evidence_of(&self, unit: &str) -> UnitEvidence {
        if names::check(unit, "read the journal of").is_err() {
            return UnitEvidence::default();
        }
        match self.ask(unit).await {
            Ok((ObservedUnit { invocation: Some(Incarnation(run)), .. }, properties)) => {
                self.left_behind(unit, &run, &properties).await
            }
            Ok(_) | Err(_) => UnitEvidence::default(),
        }
    }

    async fn left_behind(&self, unit: &str, invocation: &str, properties: &Properties) -> UnitEvidence {
        let run = journal::Run { unit, invocation, began: properties.main_began() };
        let folder = self.options.journal.as_deref();
        let suspect = properties.suspect();
        let (journal, denials) =
            tokio::join!(journal::tail(folder, &run), apparmor::denials(folder, run.began, &suspect));
        UnitEvidence { journal, denials }
    }

    /// What systemd knows of it. `LoadUnit` and not `GetUnit`: the latter does not find one that is not loaded.
    async fn ask(&self, unit: &str) -> Result<(ObservedUnit, Properties), CallError> {
        // Before the look: what changes from now on is hinted at.
        self.bus.learn(unit, unit);
        let manager = self.bus.manager().await?;
        let path = within(CALL_DEADLINE, manager.load_unit(unit)).await?;
        let properties = self.properties(&path).await?;
        let mut observed = properties.unit();
        observed.systemd = self.started().await?;
        let fragment = Path::new(&observed.fragment);
        observed.fragment_stamp = fragment.is_absolute().then(|| crate::files::stamp(fragment));
        if let Ok(state) = within(CALL_DEADLINE, manager.get_unit_file_state(unit)).await {
            observed.file_state = state;
        }
        self.bus.learn(&properties.id(), unit);
        self.keep(unit, &path, observed.load == LoadState::Loaded).await;
        if let Some(job) = properties.job() {
            observed.job = self.job_kind(&job).await?;
        }
        Ok((observed, properties))
    }

    /// When systemd itself was started, in microseconds since 1970.
    async fn started(&self) -> Result<String, CallError> {
        let connection = self.bus.connection().await?;
        let manager = OwnedObjectPath::try_from("/org/freedesktop/systemd1").map_err(CallError::Failed)?;
        let properties = within(CALL_DEADLINE, PropertiesProxy::new(&connection, &manager)).await?;
        let asked = properties.get("org.freedesktop.systemd1.Manager", "UserspaceTimestamp");
        let stamp = within(CALL_DEADLINE, asked).await?;
        Ok(u64::try_from(stamp).map(|stamp| stamp.to_string()).unwrap_or_default())
    }

    /// All properties of all interfaces in one answer (an empty name asks for that, as `systemctl show` does): of one
    /// moment, whatever the unit's type is.
    pub(super) async fn properties(&self, path: &OwnedObjectPath) -> Result<Properties, CallError> {
        let connection = self.bus.connection().await?;
        let properties = within(CALL_DEADLINE, PropertiesProxy::new(&connection, path)).await?;
        Ok(Properties(within(CALL_DEADLINE, properties.get_all("")).await?))
    }

    /// Asks systemd not to unload it when it ends: `InvocationID` and `Result` of its last run would go with it. Not a unit
    /// that is missing, masked or broken: systemd would hold on to that, and once it is mended, want a reload to see it.
    async fn keep(&self, unit: &str, path: &OwnedObjectPath, keep: bool) {
        if !self.bus.note_kept(unit, keep) {
            return;
        }
        let told = async {
            let connection = self.bus.connection().await?;
            let proxy = within(CALL_DEADLINE, UnitProxy::new(&connection, path)).await?;
            if keep {
                within(CALL_DEADLINE, proxy.keep_loaded()).await
            } else {
                within(CALL_DEADLINE, proxy.let_go()).await
            }
        };
        if let Err(error) = told.await {
            // Only root may. Without it a unit that ends and is not enabled is forgotten sooner, and nothing else.
            tracing::debug!(
                unit,
                keep,
                error = errors::said(&error),
                "A unit cannot be kept loaded, or let go."
            );
        }
    }

    /// `None` when it has ended meanwhile.
    async fn job_kind(&self, job: &OwnedObjectPath) -> Result<Option<String>, CallError> {
        let connection = self.bus.connection().await?;
        let properties = within(CALL_DEADLINE, PropertiesProxy::new(&connection, job)).await?;
        match within(CALL_DEADLINE, properties.get("org.freedesktop.systemd1.Job", "JobType")).await {
            Ok(kind) => Ok(String::try_from(kind).ok()),
            Err(error) if errors::is(&error, "UnknownObject") => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn effective(&self, pid: u32, invocation: &str) -> Option<BTreeMap<String, String>> {
        if pid == 0 {
            return None;
        }
        let deadline = Instant::now() + EXEC;
        loop {
            let (proc, invocation) = (self.options.proc.clone(), invocation.to_owned());
            let read = tokio::task::spawn_blocking(move || environ::of(&proc, pid, &invocation));
            match read.await {
                Ok(Environ::Known(environment)) => return Some(environment),
                Ok(Environ::NotYet) if Instant::now() < deadline => tokio::time::sleep(EXEC_POLL).await,
                Ok(Environ::NotYet | Environ::Unknown) | Err(_) => return None,
            }
        }
    }
}

/// The home of `user`, by the machine's own list; root where the unit names nobody.
fn home(user: &str) -> Option<String> {
    let user = if user.is_empty() { "root" } else { user };
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let is_it = |line: &&str| {
        let mut fields = line.split(':');
        fields.next() == Some(user) || fields.nth(1) == Some(user)
    };
    let home = users.lines().find(is_it)?.split(':').nth(5)?;
    Some(home.to_owned())
}

/// Its last run ended badly, and nothing of it runs now: it has failed for good, or waits for systemd's own restart.
fn has_failed(unit: &ObservedUnit) -> bool {
    unit.main_pid == 0 && !unit.result.is_empty() && unit.result != "success"
}
