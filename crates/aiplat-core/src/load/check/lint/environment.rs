//! Lints of `environment`.

use super::{super::Scene, families};
use crate::{
    load::{
        diagnostic::{Problem, Sink},
        draft::{EnvValue, Health, ServiceDraft},
    },
    spec::{Namespace, ProbeKind},
};

/// Passwords that come with examples, in lower case.
const KNOWN: [&str; 22] = [
    "password",
    "passwd",
    "pass",
    "changeme",
    "change_me",
    "change-me",
    "changeit",
    "admin",
    "admin123",
    "root",
    "secret",
    "test",
    "guest",
    "default",
    "example",
    "postgres",
    "mysql",
    "minioadmin",
    "123456",
    "12345678",
    "letmein",
    "sk-1234",
];

pub(super) fn check(scene: &Scene<'_>, name: &str, service: &ServiceDraft, sink: &mut Sink) {
    let image = service.image.as_ref().map_or("", |image| image.value.as_str());
    let from_file = families::family(image).map_or(&[][..], |family| family.from_file);
    for (variable, value) in &service.environment {
        if is_known(variable, value, service) {
            let message = format!(
                "`{variable}` of `{name}` holds a password that everyone knows, or the name of its user"
            );
            sink.add(
                Problem::warning("default-password", value.place, message)
                    .help(format!(
                        "choose a long random one, keep it in an env file, and write `{variable}: ${{{variable}}}`"
                    ))
                    .of(name),
            );
        } else if let Some((_, file)) = from_file.iter().find(|(known, _)| known == variable)
            && value.is_literal
            && !value.value.is_empty()
        {
            sink.add(
                Problem::warning(
                    "secret-in-environment",
                    value.place,
                    format!("the secret in `{variable}` of `{name}` is written out in the file"),
                )
                .because(format!("the image reads a mounted file too, named in `{file}`"))
                .help(format!(
                    "use `{file}`, or take the value from an env file: `{variable}: ${{{variable}}}`"
                ))
                .of(name),
            );
        }
        localhost(scene, name, service, variable, value, sink);
    }
}

fn is_known(variable: &str, value: &EnvValue, service: &ServiceDraft) -> bool {
    let upper = variable.to_ascii_uppercase();
    let suffix = ["PASSWORD", "PASSWD", "PASS", "SECRET", "SECRET_KEY", "MASTER_KEY", "API_KEY"]
        .into_iter()
        .find(|suffix| upper.ends_with(suffix));
    let Some(suffix) = suffix else { return false };
    let user = format!("{}USER", &variable[..variable.len() - suffix.len()]);
    let is_user = |user: &EnvValue| user.value == value.value && suffix.starts_with("PASS");
    !value.value.is_empty()
        && (KNOWN.contains(&value.value.to_ascii_lowercase().as_str())
            || service.environment.get(&user).is_some_and(is_user))
}

fn localhost(
    scene: &Scene<'_>,
    name: &str,
    service: &ServiceDraft,
    variable: &str,
    value: &EnvValue,
    sink: &mut Sink,
) {
    let Some((scheme, port)) = local_url(&value.value) else { return };
    // On the host's network, `localhost` is the host.
    let on_host = service.options.identity.network_mode == Namespace::Host;
    if on_host || listens(service, port) {
        return;
    }
    let mut others = scene.active.iter().filter(|(other, there)| **other != name && listens(there, port));
    let Some((other, _)) = others.next() else { return };
    let message = format!("`{variable}` of `{name}` points at this container's own `localhost`, port {port}");
    sink.add(
        Problem::warning("localhost-in-url", value.place, message)
            .because(format!("that is a port of the service `{other}`, which is another container"))
            .help(format!("write `{scheme}://{other}:{}`", inner_port(scene.active[other], port)))
            .of(name),
    );
}

/// Scheme and port of a URL at this machine.
fn local_url(value: &str) -> Option<(&str, u16)> {
    let (before, rest) = value.split_once("://")?;
    let scheme = before.rsplit(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c)).next()?;
    let authority = rest.split(['/', '?', '#', ',', ' ', '"']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (host, port) = host.split_once(':').map_or((host, None), |(host, port)| (host, Some(port)));
    let port = match port {
        Some(port) => port.parse().ok()?,
        None => match scheme.split('+').next()? {
            "http" | "ws" => 80,
            "https" | "wss" => 443,
            "redis" | "rediss" => 6379,
            "postgres" | "postgresql" => 5432,
            "mysql" => 3306,
            "mongodb" => 27017,
            "amqp" => 5672,
            _ => return None,
        },
    };
    matches!(host, "localhost" | "127.0.0.1").then_some((scheme, port))
}

/// Whether the port is one of this service, inside or as published.
fn listens(service: &ServiceDraft, port: u16) -> bool {
    let published = |binding: &crate::spec::PortBinding| {
        binding.container_port == port || binding.host_port == Some(port)
    };
    service.ports.iter().any(|binding| published(&binding.value)) || known_port(service) == Some(port)
}

/// The port inside the container that is reached as `port` from the host.
fn inner_port(service: &ServiceDraft, port: u16) -> u16 {
    let binding = service.ports.iter().find(|binding| binding.value.host_port == Some(port));
    binding.map_or(port, |binding| binding.value.container_port)
}

/// The port that its probe asks, else that of its image.
fn known_port(service: &ServiceDraft) -> Option<u16> {
    let probed = match &service.health {
        Health::Probes(probes) => {
            let probe = probes.readiness.as_ref().or(probes.startup.as_ref()).or(probes.liveness.as_ref());
            probe.and_then(|probe| match &probe.kind {
                ProbeKind::Http(http) => Some(http.port),
                ProbeKind::Tcp { port } => Some(*port),
                ProbeKind::Redis(redis) => Some(redis.port),
                ProbeKind::Postgres(postgres) => Some(postgres.port),
                ProbeKind::Exec { .. } => None,
            })
        }
        Health::Unsaid | Health::Off(_) | Health::Engine(..) | Health::Broken => None,
    };
    let image = service.image.as_ref().map_or("", |image| image.value.as_str());
    probed.or_else(|| families::family(image)?.port)
}
