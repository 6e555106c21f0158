//! The engine: whether it answers.

use aiplat_core::{
    ResourceId,
    condition::{ConditionType, Status},
};

use super::{Check, Facts, Grade, check};
use crate::{engine, render::text::clean};

pub(super) fn checks(facts: &Facts<'_>) -> Vec<Check> {
    let settings = facts.doc.map(settings).unwrap_or_default();
    std::iter::once(reached(facts.doc)).chain(settings).collect()
}

fn reached(doc: Option<&aiplat_api::v1::StatusDoc>) -> Check {
    let Some(doc) = doc else { return engine_socket() };
    let condition =
        doc.platform.conditions.iter().find(|it| it.condition.kind == ConditionType::DockerReachable);
    let version = doc.platform.engine.as_deref().map_or_else(|| "the engine".to_owned(), clean);
    match condition.map(|it| (it.condition.status, clean(&it.condition.message))) {
        Some((Status::True, _)) => check("engine", Grade::Ok, format!("{version} answers")),
        None if doc.platform.engine.is_some() => check("engine", Grade::Ok, format!("{version} answers")),
        Some((Status::False | Status::Unknown, said)) => check(
            "engine",
            Grade::Fail,
            if said.is_empty() { "the engine does not answer".to_owned() } else { said },
        )
        .cure("systemctl start docker; journalctl -u docker -e"),
        None => check("engine", Grade::Skipped, "not looked at yet"),
    }
}

/// Without the daemon: whether anybody listens where an engine does.
fn engine_socket() -> Check {
    let socket = match engine::socket() {
        Ok(socket) => socket,
        Err(host) => {
            return check("engine", Grade::Skipped, format!("DOCKER_HOST={host} is no Unix socket"));
        }
    };
    let shown = socket.display();
    match std::os::unix::net::UnixStream::connect(&socket) {
        Ok(_) => check("engine", Grade::Ok, format!("somebody listens at {shown}")),
        Err(error) => check("engine", Grade::Fail, format!("{shown}: {error}"))
            .cure("systemctl start docker; journalctl -u docker -e"),
    }
}

/// What is to be said of the engine's own file, where the platform takes charge of it.
fn settings(doc: &aiplat_api::v1::StatusDoc) -> Vec<Check> {
    let name = "daemon.json";
    let Some(resource) = doc.resources.iter().find(|it| it.id == ResourceId::docker()) else {
        return Vec::new();
    };
    let conditions = resource.conditions.iter().map(|it| &it.condition);
    let abnormal = conditions.filter(|it| it.status != Status::Unknown && !it.is_normal());
    let mut checks: Vec<Check> = abnormal
        .map(|it| {
            let (grade, cure) = if it.kind == ConditionType::EngineRestartRequired {
                (Grade::Warn, "sudo systemctl restart docker")
            } else if it.kind == ConditionType::Ready {
                (Grade::Fail, "aiplatctl describe host/docker")
            } else {
                (Grade::Warn, "sudoedit /etc/docker/daemon.json, if it is not meant")
            };
            check(name, grade, clean(&it.message)).cure(cure)
        })
        .collect();
    if checks.is_empty() {
        checks.push(check(name, Grade::Ok, "the engine has what the platform asks for"));
    }
    checks
}
