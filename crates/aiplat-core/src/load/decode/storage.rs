//! `volumes:` of a service, short and long.

use std::path::Path;

use super::{
    Cx, Item,
    files::{absolute, normal},
};
use crate::load::{
    diagnostic::Problem,
    draft::{MountDraft, SourceDraft},
    keys::{BIND_OPTIONS, TMPFS_OPTIONS, VOLUME_MOUNT, VOLUME_OPTIONS},
    text::ByteSize,
    tree::Value,
};

pub(super) fn mounts(cx: &mut Cx<'_>, item: &Item<'_>) -> Vec<MountDraft> {
    let items = cx.items(item).unwrap_or_default();
    let decode = |item: &Item<'_>| match &item.node.value {
        Value::Map(_) => long(cx, item),
        Value::Scalar(_) | Value::Seq(_) | Value::Broken => short(cx, item),
    };
    items.iter().filter_map(decode).collect()
}

/// `[SOURCE:]TARGET[:MODE]`.
fn short(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<MountDraft> {
    let text = cx.filled(item)?.value;
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, mode) = match parts.as_slice() {
        [target] => ("", *target, ""),
        // `/data:ro` is an anonymous volume only in our eyes: Compose takes `ro` for the target and fails late.
        [source, target] => (*source, *target, ""),
        [source, target, mode] => (*source, *target, *mode),
        _ => {
            cx.bad(item, "write `source:/target` or `source:/target:ro`");
            return None;
        }
    };
    let target = target_path(cx, item, target)?;
    let read_only = mode_words(cx, item, mode)?;
    let source = if parts.len() == 1 {
        SourceDraft::Anonymous
    } else if source.is_empty() {
        cx.bad(item, "the source is missing before the `:`");
        return None;
    } else if source.starts_with(['.', '/', '~']) {
        SourceDraft::Bind { path: host_path(cx, item, source)?, create: true }
    } else if source.contains('/') {
        cx.bad(item, format!("a path of the host starts with `/` or `./`: write `./{source}`"));
        return None;
    } else {
        SourceDraft::Volume(source.to_owned())
    };
    Some(MountDraft { place: item.place(), target, source, read_only })
}

/// `ro,nocopy`: answers whether it is read-only; `None` where something cannot be honoured, which has been said.
fn mode_words(cx: &mut Cx<'_>, item: &Item<'_>, mode: &str) -> Option<bool> {
    let mut read_only = false;
    for word in mode.split(',').filter(|_| !mode.is_empty()) {
        match word {
            "ro" => read_only = true,
            "rw" | "cached" | "delegated" | "consistent" => {}
            "z" | "Z" => {
                cx.sink.add(
                    Problem::error(
                        "refused-key",
                        item.place(),
                        format!("`:{word}` is not taken: relabelling changes files of the host for good"),
                    )
                    .help("label the path once, with `chcon` or `semanage fcontext`, and leave it out here"),
                );
                return None;
            }
            "nocopy" | "shared" | "rshared" | "slave" | "rslave" | "private" | "rprivate" | "U" => {
                let message = format!("the mount option `{word}` is not supported by this version");
                cx.sink.add(Problem::error("not-supported", item.place(), message).help("leave it out"));
                return None;
            }
            _ => {
                cx.bad(
                    item,
                    format!("`{}` is not a mount option: write `ro` or `rw`", super::scalar::crop(word)),
                );
                return None;
            }
        }
    }
    Some(read_only)
}

fn target_path(cx: &mut Cx<'_>, item: &Item<'_>, target: &str) -> Option<String> {
    if !target.starts_with('/') {
        let reason = match target {
            "ro" | "rw" => "the target is missing: write `source:/target:ro`",
            _ => "the target inside the container is an absolute path",
        };
        cx.bad(item, reason);
        return None;
    }
    let normal = normal(Path::new(target)).to_string_lossy().into_owned();
    if normal == "/" {
        cx.bad(item, "nothing can be mounted over the whole container");
        return None;
    }
    Some(normal)
}

/// A path of the host, absolute and normal.
fn host_path(cx: &mut Cx<'_>, item: &Item<'_>, source: &str) -> Option<String> {
    let path = match source.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => match cx.home {
            Some(home) => absolute(home, rest.trim_start_matches('/')),
            None => {
                cx.bad(item, "a daemon has no home folder: write the absolute path");
                return None;
            }
        },
        Some(_) => {
            cx.bad(item, "write the absolute path");
            return None;
        }
        None => absolute(cx.folder, source),
    };
    Some(path.to_string_lossy().into_owned())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Volume,
    Bind,
    Tmpfs,
}

fn long(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<MountDraft> {
    let mut fields = cx.fields(item, &VOLUME_MOUNT);
    let kind = match fields.take("type") {
        Some(kind) => mount_kind(cx, &kind),
        None => missing(cx, item, "type", "write `type: volume`, `type: bind` or `type: tmpfs`"),
    };
    let target = match fields.take("target") {
        Some(target) => cx.filled(&target).and_then(|text| target_path(cx, &target, &text.value)),
        None => missing(cx, item, "target", "write the path inside the container"),
    };
    let source = fields.take("source").map(|source| (cx.filled(&source), source));
    let read_only = fields.take("read_only").map_or(Some(false), |item| cx.flag(&item));
    let create = fields.take("bind").and_then(|item| {
        let mut fields = cx.fields(&item, &BIND_OPTIONS);
        let create = fields.take("create_host_path").and_then(|item| cx.flag(&item));
        fields.done();
        create
    });
    if let Some(options) = fields.take("volume") {
        cx.fields(&options, &VOLUME_OPTIONS).done();
    }
    let size = fields.take("tmpfs").and_then(|item| {
        let mut fields = cx.fields(&item, &TMPFS_OPTIONS);
        let size = fields.take("size").and_then(|item| cx.parsed(&item, str::parse::<ByteSize>));
        fields.done();
        size
    });
    fields.done();
    let (kind, target) = (kind?, target?);
    let source = match (kind, source) {
        (Kind::Tmpfs, None) => SourceDraft::Tmpfs { size: size.map(|size| size.value.0) },
        (Kind::Volume, None) => SourceDraft::Anonymous,
        (Kind::Bind, None) => return missing(cx, item, "source", "write the path of the host"),
        (Kind::Tmpfs, Some((_, at))) => {
            let problem = Problem::error("bad-value", at.place(), "a mount of `type: tmpfs` has no `source`");
            cx.sink.add(problem.help("remove the line"));
            return None;
        }
        (Kind::Volume, Some((text, at))) => volume_name(cx, text?.value, &at)?,
        (Kind::Bind, Some((text, at))) => {
            SourceDraft::Bind { path: host_path(cx, &at, &text?.value)?, create: create.unwrap_or(true) }
        }
    };
    Some(MountDraft { place: item.place(), target, source, read_only: read_only? })
}

fn mount_kind(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<Kind> {
    if let Value::Scalar(scalar) = &item.node.value
        && matches!(scalar.text.as_str(), "cluster" | "npipe" | "image")
    {
        let message = format!("a mount of `type: {}` is not supported by this version", scalar.text);
        cx.sink.add(Problem::error("not-supported", item.place(), message));
        return None;
    }
    cx.word(item, &[("volume", Kind::Volume), ("bind", Kind::Bind), ("tmpfs", Kind::Tmpfs)])
}

fn volume_name(cx: &mut Cx<'_>, name: String, at: &Item<'_>) -> Option<SourceDraft> {
    if name.contains('/') || name.starts_with('.') {
        cx.bad(at, "this is a path: write `type: bind`");
        return None;
    }
    Some(SourceDraft::Volume(name))
}

fn missing<T>(cx: &mut Cx<'_>, item: &Item<'_>, key: &str, help: &str) -> Option<T> {
    let message = format!("an entry of `volumes` needs a `{key}`");
    cx.sink.add(Problem::error("missing-key", item.place(), message).help(help));
    None
}
