//! What must be remembered of a unit's step, before it is done.

use super::{Look, leaving};
use crate::{
    ResourceId,
    action::{Action, UnitFiles, UnitVerb},
    classify::FailureClass,
    fingerprint,
    ledger::{Restart, UnitRecord},
    observed::ActiveState,
    plan::{Cause, Entry, Planned, Step, World, fight, record, systemd},
};

/// What `step` changes in the record of the unit `id`.
pub(in crate::plan) fn entries(world: &World<'_>, id: &ResourceId, step: &Step) -> Vec<Entry> {
    let before = world.ledger.get(id).map(|record| record.unit.clone()).unwrap_or_default();
    let spec = world.desired.units.get(id);
    let Some(look) = spec.and_then(|spec| Look::of(world, id, spec)) else {
        // Nothing of ours is left of a service that the file no longer has.
        let gone = spec.is_none() && leaving::has_left(world, id, &before);
        return if gone { vec![Entry::Unit(Box::default())] } else { Vec::new() };
    };
    let mut after = look.seen(look.remembered());
    let mut entries = Vec::new();
    match &step.action {
        None => entries.extend(record::adopt(world, id)),
        Some(planned) => {
            entries.extend(fight::revert(world, id, step).map(Entry::Reverted));
            look.acting(planned, &mut after, &mut entries);
        }
    }
    entries.extend((after != before).then(|| Entry::Unit(Box::new(after))));
    entries
}

impl Look<'_> {
    /// What a mere look shows.
    fn seen(&self, mut unit: UnitRecord) -> UnitRecord {
        if matches!(self.unit.active, ActiveState::Active | ActiveState::Reloading) {
            unit.active.clone_from(&self.unit.invocation);
            unit.active_of = Some(self.spec.main().to_owned());
            unit.systemd.clone_from(&self.unit.systemd);
        }
        let has_drop_in = self.spec.own.is_none() && !self.spec.environment.is_empty();
        let is_asked_for = unit.files_of.as_ref() == Some(&self.spec.unit) && has_drop_in;
        if !is_asked_for && unit.files_of.as_deref().is_some_and(|name| leaving::is_gone(self.world, name)) {
            unit.files_of = None;
            unit.written = None;
        }
        self.own_seen(&mut unit);
        // It was started while somebody else's text was in the place of ours.
        let differs = self.differing().is_some_and(|differing| !differing.is_empty());
        if systemd::is_misread(self.service) && self.unit.active.is_alive() && differs {
            unit.outdated.clone_from(&self.unit.invocation);
        }
        unit
    }

    fn acting(&self, planned: &Planned, after: &mut UnitRecord, entries: &mut Vec<Entry>) {
        let action = &planned.action;
        if let Action::WriteUnitFiles(files) = action {
            self.writing(files, after, entries);
        } else if let Action::RemoveUnitFiles { unit } = action {
            let runs_on = *unit == self.spec.unit && self.unit.active.is_alive();
            after.outdated = self.unit.invocation.clone().filter(|_| runs_on).or(after.outdated.take());
        } else if let Action::WriteUnit(file) = action {
            self.own_writing(file, planned, after);
            self.written(after, entries);
        } else if let Action::Unit { unit, verb } = action
            && unit == self.spec.main()
        {
            self.queueing(*verb, &planned.cause, after, entries);
        }
    }

    fn writing(&self, files: &UnitFiles, after: &mut UnitRecord, entries: &mut Vec<Entry>) {
        if self.loses_something(&files.environment) {
            after.outdated.clone_from(&self.unit.invocation);
        }
        after.files_of = Some(files.unit.clone());
        self.written(after, entries);
    }

    fn written(&self, after: &mut UnitRecord, entries: &mut Vec<Entry>) {
        after.written = Some(self.print());
        // What is to be run is judged anew: it may be what runs.
        after.replacing = None;
        // What it was last started with is still compared with.
        let mut fields = self.record().map(|record| record.fields.clone()).unwrap_or_default();
        fields.retain(|known, _| after.applied.as_ref() == Some(known));
        fields.insert(self.print(), fingerprint::fields(self.spec));
        entries.push(Entry::Fields(fields));
    }

    fn queueing(&self, verb: UnitVerb, cause: &Cause, after: &mut UnitRecord, entries: &mut Vec<Entry>) {
        let run = self.unit.invocation.clone();
        match verb {
            UnitVerb::Start | UnitVerb::Restart => {
                after.applied = Some(self.print());
                after.replacing.clone_from(&run);
                entries.extend(record::started_for(self.world, self.id, &self.spec.dependencies));
            }
            UnitVerb::Stop
            | UnitVerb::ResetFailed
            | UnitVerb::Unmask
            | UnitVerb::Enable
            | UnitVerb::Disable => {}
        }
        let counted = if let Cause::Ended { how, .. } | Cause::Released { how, .. } = cause {
            Some((how.clone(), self.diagnose().class))
        } else if let Cause::Unresponsive { why, .. } = cause {
            Some((format!("no answer ({why})"), FailureClass::Unresponsive))
        } else {
            None
        };
        let known = self
            .record()
            .is_some_and(|record| run.as_ref().is_some_and(|run| record.restarts.has_counted(run)));
        if let Some((ending, class)) = counted.filter(|_| !known) {
            let restart =
                Restart { of: run.clone(), at: self.world.now, ran: self.run_length(), ending, class };
            entries.push(Entry::Restart { restart, fingerprint: self.print(), basis: self.basis() });
        }
        if matches!(verb, UnitVerb::Stop | UnitVerb::Restart | UnitVerb::ResetFailed) {
            entries.extend(run.map(Entry::Stopping));
        }
    }

    /// The run that goes on has a variable that `environment` no longer gives it, or nobody can see what it has.
    pub(super) fn loses_something(&self, environment: &str) -> bool {
        if !self.unit.active.is_alive() {
            return false;
        }
        let Some(effective) = &self.unit.effective else { return true };
        let earlier = self.service.own.environment.as_deref().unwrap_or_default();
        let named = earlier.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name);
        let kept = |name: &str| {
            environment.lines().any(|line| line.split_once('=').is_some_and(|(it, _)| it == name))
        };
        named.filter(|name| effective.contains_key(*name)).any(|name| !kept(name))
    }
}
