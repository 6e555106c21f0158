//! Top-level `networks:` and `volumes:`.

use std::collections::BTreeMap;

use super::{Cx, Fields, Item};
use crate::{
    load::{
        check::Cidr,
        diagnostic::Problem,
        draft::{NetworkDraft, VolumeDraft},
        keys::{IPAM, IPAM_CONFIG, NETWORK, VOLUME},
        tree::{Node, Place, Spanned, Value},
    },
    spec::Subnet,
};

/// `external`, with Compose's old mapping form answered.
fn external(cx: &mut Cx<'_>, fields: &mut Fields<'_>) -> bool {
    let Some(item) = fields.take("external") else { return false };
    if let Value::Map(_) = item.node.value {
        let problem = Problem::error("wrong-type", item.place(), "`external` takes `true` or `false`");
        cx.sink.add(
            problem.label("an old form of Compose").help("write `external: true`, and `name: ...` beside it"),
        );
        return true;
    }
    cx.flag(&item).unwrap_or(false)
}

/// An external thing is somebody else's: nothing but its name can be said of it.
fn external_alone(cx: &mut Cx<'_>, item: &Item<'_>, kind: &str) {
    for (name, place, _) in cx.entries(item).unwrap_or_default() {
        if !matches!(name, "external" | "name") && !name.starts_with("x-") {
            let message = format!("`{name}` says how to make a {kind}, but this one is `external`");
            let help = "remove this line, or the `external: true`";
            cx.sink.add(Problem::error("external-conflict", place, message).help(help));
        }
    }
}

pub(super) fn network(cx: &mut Cx<'_>, place: Place, item: &Item<'_>) -> NetworkDraft {
    let empty = Node { place, value: Value::Map(Vec::new()) };
    let item = &if item.is_null() { Item::new(item.what.clone(), &empty) } else { item.clone() };
    let mut fields = cx.fields(item, &NETWORK);
    let mut flag = |cx: &mut Cx<'_>, name| fields.take(name).and_then(|item| cx.flag(&item)).unwrap_or(false);
    let (internal, enable_ipv6, attachable) =
        (flag(cx, "internal"), flag(cx, "enable_ipv6"), flag(cx, "attachable"));
    let ipv4_off = fields.take("enable_ipv4").and_then(|item| cx.flag(&item)) == Some(false);
    let Ipam { subnets, driver: ipam_driver, options: ipam_options } =
        fields.take("ipam").map(|item| ipam(cx, &item)).unwrap_or_default();
    let opts = fields.take("driver_opts").map(|item| cx.named_texts(&item)).unwrap_or_default();
    let draft = NetworkDraft {
        place,
        name: fields.take("name").and_then(|item| cx.filled(&item)),
        external: external(cx, &mut fields),
        driver: fields
            .take("driver")
            .and_then(|item| cx.parsed(&item, network_driver))
            .map(|driver| driver.value),
        driver_opts: opts.into_iter().map(|(name, text)| (name, text.value)).collect(),
        internal,
        enable_ipv6,
        attachable,
        labels: fields.take("labels").map(|item| cx.labels(&item)).unwrap_or_default(),
        ipv4_off,
        subnets,
        ipam_driver,
        ipam_options,
    };
    fields.done();
    if draft.external {
        external_alone(cx, item, "network");
    }
    draft
}

fn network_driver(text: &str) -> Result<String, String> {
    match text {
        "host" | "none" | "null" => Err(format!(
            "this is no network of containers: write `network_mode: {}` in the service",
            match text {
                "host" => "host",
                _ => "none",
            }
        )),
        "" => Err("write one, as in `bridge`".to_owned()),
        driver => Ok(driver.to_owned()),
    }
}

/// What `ipam` says.
#[derive(Default)]
struct Ipam {
    subnets: Vec<Spanned<Subnet>>,
    driver: Option<String>,
    options: BTreeMap<String, String>,
}

fn ipam(cx: &mut Cx<'_>, item: &Item<'_>) -> Ipam {
    let mut fields = cx.fields(item, &IPAM);
    let driver = fields.take("driver").and_then(|item| cx.filled(&item)).map(|driver| driver.value);
    let options = fields.take("options").map(|item| cx.named_texts(&item)).unwrap_or_default();
    let pools = fields.take("config").and_then(|item| cx.items(&item)).unwrap_or_default();
    fields.done();
    Ipam {
        subnets: pools.iter().filter_map(|pool| subnet(cx, pool)).collect(),
        driver: driver.filter(|driver| driver != "default"),
        options: options.into_iter().map(|(name, text)| (name, text.value)).collect(),
    }
}

fn subnet(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<Spanned<Subnet>> {
    let mut fields = cx.fields(item, &IPAM_CONFIG);
    let pool = |text: &str| match Cidr::parse(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("write an address and a length, as in `172.28.0.0/16`".to_owned()),
    };
    let address = |text: &str| match text.parse::<std::net::IpAddr>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("write an address, as in `172.28.0.1`".to_owned()),
    };
    let subnet = match fields.take("subnet") {
        Some(item) => cx.parsed(&item, pool),
        None => {
            if matches!(item.node.value, Value::Map(_)) {
                let problem =
                    Problem::error("missing-key", item.place(), "an entry of `ipam.config` needs a `subnet`");
                cx.sink.add(problem.help("write the pool, as in `subnet: 172.28.0.0/16`"));
            }
            None
        }
    };
    let gateway = fields.take("gateway").and_then(|item| cx.parsed(&item, address));
    let ip_range = fields.take("ip_range").and_then(|item| cx.parsed(&item, pool));
    let mut aux_addresses = BTreeMap::new();
    let others = fields.take("aux_addresses").and_then(|item| cx.entries(&item)).unwrap_or_default();
    for (name, _, node) in others {
        let one = cx.parsed(&Item::new(format!("`{name}`"), node), address);
        aux_addresses.extend(one.map(|one| (name.to_owned(), one.value)));
    }
    fields.done();
    let Spanned { value, place } = subnet?;
    let text = |text: Option<Spanned<String>>| text.map(|text| text.value);
    let value = Subnet { subnet: value, gateway: text(gateway), ip_range: text(ip_range), aux_addresses };
    Some(Spanned { value, place })
}

pub(super) fn volume(cx: &mut Cx<'_>, place: Place, item: &Item<'_>) -> VolumeDraft {
    let empty = Node { place, value: Value::Map(Vec::new()) };
    let item = &if item.is_null() { Item::new(item.what.clone(), &empty) } else { item.clone() };
    let mut fields = cx.fields(item, &VOLUME);
    let draft = VolumeDraft {
        place,
        name: fields.take("name").and_then(|item| cx.filled(&item)),
        external: external(cx, &mut fields),
        driver: fields.take("driver").and_then(|item| cx.filled(&item)).map(|driver| driver.value),
        driver_opts: fields.take("driver_opts").map(|item| cx.named_texts(&item)).unwrap_or_default(),
        labels: fields.take("labels").map(|item| cx.labels(&item)).unwrap_or_default(),
    };
    fields.done();
    if draft.external {
        external_alone(cx, item, "volume");
    }
    draft
}
