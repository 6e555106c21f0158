//! `describe`: everything about one thing.

use super::{print_doc, view};
use crate::{
    args::{DocFormat, Globals},
    console,
    exit::{Code, Outcome},
    find::{Found, Target},
    render::{describe, gpus, host},
    source,
};

pub(super) async fn run(globals: &Globals, name: &Target, output: DocFormat) -> Outcome {
    let seen = source::read(globals).await?;
    let view = view(false);
    if let Some(host) = seen.doc.host.as_ref().filter(|_| name.is_host()) {
        if !print_doc(host, output)? {
            console::print(&host::describe(&seen.doc, host, view))?;
        }
        return Ok(seen.code(Code::Done));
    }
    if let Some(gpu) = name.gpu(&seen.doc) {
        if !print_doc(gpu, output)? {
            console::print(&gpus::describe_gpu(gpu, view))?;
        }
        return Ok(seen.code(Code::Done));
    }
    let text = match name.find(&seen.doc)? {
        Found::Service(service) if print_doc(service, output)? => return Ok(seen.code(Code::Done)),
        Found::Resource(resource) if print_doc(resource, output)? => return Ok(seen.code(Code::Done)),
        Found::Gate(gate) if print_doc(gate, output)? => return Ok(seen.code(Code::Done)),
        Found::Service(service) => describe::service(&seen.doc, service, view),
        Found::Resource(resource) => describe::resource(&seen.doc, resource, view),
        Found::Gate(gate) => describe::gate(&seen.doc, gate, view),
    };
    console::print(&text)?;
    Ok(seen.code(Code::Done))
}
