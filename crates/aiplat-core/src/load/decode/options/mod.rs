//! The rarer keys of a service.

mod confinement;
mod gpus;
mod hardware;
mod identity;
mod limits;
mod process;

pub(super) use confinement::capability;
pub(super) use gpus::Asked;
pub(super) use identity::mac_address;
pub(super) use limits::{Reserved, limits};

use std::collections::BTreeMap;

use super::{Cx, Fields, Item};
use crate::{
    ResourceId,
    load::{draft::EnvValue, tree::Value},
    spec::{GpuRequest, Hardware, Namespace, Options},
};

/// What a service says by its rarer keys.
pub(super) struct Rarer {
    pub(super) options: Options,
    pub(super) gpus: Vec<GpuRequest>,
}

/// `reserved`: devices of `deploy.resources`, which are the same as `gpus`. `visible`: `NVIDIA_VISIBLE_DEVICES`.
pub(super) fn options(
    cx: &mut Cx<'_>,
    fields: &mut Fields<'_>,
    reserved: Vec<Asked>,
    visible: Option<&EnvValue>,
) -> Rarer {
    // Nothing to attach to; that it is a flag is all there is to say.
    fields.take("attach").and_then(|item| cx.flag(&item));
    let mut asked = fields.take("gpus").map(|item| gpus::gpus(cx, &item)).unwrap_or_default();
    asked.extend(reserved);
    let asked = gpus::once(asked);
    let requests = asked.iter().map(|asked| asked.request.clone()).collect();
    let hardware = Hardware { requests, ..hardware::hardware(cx, fields) };
    let options = Options {
        process: process::process(cx, fields),
        confinement: confinement::confinement(cx, fields),
        identity: identity::identity(cx, fields),
        hardware,
    };
    let gpus = gpus::requests(asked, &options, visible, fields.has("provider"));
    Rarer { options, gpus }
}

impl Cx<'_> {
    fn taken_flag(&mut self, fields: &mut Fields<'_>, key: &'static str) -> bool {
        fields.take(key).and_then(|item| self.flag(&item)).unwrap_or(false)
    }

    fn taken_text(&mut self, fields: &mut Fields<'_>, key: &'static str) -> Option<String> {
        fields.take(key).and_then(|item| self.filled(&item)).map(|text| text.value)
    }

    fn taken_parsed<T>(
        &mut self,
        fields: &mut Fields<'_>,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        fields.take(key).and_then(|item| self.parsed(&item, parse)).map(|value| value.value)
    }

    /// A list, or one entry without the list: each read by `parse`.
    fn taken_each<T>(
        &mut self,
        fields: &mut Fields<'_>,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let Some(item) = fields.take(key) else { return Vec::new() };
        self.one_or_more(item)
            .iter()
            .filter_map(|item| self.parsed(item, &parse))
            .map(|value| value.value)
            .collect()
    }

    /// The entries of a list, or a single value as the only one.
    fn one_or_more<'n>(&mut self, item: Item<'n>) -> Vec<Item<'n>> {
        match &item.node.value {
            Value::Scalar(_) => vec![item],
            Value::Seq(_) | Value::Map(_) | Value::Broken => self.items(&item).unwrap_or_default(),
        }
    }

    /// A mapping, or a list of `NAME=value`, in which each has a value.
    fn taken_pairs(&mut self, fields: &mut Fields<'_>, key: &'static str) -> BTreeMap<String, String> {
        let pairs = fields.take(key).map(|item| self.pairs(&item)).unwrap_or_default();
        pairs.into_iter().map(|pair| (pair.name.to_owned(), pair.value.unwrap_or_default())).collect()
    }
}

/// `service:NAME`, `container:NAME`, or one of the plain words.
fn namespace(text: &str, plain: &[Namespace]) -> Result<Namespace, String> {
    if let Some(found) = plain.iter().find(|known| known.to_string() == text) {
        return Ok(found.clone());
    }
    let filled = |name: &str| {
        if name.is_empty() { Err("a name follows the `:`".to_owned()) } else { Ok(name.to_owned()) }
    };
    match text.split_once(':') {
        Some(("service", name)) => Ok(Namespace::Service(ResourceId::container(&filled(name)?))),
        Some(("container", name)) => filled(name).map(Namespace::Container),
        Some(_) | None => {
            let words: Vec<String> = plain.iter().map(ToString::to_string).collect();
            let words = crate::load::text::list(&words);
            Err(format!("write {}, `service:NAME` or `container:NAME`", words.replace(" and ", ", ")))
        }
    }
}

/// A path inside the container, or on the host for a unit.
fn inside(text: &str) -> Result<String, String> {
    match text.strip_prefix('/') {
        Some(_) => Ok(super::normal(std::path::Path::new(text)).to_string_lossy().into_owned()),
        None => Err("a path is absolute here: it starts with `/`".to_owned()),
    }
}
