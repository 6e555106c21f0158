//! `prune`: what is ours and no longer in the file.

use std::fmt::Write as _;

use aiplat_api::v1::{PruneRequest, ResourceStatus, StatusDoc};
use aiplat_core::Kind;

use crate::{
    args::{Globals, PruneArgs},
    console,
    exit::{Code, Failure, Outcome},
    render::text::clean,
    source,
};

pub(super) async fn run(globals: &Globals, args: &PruneArgs) -> Outcome {
    let PruneArgs { volumes, dry_run, yes } = args;
    let client = source::client(globals);
    if volumes.is_empty() {
        console::print(&left(&client.status().await?))?;
        return Ok(Code::Done);
    }
    // All of them are looked at before the first one goes.
    let asked = PruneRequest { volumes: volumes.clone(), dry_run: true };
    let names = client.prune(&asked).await?.volumes;
    let shown: Vec<String> = names.iter().map(|name| clean(name)).collect();
    if *dry_run {
        for name in shown {
            console::line(&format!("would remove volume {name} and its data"))?;
        }
        return Ok(Code::Done);
    }
    if !yes && !console::can_ask() {
        return Err(Failure::usage(
            "nobody can be asked here, and the data would be gone: nothing was changed",
        )
        .tip("if this is meant, say so with --yes"));
    }
    let question = format!("Remove {} and the data in it, for good?", shown.join(", "));
    if !yes && !console::confirm(&question).await? {
        console::note("Nothing was changed.");
        return Ok(Code::Failed);
    }
    // One by one: where one fails, those before it have been told of.
    for (name, shown) in names.into_iter().zip(shown) {
        client.prune(&PruneRequest { volumes: vec![name], dry_run: false }).await?;
        console::line(&format!("removed volume {shown} and its data"))?;
    }
    Ok(Code::Done)
}

/// What is left over, and what becomes of it.
fn left(doc: &StatusDoc) -> String {
    let gone = |it: &&ResourceStatus| !it.desired;
    let (volumes, others): (Vec<_>, Vec<_>) =
        doc.resources.iter().filter(gone).partition(|it| it.id.kind == Kind::Volume);
    let mut out = String::new();
    if volumes.is_empty() && others.is_empty() {
        return "Nothing of ours is left over.\n".to_owned();
    }
    if !volumes.is_empty() {
        out.push_str("Volumes that the file no longer has; each goes, with its data, only by name:\n");
    }
    for ResourceStatus { id, host_name, message, .. } in volumes {
        let host_name = clean(host_name);
        let message = clean(message);
        let _ = writeln!(out, "  {id}: {message}\n    aiplatctl prune --volume {host_name}");
    }
    if !others.is_empty() {
        out.push_str("Left for aiplatd, which removes it by itself:\n");
    }
    for ResourceStatus { id, message, .. } in others {
        let message = if message.is_empty() { "its turn comes".to_owned() } else { clean(message) };
        let _ = writeln!(out, "  {id}: {message}");
    }
    out
}
