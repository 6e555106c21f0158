//! What we write for a unit of somebody else's: when it is in force, and what is left when it goes.

use aiplat_core::{
    action::{Action, UnitVerb},
    observed::{ActiveState, ObservedUnit},
};

use super::{Asking, Host, SERVES, packaged, service};

/// A value in which everything is written that a file of systemd's reads in another way.
const ODD: &str = "a \"b\" $HOME `c` \\ d";

/// A unit of a package that runs with our drop-in, and A=1.
async fn configured<'a>(host: &'a dyn Host, name: &str) -> (Asking<'a>, String, ObservedUnit) {
    let (ask, unit) = packaged(host, name, &service(SERVES, "")).await;
    ask.apply(&ask.files(&unit, &[("A", "1")]).await).await;
    ask.reload().await;
    let seen = ask.started(&unit).await;
    (ask, unit, seen)
}

fn value<'a>(seen: &'a ObservedUnit, name: &str) -> Option<&'a str> {
    seen.effective.as_ref()?.get(name).map(String::as_str)
}

pub(super) async fn in_force(host: &dyn Host) {
    let (ask, unit) = packaged(host, "configured", &service(SERVES, "")).await;
    let bare = ask.look(&unit).await;
    assert_eq!((bare.own.drop_in, bare.own.environment, bare.own.loaded), (None, None, false));
    let files = ask.files(&unit, &[("A", "1"), ("ODD", ODD)]).await;
    ask.apply(&files).await;
    let written = ask.look(&unit).await;
    // systemd has not seen the folder: it does not know that it has something to read.
    assert_eq!((written.own.loaded, written.needs_reload), (false, false));
    let Action::WriteUnitFiles(files) = files else { panic!("{files}") };
    assert_eq!(
        (written.own.drop_in, written.own.environment),
        (Some(files.drop_in), Some(files.environment))
    );
    let run = ask.started(&unit).await;
    assert_eq!(value(&run, "A"), None, "it was not read");
    ask.reload().await;
    let read = ask.look(&unit).await;
    assert_eq!((read.own.loaded, read.needs_reload, &read.invocation), (true, false, &run.invocation));
    assert_eq!(read.drop_ins, [read.own.drop_in_path.as_str()]);
    assert_eq!(read.environment_files, [read.own.environment_path.as_str()]);
    assert_eq!(value(&read, "A"), None, "it was not started since");
    ask.tell(UnitVerb::Restart, &unit).await;
    let second = ask.until(&unit, "another run", |seen| seen.invocation != run.invocation).await;
    assert_eq!((value(&second, "A"), value(&second, "ODD")), (Some("1"), Some(ODD)));
    ask.stopped(&unit).await;
}

pub(super) async fn another_value(host: &dyn Host) {
    let (ask, unit, first) = configured(host, "edited").await;
    assert_eq!(value(&first, "A"), Some("1"));
    ask.apply(&ask.files(&unit, &[("A", "2")]).await).await;
    let written = ask.look(&unit).await;
    assert_eq!((written.needs_reload, written.own.loaded), (false, true));
    assert_eq!((value(&written, "A"), &written.invocation), (Some("1"), &first.invocation));
    ask.reload().await;
    assert_eq!(value(&ask.look(&unit).await, "A"), Some("1"), "a reload changes nothing of what runs");
    ask.tell(UnitVerb::Restart, &unit).await;
    let second = ask.until(&unit, "another run", |seen| seen.invocation != first.invocation).await;
    assert_eq!(value(&second, "A"), Some("2"));
    ask.stopped(&unit).await;
}

pub(super) async fn idempotence(host: &dyn Host) {
    let (ask, unit, before) = configured(host, "twice").await;
    ask.apply(&ask.files(&unit, &[("A", "1")]).await).await;
    let after = ask.look(&unit).await;
    assert_eq!(ObservedUnit { as_of: before.as_of, ..after }, before);
    ask.stopped(&unit).await;
}

pub(super) async fn another_drop_in(host: &dyn Host) {
    let (ask, unit, run) = configured(host, "renamed").await;
    let mut files = ask.files(&unit, &[("A", "1")]).await;
    if let Action::WriteUnitFiles(files) = &mut files {
        files.drop_in.push_str("# Another service of platform.yaml has it now.\n");
    }
    ask.apply(&files).await;
    let written = ask.look(&unit).await;
    assert_eq!((written.own.loaded, written.needs_reload), (true, true));
    ask.reload().await;
    let read = ask.look(&unit).await;
    assert_eq!((read.own.loaded, read.needs_reload, &read.invocation), (true, false, &run.invocation));
    ask.stopped(&unit).await;
}

pub(super) async fn removal(host: &dyn Host) {
    let (ask, unit, run) = configured(host, "left").await;
    let remove = Action::RemoveUnitFiles { unit: unit.clone() };
    for _ in 0..2 {
        ask.apply(&remove).await;
        let removed = ask.look(&unit).await;
        assert_eq!((removed.own.drop_in, removed.own.environment), (None, None));
        assert_eq!((removed.own.loaded, removed.needs_reload), (true, true), "systemd has it still");
    }
    ask.reload().await;
    let left = ask.look(&unit).await;
    assert_eq!((left.own.loaded, left.needs_reload), (false, false));
    assert_eq!((left.drop_ins.as_slice(), left.environment_files.as_slice()), (&[][..], &[][..]));
    assert_eq!((&left.active, &left.invocation), (&ActiveState::Active, &run.invocation));
    assert_eq!(value(&left, "A"), Some("1"), "it runs on as it was started");
    ask.tell(UnitVerb::Restart, &unit).await;
    let bare = ask.until(&unit, "another run", |seen| seen.invocation != run.invocation).await;
    assert_eq!(value(&bare, "A"), None);
    ask.stopped(&unit).await;
}
