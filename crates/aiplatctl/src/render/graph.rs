//! `graph`: who depends on whom, and how each of them does.

use std::{collections::BTreeMap, fmt::Write as _};

use aiplat_api::v1::ServiceStatus;

use super::{
    style::{self, paint},
    text::clean,
};

/// One edge: a service of the file, and what its dependant asks of it.
struct Edge<'a> {
    on: &'a str,
    asks: String,
}

/// `postgres (service_healthy), restart`: the name, and the rest of it in the words of the file.
fn edges(service: &ServiceStatus) -> Vec<Edge<'_>> {
    let edge = |text: &'_ String| -> Option<(usize, String)> {
        let (name, rest) = text.split_once(" (")?;
        let (condition, more) = rest.split_once(')')?;
        Some((name.len(), format!("{}{more}", condition.trim_start_matches("service_"))))
    };
    let lines = service.detail.depends_on.iter();
    lines
        .map(|text| match edge(text) {
            Some((end, asks)) => Edge { on: &text[..end], asks },
            None => Edge { on: text, asks: String::new() },
        })
        .collect()
}

/// A tree: what a service needs is written under it, indented. What has been written out once is only named again.
#[must_use]
pub fn tree(services: &[ServiceStatus]) -> String {
    let by_name: BTreeMap<&str, &ServiceStatus> = services.iter().map(|it| (it.name.as_str(), it)).collect();
    let needed: Vec<&str> = services.iter().flat_map(edges).map(|edge| edge.on).collect();
    let mut tree = Tree { by_name, written: Vec::new(), out: String::new() };
    // Nobody waits for these: what a person opens in a browser.
    for service in services.iter().filter(|it| !needed.contains(&it.name.as_str())) {
        tree.node(&service.name, "", "", "");
    }
    tree.out
}

struct Tree<'a> {
    by_name: BTreeMap<&'a str, &'a ServiceStatus>,
    written: Vec<String>,
    out: String,
}

impl Tree<'_> {
    /// `lead` precedes this line, `below` those of what it needs.
    fn node(&mut self, name: &str, asks: &str, lead: &str, below: &str) {
        let service = self.by_name.get(name).copied();
        let state = match service {
            Some(it) => paint(style::word(it.status), &it.status.to_string()),
            None => paint(style::BAD, "not in the file"),
        };
        let asks = if asks.is_empty() { String::new() } else { paint(style::FAINT, &format!(" ({asks})")) };
        let needs = service.map(edges).unwrap_or_default();
        let again = !needs.is_empty() && self.written.iter().any(|it| it == name);
        let more = if again { paint(style::FAINT, " (see above)") } else { String::new() };
        let _ = writeln!(self.out, "{}{} {state}{asks}{more}", paint(style::FAINT, lead), clean(name));
        if again {
            return;
        }
        self.written.push(name.to_owned());
        let last = needs.len().saturating_sub(1);
        for (at, edge) in needs.iter().enumerate() {
            let (branch, line) = if at == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            let (lead, below) = (format!("{below}{branch}"), format!("{below}{line}"));
            self.node(edge.on, &edge.asks, &lead, &below);
        }
    }
}

/// For Graphviz: `aiplatctl graph -o dot | dot -Tsvg`.
#[must_use]
pub fn dot(services: &[ServiceStatus]) -> String {
    let quoted = |text: &str| format!("\"{}\"", clean(text).replace('\\', "\\\\").replace('"', "\\\""));
    let mut out = "digraph platform {\n  rankdir=LR\n  node [shape=box style=rounded]\n".to_owned();
    for it in services {
        let label = format!("{}\n{}", clean(&it.name), it.status).replace('"', "\\\"").replace('\n', "\\n");
        let color = color(it);
        let _ = writeln!(out, "  {} [label=\"{label}\" color={color}]", quoted(&it.name));
    }
    for it in services {
        for Edge { on, asks } in edges(it) {
            let _ = writeln!(out, "  {} -> {} [label={}]", quoted(&it.name), quoted(on), quoted(&asks));
        }
    }
    out + "}\n"
}

/// For Markdown: a block of ```` ```mermaid ````.
#[must_use]
pub fn mermaid(services: &[ServiceStatus]) -> String {
    // Names may hold what Mermaid reads as its own: nodes are numbered, and names are labels.
    let number: BTreeMap<&str, usize> =
        services.iter().enumerate().map(|(at, it)| (it.name.as_str(), at)).collect();
    let label = |text: &str| clean(text).replace('"', "#quot;");
    let mut out = "graph LR\n".to_owned();
    for (at, it) in services.iter().enumerate() {
        let _ = writeln!(out, "  s{at}[\"{}<br/>{}\"]:::{}", label(&it.name), it.status, color(it));
    }
    for (at, it) in services.iter().enumerate() {
        for Edge { on, asks } in edges(it) {
            if let Some(on) = number.get(on) {
                let _ = writeln!(out, "  s{at} -->|\"{}\"| s{on}", label(&asks));
            }
        }
    }
    for (class, color) in [("green", "#2da44e"), ("orange", "#d4a72c"), ("red", "#cf222e")] {
        let _ = writeln!(out, "  classDef {class} stroke:{color}");
    }
    out
}

/// The colour of the state, in a word that Graphviz knows.
fn color(service: &ServiceStatus) -> &'static str {
    let style = style::word(service.status);
    if style == style::GOOD {
        "green"
    } else if style == style::BAD {
        "red"
    } else {
        "orange"
    }
}
