//! The file: whether it is valid, and who may write it.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use super::{Check, Facts, Grade, check};
use crate::{
    args::Globals,
    offline::{self, Rules},
    render::text::count,
};

pub(super) fn checks(facts: &Facts<'_>) -> Vec<Check> {
    vec![file_valid(facts.globals, &facts.config), file_owner(&facts.config)]
}

fn file_valid(globals: &Globals, path: &Path) -> Check {
    let shown = path.display();
    if let Err(error) = fs::File::open(path) {
        let cure = if error.kind() == std::io::ErrorKind::NotFound {
            "aiplatctl edit"
        } else {
            "sudo aiplatctl doctor"
        };
        let grade = if error.kind() == std::io::ErrorKind::NotFound { Grade::Fail } else { Grade::Skipped };
        return check("platform file", grade, format!("{shown}: {error}")).cure(cure);
    }
    match offline::read(globals, path, Rules::Daemon, None) {
        Ok(offline) if offline.loaded.has_errors() => check("platform file", Grade::Fail, offline.tally())
            .cure(format!("aiplatctl validate -f {shown}")),
        Ok(offline) => match &offline.loaded.platform {
            Some(platform) => {
                let services = count(platform.services().count(), "service");
                check("platform file", Grade::Ok, format!("{shown} is valid, {services}"))
            }
            None => check("platform file", Grade::Fail, format!("{shown} holds no platform"))
                .cure("aiplatctl edit"),
        },
        Err(_) => check("platform file", Grade::Fail, format!("{shown} cannot be read")),
    }
}

/// Who may write the file decides what runs as root on this machine.
fn file_owner(path: &Path) -> Check {
    let name = "file owner";
    for place in [Some(path), path.parent()].into_iter().flatten() {
        let shown = place.display();
        let Ok(metadata) = fs::metadata(place) else {
            return check(name, Grade::Skipped, format!("{shown} cannot be looked at"));
        };
        if metadata.uid() != 0 {
            let found =
                format!("{shown} belongs to uid {}, who can make root run anything with it", metadata.uid());
            return check(name, Grade::Warn, found).cure(format!("chown root: {shown}"));
        }
        // A folder like /tmp, where everybody may write their own files only, still lets nobody replace this one.
        let sticky = metadata.is_dir() && metadata.permissions().mode() & 0o1000 != 0;
        if metadata.permissions().mode() & 0o022 != 0 && !sticky {
            let found = format!("others than root may write {shown}, and make root run anything with it");
            return check(name, Grade::Fail, found).cure(format!("chmod go-w {shown}"));
        }
    }
    check(name, Grade::Ok, "only root may write it")
}
