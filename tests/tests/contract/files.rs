//! The contract of the files that aiplatd writes, on the model and on this machine's disk; and what only a disk has.

use std::{fs, os::unix::fs::MetadataExt, sync::Arc};

use aiplat_core::{
    ResourceId,
    action::{Action, WriteFile},
    condition::ErrorClass,
    observed::ObservedFile,
    spec::{Content, FileSpec},
};
use aiplat_host::{FileHost, HostError, files::Disk};
use aiplat_tests::{
    build::{config_path, instance},
    contract::files::{Place, holds},
    lab::simulate,
    scene::START,
    sim::{Engine, SimHost},
};
use tokio_util::sync::CancellationToken;

#[test]
fn the_model_keeps_it() {
    simulate(async {
        let host = SimHost::new(Engine { now: START, ..Engine::default() }, instance(), 1);
        let files: Arc<dyn FileHost> = host.files(CancellationToken::new());
        let by_hand = |path: &str, bytes: &[u8]| host.by_hand(|engine| engine.put_file(path, bytes));
        holds(&Place { files: &*files, path: config_path("app"), by_hand: &by_hand }).await;
    });
}

#[tokio::test]
async fn the_disk_keeps_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("configs/app");
    let by_hand = |path: &str, bytes: &[u8]| {
        fs::remove_file(path).expect("it is there");
        fs::write(path, bytes).expect("it can be written");
    };
    holds(&Place { files: &Disk, path: path.display().to_string(), by_hand: &by_hand }).await;
    let left: Vec<_> = fs::read_dir(folder.path().join("configs")).expect("it is there").collect();
    assert!(left.is_empty(), "nothing is left over: {left:?}");
    let meta = fs::metadata(folder.path().join("configs")).expect("it is there");
    assert_eq!(meta.mode() & 0o777, 0o700, "nobody else looks into it");
}

async fn write(path: &std::path::Path, text: &str) -> Result<(), HostError> {
    let spec = FileSpec {
        config: "app".to_owned(),
        path: path.display().to_string(),
        content: Content::new(text.as_bytes()),
        mode: 0o444,
        uid: None,
        gid: None,
    };
    let action = Action::WriteFile(Box::new(WriteFile { spec, over: None }));
    Disk.apply(&ResourceId::file("app"), &action).await
}

#[tokio::test]
async fn a_link_is_neither_followed_nor_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let (target, link) = (folder.path().join("target"), folder.path().join("link"));
    fs::write(&target, "somebody's").expect("written");
    std::os::unix::fs::symlink(&target, &link).expect("linked");
    let seen = Disk.observe(&link.display().to_string()).await.expect("it can be looked at");
    assert_eq!(seen, ObservedFile::Obstructed { what: "a symbolic link".to_owned() });
    let error = write(&link, "ours").await.expect_err("it is in the way");
    assert_eq!(error.class, ErrorClass::Changed, "{error}");
    assert_eq!(fs::read_to_string(&target).expect("it is there"), "somebody's");
    assert!(link.is_symlink());
    fs::create_dir(folder.path().join("made")).expect("made");
    let seen =
        Disk.observe(&folder.path().join("made").display().to_string()).await.expect("it can be looked at");
    assert_eq!(seen, ObservedFile::Obstructed { what: "a folder".to_owned() });
}

#[tokio::test]
async fn who_has_the_old_file_open_goes_on_reading_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app");
    write(&path, "old").await.expect("written");
    let before = fs::metadata(&path).expect("it is there").ino();
    let old = fs::File::open(&path).expect("it can be read");
    let spec = FileSpec {
        config: "app".to_owned(),
        path: path.display().to_string(),
        content: Content::new(&b"new"[..]),
        mode: 0o444,
        uid: None,
        gid: None,
    };
    let over = Some(Content::new(&b"old"[..]).hash().clone());
    let action = Action::WriteFile(Box::new(WriteFile { spec, over }));
    Disk.apply(&ResourceId::file("app"), &action).await.expect("written");
    assert_ne!(fs::metadata(&path).expect("it is there").ino(), before, "renamed over, not written into");
    assert_eq!(std::io::read_to_string(old).expect("it can be read"), "old");
}
