//! Looking at the files of configs. Nobody tells of changes to them: they are looked at whenever something is to be done
//! with them, or with who mounts them, and with every listing.

use aiplat_core::{ResourceId, observed::Observed, plan, spec::Platform};
use aiplat_host::HostError;

use crate::shared::{LOOK_DEADLINE, Shared, timed_out};

impl Shared {
    /// Looks at what is in the place of the file `id`.
    pub(crate) async fn look_at_config(&self, id: &ResourceId) -> Result<(), HostError> {
        let path = {
            let mut state = self.lock();
            state.mark_fresh(id);
            state.file_path(id)
        };
        let Some(path) = path else { return Ok(()) };
        let looked = self.observe_file(path).await;
        if looked.is_err() {
            self.lock().mark_stale(id);
        }
        looked.map(drop)
    }

    /// Looks at the engine's own file, where the file in force takes charge of it.
    pub(crate) async fn look_at_engine_file(&self) -> Result<(), HostError> {
        let id = ResourceId::docker();
        let desired = {
            let mut state = self.lock();
            state.mark_fresh(&id);
            state.desired.clone()
        };
        let Some(desired) = desired else { return Ok(()) };
        let looked = self.look_for_engine_file(&desired).await;
        if looked.is_err() {
            self.lock().mark_stale(&id);
        }
        looked
    }

    /// The same for a platform that is not in force yet: first what is there, and then the place for a copy of that.
    pub(crate) async fn look_for_engine_file(&self, desired: &Platform) -> Result<(), HostError> {
        for _ in 0..2 {
            let paths = plan::docker_files(desired, &self.lock().observed);
            for path in paths {
                self.observe_file(path).await?;
            }
        }
        Ok(())
    }

    /// Looks at the files that the container `id` mounts: what is in them is what its next run sees, so an old look must not
    /// say what that was. One that is another than it was known to be has a pass of its own.
    pub(crate) async fn look_at_configs_of(&self, id: &ResourceId) {
        let files: Vec<(ResourceId, String)> = {
            let state = self.lock();
            let spec = state.desired.as_deref().and_then(|desired| desired.containers.get(id));
            spec.map(|spec| spec.files().map(|(file, path)| (file.clone(), path.to_owned())).collect())
                .unwrap_or_default()
        };
        for (file, path) in files {
            match self.observe_file(path).await {
                Ok(true) => self.schedule([file]),
                Ok(false) => {}
                Err(error) => tracing::info!(%file, error = %error, "It could not be looked at."),
            }
        }
    }

    /// Looks at files that a platform asks for which is not in force yet; one that cannot be looked at stays unknown.
    pub async fn look_for_files(&self, paths: Vec<String>) {
        for path in paths {
            if let Err(error) = self.observe_file(path).await {
                tracing::info!(error = %error, "A file could not be looked for.");
            }
        }
    }

    /// Answers whether it is another than it was known to be.
    async fn observe_file(&self, path: String) -> Result<bool, HostError> {
        let found = match tokio::time::timeout(LOOK_DEADLINE, self.files.observe(&path)).await {
            Ok(result) => result?,
            Err(_elapsed) => return Err(timed_out(&format!("looking at {path} took longer than 30s"))),
        };
        let mut state = self.lock();
        let is_news = state.observed.own_files.get(&path) != Some(&found);
        state.record(Observed::File(path, found), &self.instance, self.clock.now());
        Ok(is_news)
    }
}
