//! `ports:`, short and long.

use std::net::{IpAddr, Ipv4Addr};

use super::{Cx, Item};
use crate::{
    load::{
        diagnostic::Problem,
        keys::PORT,
        tree::{Spanned, Value},
    },
    spec::{PortBinding, Protocol},
};

/// Without an address a port is for this machine alone. Compose opens it to the world, past most firewalls.
const DEFAULT_HOST_IP: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The most ports of one range.
const RANGE_MAX: usize = 1_000;

/// A port or a range of ports, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range(u16, u16);

impl Range {
    fn len(self) -> usize {
        usize::from(self.1 - self.0) + 1
    }
}

/// What one entry of the short form says.
#[derive(Debug, PartialEq, Eq)]
struct Short {
    host_ip: Option<IpAddr>,
    published: Option<Range>,
    target: Range,
    protocol: Protocol,
}

pub(super) fn ports(cx: &mut Cx<'_>, item: &Item<'_>) -> Vec<Spanned<PortBinding>> {
    let mut ports = Vec::new();
    for item in cx.items(item).unwrap_or_default() {
        let place = item.place();
        let entry = match &item.node.value {
            Value::Map(_) => long(cx, &item),
            Value::Scalar(_) | Value::Seq(_) | Value::Broken => {
                cx.parsed(&item, short).map(|short| short.value)
            }
        };
        let Some(Short { host_ip, published, target, protocol }) = entry else { continue };
        if host_ip.is_none() {
            cx.sink.add(
                Problem::note(
                    "port-address",
                    place,
                    "a port without an address is published on 127.0.0.1 (in Compose: on every address)",
                )
                .help("to publish it on every address, write `0.0.0.0:` before it"),
            );
        }
        for offset in 0..target.len() {
            let shift = |port: u16| port + u16::try_from(offset).unwrap_or_default();
            let value = PortBinding {
                host_ip: host_ip.unwrap_or(DEFAULT_HOST_IP),
                host_port: published.map(|range| shift(range.0)),
                container_port: shift(target.0),
                protocol,
            };
            ports.push(Spanned { value, place });
        }
    }
    ports
}

/// `[[ADDRESS:]HOST:]CONTAINER[/PROTOCOL]`.
fn short(text: &str) -> Result<Short, String> {
    const FORM: &str = "write `8080:80`, `127.0.0.1:8080:80` or `8080:80/udp`";
    let (rest, protocol) = match text.rsplit_once('/') {
        Some((rest, word)) => (rest, transport(word)?),
        None => (text, Protocol::Tcp),
    };
    let (rest, target) = rest.rsplit_once(':').map_or(("", rest), |(rest, target)| (rest, target));
    let target = range(target)?.ok_or(FORM)?;
    let (address, published) = match rest.rsplit_once(':') {
        _ if rest.is_empty() => (None, None),
        // `[::1]:8080:80`; an address without brackets swallows the port.
        Some((address, published)) if !published.ends_with(']') => (Some(address), range(published)?),
        Some(_) => return Err(FORM.to_owned()),
        None => match range(rest) {
            Ok(published) => (None, published),
            Err(_) if rest.parse::<IpAddr>().is_ok() => {
                return Err(format!("the port of the host is missing: write `{rest}:8080:{}`", target.0));
            }
            Err(reason) => return Err(reason),
        },
    };
    let host_ip = address.map(host_address).transpose()?;
    if let Some(published) = published.filter(|range| range.len() != target.len()) {
        return Err(format!(
            "{} ports of the host for {} of the container: write ranges of one length",
            published.len(),
            target.len()
        ));
    }
    Ok(Short { host_ip, published, target, protocol })
}

/// A port or a range; `None` where nothing is written.
fn range(text: &str) -> Result<Option<Range>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let port = |text: &str| match text.parse::<u16>() {
        Ok(0) => Err("port 0 is none: leave the port of the host out to let the engine choose".to_owned()),
        Ok(port) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
        _ => Err(format!("`{}` is not a port from 1 to 65535", super::scalar::crop(text))),
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = Range(port(first)?, port(last)?);
    if range.0 > range.1 {
        return Err(format!("the range runs backwards: write `{}-{}`", range.1, range.0));
    }
    if range.len() > RANGE_MAX {
        return Err(format!("a range has at most {RANGE_MAX} ports"));
    }
    Ok(Some(range))
}

fn transport(word: &str) -> Result<Protocol, String> {
    match word.to_ascii_lowercase().as_str() {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        "sctp" => Err("`sctp` is not supported by this version".to_owned()),
        _ => Err("after the `/` comes `tcp` or `udp`".to_owned()),
    }
}

fn host_address(text: &str) -> Result<IpAddr, String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    match bare.parse() {
        Ok(IpAddr::V6(_)) if bare == text => {
            Err("put brackets around an IPv6 address, as in `[::1]:8080:80`".to_owned())
        }
        Ok(address) => Ok(address),
        Err(_) if text == "localhost" => Err("write the address itself: `127.0.0.1`".to_owned()),
        Err(_) => Err(format!("`{}` is not an address of the host", super::scalar::crop(text))),
    }
}

fn long(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<Short> {
    let mut fields = cx.fields(item, &PORT);
    let target = match fields.take("target") {
        Some(target) => cx.port(&target),
        None => {
            let problem = Problem::error("missing-key", item.place(), "an entry of `ports` needs a `target`");
            cx.sink.add(problem.help("write the port inside the container, as in `target: 80`"));
            None
        }
    };
    let published = fields.take("published").map(|item| cx.parsed(&item, published));
    let host_ip = fields.take("host_ip").map(|item| cx.parsed(&item, long_address));
    let words = [("tcp", Protocol::Tcp), ("udp", Protocol::Udp)];
    let protocol = fields.take("protocol").map_or(Some(Protocol::Tcp), |item| cx.word(&item, &words));
    fields.done();
    let target = target?;
    Some(Short {
        host_ip: match host_ip {
            Some(address) => Some(address?.value),
            None => None,
        },
        published: match published {
            Some(port) => port?.value,
            None => None,
        },
        target: Range(target, target),
        protocol: protocol?,
    })
}

fn published(text: &str) -> Result<Option<Range>, String> {
    match range(text)? {
        Some(range) if range.len() > 1 => {
            Err("a range needs the short form, as in `8000-8005:8000-8005`".to_owned())
        }
        other => Ok(other),
    }
}

fn long_address(text: &str) -> Result<IpAddr, String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().map_err(|_| "write an address of the host, as in `127.0.0.1`".to_owned())
}

/// `80`, `53/udp` or `8000-8005`, as an image exposes them.
pub(super) fn exposed(text: &str) -> Result<Vec<String>, String> {
    let (ports, protocol) = match text.rsplit_once('/') {
        Some((ports, word)) => (ports, transport(word)?),
        None => (text, Protocol::Tcp),
    };
    let Range(first, last) = range(ports)?.ok_or("write a port, as in `80` or `53/udp`")?;
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}
