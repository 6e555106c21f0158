//! What the daemon does to a simulated systemd.

use aiplat_core::{
    action::{Action, UnitVerb},
    condition::{ErrorClass, Reason},
    observed::{ActiveState, LoadState},
};
use aiplat_host::{HostError, HostErrorKind};

use super::{Inner, Systemd, files, jobs::Limit, own};

pub(super) fn away(reason: &str) -> HostError {
    let message = reason.to_owned();
    HostError::new(HostErrorKind::Unreachable, ErrorClass::Transient, Reason::SystemdUnreachable, message)
}

fn refused(reason: Reason, message: String) -> HostError {
    HostError::new(HostErrorKind::Refused, ErrorClass::Rejected, reason, message)
}

/// What follows a call.
enum After {
    Nothing,
    Relist,
    Job(&'static str),
}

impl Systemd {
    /// Does `action`; a job is queued, and has its effect in its own time.
    pub(crate) fn change(&self, action: &Action) -> Result<(), HostError> {
        let mut inner = self.lock();
        if let Some(reason) = &inner.away {
            return Err(away(reason));
        }
        inner.calls.push(action.to_string());
        if let Action::Unit { unit, verb } = action {
            let after = inner.tell(unit, *verb)?;
            drop(inner);
            match after {
                After::Nothing => {}
                After::Relist => self.relist(),
                After::Job(job) => self.queue(unit, job),
            }
            return Ok(());
        }
        if *action == Action::ReloadSystemd {
            inner.reloads += 1;
            inner.reload();
            self.relist();
        } else if !inner.write(action) {
            return Err(HostError::misdirected(action, "systemd"));
        }
        Ok(())
    }
}

impl Inner {
    /// Files come and go, and systemd is not told; false for another action.
    fn write(&mut self, action: &Action) -> bool {
        if let Action::WriteUnitFiles(files) = action {
            let unit = self.entry(&files.unit);
            own::write_drop_in(unit, Some(&files.drop_in));
            unit.seen.own.environment = Some(files.environment.clone());
        } else if let Action::RemoveUnitFiles { unit: name } = action {
            let unit = self.entry(name);
            own::write_drop_in(unit, None);
            unit.seen.own.environment = None;
        } else if let Action::WriteUnit(file) = action {
            let unit = self.entry(&file.unit);
            own::write(unit, Some(&file.text));
            unit.seen.own.environment.clone_from(&file.environment);
        } else if let Action::RemoveUnit { unit: name } = action {
            let unit = self.entry(name);
            own::write(unit, None);
            unit.seen.own.environment = None;
        } else {
            return false;
        }
        true
    }

    fn tell(&mut self, name: &str, verb: UnitVerb) -> Result<After, HostError> {
        let absent = files::absent(name);
        let unit = self.loaded(name);
        let seen = unit.as_ref().map_or(&absent, |unit| &unit.seen);
        let is_missing = seen.load == LoadState::NotFound;
        let not_found = || refused(Reason::UnitNotFound, format!("Unit {name} not found."));
        match verb {
            UnitVerb::Start | UnitVerb::Restart => {
                match &seen.load {
                    LoadState::Loaded | LoadState::Other(_) => {}
                    LoadState::NotFound => return Err(not_found()),
                    LoadState::Masked => {
                        return Err(refused(Reason::UnitMasked, format!("Unit {name} is masked.")));
                    }
                    LoadState::BadSetting | LoadState::Error => {
                        let message = format!("Unit {name} has a bad unit file setting.");
                        return Err(refused(Reason::UnitInvalid, message));
                    }
                }
                return Ok(After::Job(verb.as_str()));
            }
            UnitVerb::Stop => {
                let is_good = matches!(seen.load, LoadState::Loaded | LoadState::Masked);
                let is_known = is_good || seen.active != ActiveState::Inactive;
                return Ok(if is_known { After::Job(verb.as_str()) } else { After::Nothing });
            }
            UnitVerb::ResetFailed | UnitVerb::Unmask | UnitVerb::Enable | UnitVerb::Disable => {}
        }
        let is_static = seen.file_state == "static";
        let Some(unit) = unit else {
            return if verb == UnitVerb::Enable { Err(not_found()) } else { Ok(After::Nothing) };
        };
        if verb == UnitVerb::ResetFailed {
            if unit.seen.active == ActiveState::Failed {
                unit.seen.active = ActiveState::Inactive;
                unit.seen.sub = "dead".to_owned();
            }
            unit.seen.result = "success".to_owned();
            (unit.seen.restarts, unit.seen.given_up) = (0, false);
            unit.seen.tail.clear();
            unit.inside.limit = Limit::default();
            return Ok(After::Nothing);
        }
        if verb == UnitVerb::Unmask {
            unit.unmask();
            return Ok(After::Relist);
        }
        if is_missing {
            return Err(not_found());
        }
        if verb == UnitVerb::Enable && is_static {
            return Err(refused(Reason::ActionRejected, format!("{name} has no [Install] section")));
        }
        let word = if verb == UnitVerb::Enable { "enabled" } else { "disabled" };
        if !is_static {
            unit.seen.file_state = word.to_owned();
        }
        Ok(After::Relist)
    }
}
