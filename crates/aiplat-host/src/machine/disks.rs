//! The file systems that the platform lives on, and how much of them is free.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use aiplat_core::observed::{FileSystem, Room};
use procfs_core::{
    FromRead as _,
    process::{MountInfo, MountInfos},
};

use super::{DEADLINE, number};

/// File systems by where they are mounted, and on which of them each path is.
pub(super) type Found = (BTreeMap<String, FileSystem>, BTreeMap<String, String>);

/// The file systems of `paths`; one that is not there yet counts where it would be made.
pub(super) async fn file_systems(root: &Path, paths: BTreeSet<String>) -> Found {
    let proc = root.join("proc");
    let mounts = tokio::task::spawn_blocking(move || mounts(&proc)).await.unwrap_or_default();
    let mut mounted_on = BTreeMap::new();
    let mut used: BTreeMap<String, &MountInfo> = BTreeMap::new();
    for path in paths {
        let Some((point, mount)) = holder(&mounts, Path::new(&path)) else { continue };
        mounted_on.insert(path, point.clone());
        used.insert(point, mount);
    }
    let looks = used.into_iter().map(|(point, mount)| async move {
        let file_system = file_system(root, &point, mount).await;
        (point, file_system)
    });
    let file_systems = futures_util::future::join_all(looks).await.into_iter().collect();
    (file_systems, mounted_on)
}

/// All mounts of the machine, the later of two at the same place last. Those of process 1: a daemon under systemd's protection
/// sees the same disks through read-only mounts of its own.
fn mounts(proc: &Path) -> Vec<(PathBuf, MountInfo)> {
    let of = |process: &str| MountInfos::from_file(proc.join(process).join("mountinfo"));
    let found = of("1").or_else(|_| of("self")).map(|infos| infos.0).unwrap_or_default();
    found.into_iter().map(|mount| (unescaped(&mount.mount_point), mount)).collect()
}

/// The kernel writes blanks, tabs and backslashes as octal numbers.
fn unescaped(path: &Path) -> PathBuf {
    let path = path.to_string_lossy();
    let octal = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    PathBuf::from(octal.iter().fold(path.into_owned(), |path, (code, plain)| path.replace(code, plain)))
}

/// The mount that `path` is on: the longest that it begins with, and of several at one place the last.
fn holder<'a>(mounts: &'a [(PathBuf, MountInfo)], path: &Path) -> Option<(String, &'a MountInfo)> {
    let path = existing(path);
    let covers = mounts.iter().filter(|(point, _)| path.starts_with(point));
    let (point, mount) = covers.max_by_key(|(point, _)| point.components().count())?;
    Some((point.to_string_lossy().into_owned(), mount))
}

/// `path`, or the nearest folder above it that is there, with its links followed.
fn existing(path: &Path) -> PathBuf {
    path.ancestors().find_map(|path| fs::canonicalize(path).ok()).unwrap_or_else(|| path.to_owned())
}

async fn file_system(root: &Path, point: &str, mount: &MountInfo) -> FileSystem {
    let at = PathBuf::from(point);
    // A thread of its own for each: one that hangs for ever takes no other with it.
    let asked = tokio::task::spawn_blocking(move || rustix::fs::statvfs(&at).ok());
    let room = tokio::time::timeout(DEADLINE, asked).await.ok().and_then(Result::ok).flatten();
    let options = [&mount.mount_options, &mount.super_options];
    FileSystem {
        source: mount.mount_source.clone().unwrap_or_default(),
        kind: mount.fs_type.clone(),
        room: room.map(|room| Room {
            total: room.f_blocks.saturating_mul(room.f_frsize),
            free: room.f_bavail.saturating_mul(room.f_frsize),
            inodes: room.f_files,
            inodes_free: room.f_favail,
        }),
        rotational: rotational(root, mount),
        read_only: options.iter().any(|options| options.contains_key("ro")),
    }
}

/// Whether the disk turns. A file system over several devices (btrfs) has a number of its own, and names one of them as its
/// source.
fn rotational(root: &Path, mount: &MountInfo) -> Option<bool> {
    let of_number = |number: &str| {
        let device = fs::canonicalize(root.join("sys/dev/block").join(number)).ok()?;
        // A partition's queue is its disk's.
        device.ancestors().take(2).find_map(|folder| self::number(&folder.join("queue/rotational")))
    };
    let of_source = || {
        let name = Path::new(mount.mount_source.as_deref()?).file_name()?.to_owned();
        let number = super::text(&root.join("sys/class/block").join(name).join("dev"))?;
        of_number(number.trim())
    };
    of_number(&mount.majmin).or_else(of_source).map(|turns| turns != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(point: &str) -> (PathBuf, MountInfo) {
        let line = format!("36 35 98:0 / {point} rw,noatime - ext4 /dev/sda1 rw,errors=continue");
        let info = MountInfo::from_line(&line).expect("a line of the kernel's");
        (unescaped(&info.mount_point), info)
    }

    #[test]
    fn a_path_is_on_the_deepest_mount_above_it_and_on_the_last_of_two_at_one_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let base = folder.path().canonicalize().expect("it is there");
        fs::create_dir_all(base.join("my disk/models")).expect("made");
        let point = |below: &str| base.join(below).display().to_string().replace(' ', "\\040");
        let mut mounts = vec![mount("/"), mount(&point("my disk")), mount(&point("my disk"))];
        mounts[2].1.fs_type = "xfs".to_owned();
        let holder = |path: &str| holder(&mounts, &base.join(path)).map(|(at, on)| (at, on.fs_type.clone()));
        let disk = base.join("my disk").display().to_string();
        assert_eq!(holder("my disk/models"), Some((disk.clone(), "xfs".to_owned())));
        assert_eq!(holder("my disk/not/made/yet"), Some((disk, "xfs".to_owned())));
        assert_eq!(holder("my disks"), Some(("/".to_owned(), "ext4".to_owned())), "a name, not a beginning");
    }

    #[tokio::test]
    async fn this_machine_has_room_somewhere() {
        let paths = BTreeSet::from(["/".to_owned(), "/no/such/folder".to_owned()]);
        let (file_systems, mounted_on) = file_systems(Path::new("/"), paths).await;
        assert_eq!(mounted_on.get("/no/such/folder"), mounted_on.get("/"), "it would be made on that one");
        let room = file_systems["/"].room.expect("it answers");
        assert!(room.total > room.free && room.total > 0, "{room:?}");
        assert!(!file_systems["/"].kind.is_empty());
    }
}
