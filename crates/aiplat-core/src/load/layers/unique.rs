//! By what the entries of Compose's lists are told apart, short form and long.

use super::super::tree::{Node, Value};

/// The text itself.
pub(super) fn text(node: &Node) -> Option<String> {
    match &node.value {
        Value::Scalar(scalar) => Some(scalar.text.clone()),
        Value::Seq(_) | Value::Map(_) | Value::Broken => None,
    }
}

fn field(node: &Node, name: &str) -> Option<String> {
    node.get(name).and_then(|entry| text(&entry.node))
}

/// `NAME` of `NAME=value`.
pub(super) fn name(node: &Node) -> Option<String> {
    text(node).map(|text| text.split('=').next().unwrap_or_default().to_owned())
}

/// `HOST` of `HOST:address` and `HOST=address`.
pub(super) fn host(node: &Node) -> Option<String> {
    text(node).map(|text| text.split(['=', ':']).next().unwrap_or_default().to_owned())
}

/// A file of `env_file` or `include`, by its path.
pub(super) fn file(node: &Node) -> Option<String> {
    let path = text(node).or_else(|| field(node, "path"))?;
    Some(path.strip_prefix("./").map_or(path.clone(), str::to_owned))
}

/// The target of a mount.
pub(super) fn mount(node: &Node) -> Option<String> {
    let target = match text(node) {
        Some(short) => {
            let mut parts = short.split(':');
            let first = parts.next().unwrap_or_default().to_owned();
            parts.next().map_or(first, str::to_owned)
        }
        None => field(node, "target")?,
    };
    Some(target.trim_end_matches('/').to_owned())
}

/// The path in the container of a device; of a `tmpfs`, its path.
pub(super) fn device(node: &Node) -> Option<String> {
    let Some(short) = text(node) else { return field(node, "target").or_else(|| field(node, "source")) };
    let mut parts = short.split(':');
    let first = parts.next().unwrap_or_default();
    Some(parts.next().filter(|second| second.starts_with('/')).unwrap_or(first).to_owned())
}

/// Where a secret or a config is found in the container.
pub(super) fn grant(node: &Node) -> Option<String> {
    text(node).or_else(|| field(node, "target")).or_else(|| field(node, "source"))
}

/// A pool of addresses.
pub(super) fn subnet(node: &Node) -> Option<String> {
    field(node, "subnet")
}

/// Address, port of the host, port of the container and protocol together: only the same port once more is the same.
pub(super) fn port(node: &Node) -> Option<String> {
    let (ip, published, target, protocol) = match text(node) {
        Some(short) => {
            let (rest, protocol) = short.rsplit_once('/').unwrap_or((&short, "tcp"));
            let (rest, target) = rest.rsplit_once(':').unwrap_or(("", rest));
            // An IPv6 address has colons of its own, and stands in brackets.
            let (ip, published) = match rest.rfind(']') {
                Some(end) => (&rest[..=end], rest[end + 1..].trim_start_matches(':')),
                None => rest.rsplit_once(':').unwrap_or(("", rest)),
            };
            (ip.to_owned(), published.to_owned(), target.to_owned(), protocol.to_owned())
        }
        None => {
            let or = |name: &str, otherwise: &str| field(node, name).unwrap_or_else(|| otherwise.to_owned());
            (or("host_ip", ""), or("published", ""), field(node, "target")?, or("protocol", "tcp"))
        }
    };
    Some(format!("{}|{published}|{target}|{protocol}", ip.trim_matches(['[', ']'])))
}
