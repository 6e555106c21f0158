//! The file is watched through its folder: every way in which editors and tools replace a file is seen.

use std::{fs, os::unix::fs::symlink, path::Path, sync::Arc, time::Duration};

use aiplat_core::load::Files;
use aiplatd::{files::DiskSource, ports::SpecSource};

/// Watches `root` and takes the notice that a new watch gives itself.
async fn watching(root: &Path, others: &[&Path]) -> Arc<DiskSource> {
    let source = Arc::new(DiskSource::new(root.to_owned()));
    let others: Vec<_> = others.iter().map(|path| (*path).to_owned()).collect();
    source.watch(&others, &[overlays(root)]);
    source.changed().await;
    source
}

fn overlays(root: &Path) -> std::path::PathBuf {
    root.with_extension("yaml.d")
}

async fn assert_seen(source: &DiskSource, what: &str) {
    let seen = tokio::time::timeout(Duration::from_secs(10), source.changed()).await;
    assert!(seen.is_ok(), "{what} was not seen");
}

#[tokio::test]
async fn every_way_of_saving_is_seen() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().join("platform.yaml");
    fs::write(&root, "name: a\n").expect("it can be written");
    let source = watching(&root, &[]).await;

    fs::write(&root, "name: b\n").expect("it can be written");
    assert_seen(&source, "a write in place").await;

    let other = folder.path().join("new");
    fs::write(&other, "name: c\n").expect("it can be written");
    fs::rename(&other, &root).expect("it can be renamed");
    assert_seen(&source, "a rename over it").await;
    fs::write(&root, "name: d\n").expect("it can be written");
    assert_seen(&source, "a write after a rename").await;

    fs::remove_file(&root).expect("it can be removed");
    assert_seen(&source, "a removal").await;
    assert_eq!(source.read(&root), Ok(None));
    fs::write(&root, "name: e\n").expect("it can be written");
    assert_seen(&source, "its return").await;
}

#[tokio::test]
async fn reading_the_file_is_no_news() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().join("platform.yaml");
    fs::write(&root, "name: a\n").expect("it can be written");
    let source = watching(&root, &[]).await;
    for _ in 0..3 {
        source.read(&root).expect("it can be read");
    }
    // The absence of a notice can only be waited for; a slow machine cannot make this fail.
    let seen = tokio::time::timeout(Duration::from_millis(300), source.changed()).await;
    assert!(seen.is_err(), "a read was taken for a change");
}

#[tokio::test]
async fn a_neighbour_and_a_file_that_is_still_open_are_no_news() {
    use std::io::Write;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().join("platform.yaml");
    fs::write(&root, "name: a\n").expect("it can be written");
    let source = watching(&root, &[]).await;
    fs::write(folder.path().join("log"), "x\n").expect("it can be written");
    let mut open = fs::File::create(&root).expect("it can be opened");
    open.write_all(b"name: b\nserv").expect("it can be written");
    // The absence of a notice can only be waited for; a slow machine cannot make this fail.
    let seen = tokio::time::timeout(Duration::from_millis(300), source.changed()).await;
    assert!(seen.is_err(), "half a file, or another one, was taken for news");
    drop(open);
    assert_seen(&source, "the close").await;
}

#[tokio::test]
async fn a_swapped_symlink_and_its_target_are_seen() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().join("platform.yaml");
    let first = elsewhere.path().join("one.yaml");
    fs::write(&first, "name: a\n").expect("it can be written");
    symlink(&first, &root).expect("it can be linked");
    let source = watching(&root, &[]).await;

    fs::write(&first, "name: b\n").expect("it can be written");
    assert_seen(&source, "a write to the target").await;

    let second = folder.path().join("two.yaml");
    fs::write(&second, "name: c\n").expect("it can be written");
    let swap = folder.path().join("swap");
    symlink(&second, &swap).expect("it can be linked");
    assert_seen(&source, "the new link").await;
    fs::rename(&swap, &root).expect("it can be renamed");
    assert_seen(&source, "the swap").await;
    assert_eq!(source.read(&root).expect("it can be read").as_deref(), Some(&b"name: c\n"[..]));
}

#[tokio::test]
async fn files_that_the_platform_names_are_watched_too() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().join("platform.yaml");
    let env = elsewhere.path().join("secrets.env");
    fs::write(&root, "name: a\n").expect("it can be written");
    fs::write(&env, "A=1\n").expect("it can be written");
    let source = watching(&root, &[&env]).await;
    fs::write(&env, "A=2\n").expect("it can be written");
    assert_seen(&source, "an edit of an env file").await;
}

#[tokio::test]
async fn a_replaced_file_keeps_owner_and_mode() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().join("platform.yaml");
    fs::write(&root, "name: a\n").expect("it can be written");
    fs::set_permissions(&root, fs::Permissions::from_mode(0o604)).expect("its mode can be set");
    let source = DiskSource::new(root.clone());
    source.replace(b"name: b\n").expect("it can be replaced");
    assert_eq!(fs::read_to_string(&root).expect("it can be read"), "name: b\n");
    assert_eq!(fs::metadata(&root).expect("it is there").permissions().mode() & 0o777, 0o604);
}

#[tokio::test]
async fn a_folder_of_overlays_is_watched_through_its_coming_and_going() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().join("platform.yaml");
    fs::write(&root, "name: a\n").expect("it can be written");
    let source = watching(&root, &[]).await;
    let overlays = overlays(&root);
    let watch_again = || source.watch(&[], std::slice::from_ref(&overlays));
    assert_eq!(source.list(&overlays), Ok(None));
    for round in ["its coming", "its return"] {
        fs::create_dir(&overlays).expect("its place is free");
        assert_seen(&source, round).await;
        watch_again();
        assert_seen(&source, "what was written before it was watched").await;
        fs::write(overlays.join("10-new.yaml"), "name: b\n").expect("it can be written");
        assert_seen(&source, "a new overlay").await;
        assert_eq!(source.list(&overlays), Ok(Some(vec![overlays.join("10-new.yaml")])));
        fs::rename(overlays.join("10-new.yaml"), overlays.join("20-new.yaml")).expect("it can be renamed");
        assert_seen(&source, "a rename").await;
        fs::remove_dir_all(&overlays).expect("it can be removed");
        assert_seen(&source, "its end").await;
        watch_again();
    }
    fs::write(&overlays, "").expect("it can be written");
    assert!(source.list(&overlays).is_err(), "a file is no folder");
}
