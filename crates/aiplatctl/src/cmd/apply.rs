//! `apply`: the plan, a question, and then the file is in force.

use std::io;

use aiplat_api::{
    client::Client,
    v1::{ApplyReply, ApplyRequest, DiffRequest, SpecUpload},
};

use super::{diff::valid, progress};
use crate::{
    args::{ApplyArgs, Globals},
    console,
    exit::{Code, Failure, Outcome},
    offline::{self, Offline, Rules},
    render::{
        plan,
        text::{clean, clean_lines},
    },
    source,
};

/// What is to be put in force.
pub(super) struct Proposal {
    /// For the plan; `None`: the file in force.
    pub(super) upload: Option<SpecUpload>,
    /// For the daemon to write; `None`: the file on disk as it is.
    pub(super) content: Option<String>,
}

/// What may be done without asking.
pub(super) struct Consent {
    pub(super) yes: bool,
    pub(super) confirm: bool,
}

pub(super) async fn run(globals: &Globals, args: &ApplyArgs) -> Outcome {
    let client = source::client(globals);
    let status = client.status().await?;
    let proposal = match &args.file {
        Some(file) => {
            let offline = valid(offline::read(globals, file, Rules::Daemon, None)?)?;
            let in_place = in_place(globals, &offline, &status.platform.config)?;
            Proposal { upload: Some(in_place.upload()), content: offline.content().map(str::to_owned) }
        }
        None => Proposal { upload: on_disk(globals, &status.platform.config)?, content: None },
    };
    let consent = Consent { yes: args.yes, confirm: args.confirm };
    let Some(reply) = show_plan(&client, &proposal, &consent).await? else { return Ok(Code::Failed) };
    if !agreed("Apply?", &consent, reply.is_empty).await? {
        console::note("Nothing was changed.");
        return Ok(Code::Failed);
    }
    let generation = send(&client, proposal, &consent).await?;
    if args.wait { progress::until_done(globals, generation, args.timeout).await } else { Ok(Code::Done) }
}

/// The daemon's own file as the command sees it, so that the plan is of what is on disk; nothing where it may not look.
fn on_disk(globals: &Globals, path: &str) -> Result<Option<SpecUpload>, Failure> {
    // What it may not look at is the daemon's to judge; what is not there is known.
    if std::fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Err(Failure::usage(format!("{} does not exist: there is nothing to apply", clean(path)))
            .tip("`aiplatctl apply -f FILE` puts another file in its place, `aiplatctl edit` writes one"));
    }
    let offline = offline::read(globals, path.as_ref(), Rules::Daemon, None)?;
    if offline.content().is_none() {
        return Ok(None);
    }
    Ok(Some(valid(offline)?.upload()))
}

/// The file as it will mean something once it is in the daemon's folder: what it names relative to itself is read
/// relative to that, and the overlays there stay in force on top of it. The plan is made of this.
fn in_place(globals: &Globals, offline: &Offline, daemon_path: &str) -> Result<Offline, Failure> {
    let content = offline.content().map(str::to_owned);
    let there = offline::read(globals, daemon_path.as_ref(), Rules::Daemon, content)?;
    if offline.path == there.path {
        return Ok(there);
    }
    let named = |offline: &Offline| -> Vec<String> {
        offline.companions().map(|path| path.display().to_string()).collect()
    };
    let left = named(offline);
    let found: Vec<String> = named(&there).into_iter().filter(|path| !left.contains(path)).collect();
    let folder = there.path.parent().unwrap_or(&there.path).display().to_string();
    if !left.is_empty() && offline.path.parent() != there.path.parent() {
        console::note(&format!(
            "note: only {} is put in force; what it names relative to itself ({}) is then read relative to {folder}",
            offline.path.display(),
            left.join(", "),
        ));
    }
    if !found.is_empty() {
        console::note(&format!("note: with it go, from {folder}: {}", found.join(", ")));
    }
    if there.loaded.has_errors() {
        console::note(there.report(&there.loaded.diagnostics).trim_end());
        return Err(Failure::usage(format!(
            "the file is valid where it is, and would not be in its place: {}",
            there.tally()
        ))
        .tip(format!("copy what it names to {folder} first, or write absolute paths")));
    }
    Ok(there)
}

/// What the plan came to.
pub(super) struct Planned {
    pub(super) is_empty: bool,
}

/// Prints the plan. `None`: it may not be carried out, which has been said.
pub(super) async fn show_plan(
    client: &Client,
    proposal: &Proposal,
    consent: &Consent,
) -> Result<Option<Planned>, Failure> {
    let reply = client.diff(&DiffRequest { file: proposal.upload.clone() }).await?;
    if reply.invalid {
        return Err(refused(&reply.report));
    }
    console::print(&plan::plan(&reply, console::screen().width))?;
    if reply.needs_confirmation.is_some() && !consent.confirm {
        console::note("Nothing was changed: if this is meant, say so with --confirm.");
        return Ok(None);
    }
    Ok(Some(Planned { is_empty: plan::is_empty(&reply.preview) }))
}

/// Asks, if there is something to ask and somebody to be asked.
pub(super) async fn agreed(question: &str, consent: &Consent, nothing_to_do: bool) -> Result<bool, Failure> {
    if consent.yes || nothing_to_do || !console::can_ask() {
        return Ok(true);
    }
    console::confirm(question).await
}

/// Puts it in force and returns its generation.
pub(super) async fn send(client: &Client, proposal: Proposal, consent: &Consent) -> Result<u64, Failure> {
    let request = ApplyRequest { content: proposal.content, confirm: consent.confirm };
    in_force(client.apply(&request).await?)
}

/// Says what came of it; the generation that is in force.
pub(super) fn in_force(reply: ApplyReply) -> Result<u64, Failure> {
    if reply.invalid {
        return Err(refused(&reply.report));
    }
    if let Some(reason) = reply.needs_confirmation {
        return Err(Failure::failed(format!("nothing was changed: {}", clean(&reason)))
            .tip("if this is meant, say so with --confirm"));
    }
    if let Some(kept) = &reply.kept {
        console::note(&format!("What was on disk is kept in {}.", clean(kept)));
    }
    console::line(&format!("Generation {} is in force.", reply.generation))?;
    Ok(reply.generation)
}

fn refused(report: &str) -> Failure {
    console::note(clean_lines(report).trim_end());
    Failure::usage("aiplatd does not take the file; nothing was changed")
}
