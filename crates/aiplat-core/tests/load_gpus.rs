//! Requests for GPUs: the ways to write one, what only aiplatd looks at, and what is refused.

mod load_support;

use aiplat_core::{
    ResourceId, fingerprint,
    spec::{DriverVersion, GpuNeeds, GpuRequest, WantedGpus, WrittenGpus},
};
use load_support::{Disk, platform, seen};

const GIB: u64 = 1 << 30;

fn requests(service: &str) -> Vec<GpuRequest> {
    let text = format!("apiVersion: aiplat/v1\nname: home\nservices:\n  ollama: {service}\n");
    platform(&text).services().next().expect("it has one").1.gpus().to_vec()
}

fn plain(wanted: WantedGpus) -> GpuRequest {
    GpuRequest { wanted, needs: GpuNeeds::default(), written: WrittenGpus::Request }
}

#[test]
fn the_ways_to_ask_for_all_gpus_are_one_request() {
    for service in [
        "{image: x, gpus: all}",
        "{image: x, gpus: [{count: all}]}",
        "{image: x, gpus: [{}]}",
        "{image: x, deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}}",
        "{image: x, deploy: {resources: {reservations: {devices: [{driver: nvidia, count: all, capabilities: [gpu]}]}}}}",
        "{image: x, gpus: all, deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}}",
    ] {
        assert_eq!(requests(service), [plain(WantedGpus::All)], "{service}");
    }
    let as_it_is = |wanted| GpuRequest { written: WrittenGpus::AsItIs, ..plain(wanted) };
    for service in [
        "{image: x, runtime: nvidia}",
        "{image: x, runtime: nvidia, environment: {NVIDIA_VISIBLE_DEVICES: all}}",
        "{image: x, devices: [nvidia.com/gpu=all]}",
    ] {
        assert_eq!(requests(service), [as_it_is(WantedGpus::All)], "{service}");
    }
    let two = WantedGpus::These(vec!["0".to_owned(), "GPU-8f3a1c2e".to_owned()]);
    assert_eq!(
        requests("{image: x, runtime: nvidia, environment: {NVIDIA_VISIBLE_DEVICES: \"0, GPU-8f3a1c2e\"}}"),
        [as_it_is(two.clone())]
    );
    assert_eq!(requests("{image: x, gpus: [{device_ids: [\"0\", GPU-8f3a1c2e]}]}"), [plain(two)]);
    assert_eq!(requests("{image: x, gpus: [{count: 2}]}"), [plain(WantedGpus::Count(2))]);
}

#[test]
fn what_is_no_request_for_a_gpu_is_none() {
    for service in [
        "{image: x}",
        "{image: x, runtime: runc}",
        "{image: x, runtime: nvidia, environment: {NVIDIA_VISIBLE_DEVICES: none}}",
        "{image: x, environment: {NVIDIA_VISIBLE_DEVICES: all}}",
        "{image: x, devices: [vendor.com/net=a]}",
        "{image: x, deploy: {resources: {reservations: {devices: [{driver: other, capabilities: [gpu]}]}}}}",
        "{image: x, deploy: {resources: {reservations: {devices: [{capabilities: [tpu]}]}}}}",
    ] {
        assert_eq!(requests(service), [], "{service}");
    }
}

#[test]
fn what_a_gpu_must_be_like_changes_no_container() {
    let needing = "{image: x, gpus: [{count: 1, min_vram: 8GiB, min_compute_capability: 8.0, min_driver: 550.54, vram: 6g, optional: true}]}";
    let needs = GpuNeeds {
        min_vram: Some(8 * GIB),
        min_compute_capability: Some((8, 0)),
        min_driver: DriverVersion::parse("550.54"),
        vram: Some(6 * GIB),
        optional: true,
    };
    assert_eq!(requests(needing), [GpuRequest { needs, ..plain(WantedGpus::Count(1)) }]);
    let print = |service: &str| {
        let text = format!("apiVersion: aiplat/v1\nname: home\nservices:\n  ollama: {service}\n");
        fingerprint::of(&platform(&text).containers[&ResourceId::container("ollama")].runtime)
    };
    assert_eq!(print(needing), print("{image: x, gpus: [{count: 1}]}"));
    assert_ne!(print(needing), print("{image: x, gpus: [{count: 2}]}"));
}

#[test]
fn a_unit_sees_all_gpus() {
    let unit = "{provider: {type: systemd, options: {unit: ollama.service}}, gpus: [{min_vram: 8GiB}]}";
    let needs = GpuNeeds { min_vram: Some(8 * GIB), ..GpuNeeds::default() };
    assert_eq!(requests(unit), [GpuRequest { wanted: WantedGpus::All, needs, written: WrittenGpus::Unit }]);
}

#[test]
fn what_cannot_be_meant_is_told_all_at_once() {
    let text = "apiVersion: aiplat/v1
name: home
services:
  a:
    image: x
    gpus:
      - {count: 0, min_vram: lots, min_compute_capability: new, min_driver: newest, vram: 0, optional: maybe}
      - {count: 1, device_ids: [\"0\"]}
      - {count: 1, min_vrma: 8GiB}
      - {device_ids: []}
      - {device_ids: [\"\", \"GPU-8f3a 1c2e\"]}
  b:
    provider: {type: systemd, options: {unit: ollama.service}}
    gpus: [{count: 1}]
  c: {image: x, gpus: some}
";
    insta::assert_snapshot!(seen(&Disk::with(text)));
}
