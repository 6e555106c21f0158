//! One file laid over another, by the rules of Compose: mappings are merged, lists are joined, single values are
//! replaced. Commands are replaced as a whole, and what is unique by a key of its own (a port, the target of a mount,
//! the name of a variable) replaces what has the same key.

use super::{
    super::{
        diagnostic::{Problem, Sink},
        tree::{Entry, Mark, Node, Scalar, Value, Written},
    },
    unique,
};

/// What becomes of two values of one key.
enum Rule {
    /// Mappings merged, lists joined, single values replaced.
    Plain,
    Replace,
    /// Names with a value each, as a mapping or as a list of `NAME=value`.
    Pairs(&'static [char]),
    /// Names, as a list or as a mapping; what stands behind a name that was only listed.
    Names(fn(&Node) -> Value),
    /// A list, or a single entry of one; an entry replaces the one with the same key.
    Unique(fn(&Node) -> Option<String>),
}

fn rule(path: &[&str]) -> Rule {
    match path {
        ["services", _, "command" | "entrypoint"]
        | ["services", _, "healthcheck", "test"]
        | ["services", _, "ulimits", _] => Rule::Replace,
        ["services", _, "environment" | "labels" | "annotations" | "sysctls"]
        | ["services", _, "deploy", "labels"]
        | ["networks" | "volumes" | "secrets" | "configs", _, "labels"] => Rule::Pairs(&['=']),
        ["services", _, "extra_hosts"] => Rule::Pairs(&['=', ':']),
        ["services", _, "depends_on"] => Rule::Names(started),
        ["services", _, "networks" | "models"] => Rule::Names(nothing),
        ["services", _, "ports"] => Rule::Unique(unique::port),
        ["services", _, "volumes"] => Rule::Unique(unique::mount),
        ["services", _, "devices" | "tmpfs"] => Rule::Unique(unique::device),
        ["services", _, "secrets" | "configs"] => Rule::Unique(unique::grant),
        ["services", _, "env_file" | "label_file"] | ["env_file" | "include"] => Rule::Unique(unique::file),
        ["networks", _, "ipam", "config"] => Rule::Unique(unique::subnet),
        [
            "services",
            _,
            "expose"
            | "dns"
            | "dns_search"
            | "dns_opt"
            | "cap_add"
            | "cap_drop"
            | "group_add"
            | "security_opt"
            | "profiles"
            | "device_cgroup_rules"
            | "allow_host_access",
        ]
        | ["services", _, "networks", _, "aliases" | "link_local_ips"]
        | ["services", _, "lint", "allow"]
        | ["lint", "allow"]
        | ["gates", _]
        | ["active_profiles"] => Rule::Unique(unique::text),
        _ => Rule::Plain,
    }
}

/// `over` laid over `base`; both are whole files.
pub(super) fn overlay(base: Node, over: Node, sink: &mut Sink) -> Node {
    merge(base, over, &mut Vec::new(), sink)
}

/// Carries out the tags of a tree that lies over nothing: what is reset is not there, what overrides is.
pub(super) fn settle(node: &mut Node) {
    match &mut node.value {
        Value::Map(entries) => {
            entries.retain(|entry| entry.mark != Mark::Reset);
            for entry in entries {
                entry.mark = Mark::None;
                settle(&mut entry.node);
            }
        }
        Value::Seq(items) => items.iter_mut().for_each(settle),
        Value::Scalar(_) | Value::Broken => {}
    }
}

fn merge(base: Node, mut over: Node, path: &mut Vec<String>, sink: &mut Sink) -> Node {
    let steps: Vec<&str> = path.iter().map(String::as_str).collect();
    // As in Compose: a key with nothing behind it takes nothing away; `!reset` does.
    if over.is_null() && matches!(base.value, Value::Map(_) | Value::Seq(_)) {
        return base;
    }
    let (base, over) = match rule(&steps) {
        Rule::Replace => {
            settle(&mut over);
            return over;
        }
        Rule::Unique(key) => return join(listed(base), listed(over), key),
        Rule::Pairs(separators) => match (&base.value, &over.value) {
            (Value::Seq(_), Value::Seq(_)) => {
                let key = if separators.len() > 1 { unique::host } else { unique::name };
                return join(base, over, key);
            }
            _ => (pairs(base, separators), pairs(over, separators)),
        },
        Rule::Names(value) => match (&base.value, &over.value) {
            (Value::Seq(_), Value::Seq(_)) => return join(base, over, unique::text),
            _ => (names(base, value), names(over, value)),
        },
        Rule::Plain if steps.last() == Some(&"logging") && driver(&base) != driver(&over) => {
            settle(&mut over);
            return over; // The options of one driver mean nothing to another.
        }
        Rule::Plain if matches!(steps.as_slice(), ["services", _, "healthcheck"]) => {
            (one_probe(base, &over), over)
        }
        Rule::Plain => (base, over),
    };
    match (base.value, over.value) {
        (Value::Map(entries), Value::Map(more)) => {
            Node { place: base.place, value: Value::Map(merge_entries(entries, more, path, sink)) }
        }
        (Value::Seq(mut items), Value::Seq(more)) => {
            items.extend(more);
            Node { place: base.place, value: Value::Seq(items) }
        }
        // Another sort of value, or a single one: the last word holds, and the decoder judges it.
        (_, value) => {
            let mut node = Node { place: over.place, value };
            settle(&mut node);
            node
        }
    }
}

fn merge_entries(
    mut entries: Vec<Entry>,
    over: Vec<Entry>,
    path: &mut Vec<String>,
    sink: &mut Sink,
) -> Vec<Entry> {
    for mut entry in over {
        let at = entries.iter().position(|known| known.name == entry.name);
        match (entry.mark, at) {
            (Mark::Reset, Some(at)) => drop(entries.remove(at)),
            (Mark::Reset, None) => sink.add(
                Problem::warning(
                    "nothing-to-reset",
                    entry.place,
                    format!("`{}` is reset here, and no file below says it", entry.name),
                )
                .help("remove the line, or mend the name"),
            ),
            (Mark::None, Some(at)) => {
                path.push(entry.name.clone());
                let nothing = Node { place: entry.place, value: Value::Broken };
                let base = std::mem::replace(&mut entries[at].node, nothing);
                let replaces = matches!(base.value, Value::Scalar(_));
                entries[at].node = merge(base, entry.node, path, sink);
                if replaces {
                    entries[at].place = entry.place;
                }
                path.pop();
            }
            (Mark::Override, Some(at)) => {
                settle(&mut entry.node);
                entries[at] = Entry { mark: Mark::None, ..entry };
            }
            (Mark::None | Mark::Override, None) => {
                settle(&mut entry.node);
                entries.push(Entry { mark: Mark::None, ..entry });
            }
        }
    }
    entries
}

/// Two lists as one, in which a later entry takes the place of the one with the same key.
fn join(base: Node, over: Node, key: fn(&Node) -> Option<String>) -> Node {
    let (mut items, more) = match (base.value, over.value) {
        (Value::Seq(items), Value::Seq(more)) => (items, more),
        (_, value) => return Node { place: over.place, value },
    };
    for item in more {
        let same =
            key(&item).and_then(|wanted| items.iter().position(|known| key(known).as_ref() == Some(&wanted)));
        match same {
            Some(at) => items[at] = item,
            None => items.push(item),
        }
    }
    Node { place: base.place, value: Value::Seq(items) }
}

/// A single value as the list of it.
fn listed(node: Node) -> Node {
    match node.value {
        Value::Scalar(_) if !node.is_null() => Node { place: node.place, value: Value::Seq(vec![node]) },
        Value::Scalar(_) | Value::Seq(_) | Value::Map(_) | Value::Broken => node,
    }
}

/// A list of `NAME=value` as the mapping that says the same.
fn pairs(node: Node, separators: &[char]) -> Node {
    let Value::Seq(items) = node.value else { return node };
    let entry = |item: Node| {
        let Value::Scalar(scalar) = &item.value else { return None };
        let (name, value) = match scalar.text.split_once(separators) {
            Some((name, _)) => (name.to_owned(), value_of(scalar, separators)),
            None => (scalar.text.clone(), Scalar { text: String::new(), plain: true, written: None }),
        };
        let place = item.place;
        Some(Entry { name, place, node: Node { place, value: Value::Scalar(value) }, mark: Mark::None })
    };
    Node { place: node.place, value: Value::Map(items.into_iter().filter_map(entry).collect()) }
}

/// What stands behind the separator; what came out of variables goes on being hidden.
fn value_of(scalar: &Scalar, separators: &[char]) -> Scalar {
    let behind = |text: &str| text.split_once(separators).map_or(text, |(_, value)| value).to_owned();
    let hide = |written: &Written| Written { text: behind(&written.text), origins: written.origins.clone() };
    Scalar { text: behind(&scalar.text), plain: false, written: scalar.written.as_ref().map(hide) }
}

/// A list of names as the mapping that says the same.
fn names(node: Node, value: fn(&Node) -> Value) -> Node {
    let Value::Seq(items) = node.value else { return node };
    let entry = |item: Node| {
        let Value::Scalar(scalar) = &item.value else { return None };
        let node = Node { place: item.place, value: value(&item) };
        Some(Entry { name: scalar.text.clone(), place: item.place, node, mark: Mark::None })
    };
    Node { place: node.place, value: Value::Map(items.into_iter().filter_map(entry).collect()) }
}

fn plain(text: &str) -> Value {
    Value::Scalar(Scalar { text: text.to_owned(), plain: true, written: None })
}

fn nothing(_: &Node) -> Value {
    plain("")
}

/// What a name alone means in `depends_on`.
fn started(item: &Node) -> Value {
    let node = Node { place: item.place, value: plain("service_started") };
    Value::Map(vec![Entry { name: "condition".to_owned(), place: item.place, node, mark: Mark::None }])
}

fn driver(logging: &Node) -> Option<String> {
    logging.get("driver").and_then(|entry| unique::text(&entry.node))
}

/// A healthcheck asks one thing: what the overlay asks takes the place of what was asked.
fn one_probe(mut base: Node, over: &Node) -> Node {
    const PROBES: [&str; 7] = ["test", "http", "https", "tcp", "redis", "postgres", "exec"];
    let asks = |name: &str| PROBES.contains(&name);
    if let (Value::Map(entries), Value::Map(more)) = (&mut base.value, &over.value)
        && more.iter().any(|entry| asks(&entry.name) && entry.mark != Mark::Reset)
    {
        entries.retain(|entry| !asks(&entry.name) || more.iter().any(|new| new.name == entry.name));
    }
    base
}
