//! `logs`: of one service as they are, of several interleaved.

mod follow;

use aiplat_api::{
    client::{Client, ClientError, LogQuery, LogStream},
    v1::{LogRecord, StatusDoc},
};
use jiff::Timestamp;

use crate::{
    args::{Globals, LogsArgs, Tail},
    console,
    exit::{Code, Failure, Outcome},
    find::no_such,
    render::{
        logs::{Prefixes, line},
        style,
    },
    source,
};

pub(super) async fn run(globals: &Globals, args: &LogsArgs) -> Outcome {
    let client = source::client(globals);
    let doc = client.status().await?;
    let names = names(&doc, args)?;
    if names.is_empty() {
        console::note(if args.failed { "All services are well." } else { "There are no services." });
        return Ok(Code::Done);
    }
    let query = LogQuery {
        follow: args.follow,
        tail: match args.tail {
            None | Some(Tail::All) => None,
            Some(Tail::Last(lines)) => Some(lines),
        },
        since: args.since.map(|since| since.moment(Timestamp::now()).to_string()),
        previous: args.previous,
    };
    let prefixes = Prefixes::new(&names);
    let mut printer = Printer { prefixes, timestamps: args.timestamps, failed: false };
    if args.follow {
        follow::run(&client, &names, &query, &mut printer).await?;
    } else {
        merge(&client, &names, &query, &mut printer).await?;
    }
    Ok(if printer.failed { Code::Failed } else { Code::Done })
}

fn names(doc: &StatusDoc, args: &LogsArgs) -> Result<Vec<String>, Failure> {
    if args.names.is_empty() {
        let wanted = doc.services.iter().filter(|service| !args.failed || !style::is_well(service));
        return Ok(wanted.map(|service| service.name.clone()).collect());
    }
    let known: Vec<&str> = doc.services.iter().map(|service| service.name.as_str()).collect();
    let mut names: Vec<String> = Vec::new();
    for name in &args.names {
        let key = ["service/", "svc/", "container/", "ctr/"].iter().find_map(|kind| name.strip_prefix(kind));
        let key = key.unwrap_or(name);
        // What is kept of a service may be of one that is gone: the daemon knows.
        if !known.contains(&key) && !args.previous {
            return Err(no_such(name, key, known));
        }
        if !names.iter().any(|chosen| chosen == key) {
            names.push(key.to_owned());
        }
    }
    Ok(names)
}

struct Printer {
    prefixes: Prefixes,
    timestamps: bool,
    failed: bool,
}

impl Printer {
    fn line(&self, record: &LogRecord) -> Result<(), Failure> {
        console::print(&line(record, &self.prefixes, self.timestamps))
    }

    /// One log that cannot be read does not keep the others from being shown.
    fn trouble(&mut self, name: &str, error: ClientError) -> Result<(), Failure> {
        if error.not_reachable().is_some() {
            return Err(error.into());
        }
        self.failed = true;
        console::note(&format!("cannot read the log of {name}: {error}"));
        Ok(())
    }
}

/// Lines of all services in the order of their times. One line of each is held, whatever the length of the logs.
async fn merge(
    client: &Client,
    names: &[String],
    query: &LogQuery,
    printer: &mut Printer,
) -> Result<(), Failure> {
    let mut streams: Vec<Merged> = Vec::new();
    for name in names {
        match client.logs(name, query).await {
            Ok(stream) => streams.push(Merged { name: name.clone(), stream, next: None }),
            Err(error) => printer.trouble(name, error)?,
        }
    }
    loop {
        for merged in &mut streams {
            if merged.next.is_none() {
                match merged.stream.next().await {
                    Ok(Some(record)) => merged.next = Some((moment(&record), record)),
                    Ok(None) => {}
                    Err(error) => printer.trouble(&merged.name, error)?,
                }
            }
        }
        streams.retain(|merged| merged.next.is_some());
        let first = streams.iter_mut().min_by_key(|merged| merged.next.as_ref().map(|(moment, _)| *moment));
        let Some((_, record)) = first.and_then(|merged| merged.next.take()) else { return Ok(()) };
        printer.line(&record)?;
    }
}

struct Merged {
    name: String,
    stream: LogStream,
    next: Option<(Timestamp, LogRecord)>,
}

/// A line without a time that can be read goes first: it must not hold up the others.
fn moment(record: &LogRecord) -> Timestamp {
    record.time.parse().unwrap_or(Timestamp::MIN)
}
