//! The thin main: arguments, real ports, signals.

use std::{process::ExitCode, sync::Arc};

use aiplat_host::{
    Backend, FileHost,
    docker::DockerBackend,
    files::Disk,
    gpu::{GpuOptions, LocalGpus},
    machine::ThisMachine,
    model::{ModelOptions, ModelServers},
    systemd::{Systemd, SystemdOptions},
};
use aiplatd::{
    args::Args,
    clock::SystemClock,
    daemon::{Daemon, Ended, Options, Ports},
    files::DiskSource,
    log, metrics, notify,
    ports::{StateStore, Stored},
    server, shutdown, spec,
    store::{self, InstanceLock, RedbStore, StateFolder},
};
use anyhow::Context;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let args = Args::parse();
    log::init(args.log_format);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::new(error).context("cannot start the async runtime")),
    };
    match runtime.block_on(run(args)) {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

#[expect(clippy::print_stderr, reason = "the last word of a daemon that could not start belongs on stderr")]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("aiplatd: {error:#}");
    ExitCode::FAILURE
}

/// Every problem of the file, with its place: `--once` has no status to ask for it.
#[expect(
    clippy::print_stderr,
    reason = "what a person has to mend belongs on the terminal, not in a log line"
)]
fn report(text: &str) {
    eprintln!("\n{text}");
}

async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let folder = StateFolder::take(&args.state_dir)?;
    let instance = folder.instance_id()?;
    let _instance_lock = InstanceLock::take(&instance)?;
    let boot_id = store::boot_id().context("cannot read the boot id; is /proc mounted?")?;
    let ledger = RedbStore::open(folder.path(), boot_id);
    // Without a ledger we still heal, from memory, and say so: a full disk is no reason to leave services down.
    let stored = ledger.load().await.unwrap_or_else(|error| Stored {
        lost: Some(format!("the ledger cannot be read or made ({error}); healing goes on from memory")),
        ..Stored::default()
    });
    let config = std::path::absolute(&args.config).context("cannot resolve --config")?;
    let model_servers = ModelServers::new(
        DockerBackend::new(args.docker_socket.clone(), instance.clone()),
        ModelOptions::default(),
    );
    let (host, files) = engine_and_disk(DockerBackend::new(args.docker_socket.clone(), instance.clone()));
    let ports = Ports {
        units: Arc::new(Systemd::new(SystemdOptions::of_this_machine(folder.path().join("units")))),
        host,
        files,
        machine: Arc::new(ThisMachine::default()),
        gpus: Arc::new(LocalGpus::new(GpuOptions::of_this_machine())),
        models: Arc::new(model_servers),
        clock: Arc::new(SystemClock),
        store: Arc::new(ledger),
        source: Arc::new(DiskSource::new(config)),
    };
    let api = if args.once {
        None
    } else {
        Some(
            server::listen(&args.socket)
                .await
                .with_context(|| format!("cannot listen at {}", args.socket.display()))?,
        )
    };
    let metrics = match args.metrics_listen {
        Some(address) => Some(
            metrics::listen(address).await.with_context(|| format!("cannot serve metrics at {address}"))?,
        ),
        None => None,
    };
    let options = Options {
        instance,
        state_dir: folder.path().to_owned(),
        once: args.once,
        confirm: args.confirm,
        starts: 2 * std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
        api,
        metrics,
        status_file: true,
    };
    let cancel = CancellationToken::new();
    let daemon = Daemon::new(ports, options, &stored, cancel.clone());
    tokio::spawn(signals(Arc::clone(&daemon.shared), cancel));
    let parts = Arc::clone(&daemon.shared);
    let ended = daemon.run().await;
    if ended == Ended::Invalid {
        report(&parts.lock().spec.report);
    }
    if !args.once {
        // A socket file that nobody listens at only misleads.
        drop(std::fs::remove_file(&args.socket));
    }
    Ok(ended.code())
}

#[cfg(not(debug_assertions))]
fn engine_and_disk(backend: DockerBackend) -> (Arc<dyn Backend>, Arc<dyn FileHost>) {
    (Arc::new(backend), Arc::new(Disk))
}

/// Test builds can be told to die around the n-th action.
#[cfg(debug_assertions)]
fn engine_and_disk(backend: DockerBackend) -> (Arc<dyn Backend>, Arc<dyn FileHost>) {
    use aiplatd::crash::{CrashAt, Point};
    match std::env::var("AIPLATD_CRASH_AT").ok().and_then(|at| at.parse().ok()).map(Point::new) {
        Some(at) => (Arc::new(CrashAt::new(backend, Arc::clone(&at))), Arc::new(CrashAt::new(Disk, at))),
        None => (Arc::new(backend), Arc::new(Disk)),
    }
}

/// SIGHUP reads the file again; SIGTERM and SIGINT stop the daemon, and no workload unless the machine goes down.
async fn signals(shared: Arc<aiplatd::shared::Shared>, cancel: CancellationToken) {
    let (Ok(mut hangup), Ok(mut terminate)) = (signal(SignalKind::hangup()), signal(SignalKind::terminate()))
    else {
        tracing::error!("Signals cannot be received.");
        return;
    };
    loop {
        tokio::select! {
            biased;
            // Cancel-safe: signals that are not taken stay pending.
            _ = terminate.recv() => break,
            _ = tokio::signal::ctrl_c() => break,
            _ = hangup.recv() => {}
        }
        tracing::info!("SIGHUP: reading the file again.");
        notify::reloading();
        spec::reload(&shared, spec::Intent::default()).await;
        notify::ready();
    }
    if shutdown::machine_goes_down().await {
        shared.note_machine_goes_down();
    } else {
        tracing::info!("Stopping; the services run on.");
    }
    cancel.cancel();
}
