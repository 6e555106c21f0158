//! A service that is a unit of systemd, in the words of the file.

use std::collections::BTreeMap;

use aiplat_core::spec::{Management, ServiceSpec, UnitSpec};
use serde::Serialize;
use serde_json::{Value, json};

use super::{dependency, redacted, restart_word};
use crate::render::probe::healthcheck;

#[derive(Debug, Serialize)]
pub(super) struct Unit {
    provider: Value,
    management: &'static str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    environment: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    depends_on: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "Value::is_null")]
    healthcheck: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    restart: Option<String>,
}

pub(super) fn unit(spec: &UnitSpec) -> Unit {
    let UnitSpec {
        service: _,
        unit,
        management,
        environment,
        restart,
        dependencies,
        probe: _,
        startup: _,
        liveness: _,
    } = spec;
    Unit {
        provider: json!({"type": "systemd", "options": {"unit": unit}}),
        management: match management {
            Management::Observe => "observe",
            Management::Configure => "configure",
            Management::Full => "full",
        },
        environment: environment.iter().map(|(name, value)| (name.clone(), redacted(name, value))).collect(),
        depends_on: dependencies.iter().map(|(id, it)| (id.key().to_owned(), dependency(*it))).collect(),
        healthcheck: healthcheck(ServiceSpec::Unit(spec), false, None),
        restart: restart_word(*restart),
    }
}
