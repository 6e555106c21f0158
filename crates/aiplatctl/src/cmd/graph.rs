//! `graph`: the dependencies, with state.

use crate::{
    args::{Globals, GraphFormat},
    console,
    exit::{Code, Outcome},
    render::graph,
    source,
};

pub(super) async fn run(globals: &Globals, format: GraphFormat) -> Outcome {
    let seen = source::read(globals).await?;
    let services = &seen.doc.services;
    match format {
        GraphFormat::Text if services.is_empty() => console::note("There are no services."),
        GraphFormat::Text => console::print(&graph::tree(services))?,
        GraphFormat::Dot => console::print(&graph::dot(services))?,
        GraphFormat::Mermaid => console::print(&graph::mermaid(services))?,
    }
    Ok(seen.code(Code::Done))
}
