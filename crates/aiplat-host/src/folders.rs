//! What is in folders of data: names and sizes of the files below them, as far as is reasonable.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use aiplat_core::observed::FolderFacts;

/// A store of models has some hundreds of files.
const FILES_MAX: usize = 20_000;
/// `manifests/host/library/llama3/8b` is five deep.
const DEPTH_MAX: usize = 12;
/// A file system that does not answer (NFS) costs no more than this.
const DEADLINE: Duration = Duration::from_secs(3);

/// What is below `paths`; without those that could not be read, or not in time. A folder that is not there is empty.
pub async fn folders(paths: Vec<String>) -> BTreeMap<String, FolderFacts> {
    let end = Instant::now() + DEADLINE;
    let read = tokio::task::spawn_blocking(move || {
        let read = |path: String| Some((path.clone(), folder(Path::new(&path), end)?));
        paths.into_iter().filter_map(read).collect()
    });
    match tokio::time::timeout(DEADLINE * 2, read).await {
        Ok(Ok(found)) => found,
        Ok(Err(_)) | Err(_) => BTreeMap::new(),
    }
}

fn folder(path: &Path, end: Instant) -> Option<FolderFacts> {
    let mut facts = FolderFacts::default();
    if !path.try_exists().ok()? {
        return Some(facts);
    }
    // Folders still to be read, with their names below `path`.
    let mut waiting = vec![(path.to_owned(), String::new(), 0)];
    while let Some((folder, below, depth)) = waiting.pop() {
        if depth > DEPTH_MAX || Instant::now() >= end {
            facts.cut = true;
            continue;
        }
        for entry in fs::read_dir(&folder).ok()? {
            let entry = entry.ok()?;
            let name = format!("{below}{}", entry.file_name().to_string_lossy());
            // A link is what it leads to: a store may be spread over two disks.
            let Ok(meta) = fs::metadata(entry.path()) else { continue };
            if meta.is_dir() {
                waiting.push((entry.path(), format!("{name}/"), depth + 1));
            } else if facts.files.len() < FILES_MAX {
                facts.files.insert(name, meta.len());
            } else {
                facts.cut = true;
            }
        }
    }
    Some(facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_are_named_below_their_folder_with_their_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("blobs")).unwrap();
        fs::create_dir_all(path("manifests/library/llama3")).unwrap();
        fs::write(path("blobs/sha256-1"), "12345").unwrap();
        fs::write(path("manifests/library/llama3/8b"), "{}").unwrap();
        let asked: Vec<String> = ["blobs", "manifests", "absent", "blobs/sha256-1"]
            .map(|name| path(name).display().to_string())
            .into();
        let found = folders(asked.clone()).await;
        let files = |at: usize| found.get(&asked[at]).map(|facts| facts.files.clone());
        assert_eq!(files(0), Some([("sha256-1".to_owned(), 5)].into()));
        assert_eq!(files(1), Some([("library/llama3/8b".to_owned(), 2)].into()));
        assert_eq!(files(2), Some(BTreeMap::new()), "one that is not there holds nothing");
        assert_eq!(files(3), None, "a file is no folder");
    }

    #[test]
    fn a_folder_that_leads_into_itself_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("loop")).unwrap();
        let facts = super::folder(folder.path(), Instant::now() + DEADLINE).expect("it can be read");
        assert!(facts.cut && facts.files.is_empty(), "{facts:?}");
    }
}
