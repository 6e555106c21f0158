//! A unit whose file is ours: written whole, read by systemd, and taken away again. A file of somebody else's is never written
//! over, nor one put in front of it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Look, heirs, loading};
use crate::{
    action::{Action, UnitFile, UnitVerb},
    condition::Reason,
    fingerprint,
    ledger::UnitRecord,
    observed::{ActiveState, LoadState, ObservedUnit},
    plan::{Cause, Gate, Planned, Readiness, Step, World, container::removal_gate, systemd},
    spec::{Management, TimerSpec, UnitSpec, WRITTEN_BY},
};

impl Look<'_> {
    /// Why it cannot be started at all, with the cure.
    pub(super) fn trouble(&self) -> Option<(Reason, String)> {
        if self.spec.own.is_none() {
            return self.foreign_drop_in().or_else(|| loading::unusable(self.spec, self.unit));
        }
        let wanted = self.spec.unit_files(&self.service.own.environment_path);
        let masked = self.parts().into_iter().find(|(_, seen)| seen.load == LoadState::Masked);
        if let Some((name, seen)) = masked {
            return loading::unloaded(name, self.spec, seen);
        }
        if let Some(path) = wanted.iter().find_map(|(name, text)| self.holder(name, text)) {
            return Some((Reason::NameTaken, self.name_taken(path)));
        }
        // What systemd has read is of an earlier file.
        if self.own_file_to_write().is_some() || self.is_unread() {
            return None;
        }
        self.parts().into_iter().find_map(|(name, seen)| self.unread_for_good(name, seen))
    }

    /// Somebody has put a file of their own where our drop-in is to be.
    fn foreign_drop_in(&self) -> Option<(Reason, String)> {
        let wants_one = self.spec.management != Management::Observe && !self.spec.environment.is_empty();
        let is_ours = self.remembered().files_of.as_ref() == Some(&self.spec.unit);
        let own = &self.unit.own;
        let is_foreign = own.drop_in.as_ref().is_some_and(|text| !text.starts_with(WRITTEN_BY));
        (wants_one && !is_ours && is_foreign).then(|| {
            let path = &own.drop_in_path;
            let message = format!(
                "the place of the drop-in is taken: {path} is not of aiplatd's writing; give it another name, such as \
                 40-local.conf, and aiplatd writes its own beside it"
            );
            (Reason::NameTaken, message)
        })
    }

    /// Its file is as it should be and systemd cannot use it.
    fn unread_for_good(&self, name: &str, seen: &ObservedUnit) -> Option<(Reason, String)> {
        let calendar = self.spec.timer().filter(|timer| timer.unit == *name);
        match (&seen.load, calendar) {
            (LoadState::BadSetting | LoadState::Error, Some(TimerSpec { on_calendar, .. })) => Some((
                Reason::UnitInvalid,
                format!(
                    "systemd cannot use {name} ({}): `systemd-analyze calendar '{on_calendar}'` says what is wrong with \
                     `on_calendar`",
                    seen.load_error
                ),
            )),
            (LoadState::NotFound, _) => Some((
                Reason::UnitNotFound,
                format!(
                    "systemd does not find {}, which aiplatd has written: `systemctl daemon-reload` lets it look again",
                    seen.own.unit_path
                ),
            )),
            (
                LoadState::Loaded
                | LoadState::Masked
                | LoadState::BadSetting
                | LoadState::Error
                | LoadState::Other(_),
                _,
            ) => loading::unloaded(name, self.spec, seen),
        }
    }

    /// The file that gives the name to somebody else.
    fn holder(&self, name: &str, text: &str) -> Option<String> {
        let seen = self.world.observed.units.get(name)?;
        let own = &seen.own;
        if !seen.fragment.is_empty() && seen.fragment != own.unit_path {
            return Some(seen.fragment.clone());
        }
        let is_ours = self.remembered().owned.contains_key(name);
        // One that says what ours would say is nobody's loss.
        let is_another = own.unit_file.as_ref().is_some_and(|there| there != text);
        (is_another && !is_ours).then(|| own.unit_path.clone())
    }

    fn name_taken(&self, path: String) -> String {
        let service = &self.spec.service;
        format!(
            "{path} is there already and not aiplatd's, which writes over nobody's unit: choose another `unit:` for `{service}`, \
             move that file away, or remove `command` and let `{service}` be that unit"
        )
    }

    /// The units that it is made of: the one that aiplatd starts, and the one that its timer starts.
    pub(super) fn parts(&self) -> Vec<(&str, &ObservedUnit)> {
        let main = (self.spec.main(), self.unit);
        let job = self.spec.timer().map(|_| (self.spec.unit.as_str(), self.service));
        std::iter::once(main).chain(job).collect()
    }

    /// The next file of ours that is not as platform.yaml says.
    pub(super) fn own_file_to_write(&self) -> Option<(Action, Cause)> {
        self.spec.unit_files(&self.service.own.environment_path).into_iter().find_map(|(name, text)| {
            let own = &self.world.observed.units.get(name)?.own;
            let has_environment = name == self.spec.unit && !self.spec.environment.is_empty();
            let environment = has_environment.then(|| self.spec.environment_file());
            if own.unit_file.as_ref() == Some(&text) && own.environment == environment {
                return None;
            }
            let cause = self.own_cause(name, &text, own.unit_file.is_none());
            Some((Action::WriteUnit(Box::new(UnitFile::over(own, name, text, environment))), cause))
        })
    }

    fn own_cause(&self, name: &str, text: &str, is_absent: bool) -> Cause {
        let UnitRecord { written, owned, .. } = self.remembered();
        if is_absent && !owned.contains_key(name) {
            return Cause::UnitFileNew;
        }
        if owned.get(name) == Some(&fingerprint::of_text(text)) && written.as_ref() == Some(&self.print()) {
            return Cause::UnitFileMeddledWith;
        }
        Cause::UnitFileDiffers { changed: self.world.changed_fields(self.id, written.as_ref(), self.spec) }
    }

    /// Files of ours that the entry no longer asks for: it has another name, no timer, or no `command` any more. What takes their
    /// place is not written before systemd has let go of them: both may have the file of the environment.
    pub(super) fn retiring(&self) -> Option<Step> {
        let owned = self.remembered().owned;
        let waiting = || Step::blocked(self.world, vec![unread_gate("let go of its unit file")]);
        retire(self.world, &self.unwanted(&owned), Some(&self.spec.unit))
            .or_else(|| self.is_letting_go().then(waiting))
    }

    /// Its files are gone that the entry no longer asks for, and systemd has not seen that.
    pub(super) fn is_letting_go(&self) -> bool {
        let owned = self.remembered().owned;
        let names = self.unwanted(&owned);
        let is_unread = |name: &&str| systemd::is_unread(self.world, name);
        retire(self.world, &names, Some(&self.spec.unit)).is_none() && names.iter().any(is_unread)
    }

    pub(super) fn unwanted<'a>(&self, owned: &'a BTreeMap<String, String>) -> Vec<&'a str> {
        let wanted = self.wanted();
        let names = owned.keys().map(String::as_str).filter(|name| !wanted.contains(name));
        names.filter(|name| heirs::heir(self.world, self.id, name).is_none()).collect()
    }

    pub(super) fn wanted(&self) -> BTreeSet<&str> {
        let own = self.spec.own.is_some();
        own.then(|| [self.spec.unit.as_str(), self.spec.main()]).into_iter().flatten().collect()
    }

    /// systemd has yet to read a file of ours that came, went or changed.
    pub(super) fn is_unread(&self) -> bool {
        let owned = self.remembered().owned;
        systemd::is_drop_in_unread(self.service)
            || owned.keys().any(|name| systemd::is_unread(self.world, name))
    }

    /// What a mere look shows of the files of ours.
    pub(super) fn own_seen(&self, unit: &mut UnitRecord) {
        let wanted = self.wanted();
        unit.owned.retain(|name, _| wanted.contains(name.as_str()) || !is_removed(self.world, name));
        for (name, text) in self.spec.unit_files(&self.service.own.environment_path) {
            let seen = self.world.observed.units.get(name);
            let is_there = seen.is_some_and(|seen| seen.own.unit_file.as_ref() == Some(&text));
            if is_there && !unit.owned.contains_key(name) && self.holder(name, &text).is_none() {
                unit.owned.insert(name.to_owned(), fingerprint::of_text(&text));
            }
        }
        // A run that systemd begins before it has read the new file is of the old one, too.
        if self.spec.own.is_some() && unit.outdated.is_some() && unit.outdated != self.unit.invocation {
            let begun_before = systemd::is_unread(self.world, &self.spec.unit) && self.unit.active.is_alive();
            unit.outdated = self.unit.invocation.clone().filter(|_| begun_before);
        }
    }

    /// What is remembered before `file` is written.
    pub(super) fn own_writing(&self, file: &UnitFile, planned: &Planned, after: &mut UnitRecord) {
        let is_new_text = self.service.own.unit_file.as_ref() != Some(&file.text);
        // One that somebody has changed, and let systemd read, may be what runs.
        let was_read = planned.cause == Cause::UnitFileMeddledWith && !self.service.needs_reload;
        let is_outdated = is_new_text && (was_read || after.written.as_ref() != Some(&self.print()));
        let runs = file.unit == self.spec.main() && self.unit.active.is_alive();
        if runs && (is_outdated || self.loses_something(file.environment.as_deref().unwrap_or_default())) {
            after.outdated.clone_from(&self.unit.invocation);
        }
        after.owned.insert(file.unit.clone(), fingerprint::of_text(&file.text));
    }

    /// Whether what its timer starts does well: the last run has not failed.
    pub(super) fn job_health(&self) -> Readiness {
        let job = Look { unit: self.service, ..*self };
        if job.unit.active == ActiveState::Failed {
            let message =
                format!("the last run of {} failed with {}{}", self.spec.unit, job.ending(), job.evidence());
            return Readiness::not_ready(Reason::RunFailed, message);
        }
        Readiness::ready(Reason::Scheduled)
    }
}

/// Stops the units `names`, whose files are ours, and removes these. systemd is told by whoever waits for it. Of `kept`, which the
/// entry goes on asking for, a run whose file is gone already is left to the entry.
pub(super) fn retire(world: &World<'_>, names: &[&str], kept: Option<&str>) -> Option<Step> {
    let mut seen = Vec::with_capacity(names.len());
    for name in names {
        match world.observed.units.get(*name) {
            None => return Some(Step::progressing()),
            Some(unit) => seen.push((*name, unit)),
        }
    }
    seen.retain(|(name, _)| !is_removed(world, name));
    // A timer before what it would start again.
    seen.sort_by_key(|(name, _)| !name.ends_with(".timer"));
    if let Some(gate) = removal_gate(world).filter(|_| !seen.is_empty()) {
        return Some(Step::blocked(world, vec![gate]));
    }
    seen.into_iter().find_map(|(name, unit)| {
        let tell = |verb| Step::act(Action::Unit { unit: name.to_owned(), verb }, Cause::NotInFile);
        if !is_written(world, name, unit) && (kept == Some(name) || !runs_without_file(unit)) {
            return None;
        }
        if unit.job.is_some() || unit.active == ActiveState::Deactivating {
            return Some(Step::progressing());
        }
        Some(if unit.active.is_alive() {
            tell(UnitVerb::Stop)
        } else if unit.active == ActiveState::Failed {
            // systemd would go on listing it.
            tell(UnitVerb::ResetFailed)
        } else if unit.file_state == "enabled" {
            tell(UnitVerb::Disable)
        } else {
            Step::act(Action::RemoveUnit { unit: name.to_owned() }, Cause::NotInFile)
        })
    })
}

/// The gate of whoever waits until systemd has read what was written, or removed.
pub(super) fn unread_gate(what: &str) -> Gate {
    let message = format!("waits until systemd has {what}");
    Gate::Resource { id: crate::ResourceId::systemd(), reason: Reason::ReloadPending, message }
}

/// Something of a unit of ours is on disk. Its environment is that of the drop-in where an entry has `name` as somebody else's unit.
fn is_written(world: &World<'_>, name: &str, unit: &ObservedUnit) -> bool {
    let has_drop_in = |spec: &UnitSpec| {
        spec.unit == name
            && spec.own.is_none()
            && spec.management != Management::Observe
            && !spec.environment.is_empty()
    };
    let is_of_drop_in = || world.desired.units.values().any(has_drop_in);
    unit.own.unit_file.is_some() || (unit.own.environment.is_some() && !is_of_drop_in())
}

/// It runs, and somebody has removed the file that it was started from.
fn runs_without_file(unit: &ObservedUnit) -> bool {
    let is_nobodys = unit.fragment.is_empty() || unit.fragment == unit.own.unit_path;
    unit.own.unit_file.is_none() && is_nobodys && unit.active.is_alive()
}

/// Whether nothing of ours is left of the unit `name`.
pub(super) fn is_removed(world: &World<'_>, name: &str) -> bool {
    world.observed.units.get(name).is_some_and(|unit| {
        !is_written(world, name, unit) && !runs_without_file(unit) && !systemd::is_unread(world, name)
    })
}
