//! A service that is a unit of systemd, in the words of the file.

use std::collections::BTreeMap;

use aiplat_core::spec::{GpuRequest, Hardening, Management, OwnUnit, ServiceSpec, UnitSpec};
use serde::Serialize;
use serde_json::{Value, json};

use super::{dependency, duration, gpus::needs, redacted, restart_word, without_secrets};
use crate::render::probe::healthcheck;

#[derive(Debug, Serialize)]
pub(super) struct Unit {
    provider: Value,
    management: &'static str,
    #[serde(flatten)]
    own: Option<Own>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    environment: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    depends_on: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "Value::is_null")]
    healthcheck: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    restart: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gpus: Vec<Value>,
}

/// What a unit runs whose file aiplatd writes.
#[derive(Debug, Serialize)]
struct Own {
    command: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    working_dir: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_signal: Option<String>,
    stop_grace_period: String,
}

fn own(own: &OwnUnit) -> Own {
    let OwnUnit { command, user, group, working_dir, stop_signal, stop_grace, hardening: _, timer: _ } = own;
    let group = group.as_ref().map(|group| format!(":{group}")).unwrap_or_default();
    Own {
        command: without_secrets(command),
        user: user.as_ref().map(|user| format!("{user}{group}")),
        working_dir: working_dir.clone(),
        stop_signal: stop_signal.clone(),
        stop_grace_period: duration(*stop_grace),
    }
}

/// What the provider is told.
fn options(spec: &UnitSpec) -> Value {
    let mut options = json!({"unit": spec.unit});
    if spec.own.as_ref().is_some_and(|own| own.hardening == Hardening::None) {
        options["hardening"] = json!("none");
    }
    if let Some(timer) = spec.timer() {
        options["on_calendar"] = json!(timer.on_calendar);
    }
    options
}

pub(super) fn unit(spec: &UnitSpec) -> Unit {
    let UnitSpec {
        service: _,
        unit: _,
        management,
        own: program,
        environment,
        restart,
        dependencies,
        probe: _,
        startup: _,
        liveness: _,
        gpus,
    } = spec;
    Unit {
        provider: json!({"type": "systemd", "options": options(spec)}),
        own: program.as_ref().map(own),
        management: match management {
            Management::Observe => "observe",
            Management::Configure => "configure",
            Management::Full => "full",
        },
        environment: environment.iter().map(|(name, value)| (name.clone(), redacted(name, value))).collect(),
        depends_on: dependencies.iter().map(|(id, it)| (id.key().to_owned(), dependency(*it))).collect(),
        healthcheck: healthcheck(ServiceSpec::Unit(spec), false, None),
        restart: restart_word(*restart),
        gpus: gpus.iter().map(gpu).collect(),
    }
}

/// A unit sees all of them.
fn gpu(request: &GpuRequest) -> Value {
    let mut words = needs(&request.needs);
    words.insert("count".to_owned(), json!("all"));
    Value::Object(words)
}
