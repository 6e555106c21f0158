//! The real daemon on a simulated machine.

use std::{path::PathBuf, sync::Arc, time::Duration};

use aiplat_core::{
    ResourceId,
    load::{self, Facts, Files},
    plan::Command,
    spec::Platform,
};
use aiplatd::{
    daemon::{Daemon, Ended, Options, Ports},
    shared::Shared,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    build::{Sketch, instance},
    check, orders,
    scene::{START, models_differ},
    sim::{
        Engine, SimHost, SimMachine, SimModels, Systemd,
        engine::Image,
        host::wall_ms,
        ports::{Disk, Folder, ROOT, SimClock},
    },
};

/// A machine, a state folder, a file, and at most one daemon at a time.
pub struct Lab {
    /// The machine.
    pub host: SimHost,
    /// Its systemd.
    pub systemd: Systemd,
    /// What it consists of, and its GPUs.
    pub machine: SimMachine,
    /// Its servers of models, and their registry.
    pub models: SimModels,
    /// The state folder.
    pub disk: Disk,
    /// The file.
    pub folder: Folder,
    running: Option<Running>,
}

struct Running {
    shared: Arc<Shared>,
    dead: CancellationToken,
    shutdown: CancellationToken,
    ended: JoinHandle<Ended>,
}

impl Lab {
    /// A machine with the images of `sketch`, and its file written. No daemon yet.
    #[must_use]
    pub fn new(sketch: &Sketch, seed: u64) -> Self {
        let engine = Engine { now: START, ..Engine::default() };
        let lab = Self {
            host: SimHost::new(engine, instance(), seed),
            systemd: Systemd::default(),
            machine: SimMachine::default(),
            models: SimModels::default(),
            disk: Disk::default(),
            folder: Folder::default(),
            running: None,
        };
        lab.host.settle().units = Some(lab.systemd.clone());
        lab.write(sketch);
        lab
    }

    /// Writes the file of `sketch`; its images and programs are there.
    pub fn write(&self, sketch: &Sketch) {
        let platform = compiled(sketch);
        self.host.by_hand(|engine| {
            for service in &sketch.services {
                engine.registry.entry(service.image.clone()).or_insert_with(Image::default);
                engine.install_in_all(&service.name, &service.image, &service.app);
            }
        });
        for (command, program) in sketch.units.iter().filter_map(|unit| unit.programs()) {
            self.systemd.program(&command, program);
        }
        self.host.settle().desire(platform);
        self.folder.write(sketch.yaml().as_bytes());
    }

    /// Writes a file as it is, whose images are there already.
    pub fn write_yaml(&self, text: &str) {
        self.host.settle().desire(compiled_yaml(text));
        self.folder.write(text.as_bytes());
    }

    /// Starts a daemon, from what is on disk.
    pub fn boot(&mut self) {
        if let Some(platform) = self.resumed() {
            self.host.settle().desire(platform);
        }
        let (dead, shutdown) = (CancellationToken::new(), CancellationToken::new());
        let ports = Ports {
            host: self.host.port(dead.clone()),
            units: Arc::new(self.systemd.reached_by(self.host.clone(), dead.clone())),
            files: self.host.files(dead.clone()),
            machine: Arc::new(self.machine.clone()),
            gpus: Arc::new(self.machine.clone()),
            models: Arc::new(self.models.reached_by(self.host.clone(), dead.clone())),
            clock: Arc::new(SimClock(self.host.clone())),
            store: self.disk.port(dead.clone()),
            source: self.folder.port(),
        };
        let options = Options {
            instance: instance(),
            state_dir: PathBuf::from("/var/lib/aiplatd"),
            once: false,
            confirm: false,
            starts: 4,
            api: None,
            metrics: None,
            status_file: false,
        };
        let daemon = Daemon::new(ports, options, &self.disk.load(), shutdown.clone());
        let shared = Arc::clone(&daemon.shared);
        let ended = tokio::spawn(daemon.run());
        drop(tokio::spawn(save_each_second(Arc::clone(&shared), dead.clone())));
        self.running = Some(Running { shared, dead, shutdown, ended });
    }

    /// The file that was last written down, where the one in its place is not good. A disk that was full has an older one.
    fn resumed(&self) -> Option<Platform> {
        let root = std::path::Path::new(ROOT);
        if load::load(root, &*self.folder.port(), &facts()).platform.is_some() {
            return None;
        }
        load::load(root, &self.disk.stored().last_good?, &facts()).platform
    }

    /// SIGKILL: whatever it has under way never reaches anything.
    pub fn kill(&mut self) {
        if let Some(Running { shared: _, dead, shutdown, ended: _ }) = self.running.take() {
            dead.cancel();
            shutdown.cancel();
            self.systemd.let_go();
        }
    }

    /// SIGTERM while the machine goes down, and the daemon's end.
    pub async fn power_off(&mut self) {
        self.shared().note_machine_goes_down();
        self.stop().await;
    }

    /// SIGTERM, and the daemon's end.
    pub async fn stop(&mut self) {
        let Running { shared: _, dead, shutdown, ended } = self.running.take().expect("a daemon runs");
        shutdown.cancel();
        assert_eq!(ended.await.expect("the daemon does not panic"), Ended::Stopped);
        dead.cancel();
    }

    /// The daemon's parts.
    #[must_use]
    pub fn shared(&self) -> &Shared {
        &self.running.as_ref().expect("a daemon runs").shared
    }

    /// A person confirms what the file says.
    pub async fn confirm(&self) {
        let reply = aiplatd::spec::apply(self.shared(), None, true).await;
        assert!(reply.is_ok_and(|reply| !reply.invalid), "the file is good");
    }

    /// A person gives `command`, for a while if it is a suspension; whether it is taken.
    pub async fn order(&self, id: &ResourceId, command: Command, lasts: Option<Duration>) -> bool {
        let shared = self.shared();
        {
            let mut state = shared.lock();
            let now = shared.now();
            let world = state.world(now);
            let Some(taken) = world.and_then(|world| orders::take(&world, id, command, lasts, wall_ms(now)))
            else {
                return false;
            };
            for entry in &taken.entries {
                state.ledger.enter(id, entry.clone());
            }
            self.host.settle().orders.note(id, command, &taken, now);
        }
        shared.commit(std::slice::from_ref(id)).await;
        shared.changed();
        shared.schedule([id.clone()]);
        true
    }

    /// Virtual time passes.
    pub async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// How the machine differs from the file that was last written with `write`.
    #[must_use]
    pub fn differences(&self) -> Vec<String> {
        let inner = self.host.settle();
        let Some(desired) = &inner.desired else { return Vec::new() };
        let units = check::units::differences(&self.systemd.snapshot(), desired);
        let models = models_differ(desired, &self.models.lock());
        check::differences(&inner.engine, desired).into_iter().chain(units).chain(models).collect()
    }

    /// Waits until the machine is as the file says, and panics when it is not within `limit`.
    pub async fn converged_within(&self, limit: Duration) {
        let deadline = tokio::time::Instant::now() + limit;
        while !self.differences().is_empty() {
            if tokio::time::Instant::now() >= deadline {
                let differences = self.differences();
                panic!("not converged within {limit:?}: {differences:#?}\n{}", self.story());
            }
            self.pass(Duration::from_millis(200)).await;
        }
    }

    /// Panics when a checker has found anything.
    pub fn assert_safe(&self) {
        let mut violations = self.host.settle().violations.clone();
        violations.extend(self.models.lock().violations.clone());
        assert!(violations.is_empty(), "{violations:#?}\n{}", self.story());
    }

    /// Mutating calls so far.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.host.settle().calls.len()
    }

    /// The last calls, and what the daemon makes of the present, for a failing test.
    #[must_use]
    pub fn story(&self) -> String {
        let inner = self.host.settle();
        let calls = inner.calls.iter().rev().take(25).rev();
        let calls: Vec<String> = calls
            .map(|call| format!("{} {}: {} -> {}", call.at, call.id, call.action, call.outcome))
            .collect();
        let mut containers: Vec<String> = inner
            .engine
            .containers
            .values()
            .map(|c| format!("{} {:?} exit={}", c.name, c.state, c.exit_code))
            .collect();
        containers.sort();
        drop(inner);
        let mut verdicts = Vec::new();
        if let Some(running) = &self.running {
            let state = running.shared.lock();
            if let Some(world) = state.world(self.host.now()) {
                for id in state.ids() {
                    let step = aiplat_core::plan::plan(&world, &id);
                    verdicts.push(format!(
                        "{id}: {:?} {:?}",
                        step.verdict,
                        step.action.map(|planned| planned.action.to_string())
                    ));
                }
            }
            verdicts.push(format!("engine lost at {:?}", state.observed.engine.lost_at));
            for container in
                state.observed.owned.values().flatten().filter(|container| !container.state.is_alive())
            {
                let record = container.owner.as_ref().and_then(|owner| state.ledger.get(&owner.resource));
                let ended = record.map(|record| (&record.stopped, &record.failure, &record.restarts));
                let sighting = state.observed.sightings.get(&container.id);
                verdicts.push(format!("{}: {sighting:?} {ended:?}", container.name));
            }
            let events = state.events.newest(80).into_iter().rev();
            verdicts.extend(events.map(|it| format!("event {} {}: {}", it.resource, it.reason, it.message)));
            if let Some(refused) = &state.spec.refused {
                verdicts.push(format!("refused: {refused:?}"));
            }
        }
        let units = self.systemd.snapshot().into_iter().map(|(name, unit)| {
            let seen = unit.view();
            let own = (seen.own.drop_in.is_some(), seen.own.loaded, seen.own.unit_file.is_some());
            format!(
                "{name}: {:?} {:?} ({}) {} {} job {:?} reload {} {own:?} {:?}",
                seen.load,
                seen.active,
                seen.sub,
                seen.result,
                seen.file_state,
                seen.job,
                seen.needs_reload,
                unit.runs.len()
            )
        });
        containers.extend(units);
        let told = self.systemd.calls();
        containers.extend(told.iter().skip(told.len().saturating_sub(25)).cloned());
        format!(
            "calls:\n{}\ncontainers:\n{}\nplans:\n{}",
            calls.join("\n"),
            containers.join("\n"),
            verdicts.join("\n")
        )
    }
}

/// What may wait a second is saved each second: the daemon does it with `status.json`, which the simulation leaves out.
async fn save_each_second(shared: Arc<Shared>, dead: CancellationToken) {
    while !dead.is_cancelled() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        shared.save().await;
    }
}

/// What the loader makes of a sketch's file. Panics where it refuses.
#[must_use]
pub fn compiled(sketch: &Sketch) -> Platform {
    compiled_yaml(&sketch.yaml())
}

/// What the loader makes of a file. Panics where it refuses.
#[must_use]
pub fn compiled_yaml(text: &str) -> Platform {
    struct One(String);
    impl Files for One {
        fn read(&self, path: &std::path::Path) -> Result<Option<Vec<u8>>, String> {
            Ok((path == std::path::Path::new(ROOT)).then(|| self.0.clone().into_bytes()))
        }

        fn list(&self, _folder: &std::path::Path) -> Result<Option<Vec<PathBuf>>, String> {
            Ok(None)
        }
    }
    let loaded = load::load(std::path::Path::new(ROOT), &One(text.to_owned()), &facts());
    let report = load::render(&loaded.diagnostics, &loaded.sources, false, 100);
    loaded.platform.unwrap_or_else(|| panic!("{report}\n{text}"))
}

fn facts() -> Facts {
    Facts {
        instance: instance(),
        state_dir: PathBuf::from("/var/lib/aiplatd"),
        home: None,
        capacity: None,
        accept_compose: false,
    }
}

/// Runs `test` on a runtime of its own, whose time is paused; whatever it started ends with it.
pub fn simulate<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(test)
}
