//! Pulls: bytes over all layers, credentials, a stall, a cancellation.

use std::{collections::BTreeMap, time::Duration};

use aiplat_core::{
    condition::{ErrorClass, Reason},
    observed::PullProgress,
};
use tokio_util::sync::CancellationToken;

use super::{
    DockerBackend,
    calls::Endpoint,
    client::{Call, Stream},
    credentials::{self, Credentials},
    errors,
    reference::Reference,
    wire::PullLine,
};
use crate::{
    lines::Lines,
    port::{HostError, HostErrorKind, Progress},
};

/// One line of a pull is some hundred bytes.
const MAX_LINE: usize = 1 << 20;

impl DockerBackend {
    pub(super) async fn pull(
        &self,
        reference: &str,
        progress: Progress,
        cancel: CancellationToken,
    ) -> Result<(), HostError> {
        // Dropping the call closes its connection, and with its last reader the engine gives up the pull.
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(HostError::new(
                HostErrorKind::OutcomeUnknown,
                ErrorClass::Changed,
                Reason::Pulling,
                format!("the pull of {reference} was called off; aiplatd looks again"),
            )),
            result = self.pull_to_its_end(reference, progress) => result,
        }
    }

    async fn pull_to_its_end(&self, reference: &str, progress: Progress) -> Result<(), HostError> {
        let Some(parsed) = Reference::parse(reference) else {
            return Err(errors::pull_refused(reference, 400, "invalid reference format"));
        };
        let mut call = Call::new(Endpoint::PullImage)
            .query("fromImage", parsed.name)
            .query("tag", parsed.tag_or_digest());
        let mut hint = None;
        match credentials::read(&self.credentials, parsed.registry) {
            Credentials::Header(header) => call = call.header("x-registry-auth", header),
            Credentials::None => {}
            Credentials::Unusable(why) => hint = Some(why),
        }
        let stall = || self.stalled(reference);
        let opened = tokio::time::timeout(self.stall, self.client.open(call)).await.map_err(|_| stall())?;
        let result = match opened {
            Ok(stream) => self.follow_pull(reference, stream, progress).await,
            Err(error) => Err(errors::pull_error(reference, self.client.socket(), error)),
        };
        result.map_err(|error| with_hint(error, hint))
    }

    async fn follow_pull(
        &self,
        reference: &str,
        mut stream: Stream,
        progress: Progress,
    ) -> Result<(), HostError> {
        let mut layers = Layers::default();
        let mut lines = Lines::new(MAX_LINE);
        let mut refusal = None;
        let mut reported = PullProgress::default();
        loop {
            let piece = match tokio::time::timeout(self.stall, stream.next()).await {
                Err(_) => return Err(self.stalled(reference)),
                Ok(Err(error)) => return Err(errors::pull_error(reference, self.client.socket(), error)),
                Ok(Ok(piece)) => piece,
            };
            let mut take = |line: &[u8], _cut: bool| {
                let line: PullLine = serde_json::from_slice(line).unwrap_or_default();
                layers.take(&line);
                refusal = refusal.take().or(line.error);
            };
            match &piece {
                Some(piece) => lines.push(piece, &mut take),
                None if lines.is_empty() => {}
                None => lines.finish(&mut take),
            }
            if let Some(said) = refusal {
                return Err(errors::pull_refused(reference, 0, &said));
            }
            if reported != layers.sum() {
                reported = layers.sum();
                progress(reported);
            }
            if piece.is_none() {
                return Ok(());
            }
        }
    }

    fn stalled(&self, reference: &str) -> HostError {
        let after = aiplat_core::time::human(self.stall);
        HostError::new(
            HostErrorKind::OutcomeUnknown,
            ErrorClass::Transient,
            Reason::RegistryUnavailable,
            format!("the pull of {reference} made no progress for {after}; check this machine's network"),
        )
    }
}

/// A refusal of the registry is explained by credentials that could not be used.
fn with_hint(mut error: HostError, hint: Option<String>) -> HostError {
    if let Some(hint) = hint.filter(|_| error.reason == Reason::RegistryDenied) {
        error.message = format!("{} ({hint})", error.message);
    }
    error
}

/// Bytes by layer.
#[derive(Debug, Default)]
struct Layers(BTreeMap<String, PullProgress>);

impl Layers {
    fn take(&mut self, line: &PullLine) {
        let PullLine { id, status, progress, error: _ } = line;
        match status.as_str() {
            "Downloading" => {
                let layer = self.0.entry(id.clone()).or_default();
                // A layer that is tried again starts anew; what the person sees does not run backwards.
                layer.done = layer.done.max(progress.current);
                layer.total = layer.total.max(progress.total).max(layer.done);
            }
            // A small layer is never seen downloading: its size is told when it is unpacked.
            "Extracting" => {
                let layer = self.0.entry(id.clone()).or_default();
                layer.total = layer.total.max(progress.total);
                layer.done = layer.total;
            }
            "Download complete" | "Verifying Checksum" | "Pull complete" => {
                if let Some(layer) = self.0.get_mut(id) {
                    layer.done = layer.total;
                }
            }
            _ => {}
        }
    }

    fn sum(&self) -> PullProgress {
        let add = |sum: PullProgress, layer: &PullProgress| PullProgress {
            done: sum.done.saturating_add(layer.done),
            total: sum.total.saturating_add(layer.total),
        };
        self.0.values().fold(PullProgress::default(), add)
    }
}

/// No progress for this long, and a pull has stalled.
pub(super) const STALL: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, status: &str, current: u64, total: u64) -> PullLine {
        let progress = super::super::wire::LayerProgress { current, total };
        PullLine { id: id.to_owned(), status: status.to_owned(), progress, error: None }
    }

    #[test]
    fn bytes_are_added_up_over_layers_and_never_run_backwards() {
        let mut layers = Layers::default();
        let mut seen = Vec::new();
        for line in [
            line("a", "Pulling fs layer", 0, 0),
            line("a", "Downloading", 10, 100),
            line("b", "Downloading", 5, 50),
            line("a", "Downloading", 3, 100),
            line("b", "Download complete", 0, 0),
            line("a", "Extracting", 20, 100),
            line("c", "Extracting", 7, 7),
            line("d", "Already exists", 0, 0),
        ] {
            layers.take(&line);
            seen.push((layers.sum().done, layers.sum().total));
        }
        assert_eq!(
            seen,
            [(0, 0), (10, 100), (15, 150), (15, 150), (60, 150), (150, 150), (157, 157), (157, 157)]
        );
    }
}
