//! What the daemon relies on of systemd: the same clauses for the simulated one and for a real one.

mod files;
mod life;
mod loads;
mod own;

use std::{pin::pin, time::Duration};

use aiplat_core::{
    action::{Action, UnitFile, UnitFiles, UnitVerb},
    condition::{ErrorClass, Reason},
    observed::{ActiveState, ObservedUnit},
    spec::{Hardening, Management, OwnUnit, RestartMode, TimerSpec, UnitSpec},
};
use aiplat_host::{HostError, UnitHint, Units};
use futures_util::{FutureExt, StreamExt, future::LocalBoxFuture, stream::BoxStream};
use tokio::time::Instant;

/// A program that runs until it is stopped, and another one.
pub const SERVES: &str = "/bin/sleep infinity";
/// See [`SERVES`].
pub const SERVES_TOO: &str = "/bin/sleep 86400";
/// A program that ends with 2 at once, and says [`LAST_WORDS`] before.
pub const FAILS: &str = "/bin/ls /nonexistent";
/// Its last words.
pub const LAST_WORDS: &str = "/bin/ls: cannot access '/nonexistent': No such file or directory";
/// A program that has done its work at once.
pub const DONE: &str = "/bin/true";

/// What a person does with `systemctl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hand {
    /// `start`
    Start,
    /// `stop`
    Stop,
    /// `restart`
    Restart,
    /// `mask`
    Mask,
    /// `unmask`
    Unmask,
    /// `kill --signal=KILL`
    Kill,
}

/// A machine whose systemd is under contract, and the hand of a person at it.
pub trait Host {
    /// The port.
    fn units(&self) -> &dyn Units;
    /// A name of this clause's own.
    fn name(&self, name: &str) -> String;
    /// A package writes the file of a unit, or takes it away. systemd is not told.
    fn package(&self, unit: &str, text: Option<&str>);
    /// `systemctl`, and its end; on a real machine also the end of its job.
    fn systemctl(&self, hand: Hand, unit: &str);
    /// `systemctl daemon-reload`
    fn reload(&self);
    /// `systemctl daemon-reexec`
    fn reexec(&self);
    /// The time of a timer that fires every other second comes.
    fn time_comes(&self, timer: &str);
}

/// One clause.
pub type Clause = for<'a> fn(&'a dyn Host) -> LocalBoxFuture<'a, ()>;

/// Every clause, by the sentence that it proves.
pub const CLAUSES: &[(&str, Clause)] = &[
    ("a unit that nobody brings is an observation, and is there once somebody brings it", |host| {
        loads::absent(host).boxed_local()
    }),
    ("a mask forbids the start, and is gone at once from what does not run", |host| {
        loads::mask(host).boxed_local()
    }),
    ("a mask leaves running what runs, and is gone from it with a reload", |host| {
        loads::mask_of_what_runs(host).boxed_local()
    }),
    ("a mask is gone from what has failed with a reload", |host| {
        loads::mask_of_what_failed(host).boxed_local()
    }),
    ("a mask is gone from what others want with a reload", |host| {
        loads::mask_of_what_is_wanted(host).boxed_local()
    }),
    ("a unit is enabled and disabled without a reload, and started all the same", |host| {
        loads::enabled(host).boxed_local()
    }),
    ("a file that is not understood forbids the start until it is mended", |host| {
        loads::bad(host).boxed_local()
    }),
    ("a package that writes its file anew, or takes it away, changes nothing of what runs", |host| {
        loads::rewritten(host).boxed_local()
    }),
    ("our drop-in is in force once systemd has read it and the unit was started", |host| {
        files::in_force(host).boxed_local()
    }),
    ("another value is in force with a restart, without a reload", |host| {
        files::another_value(host).boxed_local()
    }),
    ("what is as it should be is not written again", |host| files::idempotence(host).boxed_local()),
    ("another drop-in is read with a reload", |host| files::another_drop_in(host).boxed_local()),
    ("what we wrote is taken away, and the unit runs on as it was started", |host| {
        files::removal(host).boxed_local()
    }),
    ("what is stopped ends well and is known by its last run", |host| life::stop(host).boxed_local()),
    ("what has failed is known by its exit code and its last words, until it is forgiven", |host| {
        life::failure(host).boxed_local()
    }),
    ("systemd as a whole names what has failed, and who asks for it", |host| {
        life::as_a_whole(host).boxed_local()
    }),
    ("what is killed is known by the signal", |host| life::kill(host).boxed_local()),
    ("systemd starts again by itself what its file says so of", |host| life::restarted(host).boxed_local()),
    ("a stop while systemd waits with its restart is for good", |host| {
        life::stopped_in_between(host).boxed_local()
    }),
    ("a start limit forbids starts until it is forgiven", |host| life::start_limit(host).boxed_local()),
    ("a start that is refused after a plain failure leaves what is known of that", |host| {
        life::refused_start(host).boxed_local()
    }),
    ("a start that takes too long is a job until it fails", |host| life::slow_start(host).boxed_local()),
    ("hints begin with a listing and name what changed", |host| life::hints(host).boxed_local()),
    ("a systemd that is started anew leaves running what runs", |host| life::reexec(host).boxed_local()),
    ("a unit of ours is read when it is new, and with a reload when it is edited or removed", |host| {
        own::whole_life(host).boxed_local()
    }),
    ("a unit of ours is not written again, and stays enabled", |host| own::idempotence(host).boxed_local()),
    ("a timer starts its unit, whose end is the end of that run alone", |host| {
        own::timer(host).boxed_local()
    }),
];

/// More than any systemd takes for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// The port, as tests ask it.
#[derive(Clone, Copy)]
pub struct Asking<'a>(pub &'a dyn Units);

impl Asking<'_> {
    /// Looks at a unit.
    pub async fn look(&self, unit: &str) -> ObservedUnit {
        self.0.observe(unit).await.unwrap_or_else(|error| panic!("{unit}: {error}"))
    }

    /// Looks at a unit until it is as wanted.
    pub async fn until(
        &self,
        unit: &str,
        what: &str,
        wanted: impl Fn(&ObservedUnit) -> bool,
    ) -> ObservedUnit {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = self.look(unit).await;
            if wanted(&seen) {
                return seen;
            }
            assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}: {seen:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Until no job is under way for it.
    pub async fn settled(&self, unit: &str) -> ObservedUnit {
        self.until(unit, "settled", |seen| seen.job.is_none()).await
    }

    /// Does one action, which succeeds.
    pub async fn apply(&self, action: &Action) {
        self.0.apply(action).await.unwrap_or_else(|error| panic!("{action}: {error}"));
    }

    /// Tells systemd something about a unit.
    ///
    /// # Errors
    /// As the host.
    pub async fn try_to(&self, verb: UnitVerb, unit: &str) -> Result<(), HostError> {
        self.0.apply(&Action::Unit { unit: unit.to_owned(), verb }).await
    }

    /// The same, which succeeds.
    pub async fn tell(&self, verb: UnitVerb, unit: &str) {
        self.apply(&Action::Unit { unit: unit.to_owned(), verb }).await;
    }

    /// The same, which is refused.
    pub async fn is_refused(&self, verb: UnitVerb, unit: &str, reason: Reason) {
        let refused = self.try_to(verb, unit).await.expect_err("it is refused");
        assert_eq!((refused.class, refused.reason), (ErrorClass::Rejected, reason), "{unit}: {refused}");
    }

    /// Lets systemd read its files.
    pub async fn reload(&self) {
        self.apply(&Action::ReloadSystemd).await;
    }

    /// Starts a unit that gets active.
    pub async fn started(&self, unit: &str) -> ObservedUnit {
        self.tell(UnitVerb::Start, unit).await;
        self.until(unit, "active", |seen| seen.active == ActiveState::Active && seen.job.is_none()).await
    }

    /// Stops a unit.
    pub async fn stopped(&self, unit: &str) -> ObservedUnit {
        self.tell(UnitVerb::Stop, unit).await;
        self.until(unit, "inactive", |seen| seen.active == ActiveState::Inactive && seen.job.is_none()).await
    }

    /// What the daemon writes for a unit of somebody else's with this environment.
    pub async fn files(&self, unit: &str, environment: &[(&str, &str)]) -> Action {
        let own = self.look(unit).await.own;
        let spec = wanted(unit, environment);
        let (drop_in, environment) = (spec.drop_in(&own.environment_path), spec.environment_file());
        Action::WriteUnitFiles(Box::new(UnitFiles::over(&own, unit, drop_in, environment)))
    }

    /// Writes what the daemon writes for a unit of our own.
    pub async fn write_own(&self, spec: &UnitSpec) {
        let own = self.look(&spec.unit).await.own;
        for (name, text) in spec.unit_files(&own.environment_path) {
            let environment = (name == spec.unit).then(|| spec.environment_file());
            let file = UnitFile::over(&own, name, text, environment);
            self.apply(&Action::WriteUnit(Box::new(file))).await;
        }
    }
}

/// A unit with this environment, as a file asks for it.
#[must_use]
pub fn wanted(unit: &str, environment: &[(&str, &str)]) -> UnitSpec {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    UnitSpec {
        service: "web".to_owned(),
        unit: unit.to_owned(),
        management: Management::Configure,
        own: None,
        environment: environment.collect(),
        restart: RestartMode::No,
        dependencies: Default::default(),
        probe: None,
        startup: None,
        liveness: None,
        gpus: Vec::new(),
    }
}

/// A unit of our own that runs `command`, all the time or at times.
#[must_use]
pub fn wanted_own(
    unit: &str,
    command: &[&str],
    on_calendar: Option<&str>,
    environment: &[(&str, &str)],
) -> UnitSpec {
    let timer = unit.replace(".service", ".timer");
    let own = OwnUnit {
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        user: Some("nobody".to_owned()),
        group: None,
        working_dir: Some("/".to_owned()),
        stop_signal: Some("SIGINT".to_owned()),
        stop_grace: Duration::from_secs(3),
        hardening: Hardening::Default,
        timer: on_calendar.map(|it| TimerSpec { unit: timer, on_calendar: it.to_owned() }),
    };
    UnitSpec { own: Some(own), ..wanted(unit, environment) }
}

/// The file of a service that runs `command`; `more` are lines of its own.
fn service(command: &str, more: &str) -> String {
    format!("[Service]\nExecStart={command}\n{more}")
}

/// A unit of a package, which systemd has read.
async fn packaged<'a>(host: &'a dyn Host, name: &str, text: &str) -> (Asking<'a>, String) {
    let (ask, unit) = (Asking(host.units()), host.name(name));
    host.package(&unit, Some(text));
    ask.reload().await;
    ask.look(&unit).await;
    (ask, unit)
}

/// Takes hints until this one; those before it.
pub async fn hinted(hints: &mut BoxStream<'static, UnitHint>, wanted: &UnitHint) -> Vec<UnitHint> {
    let mut before = Vec::new();
    let told = async {
        while let Some(hint) = hints.next().await {
            if hint == *wanted {
                return;
            }
            before.push(hint);
        }
    };
    let told = pin!(told);
    let in_time = tokio::time::timeout(PATIENCE, told).await.is_ok();
    assert!(in_time, "{wanted:?} is not told within {PATIENCE:?}, but {before:?}");
    before
}
