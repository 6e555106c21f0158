//! Units whose file is ours, and their timers.

use aiplat_core::{
    action::{Action, UnitVerb},
    observed::{ActiveState, LoadState, ObservedUnit},
    spec::UnitSpec,
};

use super::{Asking, DONE, FAILS, Host, SERVES, SERVES_TOO, wanted_own};

fn own(unit: &str, command: &str) -> UnitSpec {
    let words: Vec<&str> = command.split(' ').collect();
    wanted_own(unit, &words, None, &[("A", "a \"b\" $c")])
}

pub(super) async fn whole_life(host: &dyn Host) {
    let (ask, unit) = (Asking(host.units()), host.name("ours"));
    // A look before it is there must not make it missing for good.
    assert_eq!(ask.look(&unit).await.load, LoadState::NotFound);
    ask.write_own(&own(&unit, SERVES)).await;
    let new = ask.look(&unit).await;
    assert_eq!(
        (&new.load, new.needs_reload, new.file_state.as_str()),
        (&LoadState::Loaded, false, "disabled")
    );
    assert_eq!(new.fragment, new.own.unit_path);
    assert_eq!(new.environment_files, [new.own.environment_path.as_str()]);
    let first = ask.started(&unit).await;
    assert_eq!(first.effective.as_ref().and_then(|it| it.get("A")).map(String::as_str), Some("a \"b\" $c"));

    ask.write_own(&own(&unit, SERVES_TOO)).await;
    let edited = ask.look(&unit).await;
    assert_eq!((edited.needs_reload, &edited.invocation), (true, &first.invocation));
    assert_ne!(edited.fragment_stamp, first.fragment_stamp);
    ask.reload().await;
    let read = ask.look(&unit).await;
    assert_eq!((read.needs_reload, &read.invocation), (false, &first.invocation));

    ask.stopped(&unit).await;
    for _ in 0..2 {
        ask.apply(&Action::RemoveUnit { unit: unit.clone() }).await;
        let removed = ask.look(&unit).await;
        assert_eq!((removed.own.unit_file, removed.own.environment), (None, None));
        assert!(removed.needs_reload);
    }
    ask.reload().await;
    let gone = ask.look(&unit).await;
    assert_eq!((gone.load, gone.needs_reload, gone.fragment.as_str()), (LoadState::NotFound, false, ""));
}

pub(super) async fn idempotence(host: &dyn Host) {
    let (ask, unit) = (Asking(host.units()), host.name("ours-twice"));
    ask.write_own(&own(&unit, SERVES)).await;
    ask.tell(UnitVerb::Enable, &unit).await;
    let before = ask.started(&unit).await;
    assert_eq!((before.file_state.as_str(), before.needs_reload), ("enabled", false));
    ask.write_own(&own(&unit, SERVES)).await;
    let after = ask.look(&unit).await;
    assert_eq!(ObservedUnit { as_of: before.as_of, ..after }, before);
    ask.write_own(&own(&unit, SERVES_TOO)).await;
    ask.reload().await;
    assert_eq!(ask.look(&unit).await.file_state, "enabled", "it is, whatever its file says");
    ask.tell(UnitVerb::Disable, &unit).await;
    assert_eq!(ask.look(&unit).await.file_state, "disabled");
    ask.stopped(&unit).await;
    ask.apply(&Action::RemoveUnit { unit }).await;
    ask.reload().await;
}

pub(super) async fn timer(host: &dyn Host) {
    const OFTEN: &str = "*:*:0/2";
    let ask = Asking(host.units());
    let unit = host.name("job");
    let timed = |command: &str| {
        let words: Vec<&str> = command.split(' ').collect();
        wanted_own(&unit, &words, Some(OFTEN), &[])
    };
    let spec = timed(DONE);
    let timer = spec.main().to_owned();
    ask.write_own(&spec).await;
    assert_eq!(
        (ask.look(&unit).await.file_state.as_str(), ask.look(&timer).await.file_state.as_str()),
        ("static", "disabled")
    );
    let waits = ask.started(&timer).await;
    assert!(waits.invocation.is_some() && waits.next_wall_ms.is_some(), "{waits:?}");
    assert_eq!((waits.sub.as_str(), waits.main_pid), ("waiting", 0));
    host.time_comes(&timer);
    let has_run = |seen: &ObservedUnit| seen.invocation.is_some() && seen.active == ActiveState::Inactive;
    let done = ask.until(&unit, "it has run", has_run).await;
    assert_eq!((done.result.as_str(), done.exit_status, done.killed), ("success", 0, false));
    let fired = ask.look(&timer).await;
    assert!(fired.last_wall_ms.is_some(), "{fired:?}");
    assert_eq!((&fired.active, &fired.invocation), (&ActiveState::Active, &waits.invocation));

    ask.write_own(&timed(FAILS)).await;
    ask.reload().await;
    assert_eq!(ask.look(&timer).await.invocation, waits.invocation, "it is the same run of the timer");
    host.time_comes(&timer);
    let failed = ask.until(&unit, "a run has failed", |seen| seen.active == ActiveState::Failed).await;
    assert_eq!((failed.result.as_str(), failed.exit_status), ("exit-code", 2));
    assert_eq!(ask.look(&timer).await.active, ActiveState::Active, "it fires again");
    let stopped = ask.stopped(&timer).await;
    assert_eq!((stopped.result.as_str(), stopped.next_wall_ms), ("success", None));
    ask.settled(&unit).await;
    ask.tell(UnitVerb::ResetFailed, &unit).await;
    for name in [&timer, &unit] {
        ask.apply(&Action::RemoveUnit { unit: name.clone() }).await;
    }
    ask.reload().await;
}
