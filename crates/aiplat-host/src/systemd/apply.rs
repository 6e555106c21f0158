//! One action on units, their files, or systemd itself.

use aiplat_core::{
    action::{Action, UnitVerb},
    condition::{ErrorClass, Reason},
};

use super::{
    Systemd,
    bus::{CALL_DEADLINE, CallError, RELOAD_DEADLINE, within},
    errors::{self, Effect},
    files, names,
};
use crate::port::{HostError, HostErrorKind};

/// A job that stands in the way is replaced, as `systemctl` does it.
const MODE: &str = "replace";

/// What came of a call that succeeded.
enum Done {
    Yes,
    /// The unit's file does not say when it starts.
    NothingToEnable,
}

impl Systemd {
    pub(super) async fn act(&self, action: &Action) -> Result<(), HostError> {
        match action {
            Action::WriteUnitFiles(wanted) => {
                names::check(&wanted.unit, "write the drop-in of")?;
                let paths = files::Paths::of(&self.options, &wanted.unit);
                files::write(paths, wanted.as_ref().clone()).await
            }
            Action::RemoveUnitFiles { unit } => {
                names::check(unit, "remove the drop-in of")?;
                files::remove(files::Paths::of(&self.options, unit)).await
            }
            Action::WriteUnit(file) => {
                names::check(&file.unit, "write the file of")?;
                files::write_unit(files::Paths::of(&self.options, &file.unit), file.as_ref().clone()).await
            }
            Action::RemoveUnit { unit } => {
                names::check(unit, "remove the file of")?;
                files::remove_unit(files::Paths::of(&self.options, unit)).await
            }
            Action::ReloadSystemd => self
                .reload()
                .await
                .map_err(|error| errors::host_error("reload systemd (daemon-reload)", Effect::Write, &error)),
            Action::Unit { unit, verb } => self.tell(unit, *verb).await,
            Action::CreateNetwork { .. }
            | Action::RemoveNetwork { .. }
            | Action::CreateVolume { .. }
            | Action::PullImage { .. }
            | Action::PullModel(_)
            | Action::CreateContainer(_)
            | Action::StartContainer { .. }
            | Action::StopContainer { .. }
            | Action::UnpauseContainer { .. }
            | Action::RemoveContainer { .. }
            | Action::RenameContainer { .. }
            | Action::Connect { .. }
            | Action::Disconnect { .. }
            | Action::HandBack { .. }
            | Action::WriteFile(_)
            | Action::RemoveFile { .. }
            | Action::UpdateLimits { .. } => Err(HostError::misdirected(action, "systemd")),
        }
    }

    async fn reload(&self) -> Result<(), CallError> {
        let manager = self.bus.manager().await?;
        within(RELOAD_DEADLINE, manager.reload()).await
    }

    async fn tell(&self, unit: &str, verb: UnitVerb) -> Result<(), HostError> {
        let doing = format!("{} {unit}", verb.as_str());
        names::check(unit, verb.as_str())?;
        match self.call(unit, verb).await {
            Ok(Done::Yes) => Ok(()),
            Ok(Done::NothingToEnable) => Err(HostError::new(
                HostErrorKind::Refused,
                ErrorClass::Rejected,
                Reason::ActionRejected,
                format!(
                    "cannot {doing}: its file has no `[Install]` section, so that nothing starts it with the machine; aiplatd does"
                ),
            )),
            // What is not loaded neither runs nor has failed.
            Err(error)
                if errors::is(&error, "NoSuchUnit")
                    && matches!(verb, UnitVerb::Stop | UnitVerb::ResetFailed) =>
            {
                Ok(())
            }
            Err(error) => Err(errors::host_error(&doing, Effect::Write, &error)),
        }
    }

    /// A queued job is a success: what comes of it is read from the unit.
    async fn call(&self, unit: &str, verb: UnitVerb) -> Result<Done, CallError> {
        let manager = self.bus.manager().await?;
        match verb {
            UnitVerb::Start => within(CALL_DEADLINE, manager.start_unit(unit, MODE)).await.map(drop)?,
            UnitVerb::Stop => within(CALL_DEADLINE, manager.stop_unit(unit, MODE)).await.map(drop)?,
            UnitVerb::Restart => within(CALL_DEADLINE, manager.restart_unit(unit, MODE)).await.map(drop)?,
            UnitVerb::ResetFailed => within(CALL_DEADLINE, manager.reset_failed_unit(unit)).await?,
            UnitVerb::Unmask => {
                // In /etc, and until the next boot in /run: whichever it is, it is taken away.
                for runtime in [false, true] {
                    within(CALL_DEADLINE, manager.unmask_unit_files(&[unit], runtime)).await?;
                }
            }
            UnitVerb::Disable => {
                within(CALL_DEADLINE, manager.disable_unit_files(&[unit], false)).await?;
            }
            UnitVerb::Enable => {
                let units = [unit];
                let enabled = manager.enable_unit_files(&units, false, false);
                let (has_install, _changes) = within(CALL_DEADLINE, enabled).await?;
                if !has_install {
                    return Ok(Done::NothingToEnable);
                }
            }
        }
        Ok(Done::Yes)
    }
}
