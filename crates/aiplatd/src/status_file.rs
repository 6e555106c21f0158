//! `status.json`: what offline reads of the CLI open, written at most once a second; and the transition times of the
//! ledger, which may wait as long.

use std::{io::Write as _, os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};

use crate::{shared::Shared, status};

/// Writes after each change, at most once a second, for ever.
pub async fn follow(shared: Arc<Shared>) {
    let mut versions = shared.versions();
    loop {
        flush(&shared).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        if versions.changed().await.is_err() {
            return;
        }
    }
}

/// Writes both now.
pub async fn flush(shared: &Shared) {
    shared.save().await;
    let version = *shared.versions().borrow();
    let document = status::document(shared, version);
    let path = shared.state_dir.join("status.json");
    if let Err(error) = write(&path, &document) {
        tracing::debug!(error = %error, path = %path.display(), "The status file cannot be written.");
    }
}

fn write(path: &Path, document: &aiplat_api::v1::StatusDoc) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    // In one piece: the serializer writes each word by itself, and a file makes a call to the kernel of each.
    file.write_all(&serde_json::to_vec(document)?)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o640))?;
    crate::server::auth::give_to_group(file.path());
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
