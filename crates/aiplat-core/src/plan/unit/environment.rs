//! What a unit's process is given, and by whom, as far as files say it: before it is started, and before anything is done.
//!
//! As systemd does it (man 5 `systemd.exec`): the files of a unit are its own and then its drop-ins by name, whatever folder
//! they are in. `Environment=` of all of them comes first, then every `EnvironmentFile=`, and what comes later wins. What is
//! in `UnsetEnvironment=` is taken away in the end.

use std::{borrow::Cow, collections::BTreeMap};

use super::Look;
use crate::{
    condition::{Condition, ConditionType, Reason},
    observed::{Layer, ObservedUnit},
    plan::World,
    secret::redacted,
    spec::{Management, UnitSpec, WRITTEN_BY},
};

/// A value is shown up to here.
const SHOWN: usize = 80;

/// One variable of a unit, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value, fit to be shown: a secret is not.
    pub value: String,
    /// The file that sets it, or what else does.
    pub from: String,
    /// aiplatd sets it.
    pub is_ours: bool,
}

/// A variable of the file that another file sets, too, to another value.
pub(super) struct Contested<'a> {
    name: &'a str,
    ours: &'a str,
    /// `None`: it is taken away.
    theirs: Option<&'a str>,
    by: String,
    /// The other one has the last word.
    wins: bool,
}

/// What each variable is set to, by the strongest file that sets it.
type Given<'a> = BTreeMap<&'a str, (&'a str, &'a Layer)>;

/// What a process of the unit is given, and by which file; where it is known to have something else, that.
#[must_use]
pub fn variables(spec: &UnitSpec, unit: &ObservedUnit) -> Vec<Variable> {
    let layers = layers(unit);
    let given = given(layers.iter().map(AsRef::as_ref), unit);
    let own = &unit.own.environment_path;
    let mut found: BTreeMap<&str, Variable> = BTreeMap::new();
    for (name, (value, layer)) in &given {
        let variable = Variable {
            name: (*name).to_owned(),
            value: redacted(name, value),
            from: said(layer),
            is_ours: layer.path == *own,
        };
        found.insert(name, variable);
    }
    let Some(effective) = &unit.effective else { return found.into_values().collect() };
    let names: Vec<&str> = given.keys().copied().chain(spec.environment.keys().map(String::as_str)).collect();
    for name in names {
        let has = effective.get(name);
        // One that the file asks for and nobody sets in the end (`UnsetEnvironment=`) is worth a line.
        if has.is_some() && given.get(name).map(|(value, _)| *value) == has.map(String::as_str) {
            continue;
        }
        let (value, from) = match has {
            Some(value) => (redacted(name, value), since_its_start(name, value, &layers)),
            None => ("(not set)".to_owned(), "its process was started without it".to_owned()),
        };
        let from = match given.get(name) {
            Some((next, layer)) => format!(
                "{from}; from its next start on {} counts, which says {}",
                said(layer),
                shown(name, Some(next))
            ),
            None => from,
        };
        found.insert(name, Variable { name: name.to_owned(), value, from, is_ours: false });
    }
    found.into_values().collect()
}

/// Who may have given a process what no file gives to it any more.
fn since_its_start(name: &str, value: &str, layers: &[Cow<'_, Layer>]) -> String {
    let says = |layer: &&Cow<'_, Layer>| layer.variables.get(name).is_some_and(|said| said == value);
    match layers.iter().rev().find(says) {
        Some(layer) => format!("its process, as {} says", said(layer)),
        None => "its process; no file of the unit says so".to_owned(),
    }
}

/// The files that give the unit variables. One of which only the sum is known counts as one file.
fn layers(unit: &ObservedUnit) -> Vec<Cow<'_, Layer>> {
    if unit.layers.is_empty() && !unit.environment.is_empty() {
        let (path, variables) = (unit.fragment.clone(), unit.environment.clone());
        return vec![Cow::Owned(Layer { path, named_in: None, variables })];
    }
    unit.layers.iter().map(Cow::Borrowed).collect()
}

fn given<'a>(layers: impl Iterator<Item = &'a Layer>, unit: &ObservedUnit) -> Given<'a> {
    let mut given = Given::new();
    for layer in layers {
        given.extend(layer.variables.iter().map(|(name, value)| (name.as_str(), (value.as_str(), layer))));
    }
    given.retain(|name, _| !unit.unset.contains(*name));
    given
}

fn come_to(layers: &[Cow<'_, Layer>], unit: &ObservedUnit) -> BTreeMap<String, String> {
    let given = given(layers.iter().map(AsRef::as_ref), unit);
    given.into_iter().map(|(name, (value, _))| (name.to_owned(), value.to_owned())).collect()
}

/// What a process of `unit` would be started with now.
pub(super) fn now(unit: &ObservedUnit) -> BTreeMap<String, String> {
    come_to(&layers(unit), unit)
}

/// What a process of `unit` would be started with, were nothing of ours there.
pub(super) fn without_ours(unit: &ObservedUnit) -> BTreeMap<String, String> {
    let mut layers = layers(unit);
    layers.retain(|layer| layer.path != unit.own.environment_path);
    come_to(&layers, unit)
}

fn said(layer: &Layer) -> String {
    match &layer.named_in {
        Some(by) => format!("{}, named in {by}", layer.path),
        None => layer.path.clone(),
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn shown(name: &str, value: Option<&str>) -> String {
    match value {
        None => "not set".to_owned(),
        Some(value) => format!("`{}`", redacted(name, value).chars().take(SHOWN).collect::<String>()),
    }
}

impl Contested<'_> {
    fn sentence(&self) -> String {
        let Self { name, ours, theirs, by, wins } = self;
        let (ours, theirs) = (shown(name, Some(ours)), shown(name, *theirs));
        if *wins {
            format!(
                "{name}: the file says {ours}, and {by} says {theirs} and wins; change it there, or take {name} out of \
                 `environment:`"
            )
        } else {
            format!("{name}: the file says {ours}, and wins over {theirs} in {by}")
        }
    }
}

impl Look<'_> {
    /// The files as they will be once ours are as the file says. Owned: ours is not there yet.
    fn layers_to_be(&self) -> Vec<Cow<'_, Layer>> {
        let own = &self.service.own;
        let mut layers = layers(self.service);
        layers.retain(|layer| layer.path != own.environment_path);
        let is_none = self.spec.environment.is_empty() || self.spec.management == Management::Observe;
        if is_none || self.void_in().is_some() {
            return layers;
        }
        let is_later = |layer: &Cow<'_, Layer>| {
            layer.named_in.as_ref().is_some_and(|by| {
                *by != self.service.fragment && file_name(by) > file_name(&own.drop_in_path)
            })
        };
        let place = layers.iter().position(is_later).unwrap_or(layers.len());
        let ours = Layer {
            path: own.environment_path.clone(),
            named_in: Some(own.drop_in_path.clone()),
            variables: self.spec.environment.clone(),
        };
        layers.insert(place, Cow::Owned(ours));
        layers
    }

    /// The file that comes after ours and makes void what ours names, with an empty `EnvironmentFile=`.
    fn void_in(&self) -> Option<&str> {
        let ObservedUnit { own, layers, fragment, files_void_in, .. } = self.service;
        let by = files_void_in.as_deref().filter(|by| by != fragment && *by != own.drop_in_path)?;
        // A unit's own file comes before all drop-ins.
        let is_later = self.spec.own.is_some() || file_name(by) > file_name(&own.drop_in_path);
        let is_named_again = layers.iter().any(|layer| layer.path == own.environment_path);
        (is_later && !is_named_again).then_some(by)
    }

    /// What its process will be started with once our files are as the file says.
    pub(super) fn environment_to_be(&self) -> BTreeMap<String, String> {
        let layers = self.layers_to_be();
        come_to(&layers, self.service)
    }

    /// The variables of the file that somebody else sets otherwise, in his files.
    pub(super) fn contested(&self) -> Vec<Contested<'_>> {
        if self.spec.management == Management::Observe {
            return Vec::new();
        }
        let own = &self.service.own.environment_path;
        let is_ours = |layer: &Layer| layer.path == *own;
        let to_be = self.layers_to_be();
        let winners = given(to_be.iter().map(AsRef::as_ref), self.service);
        let contested = self.spec.environment.iter().filter_map(|(name, ours)| {
            if self.service.unset.contains(name) {
                let by = "`UnsetEnvironment=` of the unit".to_owned();
                return Some(Contested { name, ours, theirs: None, by, wins: true });
            }
            let wins = !winners.get(name.as_str()).is_some_and(|(_, layer)| is_ours(layer));
            let others = self.service.layers.iter().filter(|layer| !is_ours(layer));
            let theirs = others.filter_map(|layer| Some((layer.variables.get(name)?, layer))).next_back();
            let void = self.void_in().map(|by| format!("the empty `EnvironmentFile=` in {by}"));
            let (theirs, by) = match (theirs, void) {
                (Some((theirs, _)), Some(void)) => (Some(theirs), format!("after {void} somebody else")),
                (Some((theirs, layer)), None) => (Some(theirs), said(layer)),
                (None, Some(void)) => (None, format!("{void}, which makes aiplatd's void,")),
                (None, None) => return None,
            };
            (theirs != Some(ours)).then(|| Contested {
                name,
                ours,
                theirs: theirs.map(String::as_str),
                by,
                wins,
            })
        });
        contested.collect()
    }

    /// A restart with our files as they should be would change what the process has of `name`.
    pub(super) fn is_curable(&self, name: &str, to_be: &BTreeMap<String, String>) -> bool {
        let has = self.service.effective.as_ref().and_then(|effective| effective.get(name));
        to_be.get(name) != has
    }

    /// What aiplatd wrote for it in an earlier file, and may not touch any more.
    pub(super) fn left_to_observe(&self) -> Option<String> {
        let own = &self.service.own;
        let is_left = self.spec.management == Management::Observe
            && own.drop_in.as_ref().is_some_and(|text| text.starts_with(WRITTEN_BY));
        is_left.then(|| {
            format!(
                "{} stays, and {} is given the variables in {} on, for `management: observe` lets aiplatd change nothing: remove \
                 it by hand, and `systemctl daemon-reload`",
                own.drop_in_path, self.spec.unit, own.environment_path
            )
        })
    }

    /// Whether somebody else has the last word, told by the files alone.
    pub(super) fn overruled(&self) -> Condition {
        let kind = ConditionType::Overridden;
        let lost: Vec<String> =
            self.contested().iter().filter(|it| it.wins).map(Contested::sentence).collect();
        if lost.is_empty() {
            return Condition::normal(kind, Reason::AsDesired);
        }
        Condition::abnormal(kind, Reason::EnvironmentOverridden, lost.join("; "))
    }
}

/// What a person should know of the variables of `id` before anything is done: who else sets them. Who wins over us is said as
/// long as it is so, who loses only until our files are written.
pub(in crate::plan) fn notes(world: &World<'_>, id: &crate::ResourceId) -> Vec<String> {
    let Some(look) = world.desired.units.get(id).and_then(|spec| Look::of(world, id, spec)) else {
        return Vec::new();
    };
    let is_news = look.files_to_write().is_some();
    let contested = look.contested();
    let contested = contested.iter().filter(|it| it.wins || is_news).map(Contested::sentence);
    look.left_to_observe().into_iter().chain(contested).collect()
}
