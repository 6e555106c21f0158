//! What would be done, and why.

use std::{collections::BTreeMap, fmt::Write as _};

use aiplat_api::v1::DiffReply;
use aiplat_core::{
    Kind,
    preview::{Preview, PreviewedAction},
};

use super::{
    style,
    style::paint,
    text::{clean, count, wrap},
};

/// Whether there is anything to do.
#[must_use]
pub fn is_empty(preview: &Preview) -> bool {
    preview.waves.is_empty() && preview.blocked.is_empty()
}

/// The plan, in waves; within a wave things happen side by side.
#[must_use]
pub fn plan(reply: &DiffReply, width: Option<usize>) -> String {
    let DiffReply { preview, report, invalid: _, needs_confirmation, not_in_force, without_action } = reply;
    let mut out = String::new();
    if !report.trim().is_empty() {
        let _ = writeln!(out, "{}\n", super::text::clean_lines(report.trim_end()));
    }
    for (number, stage) in stages(preview).into_iter().enumerate() {
        let _ = writeln!(out, "{}", paint(style::STRONG, &format!("Wave {}", number + 1)));
        for (resource, actions) in stage {
            out.push_str(&resource_block(&resource, &actions, width));
        }
    }
    if !preview.blocked.is_empty() {
        let _ = writeln!(out, "{}", paint(style::STRONG, "Cannot be done now"));
        for (resource, sentence) in &preview.blocked {
            let said = format!("{}: {}", clean(&resource.to_string()), clean(sentence));
            let _ = writeln!(out, "  {} {}", paint(style::BAD, "!"), wrap(&said, width, 6));
        }
    }
    if !preview.notes.is_empty() {
        let _ = writeln!(out, "{}", paint(style::STRONG, "Worth knowing"));
        for (resource, sentence) in &preview.notes {
            let said = format!("{}: {}", clean(&resource.to_string()), clean(sentence));
            let _ = writeln!(out, "  {} {}", paint(style::UNDERWAY, "!"), wrap(&said, width, 6));
        }
    }
    for (resource, sentence) in without_action {
        let said = format!("{}: {}", clean(&resource.to_string()), clean(sentence));
        let _ = writeln!(out, "  {} {}", paint(style::UNDERWAY, "~"), wrap(&said, width, 6));
    }
    let _ = writeln!(out, "{}", wrap(&summary(reply), width, 2));
    let said = [
        (not_in_force, style::BAD, "The file on disk is not in force"),
        (needs_confirmation, style::UNDERWAY, "Needs --confirm"),
    ];
    for (reason, style, head) in said {
        if let Some(reason) = reason {
            let said = format!("{}: {}", paint(style, head), clean(reason));
            let _ = writeln!(out, "{}", wrap(&said, width, 2));
        }
    }
    out
}

type Stage<'a> = BTreeMap<String, Vec<&'a PreviewedAction>>;

/// The daemon plans one action a resource and wave; a person reads "create, start" of one resource as one thing. So
/// all actions of a resource stand together, in the wave in which it has come to serve: what waits for it to be ready
/// stands in a later one, and that its predecessor is removed afterwards holds up nobody. What others do in between stays
/// in between.
fn stages(preview: &Preview) -> Vec<Stage<'_>> {
    let mut all: BTreeMap<String, Vec<Block<'_>>> = BTreeMap::new();
    for (number, wave) in preview.waves.iter().enumerate() {
        for action in &wave.actions {
            let blocks = all.entry(action.resource.to_string()).or_default();
            match blocks.last_mut().filter(|block| !is_interval(block.last, number, &block.actions)) {
                Some(block) => block.push(number, action),
                None => blocks.push(Block { last: number, serves: number, actions: vec![action] }),
            }
        }
    }
    let mut stages: BTreeMap<usize, Stage<'_>> = BTreeMap::new();
    for (resource, blocks) in all {
        for Block { serves, actions, .. } in blocks {
            stages.entry(serves).or_default().insert(resource.clone(), actions);
        }
    }
    stages.into_values().collect()
}

/// Actions of one resource that stand together.
struct Block<'a> {
    /// The wave of the last of them.
    last: usize,
    /// The wave after which the resource serves.
    serves: usize,
    actions: Vec<&'a PreviewedAction>,
}

impl<'a> Block<'a> {
    fn push(&mut self, number: usize, action: &'a PreviewedAction) {
        self.last = number;
        if !is_tidying(action) || self.actions.iter().all(|action| is_tidying(action)) {
            self.serves = number;
        }
        self.actions.push(action);
    }
}

/// Whether the resource serves, or does not, whatever comes of it.
fn is_tidying(action: &PreviewedAction) -> bool {
    matches!(action.verb.as_str(), "rename" | "remove")
}

/// Whether others have to do something between these actions and the next one: a network is removed between a
/// disconnect and the connect after it. Between a create and its start a service only waits.
fn is_interval(last: usize, next: usize, actions: &[&PreviewedAction]) -> bool {
    let before = actions.last();
    let is_container = before.is_some_and(|action| action.resource.kind == Kind::Container);
    next > last + 1 && (!is_container || before.is_some_and(|action| action.verb == "disconnect"))
}

fn resource_block(resource: &str, actions: &[&PreviewedAction], width: Option<usize>) -> String {
    let mut out = String::new();
    let (sign, style) = sign(actions);
    let _ = writeln!(out, "  {} {}", paint(style, sign), paint(style, &clean(resource)));
    let mut said = None;
    for PreviewedAction { resource: _, verb: _, action, cause, interrupts } in actions {
        // The same reason is said once, with the first of the steps that follow from it.
        let because = if said == Some(cause) { String::new() } else { format!(": {}", clean(cause)) };
        said = Some(cause);
        let said = format!("{}{because}", clean(action));
        let _ = writeln!(out, "      {}", wrap(&said, width, 8));
        if let Some(interrupts) = interrupts {
            let said = format!("{} {}", paint(style::UNDERWAY, "interrupts:"), clean(interrupts));
            let _ = writeln!(out, "        {}", wrap(&said, width, 10));
        }
    }
    out
}

fn sign(actions: &[&PreviewedAction]) -> (&'static str, anstyle::Style) {
    let all = |verbs: &[&str]| actions.iter().all(|action| verbs.contains(&action.verb.as_str()));
    // What is there already and only runs again is a change to it.
    if all(&["create", "start", "pull", "connect"]) && !all(&["start"]) {
        ("+", style::GOOD)
    } else if all(&["stop", "remove", "disconnect"]) {
        ("-", style::BAD)
    } else {
        ("~", style::UNDERWAY)
    }
}

/// `5 actions on 3 resources: 2 create, 2 start, 1 pull. 1 of them interrupts something.`
#[must_use]
pub fn summary(reply: &DiffReply) -> String {
    let preview = &reply.preview;
    let actions: Vec<&PreviewedAction> = preview.waves.iter().flat_map(|wave| &wave.actions).collect();
    if actions.is_empty() {
        return match preview.blocked.len() {
            0 if reply.not_in_force.is_some() => {
                "Nothing to do: everything is as the file in force says.".to_owned()
            }
            0 if !reply.without_action.is_empty() => {
                "Nothing is started, stopped or made anew by it.".to_owned()
            }
            0 => "Nothing to do: everything is as the file says.".to_owned(),
            1 => "Nothing can be done now: 1 resource waits.".to_owned(),
            blocked => format!("Nothing can be done now: {blocked} resources wait."),
        };
    }
    let mut verbs: BTreeMap<&str, usize> = BTreeMap::new();
    for action in &actions {
        *verbs.entry(action.verb.as_str()).or_default() += 1;
    }
    let verbs: Vec<String> = verbs.iter().map(|(verb, number)| format!("{number} {}", clean(verb))).collect();
    let mut resources: Vec<String> = actions.iter().map(|action| action.resource.to_string()).collect();
    resources.sort();
    resources.dedup();
    let interrupting = match actions.iter().filter(|action| action.interrupts.is_some()).count() {
        0 => "Nothing is interrupted.".to_owned(),
        1 => "1 of them interrupts something.".to_owned(),
        number => format!("{number} of them interrupt something."),
    };
    let head = format!("{} on {}", count(actions.len(), "action"), count(resources.len(), "resource"));
    format!("{head}: {}. {interrupting}", verbs.join(", "))
}
