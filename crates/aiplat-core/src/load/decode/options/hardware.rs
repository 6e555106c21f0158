//! What of the machine a service gets.

use super::super::{Cx, Fields, Item, files::normal, scalar::crop};
use crate::{
    load::{
        diagnostic::Problem,
        keys::{BLKIO, BLKIO_RATE, BLKIO_WEIGHT, DEVICE},
        text::{ByteSize, duration},
        tree::Value,
    },
    spec::{Blkio, Device, Hardware},
};

/// All but the requests for GPUs, which other keys ask for, too.
pub(super) fn hardware(cx: &mut Cx<'_>, fields: &mut Fields<'_>) -> Hardware {
    let (mut devices, mut cdi_devices) = (Vec::new(), Vec::new());
    for item in fields.take("devices").and_then(|item| cx.items(&item)).unwrap_or_default() {
        match device(cx, &item) {
            Some(Asked::File(file)) => devices.push(file),
            Some(Asked::Cdi(name)) => cdi_devices.push(name),
            None => {}
        }
    }
    devices.sort();
    devices.dedup();
    Hardware {
        devices,
        cdi_devices,
        device_cgroup_rules: cx.taken_each(fields, "device_cgroup_rules", rule),
        requests: Vec::new(),
        blkio: fields.take("blkio_config").map(|item| blkio(cx, &item)).unwrap_or_default(),
        cpu_period: cx.taken_parsed(fields, "cpu_period", |text| microseconds(text, 1_000, 1_000_000)),
        cpu_quota: cx.taken_parsed(fields, "cpu_quota", |text| microseconds(text, 1_000, i64::MAX)),
        cpu_rt_period: cx.taken_parsed(fields, "cpu_rt_period", |text| microseconds(text, 1, i64::MAX)),
        cpu_rt_runtime: cx.taken_parsed(fields, "cpu_rt_runtime", |text| microseconds(text, 1, i64::MAX)),
        mem_swappiness: fields.take("mem_swappiness").and_then(|item| cx.integer(&item, 0, 100)),
    }
}

/// What an entry of `devices` asks for.
enum Asked {
    File(Device),
    /// By the name of the Container Device Interface.
    Cdi(String),
}

fn device(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<Asked> {
    if let Value::Map(_) = item.node.value {
        let mut fields = cx.fields(item, &DEVICE);
        let source = match fields.take("source") {
            Some(source) => cx.parsed(&source, host_file),
            None => {
                let problem =
                    Problem::error("missing-key", item.place(), "an entry of `devices` needs a `source`");
                cx.sink.add(problem.help("write the device file of the host, as in `source: /dev/ttyUSB0`"));
                None
            }
        };
        let target = cx.taken_parsed(&mut fields, "target", super::inside);
        let permissions = cx.taken_parsed(&mut fields, "permissions", permissions);
        fields.done();
        let source = source?.value;
        return Some(Asked::File(Device {
            target: target.unwrap_or_else(|| source.clone()),
            permissions: permissions.unwrap_or_else(|| "rwm".to_owned()),
            source,
        }));
    }
    cx.parsed(item, short_device).map(|device| device.value)
}

/// `SOURCE[:TARGET][:PERMISSIONS]`, or `vendor.com/class=name`.
fn short_device(text: &str) -> Result<Asked, String> {
    if !text.starts_with('/')
        && let Some((kind, name)) = text.split_once('=')
    {
        let is_kind =
            kind.split_once('/').is_some_and(|(vendor, class)| vendor.contains('.') && !class.is_empty());
        return if is_kind && !name.is_empty() {
            Ok(Asked::Cdi(text.to_owned()))
        } else {
            Err("a device of the Container Device Interface is as in `nvidia.com/gpu=all`".to_owned())
        };
    }
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, allowed) = match parts.as_slice() {
        [source] => (*source, *source, "rwm"),
        [source, second] if second.starts_with('/') => (*source, *second, "rwm"),
        [source, second] => (*source, *source, *second),
        [source, target, allowed] => (*source, *target, *allowed),
        _ => return Err("write as in `/dev/ttyUSB0` or `/dev/ttyUSB0:/dev/modem:rw`".to_owned()),
    };
    Ok(Asked::File(Device {
        source: host_file(source)?,
        target: super::inside(target)?,
        permissions: permissions(allowed)?,
    }))
}

fn host_file(text: &str) -> Result<String, String> {
    if text.starts_with('/') {
        Ok(normal(std::path::Path::new(text)).to_string_lossy().into_owned())
    } else {
        Err("write the device file of the host, as in `/dev/ttyUSB0`".to_owned())
    }
}

fn permissions(text: &str) -> Result<String, String> {
    let has = |letter: char| text.matches(letter).count() <= 1;
    if !text.is_empty() && text.chars().all(|c| "rwm".contains(c)) && "rwm".chars().all(has) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{}` are no permissions: write some of `r`, `w` and `m`", crop(text)))
    }
}

/// `c 1:3 mr`.
fn rule(text: &str) -> Result<String, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let number = |text: &str| text == "*" || text.parse::<u32>().is_ok();
    let fits = matches!(words.as_slice(), [kind, numbers, allowed]
        if matches!(*kind, "a" | "b" | "c")
            && numbers.split_once(':').is_some_and(|(major, minor)| number(major) && number(minor))
            && permissions(allowed).is_ok());
    if fits { Ok(words.join(" ")) } else { Err("write a rule as in `c 189:* rmw`".to_owned()) }
}

fn blkio(cx: &mut Cx<'_>, item: &Item<'_>) -> Blkio {
    let mut fields = cx.fields(item, &BLKIO);
    let rates = |cx: &mut Cx<'_>, fields: &mut Fields<'_>, key: &'static str| {
        let items = fields.take(key).and_then(|item| cx.items(&item)).unwrap_or_default();
        items.iter().filter_map(|item| rate(cx, item)).collect()
    };
    let weights = fields.take("weight_device").and_then(|item| cx.items(&item)).unwrap_or_default();
    let blkio = Blkio {
        weight: fields.take("weight").and_then(|item| cx.integer(&item, 10, 1_000)),
        weight_device: weights.iter().filter_map(|item| weight(cx, item)).collect(),
        device_read_bps: rates(cx, &mut fields, "device_read_bps"),
        device_write_bps: rates(cx, &mut fields, "device_write_bps"),
        device_read_iops: rates(cx, &mut fields, "device_read_iops"),
        device_write_iops: rates(cx, &mut fields, "device_write_iops"),
    };
    fields.done();
    blkio
}

fn rate(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<(String, i64)> {
    let mut fields = cx.fields(item, &BLKIO_RATE);
    let path = cx.taken_parsed(&mut fields, "path", host_file);
    let rate = cx.taken_parsed(&mut fields, "rate", str::parse::<ByteSize>);
    fields.done();
    complete(cx, item, path, rate.map(|rate| rate.0), "as in `{path: /dev/sda, rate: 50m}`")
}

fn weight(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<(String, i64)> {
    let mut fields = cx.fields(item, &BLKIO_WEIGHT);
    let path = cx.taken_parsed(&mut fields, "path", host_file);
    let weight = fields.take("weight").and_then(|item| cx.integer(&item, 10, 1_000));
    fields.done();
    complete(cx, item, path, weight, "as in `{path: /dev/sda, weight: 400}`")
}

/// Both halves of a pair; that one is missing is said unless it was there and wrong.
fn complete(
    cx: &mut Cx<'_>,
    item: &Item<'_>,
    path: Option<String>,
    value: Option<i64>,
    form: &str,
) -> Option<(String, i64)> {
    let written = cx.entries(item).map_or(2, |entries| entries.len());
    if written < 2 {
        let problem = Problem::error("missing-key", item.place(), format!("{} is not complete", item.what));
        cx.sink.add(problem.help(form));
    }
    path.zip(value)
}

/// Microseconds, or a duration.
fn microseconds(text: &str, least: i64, most: i64) -> Result<i64, String> {
    let micros = match text.parse::<i64>() {
        Ok(micros) => micros,
        Err(_) => i64::try_from(duration(text)?.as_micros()).map_err(|_| "this is too long".to_owned())?,
    };
    if micros < least {
        return Err(format!("the least is {least} microseconds"));
    }
    if micros > most {
        return Err(format!("the most is {most} microseconds"));
    }
    Ok(micros)
}
