//! `history` and `rollback`: the files that were in force, and the way back.

use std::path::PathBuf;

use aiplat_api::{
    client::Client,
    v1::{RevisionInfo, RollbackRequest, StatusDoc},
};
use aiplat_core::condition::{ConditionType, Status};

use super::{
    apply::{Consent, Proposal, agreed, in_force, show_plan},
    edit::text_diff,
    print_doc, view,
};
use crate::{
    args::{DocFormat, Globals},
    console,
    exit::{Code, Failure, Outcome},
    offline::{self, Rules},
    render::{
        style,
        table::{Table, cell, column, message},
        text::{clean, short_id},
        time::age_of,
    },
    source,
};

pub(super) async fn run(globals: &Globals, revision: Option<u64>, output: DocFormat) -> Outcome {
    let client = source::client(globals);
    let revisions = client.history().await?;
    let Some(revision) = revision else {
        if !print_doc(&revisions, output)? {
            console::print(&table(&revisions))?;
        }
        return Ok(Code::Done);
    };
    let present = in_force_now(&revisions)?;
    let (then, now) = (client.revision(revision).await?, client.revision(present).await?);
    if then.text == now.text {
        console::note(&format!(
            "The present file (revision {present}) is the same as that of revision {revision}."
        ));
    } else {
        console::note(&format!("From revision {revision} to the present file (revision {present}):"));
        console::print(&text_diff(&then.text, &now.text))?;
    }
    note_others(&then.others);
    Ok(Code::Done)
}

fn table(revisions: &[RevisionInfo]) -> String {
    let view = view(false);
    let mut table = Table::new(&[
        column("REVISION"),
        column("AGE").volatile(),
        column("IMAGES").drops(1),
        column("CHANGE").flexible(),
    ]);
    for it in revisions {
        let RevisionInfo { revision, time, change: _, images, in_force, back_to: _, taken_back: _ } = it;
        let number = if *in_force { format!("{revision} (in force)") } else { revision.to_string() };
        let images: Vec<String> = images
            .iter()
            .map(|(name, image)| format!("{name}:{}", short_id(image).get(..7).unwrap_or("-")))
            .collect();
        let style = if *in_force { style::STRONG } else { style::PLAIN };
        let row = vec![
            cell(style, &number),
            age_of(view.now, Some(time)).into(),
            images.join(",").into(),
            message(&marked(it)),
        ];
        table.push(row);
    }
    table.render(view.width)
}

/// What it changed, and what is special about it.
fn marked(it: &RevisionInfo) -> String {
    let mut text = it.change.clone();
    if let Some(earlier) = it.back_to {
        text = format!("back to revision {earlier}, changing {text}");
    }
    if !it.taken_back.is_empty() {
        text.push_str(&format!("; taken back: {}", it.taken_back.join(", ")));
    }
    text
}

fn in_force_now(revisions: &[RevisionInfo]) -> Result<u64, Failure> {
    let present = revisions.iter().find(|it| it.in_force).map(|it| it.revision);
    present.ok_or_else(|| Failure::failed("no file is in force yet").tip("`aiplatctl status` says why"))
}

pub(super) async fn rollback(globals: &Globals, revision: Option<u64>, consent: Consent) -> Outcome {
    let client = source::client(globals);
    let revisions = client.history().await?;
    let present = in_force_now(&revisions)?;
    let refused = not_in_force(&client.status().await?);
    let before = revisions.iter().rev().map(|it| it.revision).find(|number| *number < present);
    let last = if refused.is_some() { Some(present) } else { before };
    let Some(revision) = revision.or(last) else {
        return Err(
            Failure::failed("there is no earlier file to go back to").tip("`aiplatctl history` lists all")
        );
    };
    if revision == present && refused.is_none() {
        console::note(&format!("Revision {revision} is in force: there is nothing to do."));
        return Ok(Code::Done);
    }
    if let Some(reason) = &refused {
        console::note(&format!(
            "note: the file on disk is not in force ({}); what it holds, if anything, is kept beside it as \
             platform.yaml.refused-TIME",
            clean(reason)
        ));
    }
    let Some(is_empty) = shown(globals, &client, present, revision, &consent).await? else {
        return Ok(Code::Failed);
    };
    let nothing_to_do = is_empty && refused.is_none();
    if !agreed(&format!("Go back to revision {revision}?"), &consent, nothing_to_do).await? {
        console::note("Nothing was changed.");
        return Ok(Code::Failed);
    }
    in_force(client.rollback(&RollbackRequest { revision, confirm: consent.confirm }).await?)?;
    Ok(Code::Done)
}

/// Why the file on disk is not the one in force, if it is not.
fn not_in_force(doc: &StatusDoc) -> Option<String> {
    let mut conditions = doc.platform.conditions.iter().map(|it| &it.condition);
    let refused = conditions.find(|it| it.kind == ConditionType::SpecValid && it.status == Status::False)?;
    Some(refused.message.clone())
}

/// What it does to the file, and what follows from that; whether that is nothing. `None`: it may not be carried out,
/// which has been said.
async fn shown(
    globals: &Globals,
    client: &Client,
    present: u64,
    revision: u64,
    consent: &Consent,
) -> Result<Option<bool>, Failure> {
    let (then, now) = (client.revision(revision).await?, client.revision(present).await?);
    console::print(&text_diff(&now.text, &then.text))?;
    note_others(&then.others);
    let path = PathBuf::from(client.status().await?.platform.config);
    let offline = offline::read(globals, &path, Rules::Daemon, Some(then.text.clone()))?;
    let proposal = Proposal { upload: Some(offline.upload()), content: None };
    Ok(show_plan(client, &proposal, consent).await?.map(|plan| plan.is_empty && then.text == now.text))
}

fn note_others(others: &[String]) {
    if !others.is_empty() {
        let names: Vec<String> = others.iter().map(|it| clean(it)).collect();
        console::note(&format!(
            "note: only the platform file goes back; these differ too and stay: {}",
            names.join(", ")
        ));
    }
}
