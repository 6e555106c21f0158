//! `wait`: until a condition holds, or the time is up.

use std::time::Duration;

use aiplat_api::{client::ClientError, v1::StatusDoc};
use tokio::time::{Instant, sleep, timeout_at};

use super::is_ready::because;
use crate::{
    args::{Globals, WaitArgs, Wanted},
    console,
    exit::{Code, Failure, Outcome},
    find::{Found, Target},
    source,
};

/// How long the daemon holds an answer back when nothing changes.
const HOLD: Duration = Duration::from_secs(20);
/// Between two attempts to reach it.
const RETRY: Duration = Duration::from_millis(500);

pub(super) async fn run(globals: &Globals, args: &WaitArgs) -> Outcome {
    let deadline = Instant::now() + args.timeout;
    let client = source::client(globals);
    let mut doc = client.status().await?;
    let mut waiting: Vec<&Target> = args.names.iter().collect();
    let mut away = None;
    loop {
        let mut missing = Vec::new();
        for name in waiting {
            if holds(&name.find(&doc)?, &args.condition) {
                console::line(&format!("{name} condition met"))?;
            } else {
                missing.push(name);
            }
        }
        if missing.is_empty() {
            return Ok(Code::Done);
        }
        waiting = missing;
        // Long polls can be dropped: nothing is lost with them.
        match timeout_at(deadline, client.status_after(doc.version, HOLD)).await {
            Err(_) => return Err(time_is_up(&doc, &waiting, args, away)),
            Ok(Ok(new)) => {
                // A daemon that answers at once with nothing new must not be asked in a loop.
                if new.version == doc.version {
                    sleep(RETRY).await;
                }
                doc = new;
                away = None;
            }
            // It may be restarting: that is no reason to give up before the time is.
            Ok(Err(ClientError::NotReachable(reason))) => {
                away = Some(reason.to_string());
                sleep(RETRY).await;
                if let Ok(new) = client.status().await {
                    doc = new;
                    away = None;
                }
                if Instant::now() >= deadline {
                    return Err(time_is_up(&doc, &waiting, args, away));
                }
            }
            Ok(Err(error)) => return Err(error.into()),
        }
    }
}

/// Whether the condition has the status that is waited for.
fn holds(found: &Found<'_>, wanted: &Wanted) -> bool {
    let Wanted { kind, status } = wanted;
    if kind == "Ready" && *status == aiplat_core::condition::Status::True {
        return found.is_ready();
    }
    let conditions = found.conditions();
    conditions.iter().any(|it| it.condition.kind.to_string() == *kind && it.condition.status == *status)
}

fn time_is_up(doc: &StatusDoc, waiting: &[&Target], args: &WaitArgs, away: Option<String>) -> Failure {
    if let Some(away) = away {
        return Failure::new(Code::NotReachable, format!("aiplatd is not reachable: {away}"))
            .tip("`systemctl status aiplatd` says what it does");
    }
    let Wanted { kind, status } = &args.condition;
    let limit = aiplat_core::time::human(args.timeout);
    let reasons: Vec<String> = waiting
        .iter()
        .filter_map(|name| {
            Some(format!(
                "{name} has not become {kind}={status} within {limit}: {}",
                because(&name.find(doc).ok()?)
            ))
        })
        .collect();
    let name = waiting.first().map_or("", |name| name.name());
    Failure::failed(reasons.join("\n       "))
        .tip(format!("`aiplatctl describe {name}` shows all that is known"))
}
