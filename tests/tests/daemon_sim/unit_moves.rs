//! A unit that goes from one entry of the file to another.

use std::time::Duration;

use aiplat_core::ResourceId;
use aiplat_tests::{
    build::{UnitService, sketch, unit},
    lab::{Lab, simulate},
    sim::systemd::packaged,
};

const ENOUGH: Duration = Duration::from_secs(10);

/// `before` converges, then `after` does in few steps, and nobody is stopped.
async fn moves(before: &[UnitService], after: &[UnitService]) -> Lab {
    let mut lab = Lab::new(&sketch([]).with_units(before.iter().cloned()), 1);
    for name in ["one-package.service", "two-package.service"] {
        lab.systemd.package(name, Some(&packaged(1)));
    }
    lab.boot();
    lab.pass(ENOUGH).await;
    lab.converged_within(ENOUGH).await;
    let calls = lab.systemd.calls().len();
    lab.write(&sketch([]).with_units(after.iter().cloned()));
    lab.confirm().await;
    lab.pass(Duration::from_secs(90)).await;
    lab.converged_within(ENOUGH).await;
    let calls = lab.systemd.calls().split_off(calls);
    assert!(calls.iter().all(|call| !call.starts_with("stop ")), "{calls:?}");
    assert!(calls.len() <= 6, "{calls:?}");
    let state = lab.shared().lock();
    for service in before {
        let id = ResourceId::unit(&service.name);
        let record = state.ledger.get(&id).map(|record| record.unit.clone()).unwrap_or_default();
        let unit = after.iter().find(|it| it.name == service.name).map(UnitService::unit);
        let mine = record.files_of.iter().chain(record.owned.keys());
        let others: Vec<&String> = mine.filter(|name| unit.as_ref() != Some(*name)).collect();
        assert!(others.is_empty(), "{id} has let go of {others:?}");
    }
    drop(state);
    lab
}

#[test]
fn an_entry_with_another_name_keeps_its_unit_and_what_is_ours_of_it() {
    simulate(async {
        for (version, own, timer) in [(1, None, false), (1, Some(1), false), (1, Some(1), true)] {
            let of =
                |name: &str| UnitService { version, own, timer, unit_of: "one".to_owned(), ..unit(name) };
            let lab = moves(&[of("one")], &[of("two")]).await;
            // When it leaves in its turn, it takes everything along.
            lab.write(&sketch([]));
            lab.confirm().await;
            lab.pass(ENOUGH).await;
            lab.converged_within(ENOUGH).await;
        }
    });
}

#[test]
fn two_entries_swap_their_units() {
    simulate(async {
        for own in [None, Some(1)] {
            for without in [false, true] {
                let of = |name: &str, unit_of: &str, version| UnitService {
                    version,
                    own,
                    unit_of: unit_of.to_owned(),
                    ..unit(name)
                };
                let before = [of("one", "one", 1), of("two", "two", 2)];
                let after = [of("one", "two", 1), of("two", "one", if without { 0 } else { 2 })];
                drop(moves(&before, &after).await);
            }
        }
    });
}

#[test]
fn a_drop_in_that_somebody_has_changed_and_let_systemd_read_is_read_again() {
    simulate(async {
        let lab = moves(&[unit("one")], &[UnitService { version: 2, ..unit("one") }]).await;
        let name = "one-package.service";
        lab.systemd.drop_in_by_hand(name, Some("[Service]\nEnvironment=VERSION=5\n"));
        lab.systemd.reload_by_hand();
        lab.systemd.restart_by_hand(name);
        lab.pass(ENOUGH).await;
        lab.converged_within(ENOUGH).await;
        let version = lab.systemd.unit(name).effective.and_then(|it| it.get("VERSION").cloned());
        assert_eq!(version.as_deref(), Some("2"), "{}", lab.story());
        let reloads = lab.systemd.reloads();
        lab.pass(Duration::from_secs(300)).await;
        assert_eq!(lab.systemd.reloads(), reloads);
    });
}
