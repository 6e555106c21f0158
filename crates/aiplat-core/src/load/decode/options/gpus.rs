//! Requests for GPUs: `gpus`, `deploy.resources.reservations.devices`, `runtime: nvidia`.

use super::super::{Cx, Fields, Item};
use crate::{
    load::{
        diagnostic::Problem,
        draft::EnvValue,
        keys::{GPU, RESERVED_DEVICE},
        text::ByteSize,
        tree::Value,
    },
    spec::{DeviceRequest, DriverVersion, GpuNeeds, GpuRequest, Options, WantedGpus, WrittenGpus, cdi_gpu},
};

/// One entry, as the engine is to be given it, and what only aiplatd looks at.
#[derive(Debug)]
pub(in crate::load::decode) struct Asked {
    pub(super) request: DeviceRequest,
    needs: GpuNeeds,
}

/// `gpus`.
pub(super) fn gpus(cx: &mut Cx<'_>, item: &Item<'_>) -> Vec<Asked> {
    if let Value::Scalar(_) = item.node.value {
        let all = cx.word(item, &[("all", ())]);
        return all.map(|()| Asked { request: all_gpus(), needs: GpuNeeds::default() }).into_iter().collect();
    }
    let items = cx.items(item).unwrap_or_default();
    let request = |item: &Item<'_>| {
        let mut fields = cx.fields(item, &GPU);
        let request = device_request(cx, item, &mut fields);
        let needs = needs(cx, &mut fields);
        fields.done();
        let mut request = request?;
        if !request.capabilities.iter().any(|known| known == "gpu") {
            request.capabilities.insert(0, "gpu".to_owned());
        }
        Some(Asked { request, needs })
    };
    items.iter().filter_map(request).collect()
}

fn needs(cx: &mut Cx<'_>, fields: &mut Fields<'_>) -> GpuNeeds {
    let size = |text: &str| match text.parse::<ByteSize>()?.0 {
        0 => Err("leave it out, or write how much, as in `8GiB`".to_owned()),
        bytes => u64::try_from(bytes).map_err(|_| "write how much, as in `8GiB`".to_owned()),
    };
    let capability = |text: &str| {
        let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
        let parts = major.parse::<u32>().ok().zip(minor.parse::<u32>().ok());
        parts.ok_or_else(|| "write a compute capability, as in `8.0`".to_owned())
    };
    let version = |text: &str| {
        DriverVersion::parse(text)
            .ok_or_else(|| "write a driver's version, as in `550` or `550.54.15`".to_owned())
    };
    GpuNeeds {
        min_vram: cx.taken_parsed(fields, "min_vram", size),
        min_compute_capability: cx.taken_parsed(fields, "min_compute_capability", capability),
        min_driver: cx.taken_parsed(fields, "min_driver", version),
        vram: cx.taken_parsed(fields, "vram", size),
        optional: cx.taken_flag(fields, "optional"),
    }
}

fn all_gpus() -> DeviceRequest {
    DeviceRequest { count: -1, capabilities: vec!["gpu".to_owned()], ..DeviceRequest::default() }
}

/// `deploy.resources.reservations.devices`.
pub(super) fn reserved(cx: &mut Cx<'_>, item: &Item<'_>) -> Vec<Asked> {
    let items = cx.items(item).unwrap_or_default();
    let request = |item: &Item<'_>| {
        let mut fields = cx.fields(item, &RESERVED_DEVICE);
        let request = device_request(cx, item, &mut fields);
        fields.done();
        let request = request?;
        if request.capabilities.is_empty() {
            let problem =
                Problem::error("missing-key", item.place(), "an entry of `devices` needs `capabilities`");
            cx.sink.add(problem.help("write what the driver must offer, as in `capabilities: [gpu]`"));
            return None;
        }
        Some(Asked { request, needs: GpuNeeds::default() })
    };
    items.iter().filter_map(request).collect()
}

fn device_request(cx: &mut Cx<'_>, item: &Item<'_>, fields: &mut Fields<'_>) -> Option<DeviceRequest> {
    let count = |text: &str| match text {
        "all" | "-1" => Ok(-1),
        text => match text.parse::<i64>() {
            Ok(count) if count > 0 => Ok(count),
            _ => Err("write how many, or `all`".to_owned()),
        },
    };
    let counted = fields.take("count");
    let count = counted.as_ref().and_then(|item| cx.parsed(item, count)).map(|count| count.value);
    let texts = |cx: &mut Cx<'_>, item: Item<'_>| -> Vec<String> {
        cx.strings(&item).unwrap_or_default().into_iter().map(|text| text.value).collect()
    };
    let named = fields.take("device_ids");
    let place = named.as_ref().map(Item::place);
    let device_ids = named.map(|item| texts(cx, item));
    let is_name = |name: &String| !name.is_empty() && !name.contains(char::is_whitespace);
    let names_none = device_ids.as_ref().is_some_and(|ids| ids.is_empty() || !ids.iter().all(is_name));
    let mut device_ids = device_ids.unwrap_or_default();
    // Named twice is named once.
    let mut seen = std::collections::BTreeSet::new();
    device_ids.retain(|id| seen.insert(id.clone()));
    let request = DeviceRequest {
        driver: cx.taken_text(fields, "driver"),
        count: if device_ids.is_empty() { count.unwrap_or(-1) } else { 0 },
        capabilities: fields.take("capabilities").map(|item| texts(cx, item)).unwrap_or_default(),
        options: cx.taken_pairs(fields, "options"),
        device_ids,
    };
    if let Some(place) = place.filter(|_| names_none) {
        let problem = Problem::error("bad-value", place, "`device_ids` names no GPU");
        let help = "write indices or UUIDs, as `nvidia-smi -L` shows them: `device_ids: [\"0\"]`";
        cx.sink.add(problem.help(help));
        return None;
    }
    if let Some(counted) = counted.filter(|_| !request.device_ids.is_empty()) {
        let problem =
            Problem::error("key-conflict", counted.place(), "`count` and `device_ids` exclude each other");
        cx.sink.add(problem.help(format!("remove one of the two from {}", item.what)));
        return None;
    }
    Some(request)
}

/// Two keys that say the same are one request; what `gpus` says of its needs holds.
pub(super) fn once(asked: Vec<Asked>) -> Vec<Asked> {
    asked.into_iter().fold(Vec::new(), |mut all: Vec<Asked>, one| {
        if !all.iter().any(|known| known.request == one.request) {
            all.push(one);
        }
        all
    })
}

/// All that a service asks of GPUs, in whatever words.
pub(super) fn requests(
    asked: Vec<Asked>,
    options: &Options,
    visible: Option<&EnvValue>,
    is_unit: bool,
) -> Vec<GpuRequest> {
    let written = |written| if is_unit { WrittenGpus::Unit } else { written };
    let mut requests: Vec<GpuRequest> = asked
        .into_iter()
        .filter_map(|Asked { request, needs }| {
            let (wanted, how) = request.wanted_gpus()?;
            Some(GpuRequest { wanted, needs, written: written(how) })
        })
        .collect();
    let as_it_is =
        |wanted| GpuRequest { wanted, needs: GpuNeeds::default(), written: written(WrittenGpus::AsItIs) };
    let by_cdi: Vec<String> =
        options.hardware.cdi_devices.iter().filter_map(|name| cdi_gpu(name)).map(str::to_owned).collect();
    if !by_cdi.is_empty() {
        requests.push(as_it_is(WantedGpus::named(by_cdi)));
    }
    if requests.is_empty() && options.process.runtime.as_deref() == Some("nvidia") {
        requests.extend(visible_devices(visible.map(|it| it.value.as_str())).map(as_it_is));
    }
    requests
}

/// What NVIDIA's runtime makes of `NVIDIA_VISIBLE_DEVICES`; the images that are made for it say `all` themselves.
fn visible_devices(said: Option<&str>) -> Option<WantedGpus> {
    match said.map(str::trim) {
        None => Some(WantedGpus::All),
        Some("" | "none" | "void") => None,
        Some(named) => Some(WantedGpus::named(named.split(',').map(|one| one.trim().to_owned()).collect())),
    }
}
