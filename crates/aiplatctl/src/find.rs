//! Names as people type them, and what they mean in a status document.

use std::{fmt, str::FromStr};

use aiplat_api::v1::{GateStatus, GpuStatus, ResourceStatus, ServiceStatus, StatusDoc};
use aiplat_core::Kind;

use crate::exit::{Code, Failure};

/// What `get` lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listed {
    /// What the file calls a service.
    Services,
    /// Resources of one kind.
    Resources(Kind),
    /// Named conditions over several resources.
    Gates,
    /// What happened.
    Events,
    /// Published addresses.
    Endpoints,
    /// What the machine consists of.
    Host,
    /// The machine's GPUs.
    Gpus,
}

/// Every kind under all of its names, the plural first.
const KINDS: &[(Listed, &[&str])] = &[
    (Listed::Services, &["services", "service", "svc"]),
    (Listed::Resources(Kind::Container), &["containers", "container", "ctr"]),
    (Listed::Resources(Kind::Unit), &["units", "unit"]),
    (Listed::Resources(Kind::Image), &["images", "image", "img"]),
    (Listed::Resources(Kind::Volume), &["volumes", "volume", "vol"]),
    (Listed::Resources(Kind::File), &["files", "file", "configs", "config"]),
    (Listed::Resources(Kind::Model), &["models", "model"]),
    (Listed::Resources(Kind::Network), &["networks", "network", "net"]),
    (Listed::Gates, &["gates", "gate"]),
    (Listed::Events, &["events", "event", "ev"]),
    (Listed::Endpoints, &["endpoints", "endpoint", "ep"]),
    (Listed::Host, &["host"]),
    (Listed::Gpus, &["gpus", "gpu"]),
];

impl Listed {
    fn from_word(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        KINDS.iter().find(|(_, names)| names.contains(&word.as_str())).map(|(listed, _)| *listed)
    }

    /// `services`, `images`.
    pub(crate) fn plural(self) -> &'static str {
        KINDS.iter().find(|(listed, _)| *listed == self).map_or("resources", |(_, names)| names[0])
    }
}

/// `svc`, or `svc/litellm`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KindWord {
    /// The kind.
    pub(crate) listed: Listed,
    /// What stood behind a slash.
    pub(crate) name: Option<String>,
}

impl KindWord {
    /// The sentence that names every kind.
    pub(crate) fn all() -> String {
        let kinds: Vec<&str> = KINDS.iter().map(|(_, names)| names[0]).collect();
        format!("the kinds are {}", kinds.join(", "))
    }
}

impl FromStr for KindWord {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, name) = match text.split_once('/') {
            Some((word, name)) => (word, Some(name.to_owned())),
            None => (text, None),
        };
        let Some(listed) = Listed::from_word(word) else {
            let near = nearest(word, KINDS.iter().flat_map(|(_, names)| names.iter().copied()));
            let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Err(format!("{}{hint}", Self::all()));
        };
        Ok(Self { listed, name })
    }
}

/// A name, with or without a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    listed: Option<Listed>,
    name: String,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("write a NAME or KIND/NAME".to_owned());
        }
        // What precedes the slash may also be the first part of an image's name.
        if let Some((word, name)) = text.split_once('/')
            && let Some(listed) = Listed::from_word(word)
            && !name.is_empty()
        {
            return Ok(Self { listed: Some(listed), name: name.to_owned() });
        }
        Ok(Self { listed: None, name: text.to_owned() })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.listed {
            Some(listed) => write!(f, "{}/{}", listed.plural().trim_end_matches('s'), self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// What a name stands for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Found<'a> {
    /// A service, and its container.
    Service(&'a ServiceStatus),
    /// Any other resource.
    Resource(&'a ResourceStatus),
    /// A gate.
    Gate(&'a GateStatus),
}

impl Target {
    /// `host`, `host/local`: the machine.
    pub(crate) fn is_host(&self) -> bool {
        match self.listed {
            Some(Listed::Host) => self.name == "local",
            None => self.name == "host",
            Some(_) => false,
        }
    }

    /// `gpu/GPU-8f3a1c2e`: the GPU whose name begins so, or has that number.
    pub(crate) fn gpu<'a>(&self, doc: &'a StatusDoc) -> Option<&'a GpuStatus> {
        let gpus =
            || doc.host.iter().flat_map(|host| &host.gpus).filter(|_| self.listed == Some(Listed::Gpus));
        let number = self.name.parse::<u32>().ok();
        gpus()
            .find(|gpu| gpu.id == self.name || (number.is_some() && gpu.index == number))
            // A beginning that several have means none of them.
            .or_else(|| {
                gpus()
                    .find(|gpu| gpu.id.starts_with(&self.name))
                    .filter(|_| gpus().filter(|gpu| gpu.id.starts_with(&self.name)).count() == 1)
            })
    }

    /// What it stands for in `doc`: a service before a gate before any other resource.
    pub(crate) fn find<'a>(&self, doc: &'a StatusDoc) -> Result<Found<'a>, Failure> {
        let name = self.name.as_str();
        let service = || doc.services.iter().find(|service| service.name == name).map(Found::Service);
        let gate = || doc.gates.iter().find(|gate| gate.name == name).map(Found::Gate);
        let resource = |kind: Option<Kind>| {
            let of_kind = |resource: &&ResourceStatus| kind.is_none_or(|kind| resource.id.kind == kind);
            doc.resources.iter().filter(of_kind).find(|it| it.id.key() == name || it.host_name == name)
        };
        // A container's own page is its service's, unless the service has left the file.
        let other = |kind| {
            let found = resource(kind)?;
            let owner = doc.services.iter().find(|it| found.id.is_service() && it.name == found.id.key());
            Some(owner.map_or(Found::Resource(found), Found::Service))
        };
        let found = match self.listed {
            None => service().or_else(gate).or_else(|| other(None)),
            Some(Listed::Services | Listed::Endpoints) => service(),
            Some(Listed::Resources(kind)) => other(Some(kind)),
            Some(Listed::Gates) => gate(),
            Some(Listed::Host) => other(Some(Kind::Host)),
            Some(Listed::Events | Listed::Gpus) => None,
        };
        found.ok_or_else(|| no_such(&self.to_string(), name, names(doc, self.listed)))
    }
}

/// Every name of a kind, or of all kinds that one can ask for by name alone.
pub(crate) fn names(doc: &StatusDoc, listed: Option<Listed>) -> Vec<&str> {
    let services = || doc.services.iter().map(|service| service.name.as_str());
    let gates = || doc.gates.iter().map(|gate| gate.name.as_str());
    let resources = |kind: Option<Kind>| {
        let of_kind = move |it: &&ResourceStatus| kind.is_none_or(|kind| it.id.kind == kind);
        doc.resources.iter().filter(of_kind).map(|it| it.id.key())
    };
    match listed {
        None => services().chain(gates()).chain(resources(None)).collect(),
        Some(Listed::Services | Listed::Endpoints) => services().collect(),
        Some(Listed::Resources(kind)) => resources(Some(kind)).collect(),
        Some(Listed::Gates) => gates().collect(),
        Some(Listed::Host) => resources(Some(Kind::Host)).collect(),
        Some(Listed::Events) => Vec::new(),
        Some(Listed::Gpus) => {
            doc.host.iter().flat_map(|host| &host.gpus).map(|gpu| gpu.id.as_str()).collect()
        }
    }
}

/// Each name once: a service is also a container.
fn once(names: Vec<&str>) -> Vec<&str> {
    let mut seen = std::collections::BTreeSet::new();
    names.into_iter().filter(|name| seen.insert(*name)).collect()
}

/// Nothing has this name; the nearest one that something has.
pub(crate) fn no_such(shown: &str, name: &str, known: Vec<&str>) -> Failure {
    let failure = Failure::new(Code::NoSuch, format!("there is no `{}`", crate::render::text::clean(shown)));
    match nearest(name, known.iter().copied()) {
        Some(near) => failure.tip(format!("did you mean `{near}`?")),
        None if known.is_empty() => failure,
        None => failure.tip(format!("there are: {}", some(&once(known)))),
    }
}

fn some(known: &[&str]) -> String {
    const SHOWN: usize = 12;
    let more = known.len().saturating_sub(SHOWN);
    let shown = known.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// The most similar of `known`, if one is similar.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let known: Vec<&str> = known.collect();
    similar::get_close_matches(name, &known, 1, 0.6).into_iter().next()
}

impl Found<'_> {
    /// Whether it is as one wants it.
    pub(crate) fn is_ready(&self) -> bool {
        use aiplat_core::condition::{Status, Word};
        match self {
            Self::Service(service) => crate::render::why::is_ready(service),
            Self::Resource(resource) => matches!(resource.status, Word::Ready | Word::Completed),
            Self::Gate(gate) => gate.condition.condition.status == Status::True,
        }
    }

    /// Its conditions.
    pub(crate) fn conditions(&self) -> Vec<&aiplat_api::v1::StatusCondition> {
        match self {
            Self::Service(service) => service.conditions.iter().collect(),
            Self::Resource(resource) => resource.conditions.iter().collect(),
            Self::Gate(gate) => vec![&gate.condition],
        }
    }
}

impl Target {
    /// Whether an event's `resource` is what this names. Whether it still exists does not matter.
    pub(crate) fn is_of(&self, resource: &str) -> bool {
        let (kind, key) = resource.split_once('/').unwrap_or(("", resource));
        let same_kind = match self.listed {
            None => true,
            Some(Listed::Services | Listed::Endpoints) => {
                [Kind::Container, Kind::Unit].iter().any(|it| kind == it.as_str())
            }
            Some(Listed::Resources(wanted)) => kind == wanted.as_str(),
            Some(Listed::Gates) => kind == "gate",
            Some(Listed::Host) => kind == "host",
            Some(Listed::Gpus) => kind == "gpu",
            Some(Listed::Events) => false,
        };
        same_kind && key == self.name
    }

    /// As it was typed, without the kind.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}
