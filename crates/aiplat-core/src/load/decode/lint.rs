//! `lint:`, of the platform and of a service.

use std::collections::BTreeSet;

use super::{Cx, Fields, scalar::crop};
use crate::load::{diagnostic::Problem, keys::LINT, lint, text::nearest};

/// The lints that are allowed here.
pub(super) fn allowed(cx: &mut Cx<'_>, fields: &mut Fields<'_>) -> BTreeSet<String> {
    let Some(item) = fields.take("lint") else { return BTreeSet::new() };
    let mut fields = cx.fields(&item, &LINT);
    let allow = fields.take("allow").and_then(|item| cx.distinct(&item)).unwrap_or_default();
    fields.done();
    let mut allowed = BTreeSet::new();
    for name in allow {
        if lint::NAMES.contains(&name.value.as_str()) {
            allowed.insert(name.value);
            continue;
        }
        let message = format!("`{}` is not the name of a lint", crop(&name.value));
        let problem = Problem::error("unknown-lint", name.place, message);
        cx.sink.add(match nearest(&name.value, lint::NAMES) {
            Some(near) => problem.label(format!("did you mean `{near}`?")),
            None => problem
                .because("only warnings can be allowed; what is an error is mended")
                .help("`aiplatctl explain lints` lists them; the name stands in brackets behind `warning`"),
        });
    }
    allowed
}
