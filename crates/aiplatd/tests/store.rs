//! The ledger on disk: durable, ours alone, and never the reason why nothing works.

use std::{collections::BTreeMap, fs, path::Path};

use aiplat_api::v1::{Event, EventType};
use aiplat_core::{
    ResourceId, Timestamp,
    ledger::{Record, Restart},
};
use aiplatd::{
    ports::{Batch, KeptEvent, Revision, SpecFiles, StateStore, Stored},
    store::{OpenError, RedbStore, StateFolder},
};

fn record(total: u32) -> Record {
    let mut record = Record::default();
    record.restarts.total = total;
    record.restarts.recent.push(Restart {
        of: None,
        at: Timestamp::ZERO,
        ran: std::time::Duration::ZERO,
        ending: "exit 1".to_owned(),
        class: aiplat_core::classify::FailureClass::ConfigInvalid,
    });
    record
}

fn event(number: u64) -> KeptEvent {
    let event = Event {
        number,
        time: "2026-11-21T10:00:00.000Z".to_owned(),
        kind: EventType::Warning,
        reason: "DEPLOY_FAIL".to_owned(),
        resource: "container/x".to_owned(),
        message: "exit 1".to_owned(),
        count: 2,
    };
    KeptEvent { wall_ms: 1, event }
}

fn batch(total: u32) -> Batch {
    let files = BTreeMap::from([("/etc/aiplatd/platform.yaml".into(), Some(b"name: x\n".to_vec()))]);
    Batch {
        records: BTreeMap::from([(ResourceId::container("x"), Some(record(total)))]),
        last_good: Some(SpecFiles { generation: 7, awaits_confirmation: false, files: files.clone() }),
        history: Some(vec![Revision { number: 7, files, ..Revision::default() }]),
        events: BTreeMap::from([(5, None), (6, Some(event(6))), (7, Some(event(7)))]),
    }
}

async fn reopened(folder: &Path, boot: &str) -> Stored {
    RedbStore::open(folder, boot.to_owned()).load().await.expect("a ledger can always be loaded")
}

/// Writes, and lets the store's thread end, so that the file is closed.
async fn written(folder: &Path, total: u32) {
    let store = RedbStore::open(folder, "boot-1".to_owned());
    store.load().await.expect("an empty folder is an empty ledger");
    store.commit(batch(total)).await.expect("the folder can be written");
}

fn total(stored: &Stored) -> Option<u32> {
    Some(stored.ledger.get(&ResourceId::container("x"))?.restarts.total)
}

/// redb holds its file until the thread has seen its channel close.
async fn closed(folder: &Path) {
    let path = folder.join("ledger.redb");
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while redb::Database::open(&path)
        .is_err_and(|error| matches!(error, redb::DatabaseError::DatabaseAlreadyOpen))
    {
        assert!(tokio::time::Instant::now() < deadline, "the store's thread did not end");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    written(folder.path(), 3).await;
    closed(folder.path()).await;
    let stored = reopened(folder.path(), "boot-1").await;
    assert_eq!(total(&stored), Some(3));
    assert_eq!(stored.last_good.map(|files| files.generation), Some(7));
    assert_eq!(stored.history.iter().map(|it| it.number).collect::<Vec<_>>(), [7]);
    assert!(stored.history[0].files.values().flatten().any(|text| text == b"name: x\n"));
    assert_eq!(stored.events, [event(6), event(7)]);
    assert_eq!(stored.lost, None);
}

#[tokio::test]
async fn times_of_another_boot_are_forgotten_and_counts_are_not() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    written(folder.path(), 3).await;
    closed(folder.path()).await;
    let stored = reopened(folder.path(), "boot-2").await;
    assert_eq!(total(&stored), Some(3));
    let record = stored.ledger.get(&ResourceId::container("x")).expect("the record is there");
    assert!(record.restarts.recent.is_empty());
}

#[tokio::test]
async fn a_damaged_ledger_is_put_aside_and_the_snapshot_takes_its_place() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    written(folder.path(), 3).await;
    closed(folder.path()).await;
    // A start takes the snapshot of what it found good.
    drop(reopened(folder.path(), "boot-1").await);
    closed(folder.path()).await;
    fs::write(folder.path().join("ledger.redb"), b"not a database").expect("the ledger can be damaged");
    let stored = reopened(folder.path(), "boot-1").await;
    assert_eq!(total(&stored), Some(3), "the snapshot was not used");
    assert!(stored.lost.as_deref().is_some_and(|why| why.contains("previous snapshot")), "{:?}", stored.lost);
    assert_eq!(fs::read(folder.path().join("ledger.redb.damaged")).expect("it is kept"), b"not a database");
}

#[tokio::test]
async fn a_damaged_ledger_without_a_snapshot_starts_anew() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("ledger.redb"), b"").expect("the file can be written");
    fs::write(folder.path().join("ledger.redb"), vec![7_u8; 5_000]).expect("the file can be written");
    let stored = reopened(folder.path(), "boot-1").await;
    assert_eq!(total(&stored), None);
    assert!(stored.lost.is_some());
}

#[test]
fn two_daemons_never_share_a_state_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let first = StateFolder::take(folder.path()).expect("it is free");
    let second = StateFolder::take(folder.path());
    assert!(matches!(second, Err(OpenError::Taken(_))), "{second:?}");
    drop(first);
    StateFolder::take(folder.path()).expect("it is free again");
}

#[test]
fn the_instance_id_is_made_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let taken = StateFolder::take(folder.path()).expect("it is free");
    let id = taken.instance_id().expect("it can be made");
    assert_eq!(id.0.len(), 16);
    assert_eq!(taken.instance_id().expect("it can be read"), id);
}

#[test]
fn what_a_kill_left_in_the_middle_of_a_write_is_removed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join(".tmpAbCdEf"), b"half").expect("the file can be written");
    let _taken = StateFolder::take(folder.path()).expect("it is free");
    assert!(!folder.path().join(".tmpAbCdEf").exists());
}
