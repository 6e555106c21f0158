//! The next step for one service's containers.
//!
//! Read `desired` as a ladder: each rung either acts, waits, or passes on. A crash after any rung leaves a world
//! from which the same ladder continues; there is no other recovery.

mod beside;
mod conditions;
mod leaving;
mod liveness;
mod mending;
mod returning;

pub(super) use leaving::{dependant, removal_gate};

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    Cause, Gate, Members, Requeue, Step, World, contents,
    ended::{self, Ended, ended},
    gate, gpu, members, moved,
    readiness::{readiness, ready_incarnation, restart_ordered},
    running,
};
use crate::{
    ResourceId,
    action::{Action, CreateContainer, OwnLabels},
    classify::FailureClass,
    condition::{Condition, ConditionType, Reason, Status},
    fingerprint,
    observed::{ContainerId, ContainerState, ObservedContainer},
    spec::{Attachment, ContainerSpec, Mount, MountSource, PortBinding},
    time::human,
};

pub(super) fn plan(world: &World<'_>, id: &ResourceId) -> Step {
    if let Some(step) = engine_away(world) {
        return step;
    }
    match world.desired.containers.get(id) {
        Some(spec) => {
            let members = Members::of(world, id, spec);
            let look = Look { world, id, spec, members };
            let step = look.step();
            let conditions = look.conditions(&step);
            step.with(conditions)
        }
        None => leaving::undesired(world, id),
    }
}

/// Without a complete listing nothing is decided: absence must have been seen.
pub(super) fn engine_away(world: &World<'_>) -> Option<Step> {
    let engine = &world.observed.engine;
    if engine.listed {
        return None;
    }
    let message = match &engine.away {
        Some(reason) => format!("the engine does not answer: {reason}"),
        None => "the engine has not been listed yet".to_owned(),
    };
    let ready = Condition::unknown(ConditionType::Ready, Reason::EngineUnreachable, message.clone());
    Some(Step::blocked(world, vec![Gate::EngineAway { message }]).with(vec![ready]))
}

/// One service, its containers sorted into their roles.
struct Look<'a> {
    world: &'a World<'a>,
    id: &'a ResourceId,
    spec: &'a ContainerSpec,
    members: Members<'a>,
}

impl Look<'_> {
    fn step(&self) -> Step {
        if let Some(step) = self.one_container().or_else(|| self.leave_networks()) {
            return step;
        }
        if let Some(step) = self.ordered() {
            return step;
        }
        let Some(current) = self.members.current else {
            return self.make(self.spec.host_name.clone(), Cause::Missing, None);
        };
        if let Some(edit) = self.members.taken_back {
            return self.bring_back(current, edit);
        }
        if !self.members.current_matches {
            return self.replace(current);
        }
        if let Some(step) = self.hand_over(current).or_else(|| self.take_back(current)) {
            return step;
        }
        self.take_name(current).unwrap_or_else(|| self.run(current))
    }

    /// What a person has ordered comes before what the file says of running.
    fn ordered(&self) -> Option<Step> {
        let orders = &self.world.ledger.get(self.id)?.orders;
        // One of an earlier file is not started again: until its replacement may run it is better than nothing.
        let follows = self.members.current_matches || self.members.taken_back.is_some();
        let alive = self.members.current.filter(|current| current.state.is_alive());
        match (&orders.stopped, alive) {
            (Some(_), Some(current)) => Some(Step::act(self.stop(current), Cause::StopOrdered)),
            (Some(order), None) => Some(Step::unsatisfied(
                Reason::StoppedByHand,
                running::stopped_by_hand(self.world, self.id, order),
            )),
            (None, Some(current)) if follows && restart_ordered(self.world, self.id, Some(current)) => {
                // Of several that are to run anew each does so once: whom it needs goes first.
                let gates = gate::before_disruption(self.world, self.id, &self.spec.policy.dependencies);
                Some(if gates.is_empty() {
                    Step::act(self.stop(current), Cause::RestartOrdered)
                } else {
                    Step::blocked(self.world, gates)
                })
            }
            (None, Some(_) | None) => None,
        }
    }

    /// Never two running containers for one service, and none that has no role.
    fn one_container(&self) -> Option<Step> {
        let alive = |container: &&&ObservedContainer| container.state.is_alive();
        let Members { current, candidate, previous, strays, .. } = &self.members;
        if let Some(dead) =
            [current, candidate].into_iter().flatten().find(|c| c.state == ContainerState::Dead)
        {
            return Some(Step::act(Action::RemoveContainer { id: dead.id.clone() }, Cause::Dead));
        }
        let beside = self.serves_beside().map(|old| &old.id);
        let extra = |container: &&&ObservedContainer| alive(container) && Some(&container.id) != beside;
        if let Some(extra) = strays.iter().chain(previous.iter()).find(extra) {
            return Some(Step::act(self.stop(extra), Cause::Stray));
        }
        strays.first().map(|stray| Step::act(Action::RemoveContainer { id: stray.id.clone() }, Cause::Stray))
    }

    /// Makes the container that the file asks for, beside `old` if there is one.
    fn make(&self, name: String, cause: Cause, old: Option<&ObservedContainer>) -> Step {
        if self.members.removing {
            return Step::again(Duration::from_millis(100));
        }
        let mut gates = gate::before_create(self.world, self.spec);
        let grant = gpu::grant(self.world, self.id).unwrap_or_else(|gate| {
            gates.push(gate);
            None
        });
        if !gates.is_empty() {
            return Step::blocked(self.world, gates);
        }
        let (given, requests) = grant.map(|grant| (grant.given, grant.requests)).unzip();
        let create = CreateContainer {
            name,
            labels: OwnLabels {
                depends_on: self.spec.policy.dependencies.keys().cloned().collect(),
                gpus: given,
                ..OwnLabels::of(self.world.desired, self.id, fingerprint::of(&self.spec.runtime))
            },
            spec: Arc::new(self.spec.clone()),
            network: self.first_network(old.is_some()),
            inherit: old.map(|old| self.anonymous_volumes(old)).unwrap_or_default(),
            joins: self.joined(),
            gpus: requests.flatten(),
        };
        Step::act(Action::CreateContainer(Box::new(create)), cause)
    }

    /// The network that it is made on.
    fn first_network(&self, beside: bool) -> Option<Attachment> {
        let mut network = self.spec.live.first_network().cloned()?;
        if beside && self.spec.starts_first() {
            network.aliases.clear();
        }
        Some(network)
    }

    /// The containers that now serve for the services whose namespaces it joins.
    fn joined(&self) -> BTreeMap<ResourceId, ContainerId> {
        let joins = self.spec.runtime.options.joins().map(|(_, id)| id);
        joins.filter_map(|id| Some((id.clone(), members::serving(self.world, id)?.id.clone()))).collect()
    }

    /// Volumes of `old` that the engine named, where the file still has no other mount: their data goes along. A volume
    /// with a name of its own that the file has dropped does not.
    fn anonymous_volumes(&self, old: &ObservedContainer) -> Vec<(String, String)> {
        let named = |mount: &&Mount| !matches!(mount.source, MountSource::Anonymous);
        let declared =
            |target: &str| self.spec.runtime.mounts.iter().filter(named).any(|mount| mount.target == target);
        let by_engine =
            |volume: &String| volume.len() == 64 && volume.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mounts = old.mounts.iter().filter(|mount| !declared(&mount.target));
        mounts
            .filter_map(|mount| Some((mount.volume.clone().filter(by_engine)?, mount.target.clone())))
            .collect()
    }

    /// `current` is of an earlier file: make its successor, and let it go when the successor may start.
    fn replace(&self, current: &ObservedContainer) -> Step {
        let changed = self.changed_fields(current);
        let Some(candidate) = self.members.candidate else {
            let temporary =
                format!("{}--{}", self.spec.host_name, fingerprint::of(&self.spec.runtime).short());
            let cause = self.moved(current).unwrap_or(Cause::Replacement { changed });
            return self.make(temporary, cause, Some(current));
        };
        if let Some(step) = self.connect(candidate) {
            return step;
        }
        let mut gates = gate::before_disruption(self.world, self.id, &self.spec.policy.dependencies);
        gates.extend(gate::before_start(self.world, self.id, self.spec, Some(candidate)));
        let waits_for = |gate: &Gate| {
            matches!(gate, Gate::Dependency { .. } | Gate::ReplacementPending { .. })
                || (matches!(gate, Gate::PortTaken { .. }) && !gate::is_port_foreign(self.world, self.spec))
        };
        if gates.is_empty() {
            if self.spec.starts_first() && current.state.is_alive() {
                return self.start_beside(current, candidate, changed);
            }
        } else if !gates.iter().all(waits_for) || !self.is_in_the_way(current) {
            return Step::blocked(self.world, gates);
        }
        Step::act(self.stop(current), self.moved(current).unwrap_or(Cause::Replaced { changed }))
    }

    /// `current` holds a host port that the file gives to another service, which has a container ready to start with it.
    /// Where the two wait for each other (a port moves from a dependant to its dependency, two services swap theirs),
    /// neither could ever go on.
    fn is_in_the_way(&self, current: &ObservedContainer) -> bool {
        let given_up = |binding: &PortBinding| {
            !self.spec.runtime.ports.iter().any(|own| own.host_port == binding.host_port)
                && current.ports.iter().any(|port| gate::overlaps(binding, port))
        };
        let others = self.world.desired.containers.iter().filter(|(other, _)| *other != self.id);
        let mut waiting = others.filter(|(_, spec)| spec.runtime.ports.iter().any(given_up));
        waiting.any(|(other, spec)| {
            let members = Members::of(self.world, other, spec);
            let idle = members.current.filter(|member| members.current_matches && !member.state.is_alive());
            members.candidate.or(idle).is_some()
        })
    }

    /// `current` is of this very file, and makes way for an update.
    fn moved(&self, current: &ObservedContainer) -> Option<Cause> {
        let lost = members::lost_namespaces(self.world, current, self.spec);
        let same_gpus = gpu::outdated(self.world, self.id, current).is_none();
        (lost.is_empty() && same_gpus && moved::is_of_same_file(current, self.spec))
            .then(|| Cause::Moved { image: self.spec.runtime.image.clone() })
    }

    fn changed_fields(&self, current: &ObservedContainer) -> Vec<String> {
        let lost = members::lost_namespaces(self.world, current, self.spec);
        if !lost.is_empty() {
            return lost.into_iter().map(|key| format!("the container behind {key}")).collect();
        }
        let gpus = gpu::outdated(self.world, self.id, current);
        if moved::is_of_same_file(current, self.spec) {
            return vec![gpus.unwrap_or_else(|| "image".to_owned())];
        }
        let mut changed = self.world.changed_fields(self.id, current.fingerprint(), &self.spec.runtime);
        changed.extend(gpus);
        changed
    }

    /// The container to run bears the service's name; whoever of ours has it makes way.
    fn take_name(&self, current: &ObservedContainer) -> Option<Step> {
        if current.name == self.spec.host_name {
            return None;
        }
        let wanted = &self.spec.host_name;
        if let Some(holder) = self.members.previous.filter(|previous| previous.name == *wanted) {
            let to = format!("{wanted}--{}", holder.id.short());
            return Some(Step::act(Action::RenameContainer { id: holder.id.clone(), to }, Cause::NameNeeded));
        }
        let others =
            self.world.observed.owned.iter().filter(|(other, _)| *other != self.id).flat_map(|(_, set)| set);
        if let Some(holder) = others.into_iter().find(|other| other.name == *wanted) {
            return self.give_way(current, &holder.name);
        }
        if let Some(gate) = gate::name(self.world, self.spec) {
            // A running one is left running under its temporary name: the name is not worth an interruption.
            return (!current.state.is_alive()).then(|| Step::blocked(self.world, vec![gate]));
        }
        let action = Action::RenameContainer { id: current.id.clone(), to: wanted.clone() };
        Some(Step::act(action, Cause::TakesName))
    }

    /// Another service's container has our name, and will give it up. If it waits for ours in turn (two services swap
    /// their names), one of us has to let go first.
    fn give_way(&self, current: &ObservedContainer, holder: &str) -> Option<Step> {
        let mut others = self.world.desired.containers.iter().filter(|(other, _)| *other != self.id);
        if others.any(|(_, spec)| spec.host_name == current.name) {
            let to = format!("{}--{}", self.spec.host_name, current.id.short());
            return Some(Step::act(
                Action::RenameContainer { id: current.id.clone(), to },
                Cause::NameNeeded,
            ));
        }
        let gate = Gate::StillUsed { by: format!("the name of container `{holder}`") };
        (!current.state.is_alive()).then(|| Step::blocked(self.world, vec![gate]))
    }

    /// `current` is what the file asks for and bears its name: let it run.
    fn run(&self, current: &ObservedContainer) -> Step {
        match &current.state {
            // A younger listing has overtaken our look: how it ended is not known yet, and decides what follows.
            ContainerState::Exited if current.detail.is_none() => Step::again(Duration::from_millis(10)),
            ContainerState::Created | ContainerState::Exited => {
                self.mend(current).unwrap_or_else(|| self.start(current))
            }
            ContainerState::Running => self.mend(current).unwrap_or_else(|| self.keep(current)),
            ContainerState::Paused => {
                Step::act(Action::UnpauseContainer { id: current.id.clone() }, Cause::Paused)
            }
            ContainerState::Restarting | ContainerState::Removing => Step::again(Duration::from_secs(1)),
            ContainerState::Dead => {
                Step::act(Action::RemoveContainer { id: current.id.clone() }, Cause::Dead)
            }
            ContainerState::Other(word) => Step::unsatisfied(
                Reason::NotObserved,
                format!("the engine reports the state `{word}`, which this version does not know"),
            ),
        }
    }

    /// `current` cannot run as its image was made, and the reference means another image now: it is made anew.
    fn renew(&self, current: &ObservedContainer) -> Option<Step> {
        if !moved::is_of_another_image(self.world, self.id, current) || !self.may_be_renewed(current) {
            return None;
        }
        let failure = self.world.ledger.get(self.id).and_then(|record| record.failure.as_ref());
        let refused = failure.is_some_and(|failure| {
            failure.action == "start"
                && failure.reason == Reason::ExecutableMissing
                && failure.retry_at.is_none()
                && failure.fingerprint.as_ref() == Some(&fingerprint::of(&self.spec.runtime))
        });
        let held = || {
            matches!(ended(self.world, self.id, self.spec, current), Ended::Held { .. })
                && ended::diagnose(self.world, self.id, self.spec, current).class == FailureClass::ImageDefect
        };
        let cause = Cause::ImageReplaced { image: self.spec.runtime.image.clone() };
        (refused || held()).then(|| Step::act(Action::RemoveContainer { id: current.id.clone() }, cause))
    }

    /// Whether nothing is lost with `container`.
    fn may_be_renewed(&self, container: &ObservedContainer) -> bool {
        self.anonymous_volumes(container).is_empty()
    }

    /// The sentence of `current`, which is not tried again by itself.
    fn held(&self, current: &ObservedContainer) -> String {
        ended::held(self.world, self.id, self.spec, current, self.may_be_renewed(current))
    }

    fn start(&self, current: &ObservedContainer) -> Step {
        if let Some(step) = self.renew(current) {
            return step;
        }
        let evidence = ended::evidence(self.world, self.id, self.spec, current);
        let cause = match ended(self.world, self.id, self.spec, current) {
            Ended::Completed => return self.retire_previous().unwrap_or_else(Step::converged),
            Ended::Failed(how) => {
                let message = format!("it ended with {how}, and its restart policy leaves it so{evidence}");
                return Step::unsatisfied(Reason::Failed, message);
            }
            Ended::Held { exhausted, .. } => {
                let class = ended::diagnose(self.world, self.id, self.spec, current).class;
                let reason = if exhausted { Reason::CrashLoop } else { class.reason() };
                return Step::held(reason, self.held(current));
            }
            Ended::BackOff { until, how, attempt } => {
                let wait = human(self.world.now.until(until));
                let message = format!("it ended with {how}, restart {} in {wait}{evidence}", attempt + 1);
                return Step::blocked(self.world, vec![Gate::BackOff { until, message }]);
            }
            Ended::Start(cause) => cause,
        };
        let gates = gate::before_start(self.world, self.id, self.spec, Some(current));
        if gates.is_empty() {
            Step::act(Action::StartContainer { id: current.id.clone() }, cause)
        } else {
            Step::blocked(self.world, gates)
        }
    }

    /// It runs: restart it where that is due, and let its predecessor go once it is ready.
    fn keep(&self, current: &ObservedContainer) -> Step {
        if let Some(step) = self.restart(current) {
            return step;
        }
        let health = running::health(self.world, self.id, self.spec, current);
        match health.status {
            Status::False if health.reason == Reason::WaitingForDependencies => Step::blocked(
                self.world,
                running::excuse(self.world, self.id, current.incarnation().as_ref()),
            ),
            Status::True => self.watch_over(current).unwrap_or_else(|| self.converged(current)),
            Status::Unknown => Step::progressing(),
            Status::False if health.progressing => {
                match running::left_to_prove(self.world, self.spec, current) {
                    Some(left) => Step::again(left),
                    None => Step::progressing(),
                }
            }
            Status::False => Step::unsatisfied(health.reason, health.message),
        }
    }

    /// It is ready: its predecessor goes once it has been so for a moment.
    fn watch_over(&self, current: &ObservedContainer) -> Option<Step> {
        let previous = self.members.previous?;
        match running::left_to_watch(self.world, self.spec, current) {
            Some(left) if self.has_served(previous) => Some(Step::again(left)),
            Some(_) | None => self.retire_previous(),
        }
    }

    /// As the file says. Where only time can tell whether it serves, it is looked at once more when that is up.
    fn converged(&self, current: &ObservedContainer) -> Step {
        let step = Step::converged();
        match running::left_to_prove(self.world, self.spec, current) {
            Some(left) => Step { requeue: Requeue::After(left), ..step },
            None => step,
        }
    }

    fn retire_previous(&self) -> Option<Step> {
        let previous = self.members.previous?;
        Some(Step::act(Action::RemoveContainer { id: previous.id.clone() }, Cause::Superseded))
    }

    /// Its run ends for another: what it was started with has changed, or it does not answer.
    fn restart(&self, current: &ObservedContainer) -> Option<Step> {
        self.follow_contents(current)
            .or_else(|| self.follow_dependencies(current))
            .or_else(|| self.regain_gpus(current))
            .or_else(|| self.revive(current))
    }

    /// An edge with `restart: true` is followed when the dependency is ready again and runs anew.
    fn follow_dependencies(&self, current: &ObservedContainer) -> Option<Step> {
        let record = self.world.ledger.get(self.id)?;
        let edges = self.spec.policy.dependencies.iter().filter(|(_, edge)| edge.restart);
        let restarted = edges.map(|(on, _)| on).find(|on| {
            let known = record.dependencies.get(*on);
            known.is_some() && ready_incarnation(self.world, on).is_some_and(|now| known != Some(&now))
        })?;
        let mut gates = gate::before_disruption(self.world, self.id, &self.spec.policy.dependencies);
        gates.extend(gate::before_start(self.world, self.id, self.spec, Some(current)));
        if gates.is_empty() {
            Some(Step::act(self.stop(current), Cause::DependencyRestarted { dependency: restarted.clone() }))
        } else {
            Some(Step::blocked(self.world, gates))
        }
    }

    /// A run that does not reach its GPUs ends for one that does; of several, whom it depends on goes first.
    fn regain_gpus(&self, current: &ObservedContainer) -> Option<Step> {
        let said = gpu::lost(self.world, self.id)?;
        let mut gates = gate::before_disruption(self.world, self.id, &self.spec.policy.dependencies);
        gates.extend(gate::before_start(self.world, self.id, self.spec, Some(current)));
        if !gates.is_empty() {
            return Some(Step::blocked(self.world, gates));
        }
        Some(Step::act(self.stop(current), Cause::GpuLost { said }))
    }

    /// A config is written with another content than its process was started with.
    fn follow_contents(&self, current: &ObservedContainer) -> Option<Step> {
        let unseen = contents::unseen(self.world, self.id, self.spec, current);
        let written = |file: &&ResourceId| readiness(self.world, file).status == Status::True;
        if unseen.is_empty() || !unseen.iter().all(written) {
            return None;
        }
        let mut gates = gate::before_disruption(self.world, self.id, &self.spec.policy.dependencies);
        gates.extend(gate::before_start(self.world, self.id, self.spec, Some(current)));
        if !gates.is_empty() {
            return Some(Step::blocked(self.world, gates));
        }
        let name = |id: &&ResourceId| self.world.desired.files.get(*id).map(|file| file.config.clone());
        let mut configs: Vec<String> = unseen.iter().filter_map(name).collect();
        configs.dedup();
        Some(Step::act(self.stop(current), Cause::ContentChanged { configs }))
    }

    fn stop(&self, container: &ObservedContainer) -> Action {
        Action::StopContainer { id: container.id.clone(), grace: self.spec.policy.stop_grace }
    }
}
