//! The next step for one service that is a unit of systemd.
//!
//! The same ladder as that of a container: each rung acts, waits, or passes on. systemd restarts its units by its own
//! rules and is not fought over that; aiplatd writes a drop-in, starts what systemd has given up, and restarts what runs
//! with another environment than the file says.

mod conditions;
mod diagnosis;
mod environment;
mod exits;
mod folders;
mod heirs;
mod leaving;
mod life;
mod loading;
mod own;
mod reach;
mod record;
mod stages;

use super::{Cause, Readiness, Step, Verdict, World, gate, readiness::ready_incarnation, running};
use crate::{
    ResourceId,
    action::{Action, UnitFiles, UnitVerb},
    condition::{Reason, Status},
    fingerprint::{self, Fingerprint},
    ledger::{Record, UnitRecord},
    observed::{ActiveState, LoadState, ObservedUnit},
    spec::{DependencyCondition, Management, UnitSpec, WRITTEN_BY},
};

pub(super) use conditions::{away, away_sentence};
pub use diagnosis::{Diagnosing, add_evidence, diagnosing};
pub(super) use environment::notes;
pub use environment::{Variable, variables};
pub use folders::folders_in_doubt;
pub(super) use folders::models_folder;
pub(super) use loading::waits_for_unmasking;
pub use reach::{HOST_NAME, ReachCheck, reaches};
pub(super) use record::entries;

pub(super) fn plan(world: &World<'_>, id: &ResourceId) -> Step {
    if let Some(reason) = &world.observed.systemd.away {
        return conditions::away(world, reason);
    }
    let Some(spec) = world.desired.units.get(id) else { return leaving::undesired(world, id) };
    let Some(look) = Look::of(world, id, spec) else { return conditions::not_looked_at() };
    let step = look.step();
    let conditions = look.conditions(&step);
    step.with(conditions)
}

/// Whether the unit `id` satisfies `condition`.
pub(super) fn readiness(world: &World<'_>, id: &ResourceId, condition: DependencyCondition) -> Readiness {
    let name = id.key();
    if let Some(reason) = &world.observed.systemd.away {
        return Readiness::unknown(Reason::SystemdUnreachable, conditions::away_sentence(reason));
    }
    let Some(spec) = world.desired.units.get(id) else {
        return Readiness::not_ready(Reason::NotInFile, format!("{name} is not in the file"));
    };
    match Look::of(world, id, spec) {
        None => Readiness::unknown(Reason::NotObserved, format!("{name} has not been looked at yet")),
        Some(look) => look.readiness(condition),
    }
}

/// What keeps aiplatd from starting the unit `id`, and only somebody else can change.
pub(super) fn in_the_way(world: &World<'_>, id: &ResourceId) -> Option<(Reason, String)> {
    in_the_way_of(&Look::of(world, id, world.desired.units.get(id)?)?)
}

fn in_the_way_of(look: &Look<'_>) -> Option<(Reason, String)> {
    let unmasks = look.spec.management == Management::Full;
    look.trouble().filter(|(reason, _)| !(unmasks && *reason == Reason::UnitMasked))
}

/// Whether a change of its environment waits to be carried out, and nothing keeps it from being: dependants wait for it.
pub(super) fn restart_pending(world: &World<'_>, id: &ResourceId) -> bool {
    let Some(spec) = world.desired.units.get(id) else { return false };
    let Some(look) = Look::of(world, id, spec) else { return false };
    let record = world.ledger.get(id);
    let hands_off = spec.management == Management::Observe
        || world.ledger.suspension(id, world.now).is_some()
        || record.is_some_and(|record| record.failure.is_some() || record.orders.stopped.is_some());
    !hands_off
        && look.trouble().is_none()
        && look.unit.active == ActiveState::Active
        && (look.files_to_write().is_some() || look.is_outdated() || look.is_restart_ordered())
        && look.left_behind().is_none()
}

/// Whether `id` has files that are not as they should be: systemd is told once, when nobody has any more.
pub(super) fn has_pending_writes(world: &World<'_>, id: &ResourceId) -> bool {
    let Some(spec) = world.desired.units.get(id) else { return leaving::has_pending_removals(world, id) };
    let Some(look) = Look::of(world, id, spec) else { return true };
    let hands_off =
        spec.management == Management::Observe || world.ledger.suspension(id, world.now).is_some();
    let failed = world.ledger.get(id).is_some_and(|record| record.failure.is_some());
    let look_has = look.trouble().is_none() && look.files_to_write().is_some() && !look.is_letting_go();
    // What stays until somebody else mends something is waited for by nobody.
    let goes = look.is_giving_up() && in_the_way_of(&look).is_none();
    !hands_off && !failed && ((look_has && look.left_behind().is_none()) || goes)
}

/// One service and its unit.
struct Look<'a> {
    world: &'a World<'a>,
    id: &'a ResourceId,
    spec: &'a UnitSpec,
    /// What aiplatd starts and watches: the timer, where it has one.
    unit: &'a ObservedUnit,
    /// What runs its program; the same without a timer.
    service: &'a ObservedUnit,
}

impl<'a> Look<'a> {
    /// `None` while one of its units has not been looked at.
    fn of(world: &'a World<'a>, id: &'a ResourceId, spec: &'a UnitSpec) -> Option<Self> {
        let units = &world.observed.units;
        Some(Self { world, id, spec, unit: units.get(spec.main())?, service: units.get(&spec.unit)? })
    }
}

impl Look<'_> {
    fn step(&self) -> Step {
        let earlier = || self.retiring().or_else(|| self.renamed());
        if let Some(step) = self.without_successor().or_else(earlier).or_else(|| self.unusable()) {
            return step;
        }
        if self.spec.management == Management::Observe {
            return self.only_observed();
        }
        // A restart takes the environment that is written: one run for both.
        let set_up = || self.files().or_else(|| self.enable());
        if let Some(step) = self.kept_stopped().or_else(set_up).or_else(|| self.restart_ordered()) {
            return step;
        }
        if let Some(step) = self.activating() {
            return step;
        }
        // A job is state: its result is read from the unit once it is over.
        if self.unit.job.is_some() {
            return Step::progressing();
        }
        match &self.unit.active {
            ActiveState::Active | ActiveState::Reloading => self.keep(),
            ActiveState::Activating | ActiveState::Deactivating => Step::progressing(),
            ActiveState::Inactive | ActiveState::Failed => self.start(),
            ActiveState::Other(word) => Step::unsatisfied(
                Reason::NotObserved,
                format!("systemd reports the state `{word}`, which this version does not know"),
            ),
        }
    }

    fn record(&self) -> Option<&Record> {
        self.world.ledger.get(self.id)
    }

    fn remembered(&self) -> UnitRecord {
        self.inherit(self.record().map(|record| record.unit.clone()).unwrap_or_default())
    }

    fn print(&self) -> Fingerprint {
        fingerprint::of(self.spec)
    }

    fn verb(&self, verb: UnitVerb, cause: Cause) -> Step {
        Step::act(Action::Unit { unit: self.spec.main().to_owned(), verb }, cause)
    }

    /// The service was another unit in an earlier file: what was written for that one goes first.
    fn renamed(&self) -> Option<Step> {
        let earlier = self.remembered().files_of.filter(|earlier| *earlier != self.spec.unit)?;
        if heirs::heir(self.world, self.id, &earlier).is_some() {
            return None;
        }
        let Some(seen) = self.world.observed.units.get(&earlier) else { return Some(Step::progressing()) };
        if seen.own.drop_in.is_none() && seen.own.environment.is_none() {
            return None;
        }
        if let Some(message) = folders::left_behind_without_ours(self.world, &earlier, seen) {
            return Some(Step::held(Reason::DataLeftBehind, message));
        }
        let cause = Cause::UnitNotInFile { unit: earlier.clone() };
        Some(Step::act(Action::RemoveUnitFiles { unit: earlier }, cause))
    }

    /// What the entry was is not given up for a unit that cannot be used: the service would be gone, and nothing in its place.
    fn without_successor(&self) -> Option<Step> {
        let (reason, message) = in_the_way_of(self)?;
        let earlier = self.remembered().files_of.filter(|earlier| *earlier != self.spec.unit);
        let owned = self.remembered().owned;
        let kept = match (self.unwanted(&owned).first(), self.is_giving_up()) {
            (Some(name), true) => (*name).to_owned(),
            (None, true) => earlier?,
            (_, false) => return None,
        };
        Some(Step::unsatisfied(reason, format!("{message}; {kept} is left as it is until then")))
    }

    /// Something of what the entry was is about to be stopped, or removed.
    fn is_giving_up(&self) -> bool {
        let acts = |step: Step| step.action.is_some() || matches!(step.verdict, Verdict::Progressing);
        self.retiring().or_else(|| self.renamed()).is_some_and(acts)
    }

    /// Nothing can be done with a unit that systemd cannot read, or may not start.
    fn unusable(&self) -> Option<Step> {
        let masked = self.parts().into_iter().find(|(_, seen)| seen.load == LoadState::Masked);
        if let Some((name, seen)) = masked.filter(|_| self.spec.management == Management::Full) {
            // systemd does not look at the files of a unit that runs before it is told to.
            if loading::waits_for_unmasking(seen) {
                let gate = own::unread_gate("seen that it is not masked any more");
                return Some(Step::blocked(self.world, vec![gate]));
            }
            let unmask = Action::Unit { unit: name.to_owned(), verb: UnitVerb::Unmask };
            return Some(Step::act(unmask, Cause::Masked));
        }
        let (reason, message) = self.trouble()?;
        Some(Step::unsatisfied(reason, message))
    }

    fn only_observed(&self) -> Step {
        let Readiness { status, reason, message, progressing } = self.readiness(DependencyCondition::Healthy);
        match status {
            Status::True => Step::converged(),
            Status::Unknown => Step::progressing(),
            Status::False if progressing && self.unit.active.is_alive() => Step::progressing(),
            Status::False => Step::unsatisfied(reason, message),
        }
    }

    /// What a person has ordered comes before what the file says of running.
    fn kept_stopped(&self) -> Option<Step> {
        let order = self.record()?.orders.stopped.as_ref()?;
        // Its timer first, and what that has started after it.
        let alive = self.parts().into_iter().find(|(_, seen)| seen.active.is_alive());
        Some(match alive {
            Some((_, seen)) if seen.active == ActiveState::Deactivating => Step::progressing(),
            Some((name, _)) => {
                Step::act(Action::Unit { unit: name.to_owned(), verb: UnitVerb::Stop }, Cause::StopOrdered)
            }
            None => {
                Step::unsatisfied(Reason::StoppedByHand, running::stopped_by_hand(self.world, self.id, order))
            }
        })
    }

    fn restart_ordered(&self) -> Option<Step> {
        (self.is_restart_ordered() && self.can_be_restarted()).then(|| self.disrupt(Cause::RestartOrdered))
    }

    /// Whether systemd makes another run of the present one at once. A start that is under way is given up for it: it may never
    /// come to an end.
    fn can_be_restarted(&self) -> bool {
        let job = self.unit.job.as_deref();
        // One that systemd cannot read is ended by a restart, and nothing follows: its file is mended first, if it is ours.
        if self.unit.load != LoadState::Loaded {
            return false;
        }
        match &self.unit.active {
            ActiveState::Active | ActiveState::Reloading => job.is_none(),
            ActiveState::Activating => self.unit.sub != "auto-restart" && matches!(job, None | Some("start")),
            ActiveState::Deactivating
            | ActiveState::Inactive
            | ActiveState::Failed
            | ActiveState::Other(_) => false,
        }
    }

    /// A person wants another run than the present one.
    fn is_restart_ordered(&self) -> bool {
        let order = self.record().and_then(|record| record.orders.restart.as_ref());
        order.is_some() && order == self.unit.invocation.as_ref()
    }

    /// Our files are as the file says, and systemd has read those that it reads.
    fn files(&self) -> Option<Step> {
        if let Some((action, cause)) = self.files_to_write() {
            return Some(match self.left_behind() {
                Some(message) => Step::held(Reason::DataLeftBehind, message),
                None => Step::act(action, cause),
            });
        }
        let gate = || own::unread_gate(&format!("read its {}", self.what_is_read()));
        self.is_unread().then(|| Step::blocked(self.world, vec![gate()]))
    }

    fn what_is_read(&self) -> &'static str {
        if self.spec.own.is_some() { "unit file" } else { "drop-in" }
    }

    /// What is to be written or removed, and why; nothing where the files are as the file says.
    fn files_to_write(&self) -> Option<(Action, Cause)> {
        let own = &self.service.own;
        let is_whole = self.spec.own.is_some();
        let is_there = own.drop_in.is_some() || (own.environment.is_some() && !is_whole);
        if is_whole || self.spec.environment.is_empty() {
            // Somebody else's file under our name is left alone.
            let is_ours = is_there && self.remembered().files_of.is_some();
            let remove = || Action::RemoveUnitFiles { unit: self.spec.unit.clone() };
            let removal = is_ours.then(|| (remove(), self.files_cause()));
            return removal.or_else(|| self.own_file_to_write());
        }
        // Where its own files say the same there is nothing to add to them.
        if !is_there && self.says_the_same() {
            return None;
        }
        let (drop_in, environment) = (self.spec.drop_in(&own.environment_path), self.spec.environment_file());
        let right = own.drop_in.clone().filter(|there| says_as_much(there, &drop_in));
        if right.is_some() && own.environment.as_ref() == Some(&environment) {
            return None;
        }
        let drop_in = right.unwrap_or(drop_in);
        let files = UnitFiles::over(own, &self.spec.unit, drop_in, environment);
        Some((Action::WriteUnitFiles(Box::new(files)), self.files_cause()))
    }

    fn files_cause(&self) -> Cause {
        let written = self.remembered().written;
        if written.as_ref() == Some(&self.print()) {
            return Cause::FilesMeddledWith;
        }
        Cause::FilesDiffer { changed: self.world.changed_fields(self.id, written.as_ref(), self.spec) }
    }

    /// Its own files give it every value that the file asks for.
    fn says_the_same(&self) -> bool {
        let same = |(name, value): (&String, &String)| self.unit.environment.get(name) == Some(value);
        self.unit.environment_files.is_empty() && self.spec.environment.iter().all(same)
    }

    /// The variables that its process has otherwise than the file says; `None` where that cannot be seen.
    fn differing(&self) -> Option<Vec<&String>> {
        let effective = self.unit.effective.as_ref()?;
        let differs = |(name, value): &(&String, &String)| effective.get(*name) != Some(*value);
        Some(self.spec.environment.iter().filter(differs).map(|(name, _)| name).collect())
    }

    /// Its process was started with another environment than the file says, and a restart would change that: one that
    /// has been tried for this very environment would not.
    fn is_outdated(&self) -> bool {
        let UnitRecord { outdated, applied, .. } = self.remembered();
        if outdated.is_some() && outdated == self.unit.invocation {
            return true;
        }
        let to_be = self.environment_to_be();
        let differs = self.differing().unwrap_or_default().iter().any(|name| self.is_curable(name, &to_be));
        differs && (applied.as_ref() != Some(&self.print()) || self.is_still_to_be_replaced())
    }

    /// A restart that was remembered before it was asked for has not come about: the call failed, or aiplatd ended in between.
    fn is_still_to_be_replaced(&self) -> bool {
        let replacing = self.remembered().replacing;
        replacing.is_some() && replacing == self.unit.invocation
    }

    fn enable(&self) -> Option<Step> {
        let wanted = self.spec.management == Management::Full && self.unit.file_state == "disabled";
        wanted.then(|| self.verb(UnitVerb::Enable, Cause::Disabled))
    }

    /// It runs: it has the environment of the file, follows restarted dependencies, and answers.
    fn keep(&self) -> Step {
        if self.is_outdated() {
            if let Some(message) = self.left_behind() {
                return Step::held(Reason::DataLeftBehind, message);
            }
            let changed = self.changed();
            let is_ours = self.spec.own.is_some();
            return self.disrupt(if is_ours {
                Cause::ProgramChanged { changed }
            } else {
                Cause::EnvironmentChanged { changed }
            });
        }
        if let Some(dependency) = self.restarted_dependency() {
            return self.disrupt(Cause::DependencyRestarted { dependency });
        }
        if self.is_still_to_be_replaced() {
            return self.disrupt(Cause::RestartLost);
        }
        if let Some(step) = self.revive() {
            return step;
        }
        let health = self.health();
        match health.status {
            Status::False if health.reason == Reason::WaitingForDependencies => {
                Step::blocked(self.world, running::excuse(self.world, self.id, self.unit.invocation.as_ref()))
            }
            Status::True => Step::converged(),
            Status::Unknown => Step::progressing(),
            Status::False if health.progressing => Step::progressing(),
            Status::False => Step::unsatisfied(health.reason, health.message),
        }
    }

    fn disrupt(&self, cause: Cause) -> Step {
        let mut gates = gate::before_disruption(self.world, self.id, &self.spec.dependencies);
        gates.extend(gate::dependencies(self.world, &self.spec.dependencies));
        if gates.is_empty() { self.verb(UnitVerb::Restart, cause) } else { Step::blocked(self.world, gates) }
    }

    /// The variables that differ between its process and the file, as far as that is known.
    fn changed(&self) -> Vec<String> {
        let applied = self.remembered().applied;
        let named = self.world.changed_fields(self.id, applied.as_ref(), self.spec);
        if !named.is_empty() {
            return named;
        }
        let differing = self.differing().unwrap_or_default();
        differing.into_iter().map(|name| format!("environment.{name}")).collect()
    }

    /// An edge with `restart: true` is followed when the dependency is ready again and runs anew.
    fn restarted_dependency(&self) -> Option<ResourceId> {
        let record = self.record()?;
        let edges = self.spec.dependencies.iter().filter(|(_, edge)| edge.restart);
        let restarted = edges.map(|(on, _)| on).find(|on| {
            let known = record.dependencies.get(*on);
            known.is_some() && ready_incarnation(self.world, on).is_some_and(|now| known != Some(&now))
        });
        restarted.cloned()
    }
}

/// Whether a drop-in says what another one says. Of which entry it was written is a remark in it: another name of that is no
/// reason to write it anew, after which systemd would go on calling for a reload.
fn says_as_much(one: &str, other: &str) -> bool {
    let said = |text: &str| {
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
    };
    one.starts_with(WRITTEN_BY) && said(one) == said(other)
}

/// What `id` runs as, if it runs.
pub(super) fn incarnation(world: &World<'_>, id: &ResourceId) -> Option<crate::observed::Incarnation> {
    let unit = world.observed.units.get(world.desired.units.get(id)?.main())?;
    let is_up = matches!(unit.active, ActiveState::Active | ActiveState::Reloading);
    unit.invocation.clone().filter(|_| is_up)
}
