//! `get`: lists.

use aiplat_api::v1::{Event, ModelStatus, ServiceStatus, StatusDoc};
use aiplat_core::{Kind, ResourceId};
use serde::Serialize;
use serde_json::Value;

use super::{print_json, print_yaml, view, watch};
use crate::{
    args::{Format, GetArgs, Globals},
    console,
    exit::{Code, Failure, Outcome},
    find::{KindWord, Listed, names, no_such},
    render::{View, events, gpus, host, lists, models, table::Table, volumes},
    source,
};

/// What is listed.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    pub(super) listed: Listed,
    pub(super) names: Vec<String>,
}

pub(super) async fn run(globals: &Globals, args: &GetArgs) -> Outcome {
    let Some(kind) = &args.kind else {
        return Err(Failure::usage(format!("what is to be listed? {}", KindWord::all()))
            .tip("`aiplatctl get services` lists what the file asks for, `aiplatctl status` what is wrong"));
    };
    let listed = kind.listed;
    // `get svc/a svc/b` names them as `get svc a b` does.
    let bare = |name: &String| match name.parse::<KindWord>() {
        Ok(KindWord { listed: same, name: Some(name) }) if same == listed => name,
        Ok(_) | Err(_) => name.clone(),
    };
    let names = kind.name.iter().cloned().chain(args.names.iter().map(bare)).collect();
    let selection = Selection { listed, names };
    if args.output == Format::Env && (listed != Listed::Host || args.watch) {
        return Err(Failure::usage("`-o env` prints what `get host` knows, once")
            .tip("`aiplatctl get host -o env > host.env`; every other kind has `-o json`"));
    }
    let seen = source::read(globals).await?;
    selection.check(&seen.doc)?;
    if args.watch {
        return watch::run(globals, seen, &selection, args.output).await;
    }
    selection.print(&seen.doc, args.output)?;
    Ok(seen.code(Code::Done))
}

impl Selection {
    /// Every name that was asked for exists.
    fn check(&self, doc: &StatusDoc) -> Result<(), Failure> {
        if self.listed == Listed::Host {
            if !self.names.is_empty() {
                return Err(Failure::usage("there is one host, and it has no name")
                    .tip("`aiplatctl get host` lists what is known of it, `get gpus` its GPUs"));
            }
            if doc.host.is_none() {
                return Err(Failure::failed("the machine has not been looked at yet")
                    .tip("try again in a moment; `aiplatctl doctor` looks by itself"));
            }
        }
        if self.listed == Listed::Events && !self.names.is_empty() {
            return Err(Failure::usage("events have no names")
                .tip("`aiplatctl events --for NAME` lists those of one service"));
        }
        let known = names(doc, Some(self.listed));
        let on_host: Vec<&str> = match self.listed {
            Listed::Resources(Kind::Model) => doc.models.iter().map(|it| it.model.as_str()).collect(),
            Listed::Resources(kind) => {
                let of_kind = doc.resources.iter().filter(|it| it.id.kind == kind);
                let paths = doc.host.iter().flat_map(|host| &host.host_paths);
                let paths = paths.filter(|_| kind == Kind::Volume).map(|it| it.path.as_str());
                of_kind.map(|it| it.host_name.as_str()).chain(paths).collect()
            }
            Listed::Services
            | Listed::Gates
            | Listed::Events
            | Listed::Endpoints
            | Listed::Host
            | Listed::Gpus => Vec::new(),
        };
        for name in &self.names {
            if !known.contains(&name.as_str()) && !on_host.contains(&name.as_str()) {
                let shown = format!("{}/{name}", self.listed.plural().trim_end_matches('s'));
                return Err(no_such(&shown, name, known));
            }
        }
        Ok(())
    }

    fn print(&self, doc: &StatusDoc, format: Format) -> Result<(), Failure> {
        match format {
            Format::Table | Format::Wide => {
                let table = self.table(doc, view(format == Format::Wide));
                if table.is_empty() {
                    console::note(&format!("There are no {}.", self.listed.plural()));
                }
                console::print(&table.render(view(format == Format::Wide).width))
            }
            Format::Env => console::print(&doc.host.as_ref().map(host::environment).unwrap_or_default()),
            Format::Json => print_json(&self.value(doc)),
            Format::Yaml => print_yaml(&self.value(doc)),
            Format::Name => {
                let ids: String = self.entries(doc).into_iter().map(|(id, _)| format!("{id}\n")).collect();
                console::print(&ids)
            }
        }
    }

    fn services<'a>(&'a self, doc: &'a StatusDoc) -> impl Iterator<Item = &'a ServiceStatus> {
        doc.services.iter().filter(|service| lists::chosen(&self.names, &service.name))
    }

    pub(super) fn table(&self, doc: &StatusDoc, view: View) -> Table {
        match self.listed {
            Listed::Services => lists::services(self.services(doc), view),
            Listed::Resources(Kind::Container) => lists::containers(doc, &self.names, view),
            Listed::Resources(Kind::Image) => lists::images(doc, &self.names),
            Listed::Resources(Kind::Unit) => lists::units(doc, &self.names, view),
            Listed::Resources(Kind::Volume) => volumes::volumes(doc, &self.names, view),
            Listed::Resources(Kind::Model) => models::models(doc, &self.names, view),
            Listed::Resources(kind @ (Kind::Network | Kind::File | Kind::Host)) => {
                lists::named(doc, kind, &self.names)
            }
            Listed::Gates => lists::gates(doc, &self.names, view),
            Listed::Events => {
                let moment = if view.wide { events::Moment::Both } else { events::Moment::Age };
                events::events(&doc.events, moment, view)
            }
            Listed::Endpoints => lists::endpoints(self.services(doc)),
            Listed::Host => doc.host.as_ref().map_or_else(|| Table::new(&[]), host::facts),
            Listed::Gpus => gpus::gpus(doc, &self.names, view),
        }
    }

    /// One thing by its name is a mapping, anything else a list.
    fn value(&self, doc: &StatusDoc) -> Value {
        let mut values: Vec<Value> = self.entries(doc).into_iter().map(|(_, value)| value).collect();
        match (self.names.len(), values.len()) {
            (1, 1) => values.remove(0),
            (0, 1) if self.listed == Listed::Host => values.remove(0),
            _ => Value::from(values),
        }
    }

    /// KIND/NAME and the daemon's words for each.
    pub(super) fn entries(&self, doc: &StatusDoc) -> Vec<(String, Value)> {
        match self.listed {
            Listed::Services => {
                self.services(doc).map(|it| (format!("service/{}", it.name), value(it))).collect()
            }
            Listed::Resources(Kind::Model) => {
                let found = doc.models.iter().filter(|it| models::is_chosen(it, &self.names));
                let id = |it: &ModelStatus| format!("model/{}", it.name.as_ref().unwrap_or(&it.model));
                found.map(|it| (id(it), value(it))).collect()
            }
            Listed::Resources(kind) => {
                let asked = |id: &ResourceId, host: &str| {
                    lists::chosen(&self.names, id.key()) || lists::chosen(&self.names, host)
                };
                let found =
                    doc.resources.iter().filter(|it| it.id.kind == kind && asked(&it.id, &it.host_name));
                found.map(|it| (it.id.to_string(), value(it))).collect()
            }
            Listed::Gates => {
                let found = doc.gates.iter().filter(|gate| lists::chosen(&self.names, &gate.name));
                found.map(|it| (format!("gate/{}", it.name), value(it))).collect()
            }
            Listed::Events => {
                doc.events.iter().map(|it: &Event| (format!("event/{}", it.number), value(it))).collect()
            }
            Listed::Endpoints => {
                let found = self.services(doc).filter(|it| !it.endpoint.is_empty());
                let endpoint = |it: &ServiceStatus| serde_json::json!({"service": it.name, "endpoint": it.endpoint, "status": it.status});
                found.map(|it| (format!("endpoint/{}", it.name), endpoint(it))).collect()
            }
            Listed::Host => doc.host.iter().map(|it| ("host/local".to_owned(), value(it))).collect(),
            Listed::Gpus => {
                let gpus = doc.host.iter().flat_map(|host| &host.gpus);
                let found = gpus.filter(|gpu| lists::chosen(&self.names, &gpu.id));
                found.map(|it| (format!("gpu/{}", it.id), value(it))).collect()
            }
        }
    }
}

fn value<T: Serialize>(it: &T) -> Value {
    serde_json::to_value(it).expect("wire types are JSON")
}
