//! Pulls: bytes over all parts of a model, a stall, a disk that it does not fit on, a cancellation.
//!
//! A server goes on with a pull only while somebody listens, and keeps what has come: the next attempt goes on there.

use std::{collections::BTreeMap, time::Duration};

use aiplat_core::{action::PullModel, observed::PullProgress, plan};
use hyper::{Method, StatusCode};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    ModelServers, errors,
    http::Sent,
    wire::{self, PullLine},
};
use crate::{
    lines::{Lines, printable},
    port::{HostError, Progress},
};

/// One line of a pull is some hundred bytes.
const MAX_LINE: usize = 1 << 20;

impl ModelServers {
    pub(super) async fn pull_unless(
        &self,
        pull: &PullModel,
        progress: Progress,
        cancel: CancellationToken,
    ) -> Result<(), HostError> {
        tokio::select! {
            biased;
            // Dropping the call closes its connection, on which the server stops.
            () = cancel.cancelled() => Err(errors::called_off(pull)),
            result = self.pull_to_its_end(pull, progress) => result,
        }
    }

    async fn pull_to_its_end(&self, pull: &PullModel, progress: Progress) -> Result<(), HostError> {
        let PullModel { model, at, bytes: _, room: _ } = pull;
        let stall = self.options.stall;
        let sent = tokio::time::timeout(stall, self.send(at, Method::POST, "/api/pull", wire::named(model)));
        let mut sent = match sent.await {
            Err(_elapsed) => return Err(errors::stalled(pull, stall, PullProgress::default())),
            Ok(Err(why)) => return Err(errors::away("pull", model, at, &why)),
            Ok(Ok(sent)) => sent,
        };
        if sent.status() != StatusCode::OK {
            let body = sent.rest().await.unwrap_or_default();
            return Err(errors::refused("pull", model, at, &wire::message(&body)));
        }
        Follower {
            pull,
            progress,
            parts: Parts::default(),
            refusal: None,
            is_done: false,
            last: String::new(),
        }
        .follow(sent, stall, self.options.settle)
        .await
    }
}

/// Follows the lines of one pull.
struct Follower<'a> {
    pull: &'a PullModel,
    progress: Progress,
    parts: Parts,
    refusal: Option<String>,
    is_done: bool,
    /// The status of the last line.
    last: String,
}

impl Follower<'_> {
    async fn follow(mut self, mut sent: Sent, stall: Duration, settle: Duration) -> Result<(), HostError> {
        let mut lines = Lines::new(MAX_LINE);
        let mut news = Instant::now();
        loop {
            let before = (self.parts.sum(), self.last.clone());
            let patience = if self.is_loading() { stall } else { settle };
            // Lines come several times a second, also when no byte does.
            let piece = match tokio::time::timeout_at(news + patience, sent.next()).await {
                Err(_elapsed) => return Err(errors::stalled(self.pull, patience, before.0)),
                Ok(Err(why)) => return Err(errors::broken(self.pull, &why)),
                Ok(Ok(piece)) => piece,
            };
            match &piece {
                Some(piece) => lines.push(piece, |line, _cut| self.take(line)),
                None if lines.is_empty() => {}
                None => lines.finish(|line, _cut| self.take(line)),
            }
            if let Some(said) = &self.refusal {
                return Err(errors::refused("pull", &self.pull.model, &self.pull.at, &printable(said)));
            }
            let after = self.parts.sum();
            if (after, &self.last) != (before.0, &before.1) {
                news = Instant::now();
                (self.progress)(after);
            } else if news + patience <= Instant::now() {
                return Err(errors::stalled(self.pull, patience, after));
            }
            self.check_room()?;
            match piece {
                Some(_) => {}
                None if self.is_done => return Ok(()),
                None => return Err(errors::broken(self.pull, "it said neither `success` nor what is wrong")),
            }
        }
    }

    fn take(&mut self, line: &[u8]) {
        let line: PullLine = serde_json::from_slice(line).unwrap_or_default();
        self.parts.take(&line);
        self.is_done |= line.status == "success";
        self.refusal = self.refusal.take().or(line.error);
        self.last = line.status;
    }

    /// Bytes are still to come. When all have, they are read once more, of which nothing is heard for minutes.
    fn is_loading(&self) -> bool {
        let PullProgress { done, total } = self.parts.sum();
        done < total || self.last.is_empty() || self.last.starts_with("pulling")
    }

    /// Parts are announced one after the other, the largest first: it ends as soon as it is clear that it cannot fit.
    fn check_room(&self) -> Result<(), HostError> {
        let needed = self.parts.to_come();
        match &self.pull.room {
            Some(room) if needed > 0 && plan::is_too_large(needed, room) => {
                Err(errors::too_large(self.pull, needed))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Bytes by part.
#[derive(Debug, Default)]
struct Parts(BTreeMap<String, Part>);

#[derive(Debug, Clone, Copy)]
struct Part {
    progress: PullProgress,
    /// What of it was there when it was first told of: from an earlier attempt, or of another model.
    at_first: u64,
}

impl Parts {
    fn take(&mut self, line: &PullLine) {
        let PullLine { digest, total, completed, status: _, error: _ } = line;
        if digest.is_empty() || *total == 0 {
            return;
        }
        let fresh = Part { progress: PullProgress::default(), at_first: *completed };
        let part = self.0.entry(digest.clone()).or_insert(fresh);
        // What a person sees does not run backwards.
        part.progress.done = part.progress.done.max((*completed).min(*total));
        part.progress.total = *total;
    }

    fn sum(&self) -> PullProgress {
        let add = |sum: PullProgress, part: &Part| PullProgress {
            done: sum.done.saturating_add(part.progress.done),
            total: sum.total.saturating_add(part.progress.total),
        };
        self.0.values().fold(PullProgress::default(), add)
    }

    /// Bytes that had, or have, to come in this attempt, of all parts that were told of.
    fn to_come(&self) -> u64 {
        let of = |part: &Part| part.progress.total.saturating_sub(part.at_first);
        self.0.values().map(of).fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(digest: &str, completed: u64, total: u64) -> PullLine {
        PullLine { digest: digest.to_owned(), total, completed, ..PullLine::default() }
    }

    #[test]
    fn bytes_are_added_up_over_parts_and_never_run_backwards() {
        let mut parts = Parts::default();
        let mut seen = Vec::new();
        for line in
            [line("", 0, 0), line("a", 40, 100), line("a", 60, 100), line("a", 50, 100), line("b", 0, 7)]
        {
            parts.take(&line);
            seen.push((parts.sum().done, parts.sum().total));
        }
        assert_eq!(seen, [(0, 0), (40, 100), (60, 100), (60, 100), (60, 107)]);
        assert_eq!(parts.to_come(), 67, "of the first, 40 were there");
    }
}
