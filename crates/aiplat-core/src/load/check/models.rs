//! Models: who serves them, and none twice.

use std::collections::BTreeMap;

use super::Scene;
use crate::{
    load::{
        decode::did_you_mean,
        diagnostic::{Problem, Sink},
        draft::{ModelDraft, ServiceDraft},
        tree::{Place, Spanned},
    },
    spec::ModelName,
};

pub(super) fn check(scene: &Scene<'_>, sink: &mut Sink) {
    for (name, model) in &scene.draft.models {
        match &model.runner {
            Some(runner) => known_runner(scene, name, model, runner, sink),
            None if model.is_without_runner => without_runner(scene, name, model, sink),
            None => {}
        }
    }
    twice(scene, sink);
}

fn known_runner(
    scene: &Scene<'_>,
    name: &str,
    model: &ModelDraft,
    runner: &Spanned<String>,
    sink: &mut Sink,
) {
    let Spanned { value, place } = runner;
    let services = &scene.draft.services;
    match services.get(value) {
        None if scene.knows("services") => {
            let message =
                format!("the model `{name}` is served by `{value}`, which is no service of this file");
            let problem = Problem::error("unknown-service", *place, message);
            sink.add(match did_you_mean(value, services.keys()) {
                Some(near) => problem.label(near),
                None => problem.help(runner_help(scene)),
            });
        }
        Some(service) if service.unit.as_ref().is_some_and(|unit| unit.on_calendar.is_some()) => {
            let message = format!("`{value}` runs by a timer, and serves no model in between");
            sink.add(
                Problem::error("bad-runner", *place, message).help("name a service that runs all the time"),
            );
        }
        Some(_) if scene.is_active(model) && !scene.active.contains_key(value.as_str()) => {
            let message =
                format!("the model `{name}` is left out, as `{value}` is: its profiles are not active");
            sink.add(
                Problem::warning("model-left-out", *place, message)
                    .help(format!("switch on a profile of `{value}`, or give the model the same `profiles`")),
            );
        }
        Some(_) | None => {}
    }
}

/// Compose's own models have none: they are Docker Model Runner's.
fn without_runner(scene: &Scene<'_>, name: &str, model: &ModelDraft, sink: &mut Sink) {
    let message = format!("the model `{name}` has no `runner`");
    sink.add(
        Problem::error("missing-key", model.place, message)
            .because(
                "in Compose Docker's own Model Runner serves it; here it is a service of the file that speaks Ollama's API",
            )
            .help(runner_help(scene)),
    );
}

fn runner_help(scene: &Scene<'_>) -> String {
    let likely: Vec<&String> = scene
        .draft
        .services
        .iter()
        .filter(|(name, service)| is_ollama(name, service))
        .map(|(name, _)| name)
        .collect();
    match likely.as_slice() {
        [one] => format!("write `runner: {one}`"),
        [] => "write `runner: ollama`, and `ollama` under `services:`, as in `ollama: {image: \"ollama/ollama\"}` or \
               `ollama: {provider: {type: systemd, options: {unit: ollama.service}}}`"
            .to_owned(),
        _ => "write the service that is to serve it, as in `runner: ollama`".to_owned(),
    }
}

/// As far as its name, its image or its unit says so.
fn is_ollama(name: &str, service: &ServiceDraft) -> bool {
    let image = service.image.as_ref().map(|image| image.value.as_str()).unwrap_or_default();
    let repository = image.split(['@']).next().unwrap_or_default();
    let last = repository.rsplit('/').next().unwrap_or_default();
    let unit = service.unit.as_ref().map(|unit| unit.unit.value.as_str()).unwrap_or_default();
    name == "ollama" || last.split(':').next() == Some("ollama") || unit == "ollama.service"
}

/// What is pulled twice is there once.
fn twice(scene: &Scene<'_>, sink: &mut Sink) {
    let mut first: BTreeMap<(&str, &ModelName), (&str, Place)> = BTreeMap::new();
    for (name, model) in scene.draft.models.iter().filter(|(_, model)| scene.is_active(model)) {
        let (Some(wanted), Some(runner)) = (&model.model, &model.runner) else { continue };
        match first.get(&(runner.value.as_str(), &wanted.value)) {
            Some((other, place)) => {
                let message = format!(
                    "the models `{other}` and `{name}` are both {} on `{}`",
                    wanted.value, runner.value
                );
                sink.add(
                    Problem::error("model-twice", wanted.place, message)
                        .also(*place, format!("`{other}`"))
                        .help("remove one of the two, or give them `profiles` of which only one is active"),
                );
            }
            None => drop(first.insert((&runner.value, &wanted.value), (name, wanted.place))),
        }
    }
}
