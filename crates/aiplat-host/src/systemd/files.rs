//! The files of a unit that are ours: the drop-in, or the whole unit, which systemd reads, and the environment that this
//! names.

use std::{
    fs,
    io::{ErrorKind, Read},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use aiplat_core::{
    action::{UnitFile, UnitFiles},
    observed::OwnFiles,
};

use super::SystemdOptions;
use crate::{
    files::atomic::{self, Access, Failed, Place, blocking, failed, folder_of, unlink},
    port::HostError,
};

/// After the vendor's drop-ins, before those of a person who wants the last word.
const DROP_IN: &str = "50-aiplatd.conf";
/// systemd reads it as root; anybody may.
const DROP_IN_MODE: u32 = 0o644;
/// So is a whole unit.
const UNIT_MODE: u32 = 0o644;
/// It holds secrets.
const ENVIRONMENT_MODE: u32 = 0o600;
/// As in "cannot tell what became of".
const WHAT: &str = "a unit's files";
/// More than we ever write.
const SIZE_MAX: u64 = 4 << 20;

/// Where the two files of one unit are. Its name has been checked.
#[derive(Debug, Clone)]
pub(super) struct Paths {
    unit: PathBuf,
    drop_in: PathBuf,
    environment: PathBuf,
}

impl Paths {
    pub(super) fn of(options: &SystemdOptions, unit: &str) -> Self {
        Self {
            unit: options.units.join(unit),
            drop_in: options.units.join(format!("{unit}.d")).join(DROP_IN),
            environment: options.environment.join(format!("{unit}.env")),
        }
    }
}

/// What the files hold; `loaded` is not known here.
pub(super) async fn read(paths: Paths) -> Result<OwnFiles, HostError> {
    blocking(WHAT, move || {
        Ok(OwnFiles {
            drop_in: content(&paths.drop_in)?,
            environment: content(&paths.environment)?,
            drop_in_path: paths.drop_in.display().to_string(),
            environment_path: paths.environment.display().to_string(),
            unit_file: content(&paths.unit)?,
            unit_path: paths.unit.display().to_string(),
            loaded: false,
        })
    })
    .await
}

/// Writes both, the environment first: a drop-in never names what is not there. A file that is as it should be is not
/// touched, for systemd would want to read it again.
pub(super) async fn write(paths: Paths, files: UnitFiles) -> Result<(), HostError> {
    blocking(WHAT, move || {
        let UnitFiles { unit: _, drop_in, environment, touched: _ } = files;
        replace(&paths.environment, &environment, ENVIRONMENT_MODE, 0o700)?;
        replace(&paths.drop_in, &drop_in, DROP_IN_MODE, 0o755)
    })
    .await
}

/// Writes the whole file of a unit, the environment first. One that is as it should be is not touched.
pub(super) async fn write_unit(paths: Paths, file: UnitFile) -> Result<(), HostError> {
    blocking(WHAT, move || {
        let UnitFile { unit: _, text, environment, touched: _ } = file;
        if let Some(environment) = &environment {
            replace(&paths.environment, environment, ENVIRONMENT_MODE, 0o700)?;
        }
        replace(&paths.unit, &text, UNIT_MODE, 0o755)?;
        if environment.is_none() { unlink(&paths.environment) } else { Ok(()) }
    })
    .await
}

/// Removes the whole file of a unit, and its environment. What is gone already is a success.
pub(super) async fn remove_unit(paths: Paths) -> Result<(), HostError> {
    blocking(WHAT, move || {
        unlink(&paths.unit)?;
        unlink(&paths.environment)
    })
    .await
}

/// Removes both, and the drop-in's folder if nobody else has anything in it. What is gone already is a success.
pub(super) async fn remove(paths: Paths) -> Result<(), HostError> {
    blocking(WHAT, move || {
        // The drop-in first: it may name what is not there, but the other way round it would for a moment.
        unlink(&paths.drop_in)?;
        let folder = folder_of(&paths.drop_in);
        match fs::remove_dir(folder) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {}
            Err(source) => return Err(failed("remove", folder)(source)),
        }
        unlink(&paths.environment)
    })
    .await
}

fn content(path: &Path) -> Result<Option<String>, Failed> {
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(SIZE_MAX).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed("read", path)(source)),
    }
}

fn replace(path: &Path, text: &str, mode: u32, folder_mode: u32) -> Result<(), Failed> {
    let folder = folder_of(path);
    if !folder.is_dir() {
        let made = fs::DirBuilder::new().recursive(true).mode(folder_mode).create(folder);
        made.map_err(failed("make the folder", folder))?;
        // Whatever the daemon's umask: everybody may read what systemd is told.
        fs::set_permissions(folder, fs::Permissions::from_mode(folder_mode))
            .map_err(failed("open", folder))?;
    }
    if content(path)?.as_deref() == Some(text) {
        // Its mode may have been changed by hand, and this one holds secrets.
        let permissions = fs::metadata(path).map_err(failed("read", path))?.permissions();
        if permissions.mode() & 0o7777 != mode {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed("protect", path))?;
        }
        return Ok(());
    }
    atomic::write(path, text.as_bytes(), Access { mode, uid: None, gid: None }, Place::Taken)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use aiplat_core::condition::ErrorClass;

    use crate::port::HostErrorKind;

    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn paths(&self) -> Paths {
            Paths::of(
                &SystemdOptions {
                    units: self.0.path().join("system"),
                    ..SystemdOptions::of_this_machine(self.0.path().join("units"))
                },
                "web.service",
            )
        }

        fn drop_in(&self) -> PathBuf {
            self.0.path().join("system/web.service.d/50-aiplatd.conf")
        }

        fn environment(&self) -> PathBuf {
            self.0.path().join("units/web.service.env")
        }

        async fn write(&self, drop_in: &str, environment: &str) -> Result<(), HostError> {
            let (seen, unit) = (OwnFiles::default(), "web.service");
            let files = UnitFiles::over(&seen, unit, drop_in.to_owned(), environment.to_owned());
            write(self.paths(), files).await
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[tokio::test]
    async fn what_is_written_is_read_back_and_only_root_reads_secrets() {
        let folder = Folder::new();
        let empty = read(folder.paths()).await.unwrap();
        assert_eq!((empty.drop_in, empty.environment), (None, None));
        folder.write("[Service]\n", "A=\"1\"\n").await.unwrap();
        let seen = read(folder.paths()).await.unwrap();
        assert_eq!(seen.drop_in.as_deref(), Some("[Service]\n"));
        assert_eq!(seen.environment.as_deref(), Some("A=\"1\"\n"));
        assert_eq!(seen.drop_in_path, folder.drop_in().display().to_string());
        assert_eq!(seen.environment_path, folder.environment().display().to_string());
        assert_eq!((mode(&folder.drop_in()), mode(folder.drop_in().parent().unwrap())), (0o644, 0o755));
        assert_eq!((mode(&folder.environment()), mode(&folder.0.path().join("units"))), (0o600, 0o700));
        assert_eq!(names(folder.drop_in().parent().unwrap()), ["50-aiplatd.conf"], "nothing is left over");
    }

    #[tokio::test]
    async fn a_file_that_is_right_is_not_touched_and_another_is_a_new_one() {
        let folder = Folder::new();
        folder.write("a", "1").await.unwrap();
        let before = [folder.drop_in(), folder.environment()].map(|path| fs::metadata(path).unwrap().ino());
        fs::set_permissions(folder.environment(), fs::Permissions::from_mode(0o644)).unwrap();
        folder.write("a", "1").await.unwrap();
        let after = [folder.drop_in(), folder.environment()].map(|path| fs::metadata(path).unwrap().ino());
        assert_eq!(before, after);
        assert_eq!(mode(&folder.environment()), 0o600, "what was opened is closed again");
        folder.write("a", "2").await.unwrap();
        let last = [folder.drop_in(), folder.environment()].map(|path| fs::metadata(path).unwrap().ino());
        assert_eq!(before[0], last[0]);
        assert_ne!(before[1], last[1], "renamed over, not written into");
    }

    #[tokio::test]
    async fn removal_leaves_the_folder_to_others_and_succeeds_twice() {
        let folder = Folder::new();
        folder.write("a", "1").await.unwrap();
        let other = folder.drop_in().with_file_name("other.conf");
        fs::write(&other, "x").unwrap();
        remove(folder.paths()).await.unwrap();
        assert_eq!(names(other.parent().unwrap()), ["other.conf"]);
        assert!(!folder.environment().exists());
        fs::remove_file(&other).unwrap();
        remove(folder.paths()).await.unwrap();
        assert!(!other.parent().unwrap().exists());
        remove(folder.paths()).await.unwrap();
    }

    #[tokio::test]
    async fn a_whole_unit_is_written_and_removed_with_its_environment() {
        let folder = Folder::new();
        let unit = folder.0.path().join("system/web.service");
        let file = |text: &str, environment: Option<&str>| {
            let (seen, environment) = (OwnFiles::default(), environment.map(str::to_owned));
            UnitFile::over(&seen, "web.service", text.to_owned(), environment)
        };
        write_unit(folder.paths(), file("[Service]\n", Some("A=\"1\"\n"))).await.unwrap();
        let seen = read(folder.paths()).await.unwrap();
        assert_eq!(
            (seen.unit_file.as_deref(), seen.environment.as_deref()),
            (Some("[Service]\n"), Some("A=\"1\"\n"))
        );
        assert_eq!(seen.unit_path, unit.display().to_string());
        assert_eq!((mode(&unit), mode(&folder.environment())), (0o644, 0o600));
        assert_eq!(names(unit.parent().unwrap()), ["web.service"], "nothing is left over");
        let before = fs::metadata(&unit).unwrap().ino();
        write_unit(folder.paths(), file("[Service]\n", None)).await.unwrap();
        assert_eq!(fs::metadata(&unit).unwrap().ino(), before, "systemd would have to read it again");
        assert!(!folder.environment().exists());
        remove_unit(folder.paths()).await.unwrap();
        remove_unit(folder.paths()).await.unwrap();
        assert_eq!(read(folder.paths()).await.unwrap().unit_file, None);
    }

    #[tokio::test]
    async fn what_stands_in_the_way_is_named() {
        let folder = Folder::new();
        fs::create_dir_all(folder.drop_in()).unwrap();
        let error = folder.write("a", "1").await.expect_err("a folder is in its place");
        assert_eq!((error.kind, error.class), (HostErrorKind::Refused, ErrorClass::Rejected));
        let expected = format!("cannot read {}: ", folder.drop_in().display());
        assert!(error.message.starts_with(&expected), "{error}");
        assert!(error.message.ends_with("; something else is in its place: move that away"), "{error}");
    }
}
