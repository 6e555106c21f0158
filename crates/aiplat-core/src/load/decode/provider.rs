//! `provider:`, who runs a service when that is not the engine.

use super::{Cx, Fields, Item, calendar::calendar};
use crate::{
    load::{
        diagnostic::Problem,
        draft::UnitDraft,
        keys::{PROVIDER, PROVIDER_OPTIONS},
        tree::Spanned,
    },
    spec::{Hardening, Management},
};

/// The unit that a service is, if it is one. `Err`: it has a provider, which could not be read.
pub(super) fn provider(
    cx: &mut Cx<'_>,
    fields: &mut Fields<'_>,
    service: &str,
) -> Option<Result<UnitDraft, ()>> {
    // It is one of ours, then, which may go without a name.
    let has_program = fields.has("command");
    let management = management(cx, fields);
    let provider = fields.take("provider");
    let Some(item) = provider else {
        if let Some(management) = management {
            let problem =
                Problem::error("not-for-a-container", management.place, "`management` is for systemd units");
            cx.sink.add(
                problem.help(
                    "remove it, or name the unit with `provider: {type: systemd, options: {unit: NAME}}`",
                ),
            );
        }
        return None;
    };
    let mut fields = cx.fields(&item, &PROVIDER);
    let says_type = fields.has("type");
    let kind = fields.take("type").and_then(|item| cx.word(&item, &[("systemd", ())]));
    let options = fields.take("options").map(|item| options(cx, &item)).unwrap_or_default();
    fields.done();
    let says_unit = options.says_unit || has_program;
    if !says_type || !says_unit {
        let what = if says_type { "which unit" } else { "of which type it is" };
        cx.sink.add(
            Problem::error("missing-key", item.place(), format!("the provider does not say {what}"))
                .help("write `provider: {type: systemd, options: {unit: ollama.service}}`"),
        );
    }
    let management = management.map_or(Management::default(), |it| it.value);
    let own_name = Spanned { value: format!("aiplat-{service}.service"), place: item.place() };
    let unit = options.unit.or((has_program && !options.says_unit).then_some(own_name));
    let (hardening, on_calendar) = (options.hardening, options.on_calendar);
    let draft = |((), unit)| UnitDraft { unit, management, hardening, on_calendar };
    Some(kind.zip(unit).map(draft).ok_or(()))
}

/// `options:`, as far as it could be read.
#[derive(Default)]
struct Told {
    says_unit: bool,
    unit: Option<Spanned<String>>,
    hardening: Option<Spanned<Hardening>>,
    on_calendar: Option<Spanned<String>>,
}

fn options(cx: &mut Cx<'_>, item: &Item<'_>) -> Told {
    let mut fields = cx.fields(item, &PROVIDER_OPTIONS);
    let words = [("default", Hardening::Default), ("none", Hardening::None)];
    let told = Told {
        says_unit: fields.has("unit"),
        unit: fields.take("unit").and_then(|item| cx.parsed(&item, unit_name)),
        hardening: fields
            .take("hardening")
            .and_then(|item| Some(Spanned { value: cx.word(&item, &words)?, place: item.place() })),
        on_calendar: fields.take("on_calendar").and_then(|item| cx.parsed(&item, calendar)),
    };
    fields.done();
    told
}

fn management(cx: &mut Cx<'_>, fields: &mut Fields<'_>) -> Option<Spanned<Management>> {
    let item = fields.take("management")?;
    let words =
        [("observe", Management::Observe), ("configure", Management::Configure), ("full", Management::Full)];
    let value = cx.word(&item, &words)?;
    Some(Spanned { value, place: item.place() })
}

/// A unit's name, man 5 `systemd.unit`: letters, digits and `:-_.\\@`, a suffix, 255 bytes at most.
fn unit_name(text: &str) -> Result<String, String> {
    let name = if text.contains('.') { text.to_owned() } else { format!("{text}.service") };
    let fits = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    if name.len() > 255 || name.starts_with('.') || !name.chars().all(fits) {
        return Err("write the name of a unit, as in `ollama.service`".to_owned());
    }
    if name.contains("@.") {
        return Err("that is a template: name an instance of it, as in `app@one.service`".to_owned());
    }
    match name.rsplit_once('.') {
        Some((stem, "service")) if !stem.is_empty() => Ok(name),
        Some((_, suffix)) => {
            Err(format!("only units that end in `.service` are services; `.{suffix}` is another kind"))
        }
        None => Err("write the name of a unit, as in `ollama.service`".to_owned()),
    }
}
