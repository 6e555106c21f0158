//! Where the state comes from: the daemon, or what it last wrote.

use std::{
    io,
    path::{Path, PathBuf},
};

use aiplat_api::{
    client::{Client, ClientError, NotReachable},
    v1::StatusDoc,
};
use aiplat_core::condition::{ConditionType, Status};
use jiff::Timestamp;

use crate::{
    args::Globals,
    console,
    exit::{Code, Failure},
    render::{text::clean, time},
};

/// No status document is larger; a larger file is not one.
const FILE_MAX: u64 = 256 << 20;

/// A state, and whether it is the present one.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) doc: StatusDoc,
    /// The daemon answered just now.
    pub(crate) live: bool,
}

impl Seen {
    /// How a verb that has shown this ends: what is not the present state is no answer to rely on.
    pub(crate) fn code(&self, code: Code) -> Code {
        if !self.live {
            Code::NotReachable
        } else if code == Code::Done && engine_away(&self.doc).is_some() {
            Code::NotReady
        } else {
            code
        }
    }
}

/// Why nothing is known of the containers now, if the engine does not answer.
fn engine_away(doc: &StatusDoc) -> Option<&str> {
    let mut conditions = doc.platform.conditions.iter().map(|it| &it.condition);
    let away =
        conditions.find(|it| it.kind == ConditionType::DockerReachable && it.status == Status::False)?;
    Some(&away.message)
}

/// The daemon of these settings.
pub(crate) fn client(globals: &Globals) -> Client {
    Client::new(&globals.socket)
}

/// The state from the daemon; when it is not reachable, the one that it last wrote, with a line on stderr saying so.
pub(crate) async fn read(globals: &Globals) -> Result<Seen, Failure> {
    match client(globals).status().await {
        Ok(doc) => {
            if let Some(why) = engine_away(&doc) {
                console::note(&format!("{}; what is shown is what was last seen", clean(why)));
            }
            Ok(Seen { doc, live: true })
        }
        Err(ClientError::NotReachable(reason)) => stale(globals, &reason),
        Err(error) => Err(error.into()),
    }
}

fn stale(globals: &Globals, reason: &NotReachable) -> Result<Seen, Failure> {
    let path = globals.state_dir.join("status.json");
    match last_written(&path) {
        Ok(doc) => {
            let age = time::age(Timestamp::now(), &doc.time);
            console::note(&format!(
                "aiplatd is not reachable ({reason}); showing what it last wrote {age} ago"
            ));
            Ok(Seen { doc, live: false })
        }
        Err(why) => {
            Err(Failure::new(Code::NotReachable, format!("aiplatd is not reachable: {reason}; and {why}"))
                .tip(reason.next_step()))
        }
    }
}

/// The document in `path`, or why there is none.
fn last_written(path: &Path) -> Result<StatusDoc, String> {
    let shown = path.display();
    let said = |error: io::Error| match error.kind() == io::ErrorKind::NotFound {
        true => format!("{shown} does not exist"),
        false => format!("{shown} cannot be read: {error}"),
    };
    let length = std::fs::metadata(path).map_err(said)?.len();
    if length > FILE_MAX {
        return Err(format!("{shown} is too large to be what aiplatd writes"));
    }
    let bytes = std::fs::read(path).map_err(said)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| format!("{shown} is not what this version writes: {error}"))
}

/// The file that a verb is about: the one named, else the platform file.
pub(crate) fn file(globals: &Globals, named: Option<&PathBuf>) -> PathBuf {
    named.unwrap_or(&globals.config).clone()
}
