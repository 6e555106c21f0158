//! The engine: whether it answers.

use aiplat_core::condition::{ConditionType, Status};

use super::{Check, Facts, Grade, check};
use crate::{engine, render::text::clean};

pub(super) fn checks(facts: &Facts<'_>) -> Vec<Check> {
    vec![reached(facts.doc)]
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
