//! What comes of reading a unit's file: missing, masked, enabled, broken, written anew.

use aiplat_core::{
    action::UnitVerb,
    condition::Reason,
    observed::{ActiveState, LoadState, ObservedUnit},
};

use super::{Asking, FAILS, Hand, Host, SERVES, SERVES_TOO, packaged, service};

fn is_loaded(seen: &ObservedUnit) -> bool {
    seen.load == LoadState::Loaded
}

fn is_masked(seen: &ObservedUnit) -> bool {
    seen.load == LoadState::Masked
}

pub(super) async fn absent(host: &dyn Host) {
    let (ask, unit) = (Asking(host.units()), host.name("absent"));
    let seen = ask.look(&unit).await;
    assert_eq!((seen.load, seen.load_error), (LoadState::NotFound, format!("Unit {unit} not found.")));
    assert_eq!((seen.active, seen.invocation, seen.needs_reload), (ActiveState::Inactive, None, false));
    for verb in [UnitVerb::Start, UnitVerb::Restart, UnitVerb::Enable] {
        ask.is_refused(verb, &unit, Reason::UnitNotFound).await;
    }
    // What is not there neither runs nor has failed.
    for verb in [UnitVerb::Stop, UnitVerb::ResetFailed, UnitVerb::Unmask] {
        ask.tell(verb, &unit).await;
    }
    assert_eq!(ask.look(&unit).await.load, LoadState::NotFound);
    host.package(&unit, Some(&service(SERVES, "")));
    let there = ask.until(&unit, "there, without a reload", is_loaded).await;
    assert_eq!((there.active, there.invocation, there.needs_reload), (ActiveState::Inactive, None, false));
    assert_eq!((there.load_error.as_str(), there.result.as_str()), ("", "success"));
    ask.started(&unit).await;
    ask.stopped(&unit).await;
}

pub(super) async fn mask(host: &dyn Host) {
    let (ask, unit) = packaged(host, "masked", &service(SERVES, "")).await;
    host.systemctl(Hand::Mask, &unit);
    let masked = ask.until(&unit, "masked", is_masked).await;
    assert_eq!((masked.file_state.as_str(), &masked.active), ("masked", &ActiveState::Inactive));
    for verb in [UnitVerb::Start, UnitVerb::Restart] {
        ask.is_refused(verb, &unit, Reason::UnitMasked).await;
    }
    ask.tell(UnitVerb::Stop, &unit).await;
    ask.tell(UnitVerb::Unmask, &unit).await;
    let free = ask.until(&unit, "unmasked, without a reload", is_loaded).await;
    assert_eq!(free.file_state, "static");
    ask.tell(UnitVerb::Unmask, &unit).await;
    ask.started(&unit).await;
    ask.stopped(&unit).await;
}

pub(super) async fn mask_of_what_runs(host: &dyn Host) {
    let (ask, unit) = packaged(host, "masked-runs", &service(SERVES, "")).await;
    let run = ask.started(&unit).await.invocation;
    host.systemctl(Hand::Mask, &unit);
    let masked = ask.until(&unit, "masked", is_masked).await;
    assert_eq!((&masked.active, &masked.invocation), (&ActiveState::Active, &run));
    ask.is_refused(UnitVerb::Restart, &unit, Reason::UnitMasked).await;
    ask.tell(UnitVerb::Unmask, &unit).await;
    let still = ask.look(&unit).await;
    assert_eq!((&still.load, still.file_state.as_str()), (&LoadState::Masked, "static"));
    ask.reload().await;
    let free = ask.until(&unit, "unmasked", is_loaded).await;
    assert_eq!((&free.active, &free.invocation), (&ActiveState::Active, &run));
    // By hand it is read at once, and what is stopped while it is masked is not started again.
    host.systemctl(Hand::Mask, &unit);
    ask.until(&unit, "masked", is_masked).await;
    ask.stopped(&unit).await;
    host.systemctl(Hand::Unmask, &unit);
    ask.until(&unit, "unmasked", is_loaded).await;
    ask.started(&unit).await;
    ask.stopped(&unit).await;
}

pub(super) async fn mask_of_what_failed(host: &dyn Host) {
    let (ask, unit) = packaged(host, "masked-failed", &service(FAILS, "")).await;
    ask.tell(UnitVerb::Start, &unit).await;
    ask.until(&unit, "failed", |seen| seen.active == ActiveState::Failed && seen.job.is_none()).await;
    host.systemctl(Hand::Mask, &unit);
    ask.until(&unit, "masked", is_masked).await;
    ask.tell(UnitVerb::Unmask, &unit).await;
    let still = ask.look(&unit).await;
    assert_eq!((&still.load, &still.active), (&LoadState::Masked, &ActiveState::Failed));
    assert_eq!(still.file_state, "static");
    ask.reload().await;
    ask.until(&unit, "unmasked", is_loaded).await;
    ask.tell(UnitVerb::ResetFailed, &unit).await;
}

pub(super) async fn mask_of_what_is_wanted(host: &dyn Host) {
    let text = service(SERVES, "[Install]\nWantedBy=multi-user.target\n");
    let (ask, unit) = packaged(host, "masked-wanted", &text).await;
    ask.tell(UnitVerb::Enable, &unit).await;
    ask.reload().await;
    ask.started(&unit).await;
    host.systemctl(Hand::Mask, &unit);
    ask.until(&unit, "masked", is_masked).await;
    ask.stopped(&unit).await;
    ask.tell(UnitVerb::Unmask, &unit).await;
    // A target that is up wants it: systemd keeps what it knows of it.
    let still = ask.look(&unit).await;
    assert_eq!((&still.load, &still.active), (&LoadState::Masked, &ActiveState::Inactive));
    assert_eq!(still.file_state, "enabled");
    ask.reload().await;
    ask.until(&unit, "unmasked", is_loaded).await;
    ask.tell(UnitVerb::Disable, &unit).await;
}

pub(super) async fn enabled(host: &dyn Host) {
    let text = service(SERVES, "[Install]\nWantedBy=multi-user.target\n");
    let (ask, unit) = packaged(host, "boots", &text).await;
    assert_eq!(ask.look(&unit).await.file_state, "disabled");
    ask.started(&unit).await;
    ask.stopped(&unit).await;
    for (verb, state) in [(UnitVerb::Enable, "enabled"), (UnitVerb::Disable, "disabled")] {
        for _ in 0..2 {
            ask.tell(verb, &unit).await;
            let seen = ask.look(&unit).await;
            assert_eq!((seen.file_state.as_str(), seen.needs_reload), (state, false));
        }
    }
    let (_, unit) = packaged(host, "static", &service(SERVES, "")).await;
    ask.is_refused(UnitVerb::Enable, &unit, Reason::ActionRejected).await;
    assert_eq!(ask.look(&unit).await.file_state, "static");
}

pub(super) async fn bad(host: &dyn Host) {
    let (ask, unit) = packaged(host, "bad", "[Service]\nType=simple\n").await;
    let bad = ask.look(&unit).await;
    assert_eq!(bad.load, LoadState::BadSetting);
    assert_eq!(bad.load_error, format!("Unit {unit} has a bad unit file setting."));
    for verb in [UnitVerb::Start, UnitVerb::Restart] {
        ask.is_refused(verb, &unit, Reason::UnitInvalid).await;
    }
    ask.tell(UnitVerb::Stop, &unit).await;
    host.package(&unit, Some(&service(SERVES, "")));
    ask.until(&unit, "mended, without a reload", is_loaded).await;

    let run = ask.started(&unit).await.invocation;
    host.package(&unit, Some("[Service]\nType=simple\n"));
    host.reload();
    let broken = ask.until(&unit, "broken", |seen| seen.load == LoadState::BadSetting).await;
    assert_eq!((&broken.active, &broken.invocation), (&ActiveState::Active, &run));
    ask.is_refused(UnitVerb::Restart, &unit, Reason::UnitInvalid).await;
    ask.stopped(&unit).await;
}

pub(super) async fn rewritten(host: &dyn Host) {
    let (ask, unit) = packaged(host, "rewritten", &service(SERVES, "")).await;
    let first = ask.started(&unit).await;
    host.package(&unit, Some(&service(SERVES_TOO, "")));
    let written = ask.until(&unit, "a reload is due", |seen| seen.needs_reload).await;
    assert_ne!(written.fragment_stamp, first.fragment_stamp);
    host.reload();
    let read = ask.until(&unit, "read", |seen| !seen.needs_reload).await;
    assert_eq!((&read.active, &read.invocation), (&ActiveState::Active, &first.invocation));
    ask.tell(UnitVerb::Restart, &unit).await;
    let second = ask.until(&unit, "another run", |seen| seen.invocation != first.invocation).await;

    host.package(&unit, None);
    assert!(ask.look(&unit).await.needs_reload);
    host.reload();
    let gone = ask.until(&unit, "gone", |seen| seen.load == LoadState::NotFound).await;
    assert_eq!((&gone.active, &gone.invocation), (&ActiveState::Active, &second.invocation));
    assert_eq!((gone.fragment.as_str(), gone.needs_reload), ("", false));
    ask.is_refused(UnitVerb::Restart, &unit, Reason::UnitNotFound).await;
    host.package(&unit, Some(&service(SERVES, "")));
    // systemd sees that it is there, cannot put it under what runs, and does not know that a reload would.
    let back = ask.until(&unit, "back", |seen| seen.load == LoadState::Error).await;
    assert_eq!((&back.active, &back.invocation), (&ActiveState::Active, &second.invocation));
    assert!(!back.needs_reload && !back.fragment.is_empty(), "{back:?}");
    let refused = ask.try_to(UnitVerb::Restart, &unit).await;
    assert!(refused.is_err(), "what could not be loaded is not started");
    ask.reload().await;
    let read = ask.until(&unit, "read", is_loaded).await;
    assert_eq!((&read.active, &read.invocation), (&ActiveState::Active, &second.invocation));
    host.package(&unit, None);
    host.reload();
    ask.stopped(&unit).await;
    ask.until(&unit, "forgotten", |seen| seen.invocation.is_none()).await;
}
