//! `volumes:` of a service, short and long.

use std::path::Path;

use super::{
    Cx, Item,
    files::{absolute, normal},
};
use crate::{
    load::{
        diagnostic::Problem,
        draft::{MountDraft, SourceDraft},
        keys::{BIND_OPTIONS, TMPFS_OPTIONS, VOLUME_MOUNT, VOLUME_OPTIONS},
        text::ByteSize,
        tree::Value,
    },
    spec::{MountOptions, Recursive},
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
    let Words { read_only, options } = mode_words(cx, item, mode)?;
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
    let is_bind = matches!(source, SourceDraft::Bind { .. });
    if options.propagation.is_some() && !is_bind {
        cx.bad(item, "only a path of the host has a propagation");
        return None;
    }
    if options.nocopy && is_bind {
        cx.bad(item, "`nocopy` is for volumes: nothing is copied to a path of the host");
        return None;
    }
    Some(MountDraft { place: item.place(), target, source, read_only, options })
}

/// What the words after the target say.
#[derive(Default)]
struct Words {
    read_only: bool,
    options: MountOptions,
}

/// `ro,nocopy`; `None` where something cannot be honoured, which has been said.
fn mode_words(cx: &mut Cx<'_>, item: &Item<'_>, mode: &str) -> Option<Words> {
    let mut words = Words::default();
    for word in mode.split(',').filter(|_| !mode.is_empty()) {
        match word {
            "ro" => words.read_only = true,
            "nocopy" => words.options.nocopy = true,
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
            "shared" | "rshared" | "slave" | "rslave" | "private" | "rprivate" => {
                words.options.propagation = propagation(word);
            }
            "U" => {
                cx.bad(item, "only Podman knows `U`: change the owner of the folder yourself, with `chown`");
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
    Some(words)
}

/// What is the default is left out.
fn propagation(word: &str) -> Option<String> {
    (word != "rprivate").then(|| word.to_owned())
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
        None => absolute(&cx.base(item.place()).folder, source),
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
    let mut only_for = Vec::new();
    let mut options = MountOptions::default();
    let create = fields.take("bind").and_then(|item| {
        only_for.push((Kind::Bind, "bind", item.place()));
        bind_options(cx, &item, &mut options)
    });
    if let Some(item) = fields.take("volume") {
        only_for.push((Kind::Volume, "volume", item.place()));
        volume_options(cx, &item, &mut options);
    }
    let size = fields.take("tmpfs").and_then(|item| {
        only_for.push((Kind::Tmpfs, "tmpfs", item.place()));
        let mut fields = cx.fields(&item, &TMPFS_OPTIONS);
        let size = fields.take("size").and_then(|item| cx.parsed(&item, str::parse::<ByteSize>));
        options.mode =
            fields.take("mode").and_then(|item| cx.parsed(&item, permissions)).map(|mode| mode.value);
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
    for (_, key, place) in only_for.into_iter().filter(|(of, ..)| *of != kind) {
        let message = format!("`{key}` is for a mount of `type: {key}`");
        cx.sink.add(Problem::error("key-conflict", place, message).help("remove it, or change the `type`"));
    }
    if !options.labels.is_empty() && !matches!(source, SourceDraft::Anonymous) {
        let message = "`labels` of a mount are for a volume that the engine names";
        let problem = Problem::error("key-conflict", item.place(), message);
        cx.sink.add(problem.help("write them where the volume is declared, at the top level of the file"));
    }
    Some(MountDraft { place: item.place(), target, source, read_only: read_only?, options })
}

/// Answers `create_host_path`.
fn bind_options(cx: &mut Cx<'_>, item: &Item<'_>, options: &mut MountOptions) -> Option<bool> {
    let words = [
        ("enabled", Recursive::Enabled),
        ("disabled", Recursive::Disabled),
        ("writable", Recursive::Writable),
        ("readonly", Recursive::Readonly),
    ];
    let kinds = ["private", "rprivate", "shared", "rshared", "slave", "rslave"].map(|kind| (kind, kind));
    let mut fields = cx.fields(item, &BIND_OPTIONS);
    let create = fields.take("create_host_path").and_then(|item| cx.flag(&item));
    options.propagation =
        fields.take("propagation").and_then(|item| cx.word(&item, &kinds)).and_then(propagation);
    options.recursive = fields.take("recursive").and_then(|item| cx.word(&item, &words)).unwrap_or_default();
    fields.done();
    create
}

fn volume_options(cx: &mut Cx<'_>, item: &Item<'_>, options: &mut MountOptions) {
    let folder = |text: &str| {
        let is_inside = !text.starts_with('/') && !text.split('/').any(|part| part == "..");
        if is_inside && !text.is_empty() {
            Ok(text.trim_start_matches("./").trim_end_matches('/').to_owned())
        } else {
            Err("write a folder of the volume, without `/` before it and without `..`".to_owned())
        }
    };
    let mut fields = cx.fields(item, &VOLUME_OPTIONS);
    options.labels = fields.take("labels").map(|item| cx.labels(&item)).unwrap_or_default();
    options.nocopy = fields.take("nocopy").and_then(|item| cx.flag(&item)).unwrap_or(false);
    options.subpath =
        fields.take("subpath").and_then(|item| cx.parsed(&item, folder)).map(|folder| folder.value);
    fields.done();
}

/// Octal digits, as `chmod` has them.
fn permissions(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if mode <= 0o7777 => Ok(mode),
        Ok(_) | Err(_) => Err("write octal digits, as in `1777`".to_owned()),
    }
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
