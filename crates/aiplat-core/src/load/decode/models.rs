//! Top-level `models:`.

use super::{Cx, Item};
use crate::{
    load::{
        diagnostic::Problem,
        draft::ModelDraft,
        keys::MODEL,
        tree::{Place, Value},
    },
    spec::ModelName,
};

pub(super) fn model(cx: &mut Cx<'_>, name: &str, place: Place, item: &Item<'_>) -> ModelDraft {
    if item.is_null() {
        let problem = Problem::error("no-value", place, format!("the model `{name}` says nothing"));
        cx.sink.add(problem.help(format!("write `{name}: {{model: \"llama3.2:3b\", runner: ollama}}`")));
        return ModelDraft {
            place,
            model: None,
            runner: None,
            is_without_runner: false,
            profiles: Vec::new(),
        };
    }
    let is_mapping = matches!(item.node.value, Value::Map(_));
    let mut fields = cx.fields(item, &MODEL);
    let misses =
        |key, fields: &super::Fields<'_>| is_mapping && !fields.has(key) && !fields.excused.contains(key);
    if misses("model", &fields) {
        let problem = Problem::error("missing-key", place, format!("the model `{name}` has no `model`"));
        cx.sink.add(problem.help("write which one, as its server names it: `model: \"llama3.1:8b\"`"));
    }
    let is_without_runner = misses("runner", &fields);
    let parse = |text: &str| text.parse::<ModelName>().map_err(|error| error.to_string());
    let draft = ModelDraft {
        place,
        model: fields.take("model").and_then(|item| cx.parsed(&item, parse)),
        runner: fields.take("runner").and_then(|item| cx.filled(&item)),
        is_without_runner,
        profiles: fields
            .take("profiles")
            .and_then(|item| cx.distinct(&item))
            .unwrap_or_default()
            .into_iter()
            .filter(|profile| cx.is_profile(profile))
            .collect(),
    };
    fields.done();
    draft
}
