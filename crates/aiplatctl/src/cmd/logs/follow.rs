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
use crate::{cmd::operate::service, console, exit::Failure};

/// Lines on their way from the streams to the terminal.
const WAITING: usize = 256;
/// How long the daemon holds an answer back when nothing changes.
const HOLD: Duration = Duration::from_secs(20);
/// Between two questions, so that a daemon that answers at once is not asked in a loop.
const RETRY: Duration = Duration::from_millis(200);

/// What the log of one service comes to.
enum News {
    Line(LogRecord),
    /// Nothing follows, and why.
    End(String),
    Trouble(ClientError),
}

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
            let last = one.follow(query).await.map_or_else(News::Trouble, News::End);
            drop(sender.send((name, last)).await);
        });
    }
    drop(sender);
    while let Some((name, news)) = lines.recv().await {
        match news {
            News::Line(record) => printer.line(&record)?,
            News::End(why) => console::note(&format!("{name} {why}: its log ends here")),
            News::Trouble(error) => printer.trouble(&name, error)?,
        }
    }
    Ok(())
}

/// The log of one service.
struct One {
    client: Client,
    name: String,
    sender: mpsc::Sender<(String, News)>,
    /// The time of its last line.
    last: Option<Timestamp>,
}

impl One {
    /// One run after the other, until no other is to be expected; answers why none is.
    async fn follow(mut self, mut query: LogQuery) -> Result<String, ClientError> {
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
                // Whoever does not listen any more needs no reason either.
                if self.sender.send((self.name.clone(), News::Line(record))).await.is_err() {
                    return Ok(String::new());
                }
            }
            if let Some(why) = self.is_over(run).await? {
                return Ok(why);
            }
            query = LogQuery { tail: None, since: self.last.map(|last| last.to_string()), ..query };
        }
    }

    /// Waits for another run than `before`; answers why, when nobody will start it.
    async fn is_over(&self, before: Option<String>) -> Result<Option<String>, ClientError> {
        let mut doc = self.client.status().await?;
        loop {
            let Some(service) = service(&doc, &self.name) else {
                return Ok(Some("has left the file".to_owned()));
            };
            if matches!(
                service.status,
                Word::Completed | Word::Failed | Word::Held | Word::Stopped | Word::Suspended
            ) {
                return Ok(Some(format!("is {}", service.status)));
            }
            let is_up = service.detail.state.as_deref() == Some("running");
            if is_up && service.detail.run.is_some() && service.detail.run != before {
                return Ok(None);
            }
            sleep(RETRY).await;
            doc = self.client.status_after(doc.version, HOLD).await?;
        }
    }
}

fn of_run(doc: &StatusDoc, name: &str) -> Option<String> {
    service(doc, name)?.detail.run.clone()
}
