//! `is-ready`: an exit code for scripts. It never answers from what the daemon last wrote: an old "ready" is a guess.

use crate::{
    args::Globals,
    console,
    exit::{Code, Outcome},
    find::{Found, Target},
    render::{
        status,
        text::clean,
        why::{self, chain},
    },
    source,
};

pub(super) async fn run(globals: &Globals, name: Option<&Target>) -> Outcome {
    let doc = source::client(globals).status().await?;
    let Some(name) = name else {
        if status::is_ready(&doc) {
            return Ok(Code::Done);
        }
        console::note(&format!("{} is not ready: {}", clean(&doc.platform.name), status::counts(&doc)));
        return Ok(Code::NotReady);
    };
    let found = name.find(&doc)?;
    if found.is_ready() {
        return Ok(Code::Done);
    }
    console::note(&format!("{name} is not ready: {}", because(&found)));
    Ok(Code::NotReady)
}

/// One sentence on why it is not.
pub(super) fn because(found: &Found<'_>) -> String {
    match found {
        Found::Service(service) => chain(service),
        Found::Resource(resource) => format!("{}: {}", resource.status, clean(&resource.message)),
        Found::Gate(gate) => why::condition(&gate.condition),
    }
}
