//! `status`: one screen, and an exit code that says whether all is well.

use super::{print_doc, view};
use crate::{
    args::{DocFormat, Globals},
    console,
    exit::{Code, Outcome},
    find::{Found, Target},
    render::{describe, status},
    source,
};

pub(super) async fn run(globals: &Globals, name: Option<&Target>, output: DocFormat) -> Outcome {
    let seen = source::read(globals).await?;
    let view = view(false);
    let Some(name) = name else {
        if !print_doc(&seen.doc, output)? {
            console::print(&status::platform(&seen.doc, view))?;
        }
        return Ok(seen.code(code(status::is_ready(&seen.doc))));
    };
    let found = name.find(&seen.doc)?;
    match found {
        Found::Service(service) => {
            if !print_doc(service, output)? {
                console::print(&status::service(service, view))?;
            }
        }
        Found::Resource(resource) => {
            if !print_doc(resource, output)? {
                console::print(&describe::resource(&seen.doc, resource, view))?;
            }
        }
        Found::Gate(gate) => {
            if !print_doc(gate, output)? {
                console::print(&describe::gate(&seen.doc, gate, view))?;
            }
        }
    }
    Ok(seen.code(code(found.is_ready())))
}

fn code(ready: bool) -> Code {
    if ready { Code::Done } else { Code::NotReady }
}
