//! The registry of a model: how large it is, before anything is pulled.

use std::{path::PathBuf, time::Duration};

use aiplat_core::{observed::ModelManifest, spec::ModelName};
use hyper::{Method, StatusCode};
use tokio::net::TcpStream;

use super::{
    ModelOptions,
    http::{self, Body, Sent},
    wire,
};

/// Nobody waits longer to learn how large something is.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks the registry of `model` for its manifest.
pub(super) async fn manifest(options: &ModelOptions, model: &ModelName) -> Result<ModelManifest, String> {
    let (host, path) = model.manifest();
    let answer = tokio::time::timeout(PATIENCE, ask(options, host, &path)).await;
    let late = |_| Err(format!("no answer within {}s", PATIENCE.as_secs()));
    answer.unwrap_or_else(late).map_err(|why| format!("{host} cannot be asked how large it is: {why}"))
}

async fn ask(options: &ModelOptions, host: &str, path: &str) -> Result<ModelManifest, String> {
    let mut sent = open(options, host, path).await?;
    if sent.status() != StatusCode::OK {
        return Err(format!("it answers {}", sent.status().as_u16()));
    }
    let body = sent.rest().await?;
    let wire::Manifest { config, layers } =
        serde_json::from_slice(&body).map_err(|error| format!("an answer that is no manifest: {error}"))?;
    let bytes = layers.iter().chain(&config).map(|part| part.size).fold(0, u64::saturating_add);
    let digest = ring::digest::digest(&ring::digest::SHA256, &body);
    let digest = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(ModelManifest { bytes, digest })
}

async fn open(options: &ModelOptions, host: &str, path: &str) -> Result<Sent, String> {
    if let Some(address) = options.registry {
        let stream = TcpStream::connect(address).await.map_err(|error| crate::probe::plain(&error))?;
        return http::send(stream, Method::GET, path, host, Body::default()).await;
    }
    let (name, port) = match host.rsplit_once(':').map(|(name, port)| (name, port.parse::<u16>())) {
        Some((name, Ok(port))) => (name, port),
        Some((_, Err(_))) | None => (host, 443),
    };
    let authorities =
        authorities(&options.authorities).await.ok_or("this machine has no list of authorities")?;
    let stream = TcpStream::connect((name, port)).await.map_err(|error| crate::probe::plain(&error))?;
    let stream = crate::probe::in_tls(stream, &authorities.to_string_lossy(), name).await?;
    http::send(stream, Method::GET, path, host, Body::default()).await
}

async fn authorities(files: &[PathBuf]) -> Option<&PathBuf> {
    for file in files {
        if tokio::fs::try_exists(file).await.unwrap_or(false) {
            return Some(file);
        }
    }
    None
}
