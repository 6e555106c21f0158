//! The composition root: ports in, tasks wired together, a reason to exit out.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use aiplat_core::{
    ResourceId, Timestamp,
    plan::{self, Verdict},
    spec::InstanceId,
    status as core_status,
};
use aiplat_host::{Backend, FileHost, Gpus, Machine, Models, Units};
use aiplat_runtime::{Config, Controller, Limits};
use tokio::{net::UnixListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    events::Events,
    hints, machine, metrics, models, notify,
    ports::{Clock, SpecSource, StateStore, Stored},
    probes::Prober,
    reconcile::{MODELS, PULLS, Passes, STARTS},
    server,
    shared::Shared,
    shutdown::stop_services,
    sight,
    spec::{self, Intent},
    status, status_file, surroundings, volumes,
};

/// The ports to everything outside.
#[derive(Clone)]
pub struct Ports {
    /// The engine.
    pub host: Arc<dyn Backend>,
    /// systemd.
    pub units: Arc<dyn Units>,
    /// The files of configs.
    pub files: Arc<dyn FileHost>,
    /// What the machine consists of.
    pub machine: Arc<dyn Machine>,
    /// Its GPUs.
    pub gpus: Arc<dyn Gpus>,
    /// Servers of models.
    pub models: Arc<dyn Models>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where the ledger is kept.
    pub store: Arc<dyn StateStore>,
    /// Where the file is.
    pub source: Arc<dyn SpecSource>,
}

/// What a run is told.
pub struct Options {
    /// Whose objects are ours.
    pub instance: InstanceId,
    /// The state folder.
    pub state_dir: PathBuf,
    /// Converge, then stop.
    pub once: bool,
    /// With `once`: a removal of more than half of the services is meant.
    pub confirm: bool,
    /// Starts at once: more than twice the cores only adds latency.
    pub starts: usize,
    /// The API's socket; `None`: no API.
    pub api: Option<UnixListener>,
    /// The metrics' socket; `None`: no metrics.
    pub metrics: Option<tokio::net::TcpListener>,
    /// Write `status.json`.
    pub status_file: bool,
}

/// `--once` waits this long for the engine's first listing.
const ENGINE_PATIENCE: Duration = Duration::from_secs(15);

/// Without a probe, running is ready: `--once` lets such a service run this long before it says so, for a program
/// that dies at its start runs for a moment too.
const STEADY: Duration = Duration::from_secs(2);

/// Pulls at once.
const PULLS_AT_ONCE: usize = 3;

/// A daemon that is put together and not running yet.
pub struct Daemon {
    /// Its parts, for the simulation to look at.
    pub shared: Arc<Shared>,
    controller: Controller<ResourceId, Passes>,
    options: Options,
    shutdown: CancellationToken,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was told to stop.
    Stopped,
    /// `--once`: it was told to stop before everything was ready.
    Interrupted,
    /// `--once`: everything is ready.
    Ready,
    /// `--once`: something is not, and will not be by waiting.
    NotReady,
    /// `--once`: the file is not valid.
    Invalid,
}

impl Ended {
    /// The exit code of the process.
    #[must_use]
    pub fn code(self) -> ExitCode {
        match self {
            Self::Stopped | Self::Ready => ExitCode::SUCCESS,
            Self::Interrupted | Self::NotReady => ExitCode::from(3),
            Self::Invalid => ExitCode::from(2),
        }
    }
}

impl Daemon {
    /// Puts a daemon together from its ports and what was stored.
    #[must_use]
    pub fn new(ports: Ports, options: Options, stored: &Stored, shutdown: CancellationToken) -> Self {
        let limits = Limits {
            pools: BTreeMap::from([
                (STARTS, options.starts.max(1)),
                (PULLS, PULLS_AT_ONCE),
                (MODELS, aiplat_core::action::MODELS_AT_ONCE),
            ]),
            ..Limits::default()
        };
        let config = Config { limits, ..Config::default() };
        let mut ledger = stored.ledger.clone();
        if ledger.rebooted {
            ledger.tell_moments_anew(ports.clock.now(), ports.clock.wall_ms());
        }
        let shared = Arc::new(Shared::new(
            ports,
            options.instance.clone(),
            options.state_dir.clone(),
            ledger,
            stored.lost.clone(),
        ));
        let passes = Passes {
            shared: Arc::clone(&shared),
            prober: Prober::new(Arc::clone(&shared)),
            shutdown: shutdown.clone(),
        };
        let controller = Controller::new(Arc::new(passes), &config);
        shared.set_controller(controller.handle());
        {
            let mut state = shared.lock();
            state.history.clone_from(&stored.history);
            state.events = Events::remembering(&stored.events);
            state.events.daemon_started(shared.clock.wall_ms());
        }
        spec::resume(&shared, stored.last_good.as_ref());
        Self { shared, controller, options, shutdown }
    }

    /// Runs until told to stop, or with `once` until there is nothing left to wait for. Stopping stops no workload, unless
    /// the machine goes down.
    pub async fn run(self) -> Ended {
        let Self { shared, controller, options, shutdown } = self;
        let mut tasks = JoinSet::new();
        let immediate = options.once;
        // The file means what it means on this machine.
        shared.look_at_machine(true).await;
        spec::reload(&shared, Intent { immediate, confirmed: options.confirm, ..Intent::default() }).await;
        tasks.spawn(hints::follow(Arc::clone(&shared)));
        tasks.spawn(hints::resync(Arc::clone(&shared)));
        tasks.spawn(hints::follow_units(Arc::clone(&shared)));
        tasks.spawn(surroundings::follow_instances(Arc::clone(&shared)));
        tasks.spawn(machine::follow(Arc::clone(&shared)));
        tasks.spawn(sight::follow(Arc::clone(&shared)));
        tasks.spawn(models::follow(Arc::clone(&shared)));
        let files = Arc::clone(&shared);
        tasks.spawn(async move { files.follow_files().await });
        let unit_files = Arc::clone(&shared);
        tasks.spawn(async move { unit_files.follow_unit_files().await });
        if !options.once {
            tasks.spawn(spec::follow(Arc::clone(&shared)));
            tasks.spawn(volumes::follow(Arc::clone(&shared)));
            tasks.spawn(notify::follow_status(Arc::clone(&shared)));
            tasks.spawn(notify::feed_watchdog(Arc::clone(&shared)));
        }
        if options.status_file {
            tasks.spawn(status_file::follow(Arc::clone(&shared)));
        }
        serve(&mut tasks, &shared, options.api, options.metrics, &shutdown);
        let running = tokio::spawn(controller.run(shutdown.clone()));
        // READY: the API listens and the file has been judged; converging may take as long as it takes.
        notify::ready();
        tracing::info!(event = "DaemonReady", instance = %shared.instance, "aiplatd is ready.");
        let ended = if options.once {
            let ended = once(&shared, &shutdown).await;
            tracing::info!(ended = ?ended, "{}", status::document(&shared, 0).platform.sentence);
            shutdown.cancel();
            ended
        } else {
            shutdown.cancelled().await;
            Ended::Stopped
        };
        notify::stopping();
        if let Ok(stopped) = running.await {
            for id in stopped.abandoned {
                tracing::warn!(resource = %id, "A pass did not end in time; it is taken up again at the next start.");
            }
        }
        if shared.machine_goes_down() {
            stop_services(&shared).await;
        }
        shared.lock().events.daemon_stopped(shared.clock.wall_ms());
        if options.status_file {
            status_file::flush(&shared).await;
        }
        tasks.shutdown().await;
        ended
    }
}

fn serve(
    tasks: &mut JoinSet<()>,
    shared: &Arc<Shared>,
    api: Option<UnixListener>,
    metrics: Option<tokio::net::TcpListener>,
    shutdown: &CancellationToken,
) {
    if let Some(listener) = api {
        let (shared, cancel) = (Arc::clone(shared), shutdown.clone());
        tasks.spawn(async move {
            if let Err(error) = server::serve(listener, shared, cancel).await {
                tracing::error!(error = %error, "The API has stopped.");
            }
        });
    }
    if let Some(listener) = metrics {
        let (shared, cancel) = (Arc::clone(shared), shutdown.clone());
        tasks.spawn(async move {
            if let Err(error) = metrics::serve(listener, shared, cancel).await {
                tracing::error!(error = %error, "The metrics have stopped.");
            }
        });
    }
}

/// Waits while something is on its way by itself; a service that loops, or that waits for a person, is not.
async fn once(shared: &Shared, shutdown: &CancellationToken) -> Ended {
    let mut versions = shared.versions();
    let started = shared.now();
    loop {
        shared.controller().settled().await;
        versions.mark_unchanged();
        if let Some(ended) = verdict(shared, shared.now().since(started)) {
            return ended;
        }
        let change = async {
            // A change, or a while: the passing of a wait does not change the version.
            drop(tokio::time::timeout(Duration::from_millis(500), versions.changed()).await);
        };
        tokio::select! {
            biased;
            // Cancel-safe: a flag that stays set.
            () = shutdown.cancelled() => return Ended::Interrupted,
            // Cancel-safe: what is missed here is seen at the next turn.
            () = change => {}
        }
    }
}

/// How it has ended; `None` while it has not.
fn verdict(shared: &Shared, waited: Duration) -> Option<Ended> {
    let state = shared.lock();
    if state.spec.refused.is_some() {
        return Some(Ended::Invalid);
    }
    let world = state.world(shared.now())?;
    if !world.observed.engine.listed {
        return (waited > ENGINE_PATIENCE).then_some(Ended::NotReady);
    }
    let ids = state.ids();
    if ids.iter().any(|id| core_status::is_moving(&world, id)) {
        return None;
    }
    let now = shared.now();
    let is_new = |since: Option<Timestamp>| since.is_some_and(|since| now.since(since) < STEADY);
    let unproven = |id: &ResourceId| {
        let members = state.observed.owned.get(id).map(Vec::as_slice).unwrap_or_default();
        members.iter().any(|member| {
            member.state.is_alive()
                && state.observed.sightings.get(&member.id).is_some_and(|s| is_new(s.started_by_us))
        })
    };
    let unprobed = world.desired.containers.iter().filter(|(_, spec)| spec.policy.probe.is_none());
    if unprobed.into_iter().any(|(id, _)| unproven(id)) {
        return None;
    }
    let converged = ids.iter().all(|id| plan::plan(&world, id).verdict == Verdict::Converged);
    Some(if converged { Ended::Ready } else { Ended::NotReady })
}
