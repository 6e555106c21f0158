//! `why`: from the symptom to the cause.

use aiplat_core::condition::Word;
use serde::Serialize;

use super::{print_doc, view};
use crate::{
    args::{DocFormat, Globals},
    console,
    exit::{Code, Outcome},
    find::{Found, Target},
    render::{describe, style, why},
    source,
};

/// The chain for programs.
#[derive(Serialize)]
struct Chain<'a> {
    service: &'a str,
    status: Word,
    why: &'a [String],
}

pub(super) async fn run(globals: &Globals, name: Option<&Target>, output: DocFormat) -> Outcome {
    let seen = source::read(globals).await?;
    let found = name.map(|name| name.find(&seen.doc)).transpose()?;
    let about = |name: &str| match found {
        Some(Found::Service(service)) => service.name == name,
        Some(Found::Resource(_) | Found::Gate(_)) => false,
        None => true,
    };
    let services =
        seen.doc.services.iter().filter(|it| about(&it.name) && (found.is_some() || !style::is_well(it)));
    let chains: Vec<Chain<'_>> =
        services.map(|it| Chain { service: &it.name, status: it.status, why: &it.why }).collect();
    if print_doc(&chains, output)? {
        return Ok(seen.code(Code::Done));
    }
    let text = match found {
        None => why::all(&seen.doc, view(false)),
        Some(Found::Service(service)) => why::service(&seen.doc, service, view(false)),
        Some(Found::Gate(gate)) => why::gate(&seen.doc, gate, view(false)),
        Some(Found::Resource(resource)) => describe::resource(&seen.doc, resource, view(false)),
    };
    console::print(&text)?;
    Ok(seen.code(Code::Done))
}
