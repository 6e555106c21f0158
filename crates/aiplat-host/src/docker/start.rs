//! What a failed start means: who holds the port, which path is missing.

use aiplat_core::{
    condition::{ErrorClass, Reason},
    observed::ContainerId,
    spec::Protocol,
};

use super::{
    DockerBackend,
    client::CallError,
    errors::{self, Meaning},
    ports,
    wire::ContainerInspect,
};
use crate::port::HostError;

impl DockerBackend {
    /// The error of starting `container`, with what can be found out about its cause.
    pub(super) async fn explain_start(&self, container: &ContainerInspect, error: CallError) -> HostError {
        let name = container.name.trim_start_matches('/');
        let doing = format!("start container `{name}`");
        let CallError::Answered { status, message } = &error else { return self.error(&doing, error) };
        let meaning = errors::meaning(status.as_u16(), message);
        if meaning.reason == Reason::PortTaken {
            return self.explain_port(&doing, container, meaning, message).await;
        }
        if let Some(path) = missing_path(&error) {
            return errors::refused(meaning, host_path_missing(&doing, path));
        }
        self.error(&doing, error)
    }

    async fn explain_port(
        &self,
        doing: &str,
        container: &ContainerInspect,
        meaning: Meaning,
        said: &str,
    ) -> HostError {
        let Some((port, protocol)) = ports::port_in(said).or_else(|| only_port(container)) else {
            let next = meaning.next;
            return errors::refused(
                meaning,
                format!("cannot {doing}: the engine says \"{}\"; {next}", errors::tidy(said)),
            );
        };
        let id = ContainerId(container.id.clone());
        let holder = match self.list_containers().await {
            Ok(all) => ports::container_on(&all, port, protocol, &id.0)
                .map(|holder| ports::describe(&holder.name, holder.compose.as_ref())),
            Err(_) => None,
        };
        let holder = match holder {
            Some(holder) => holder,
            None => process_holder(port, protocol).await,
        };
        let message = format!(
            "cannot {doing}: host port {port}/{protocol} is held by {holder}; free it, or publish another port"
        );
        errors::refused(meaning, message)
    }
}

/// Walks /proc on a thread that may block.
async fn process_holder(port: u16, protocol: Protocol) -> String {
    let process = tokio::task::spawn_blocking(move || ports::process_on(port, protocol)).await;
    match process.ok().flatten() {
        Some(ports::Process { name, pid }) => format!("process `{name}` (pid {pid})"),
        None => "a process that cannot be seen from here".to_owned(),
    }
}

/// The one host port that it publishes.
fn only_port(container: &ContainerInspect) -> Option<(u16, Protocol)> {
    let bindings = &container.host_config.port_bindings;
    let mut all = bindings.iter().flat_map(|(inside, hosts)| {
        let protocol = if inside.ends_with("/udp") { Protocol::Udp } else { Protocol::Tcp };
        hosts.iter().flatten().filter_map(move |host| Some((host.host_port.parse().ok()?, protocol)))
    });
    all.next().filter(|_| all.next().is_none())
}

/// The path of "bind source path does not exist: /x".
pub(super) fn missing_path(error: &CallError) -> Option<&str> {
    match error {
        CallError::Answered { status: _, message } => {
            message.split_once("bind source path does not exist: ").map(|(_, path)| path.trim())
        }
        CallError::Connect { .. }
        | CallError::Broken { .. }
        | CallError::Malformed { .. }
        | CallError::Lacks { .. }
        | CallError::TooOld { .. } => None,
    }
}

/// One sentence, with the command.
pub(super) fn host_path_missing(doing: &str, path: &str) -> String {
    format!(
        "cannot {doing}: {path} does not exist on this machine; make it with `mkdir -p '{path}'`, or mount its disk"
    )
}

/// A missing host path is the file's or the administrator's to mend.
pub(super) const HOST_PATH_MISSING: Meaning = Meaning {
    class: ErrorClass::Rejected,
    reason: Reason::HostPathMissing,
    next: "make the path on this machine",
};
