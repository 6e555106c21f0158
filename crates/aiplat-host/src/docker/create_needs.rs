//! What needs a newer engine than the oldest that we speak to. It is refused with a sentence: an older engine would
//! drop it without one.

use aiplat_core::{
    action::CreateContainer,
    spec::{Attachment, Mount, MountOptions, NetworkSpec, Recursive},
};

use super::client::{ApiVersion, Since};

/// Since then a hardware address belongs to a connection; before, to the container.
pub(super) const MAC_OF_ENDPOINT: ApiVersion = ApiVersion::new(1, 44);

const ENGINE_24: (u16, u16) = (43, 24);
const ENGINE_25: (u16, u16) = (44, 25);
const ENGINE_26: (u16, u16) = (45, 26);
const ENGINE_28: (u16, u16) = (48, 28);

fn since((minor, engine): (u16, u16), key: &str) -> Since {
    Since { api: ApiVersion::new(1, minor), engine, key: key.to_owned() }
}

pub(super) fn of_container(create: &CreateContainer) -> Vec<Since> {
    let runtime = &create.spec.runtime;
    let mut needs: Vec<Since> = runtime.mounts.iter().flat_map(of_mount).collect();
    if !runtime.options.process.annotations.is_empty() {
        needs.push(since(ENGINE_24, "annotations"));
    }
    if let Some(device) = runtime.options.hardware.cdi_devices.first() {
        needs.push(since(ENGINE_25, &format!("devices: [{device}]")));
    }
    needs.extend(create.network.iter().flat_map(of_attachment));
    needs
}

fn of_mount(mount: &Mount) -> Vec<Since> {
    let MountOptions { propagation: _, recursive, nocopy: _, subpath, labels: _, mode: _ } = &mount.options;
    let mut needs = Vec::new();
    if subpath.is_some() {
        needs.push(since(ENGINE_26, "volume.subpath"));
    }
    match recursive {
        Recursive::Enabled | Recursive::Disabled => {}
        Recursive::Writable => needs.push(since(ENGINE_25, "bind.recursive: writable")),
        Recursive::Readonly => needs.push(since(ENGINE_25, "bind.recursive: readonly")),
    }
    needs
}

pub(super) fn of_attachment(attachment: &Attachment) -> Vec<Since> {
    let Attachment {
        host_name: _,
        aliases: _,
        ipv4_address: _,
        ipv6_address: _,
        link_local_ips: _,
        mac_address,
        driver_opts,
        gw_priority,
        priority: _,
    } = attachment;
    let mut needs = Vec::new();
    if mac_address.is_some() {
        needs.push(Since { api: MAC_OF_ENDPOINT, engine: 25, key: "networks.*.mac_address".to_owned() });
    }
    if *gw_priority != 0 {
        needs.push(since(ENGINE_28, "networks.*.gw_priority"));
    }
    if driver_opts.contains_key("com.docker.network.endpoint.ifname") {
        needs.push(since(ENGINE_28, "networks.*.interface_name"));
    }
    needs
}

pub(super) fn of_network(spec: &NetworkSpec) -> Vec<Since> {
    if spec.ipv4_off { vec![since(ENGINE_28, "enable_ipv4: false")] } else { Vec::new() }
}
