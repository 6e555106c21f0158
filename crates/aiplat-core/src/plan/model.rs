//! The next step for one model: pulled by its server when the file asks for it and the server lacks it, or when a person asks
//! whether there is a newer one. Never removed: an entry that leaves the file leaves its model where it is.

mod present;
mod removal;
mod server;

use super::{Cause, Gate, Readiness, Step, Verdict, World, replacement_pending, room};
use crate::{
    Kind, ResourceId,
    action::{Action, FreeRoom, MODELS_AT_ONCE, PullModel},
    bytes,
    condition::{Condition, ConditionType, Reason, Status, Word},
    ledger::Failure,
    observed::{LoadedModel, ModelAnswer, ModelFacts, PullProgress},
    spec::ModelSpec,
    time::human,
};

pub(super) use present::apply;
pub use removal::removable;
pub use server::{endpoint, folder, is_unasked, servers};

/// What is left free on a disk beside a model: nobody can do anything with less.
const SPARE: u64 = 32 << 20;

/// One model of the file, and its server as it last answered.
struct Look<'a> {
    world: &'a World<'a>,
    id: &'a ResourceId,
    spec: &'a ModelSpec,
    /// `None`: its present run was not asked yet.
    answer: Option<&'a ModelAnswer>,
}

impl<'a> Look<'a> {
    fn of(world: &'a World<'a>, id: &'a ResourceId) -> Option<Self> {
        let spec = world.desired.models.get(id)?;
        Some(Self { world, id, spec, answer: server::answer(world, &spec.runner) })
    }
}

pub(super) fn plan(world: &World<'_>, id: &ResourceId) -> Step {
    let Some(look) = Look::of(world, id) else { return Step::converged() };
    let step = look.step();
    let conditions = look.conditions();
    step.with(conditions)
}

/// Whether the server has it, in words.
pub(super) fn readiness(world: &World<'_>, id: &ResourceId) -> Readiness {
    match Look::of(world, id) {
        Some(look) => look.readiness(),
        None => Readiness::not_ready(Reason::NotInFile, "it is not in the file"),
    }
}

/// What the server of the service `id` has in memory; `None`: it is none, or does not answer.
pub(super) fn loaded<'a>(world: &World<'a>, id: &ResourceId) -> Option<&'a [LoadedModel]> {
    match server::answer(world, id)? {
        ModelAnswer::Answers(facts) => Some(&facts.loaded),
        ModelAnswer::Unreachable { .. } => None,
    }
}

/// The printed word of the model `id`, whose step is `step`.
#[must_use]
pub fn model_word(world: &World<'_>, id: &ResourceId, step: &Step) -> Word {
    let ready = readiness(world, id);
    if world.observed.pulls.contains_key(id) {
        return Word::Pulling;
    }
    match (&step.verdict, ready.status) {
        (_, Status::True) => Word::Ready,
        (Verdict::Held { .. }, _) => Word::Failed,
        (Verdict::Blocked { on }, _) if on.iter().any(|gate| matches!(gate, Gate::Failed { .. })) => {
            Word::BackOff
        }
        (Verdict::Blocked { .. }, _) => Word::Pending,
        (_, Status::Unknown) => Word::Unknown,
        (_, Status::False) => Word::Pending,
    }
}

/// `it needs 7.3 GiB, and 2.1 GiB are free ...`: why a pull of `model` is not begun, or was ended.
#[must_use]
pub fn does_not_fit(pull: &PullModel, needed: u64, said_by: &str) -> String {
    let PullModel { model, at, bytes: _, room } = pull;
    let FreeRoom { free, on } = room.clone().unwrap_or_default();
    format!(
        "{model} needs {} ({said_by}), and {} are free on {on}, where {service} keeps its models: make room there, or remove a \
         model that nobody uses with `aiplatctl model rm MODEL` (`aiplatctl get models` lists them); it goes on by itself",
        bytes::human(needed),
        bytes::human(free),
        service = at.service
    )
}

/// Whether `needed` bytes do not fit into `room`.
#[must_use]
pub fn is_too_large(needed: u64, room: &FreeRoom) -> bool {
    needed.saturating_add(SPARE) > room.free
}

impl Look<'_> {
    fn step(&self) -> Step {
        if let Some(gate) = self.runner_gate() {
            return Step::blocked(self.world, vec![gate]);
        }
        let facts = match self.answer {
            None => return Step::progressing(),
            Some(ModelAnswer::Unreachable { why }) => {
                return Step::unsatisfied(Reason::ModelServerUnreachable, self.unreachable(why));
            }
            Some(ModelAnswer::Answers(facts)) => facts,
        };
        let cause = match (facts.model(&self.spec.model), self.is_ordered()) {
            (Some(_), false) => return Step::converged(),
            (Some(_), true) => Cause::PullOrdered,
            (None, _) => Cause::NotOnServer,
        };
        let runner = &self.spec.runner;
        if self.world.ledger.suspension(runner, self.world.now).is_some() {
            let name = runner.key();
            let message = format!(
                "{name} is suspended, and nothing is pulled to it; `aiplatctl resume {name}` ends that"
            );
            return Step::unsatisfied(Reason::Suspended, message);
        }
        let Some(pull) = self.pull(facts) else { return Step::progressing() };
        if replacement_pending(self.world, runner) {
            return Step::blocked(self.world, vec![Gate::ReplacementPending { on: runner.clone() }]);
        }
        match self.no_room(&pull) {
            Some(message) => {
                Step::blocked(self.world, vec![Gate::DiskPressure { reason: Reason::DiskPressure, message }])
            }
            None => Step::act(Action::PullModel(Box::new(pull)), cause),
        }
    }

    fn runner_gate(&self) -> Option<Gate> {
        let Readiness { status, message, .. } = super::readiness(self.world, &self.spec.runner);
        let on = self.spec.runner.clone();
        (status != Status::True).then(|| Gate::Dependency { on, message, unknown: status == Status::Unknown })
    }

    fn is_ordered(&self) -> bool {
        self.world.ledger.get(self.id).is_some_and(|record| record.orders.pull.is_some())
    }

    /// The pull as it would be made now; `None`: its server has no address.
    fn pull(&self, facts: &ModelFacts) -> Option<PullModel> {
        let size = self.world.observed.model_sizes.get(self.id);
        let manifest = size.and_then(|size| size.manifest.as_ref()?.as_ref().ok());
        // What is there under another tag is not pulled once more.
        let is_there = manifest.is_some_and(|it| facts.models.iter().any(|model| model.digest == it.digest));
        Some(PullModel {
            model: self.spec.model.clone(),
            at: server::endpoint(self.world, &self.spec.runner)?,
            bytes: if is_there { Some(0) } else { size.and_then(|size| size.needed()) },
            room: server::room(self.world, &self.spec.runner).map(|(_, room)| room),
        })
    }

    /// Why it is not pulled for lack of room.
    fn no_room(&self, pull: &PullModel) -> Option<String> {
        // A newer one of what is there takes the place of most of it; the server says when it does not.
        if self.is_present() {
            return None;
        }
        if let (Some(needed), Some(room)) = (pull.bytes, &pull.room)
            && needed > 0
            && is_too_large(needed, room)
        {
            return Some(does_not_fit(pull, needed, self.said_by()));
        }
        let (folder, _) = server::room(self.world, &self.spec.runner)?;
        room::no_model(self.world, &folder)
    }

    fn said_by(&self) -> &'static str {
        let size = self.world.observed.model_sizes.get(self.id);
        match size.and_then(|size| size.manifest.as_ref()) {
            Some(Ok(_)) => "by the manifest of its registry",
            Some(Err(_)) | None => "as its pull announced",
        }
    }

    fn is_present(&self) -> bool {
        match self.answer {
            Some(ModelAnswer::Answers(facts)) => facts.model(&self.spec.model).is_some(),
            Some(ModelAnswer::Unreachable { .. }) | None => false,
        }
    }

    fn unreachable(&self, why: &str) -> String {
        format!(
            "{} runs, and its model server does not answer: {why}; asked again every few seconds",
            self.spec.runner.key()
        )
    }

    /// The last failure of a pull of what the file asks for now.
    fn failure(&self) -> Option<&Failure> {
        let failure = self.world.ledger.get(self.id)?.failure.as_ref()?;
        (failure.fingerprint == self.world.desired.fingerprint(self.id)).then_some(failure)
    }

    fn readiness(&self) -> Readiness {
        let runner = super::readiness(self.world, &self.spec.runner);
        let name = self.spec.runner.key();
        if runner.status != Status::True {
            let message = format!("waits for {name}");
            return Readiness { reason: Reason::WaitingForDependencies, message, ..runner };
        }
        match self.answer {
            None => Readiness::unknown(
                Reason::NotObserved,
                format!("{name} has not been asked for its models yet"),
            ),
            Some(ModelAnswer::Unreachable { why }) => {
                Readiness::unknown(Reason::ModelServerUnreachable, self.unreachable(why))
            }
            Some(ModelAnswer::Answers(facts)) if facts.model(&self.spec.model).is_some() => {
                Readiness::ready(Reason::Present)
            }
            Some(ModelAnswer::Answers(facts)) => self.missing(facts),
        }
    }

    fn missing(&self, facts: &ModelFacts) -> Readiness {
        if let Some(progress) = self.world.observed.pulls.get(self.id) {
            return Readiness::progressing(Reason::Pulling, self.pulling(*progress));
        }
        if let Some(message) = self.pull(facts).and_then(|pull| self.no_room(&pull)) {
            return Readiness::not_ready(Reason::DiskPressure, message);
        }
        match self.failure() {
            Some(failure) => {
                let next = match failure.retry_at {
                    Some(at) => format!("; next attempt in {}", human(self.world.now.until(at))),
                    None => String::new(),
                };
                Readiness::not_ready(failure.reason, format!("{}{next}", failure.message))
            }
            None => {
                let mut message = format!("{} does not have {} yet", self.spec.runner.key(), self.spec.model);
                message.extend(self.queue().map(|others| format!("; it waits for its turn: {others}")));
                Readiness::progressing(Reason::Missing, message)
            }
        }
    }

    /// Who has the places for pulls, if all are taken.
    fn queue(&self) -> Option<String> {
        let pulls = self.world.observed.pulls.keys().filter(|id| id.kind == Kind::Model && *id != self.id);
        let models = pulls.filter_map(|id| Some(self.world.desired.models.get(id)?.model.to_string()));
        let models: Vec<String> = models.collect();
        (models.len() >= MODELS_AT_ONCE).then(|| format!("{} are being pulled", models.join(", ")))
    }

    fn pulling(&self, progress: PullProgress) -> String {
        let PullProgress { done, total } = progress;
        let (model, runner) = (&self.spec.model, self.spec.runner.key());
        match done.saturating_mul(100).checked_div(total) {
            Some(percent) => format!(
                "{runner} pulls {model}: {} of {} ({}%)",
                bytes::human(done),
                bytes::human(total),
                percent.min(100)
            ),
            None => format!("{runner} pulls {model}"),
        }
    }

    /// Everything there is to say of it, in the order of cure.
    fn conditions(&self) -> Vec<Condition> {
        let Readiness { status, reason, message, .. } = self.readiness();
        let pulls = self.world.observed.pulls.get(self.id);
        let pulling = Condition {
            kind: ConditionType::Pulling,
            status: Status::of(pulls.is_some()),
            reason: if pulls.is_some() { Reason::Pulling } else { Reason::AsDesired },
            message: pulls.map(|progress| self.pulling(*progress)).unwrap_or_default(),
        };
        let closed: Vec<Gate> = self.runner_gate().into_iter().collect();
        let mut conditions = vec![Condition::normal(ConditionType::Accepted, Reason::InFile)];
        conditions.extend(self.space());
        conditions.push(super::gate::condition(
            ConditionType::DependenciesReady,
            &closed.iter().collect::<Vec<_>>(),
        ));
        conditions.push(pulling);
        conditions.push(self.present());
        conditions.push(Condition { kind: ConditionType::Ready, status, reason, message });
        conditions
    }

    /// Said only where it is known.
    fn space(&self) -> Option<Condition> {
        let kind = ConditionType::SpaceAvailable;
        let Some(ModelAnswer::Answers(facts)) = self.answer else { return None };
        if self.is_present() {
            return Some(Condition::normal(kind, Reason::RoomEnough));
        }
        let full = self.failure().filter(|failure| failure.reason == Reason::DiskFull);
        let pull = self.pull(facts)?;
        if let Some(message) = self.no_room(&pull) {
            return Some(Condition::abnormal(kind, Reason::DiskPressure, message));
        }
        if let Some(failure) = full {
            return Some(Condition::abnormal(kind, Reason::DiskFull, failure.message.clone()));
        }
        pull.bytes.and(pull.room).map(|_| Condition::normal(kind, Reason::RoomEnough))
    }

    fn present(&self) -> Condition {
        let kind = ConditionType::Present;
        match self.answer {
            Some(ModelAnswer::Answers(_)) if self.is_present() => Condition::normal(kind, Reason::Present),
            Some(ModelAnswer::Answers(facts)) => {
                let Readiness { reason, message, .. } = self.missing(facts);
                Condition::abnormal(kind, reason, message)
            }
            Some(ModelAnswer::Unreachable { why }) => {
                Condition::unknown(kind, Reason::ModelServerUnreachable, self.unreachable(why))
            }
            None => {
                let message = format!("{} has not been asked for its models yet", self.spec.runner.key());
                Condition::unknown(kind, Reason::NotObserved, message)
            }
        }
    }
}
