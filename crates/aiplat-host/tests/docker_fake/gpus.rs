//! The body of the create call of a service that asks for GPUs: from the file, by the plan, to the engine.

use aiplat_core::{
    ResourceId, Timestamp,
    ledger::Ledger,
    observed::{
        CdiSpec, Driver, EngineSettings, GpuId, NvidiaTools, ObservedGpu, ObservedImage, ObservedState,
        Vendor,
    },
    plan::{World, plan},
    spec::Platform,
};
use serde_json::{Value, json};

use crate::keys::{platform, sent};

const FIRST: &str = "GPU-8f3a1c2e-1111-2222-3333-444455556666";
const SECOND: &str = "GPU-9f3a1c2e-1111-2222-3333-444455556666";

/// Two cards; an engine that knows the Container Device Interface, and its specification, or only NVIDIA's toolkit.
fn observed(cdi: bool) -> ObservedState {
    let mut observed = ObservedState::default();
    observed.engine.listed = true;
    observed.images.insert(
        "web:1".to_owned(),
        ObservedImage::Present { id: "sha256:1".to_owned(), has_healthcheck: false },
    );
    observed.engine.settings = Some(EngineSettings {
        cdi_dirs: cdi.then(|| vec!["/etc/cdi".to_owned()]),
        ..EngineSettings::default()
    });
    let spec = CdiSpec {
        kind: "nvidia.com/gpu".to_owned(),
        devices: ["0", "1", FIRST, SECOND, "all"].map(str::to_owned).into(),
        driver: Some("550.54.15".to_owned()),
        broken: None,
    };
    observed.machine.nvidia_tools = Some(NvidiaTools {
        program: Some("/usr/bin/nvidia-ctk".to_owned()),
        cdi_specs: cdi.then(|| ("/etc/cdi/nvidia.yaml".to_owned(), spec)).into_iter().collect(),
        dev_char_links: None,
    });
    observed.gpus.nvidia = Driver::Ready { version: "550.54.15".to_owned(), cuda: None };
    for (index, name) in [(0, FIRST), (1, SECOND)] {
        let gpu = ObservedGpu { index: Some(index), ..ObservedGpu::new(Vendor::Nvidia) };
        observed.gpus.gpus.insert(GpuId(name.to_owned()), gpu);
    }
    observed
}

/// What the engine is asked for, and the label.
async fn asked(keys: &str, cdi: bool) -> (Value, Value) {
    let desired: Platform = platform(&format!("network_mode: none\n    {keys}"));
    let (observed, ledger) = (observed(cdi), Ledger::default());
    let world = World { desired: &desired, observed: &observed, ledger: &ledger, now: Timestamp::ZERO };
    let step = plan(&world, &ResourceId::container("web"));
    let action = step.action.unwrap_or_else(|| panic!("it is made: {:?}", step.verdict)).action;
    let (_, body) = sent(action, "1.47", "json-file").await.expect("it is taken");
    (body["HostConfig"]["DeviceRequests"].clone(), body["Labels"]["io.aiplat.gpus"].clone())
}

#[tokio::test]
async fn a_request_becomes_one_by_uuid_in_the_words_that_the_engine_knows() {
    let nvidia = |ids: &[&str], capabilities: &[&str]| json!([{"Driver": "nvidia", "DeviceIDs": ids, "Capabilities": [capabilities]}]);
    let cdi = |names: &[String]| json!([{"Driver": "cdi", "DeviceIDs": names}]);
    let by_name = |id: &str| format!("nvidia.com/gpu={id}");
    let table = [
        ("gpus: [{count: 1}]", nvidia(&[FIRST], &["gpu"]), cdi(&[by_name(FIRST)]), FIRST.to_owned()),
        (
            "gpus: [{count: 2, capabilities: [compute, utility]}]",
            nvidia(&[FIRST, SECOND], &["compute", "gpu", "utility"]),
            cdi(&[by_name(FIRST), by_name(SECOND)]),
            format!("{FIRST},{SECOND}"),
        ),
        (
            "gpus: [{device_ids: [\"1\"]}]",
            nvidia(&[SECOND], &["gpu"]),
            cdi(&[by_name(SECOND)]),
            SECOND.to_owned(),
        ),
        (
            "deploy: {resources: {reservations: {devices: [{count: 1, capabilities: [gpu]}]}}}",
            nvidia(&[FIRST], &["gpu"]),
            cdi(&[by_name(FIRST)]),
            FIRST.to_owned(),
        ),
        (
            "gpus: all",
            json!([{"Count": -1, "Capabilities": [["gpu"]]}]),
            cdi(&[by_name("all")]),
            "all".to_owned(),
        ),
    ];
    for (keys, by_request, by_cdi, label) in table {
        assert_eq!(asked(keys, false).await, (by_request, json!(label)), "{keys}");
        assert_eq!(asked(keys, true).await, (by_cdi, json!(format!("cdi:{label}"))), "{keys}");
    }
}

#[tokio::test]
async fn what_is_asked_of_other_drivers_stays_beside_it() {
    let keys = "deploy: {resources: {reservations: {devices: [{driver: other, capabilities: [tpu]}, {count: 1, capabilities: [gpu]}]}}}";
    let other = json!({"Driver": "other", "Count": -1, "Capabilities": [["tpu"]]});
    let own = json!({"Driver": "cdi", "DeviceIDs": [format!("nvidia.com/gpu={FIRST}")]});
    assert_eq!(asked(keys, true).await.0, json!([other, own]));
}

#[tokio::test]
async fn what_was_written_in_the_engines_own_words_is_handed_on_as_it_is() {
    let by_cdi = json!([{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=0"]}]);
    assert_eq!(asked("devices: [nvidia.com/gpu=0]", true).await, (by_cdi, json!(format!("cdi:{FIRST}"))));
}
