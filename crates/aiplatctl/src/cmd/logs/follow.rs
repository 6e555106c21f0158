//! `logs -f`: lines of all services as they come, across their restarts and replacements.

use std::time::Duration;

use aiplat_api::{
    client::{Client, ClientError, LogQuery},
    v1::{LogRecord, StatusDoc},
};
use aiplat_core::condition::Word;
use jiff::Timestamp;
use tokio::{sync::mpsc, time::sleep};

use super::{Printer, moment};
use crate::{cmd::operate::service, exit::Failure};

/// Lines on their way from the streams to the terminal.
const WAITING: usize = 256;
/// How long the daemon holds an answer back when nothing changes.
const HOLD: Duration = Duration::from_secs(20);
/// Between two questions, so that a daemon that answers at once is not asked in a loop.
const RETRY: Duration = Duration::from_millis(200);

type Line = Result<LogRecord, (String, ClientError)>;

pub(super) async fn run(
    client: &Client,
    names: &[String],
    query: &LogQuery,
    printer: &mut Printer,
) -> Result<(), Failure> {
    let (sender, mut lines) = mpsc::channel(WAITING);
    for name in names {
        let one = One { client: client.clone(), name: name.clone(), sender: sender.clone(), last: None };
        let query = query.clone();
        tokio::spawn(async move {
            let (name, sender) = (one.name.clone(), one.sender.clone());
            if let Err(error) = one.follow(query).await {
                drop(sender.send(Err((name, error))).await);
            }
        });
    }
    drop(sender);
    while let Some(line) = lines.recv().await {
        match line {
            Ok(record) => printer.line(&record)?,
            Err((name, error)) => printer.trouble(&name, error)?,
        }
    }
    Ok(())
}

/// The log of one service.
struct One {
    client: Client,
    name: String,
    sender: mpsc::Sender<Line>,
    /// The time of its last line.
    last: Option<Timestamp>,
}

impl One {
    /// One run after the other, until no other is to be expected.
    async fn follow(mut self, mut query: LogQuery) -> Result<(), ClientError> {
        loop {
            let run = of_run(&self.client.status().await?, &self.name);
            let mut stream = self.client.logs(&self.name, &query).await?;
            let seen = self.last;
            while let Some(record) = stream.next().await? {
                let at = moment(&record);
                // The next run may write to the same log, and that is asked for to the second.
                if seen.is_some_and(|seen| at <= seen) {
                    continue;
                }
                self.last = Some(at).max(self.last);
                if self.sender.send(Ok(record)).await.is_err() {
                    return Ok(());
                }
            }
            if !self.runs_anew(run).await? {
                return Ok(());
            }
            query = LogQuery { tail: None, since: self.last.map(|last| last.to_string()), ..query };
        }
    }

    /// Waits for another run than `before`; false when nobody will start it.
    async fn runs_anew(&self, before: Option<String>) -> Result<bool, ClientError> {
        let mut doc = self.client.status().await?;
        loop {
            let Some(service) = service(&doc, &self.name) else { return Ok(false) };
            if matches!(
                service.status,
                Word::Completed | Word::Failed | Word::Held | Word::Stopped | Word::Suspended
            ) {
                return Ok(false);
            }
            let is_up = service.detail.state.as_deref() == Some("running");
            if is_up && service.detail.run.is_some() && service.detail.run != before {
                return Ok(true);
            }
            sleep(RETRY).await;
            doc = self.client.status_after(doc.version, HOLD).await?;
        }
    }
}

fn of_run(doc: &StatusDoc, name: &str) -> Option<String> {
    service(doc, name)?.detail.run.clone()
}
