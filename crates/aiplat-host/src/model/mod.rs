//! The adapter for servers of models: Ollama's HTTP API, at a unit's address, a container's, or inside its network namespace.
//!
//! One connection a call (`http`), tolerant structs for what is answered (`wire`). A pull is a stream of lines (`pull`), of which
//! the bytes are added up; what an error means is one table (`errors`). How large a model is its registry tells before a pull
//! (`registry`), where it can be reached from here. Nothing here decides.

mod errors;
mod http;
mod pull;
mod registry;
mod wire;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use aiplat_core::{
    action::PullModel,
    observed::{
        LoadedModel, ModelAnswer, ModelEndpoint, ModelFacts, ModelManifest, ServerPlace, StoredModel,
    },
    spec::ModelName,
};
use futures_util::future::BoxFuture;
use hyper::{Method, StatusCode};
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::{
    docker::DockerBackend,
    port::{HostError, Models, Progress},
    probe::Vantage,
};
use http::{Body, Sent};

/// What a server answers at once, it answers within this.
const PATIENCE: Duration = Duration::from_secs(5);

/// How the adapter goes about it.
#[derive(Debug, Clone)]
pub struct ModelOptions {
    /// A pull that gets no new byte for this long has stalled.
    pub stall: Duration,
    /// What is done to the bytes when all have come (they are read once more, and compared) may take this long.
    pub settle: Duration,
    /// Where registries are asked, without TLS, instead of at their own addresses.
    pub registry: Option<SocketAddr>,
    /// Files of which the first that is there holds the certificate authorities that the machine trusts.
    pub authorities: Vec<PathBuf>,
}

impl Default for ModelOptions {
    fn default() -> Self {
        let authorities = [
            "/etc/ssl/certs/ca-certificates.crt",
            "/etc/pki/tls/certs/ca-bundle.crt",
            "/etc/ssl/ca-bundle.pem",
            "/etc/ssl/cert.pem",
        ];
        Self {
            stall: Duration::from_secs(60),
            settle: Duration::from_secs(1_800),
            registry: None,
            authorities: authorities.map(PathBuf::from).into(),
        }
    }
}

/// Servers that speak Ollama's API. Made without touching any.
#[derive(Debug)]
pub struct ModelServers {
    engine: DockerBackend,
    options: ModelOptions,
}

impl ModelServers {
    /// An adapter for servers of this machine; `engine` is asked where a container without an address is.
    #[must_use]
    pub fn new(engine: DockerBackend, options: ModelOptions) -> Self {
        Self { engine, options }
    }

    async fn connect(&self, at: &ModelEndpoint) -> Result<TcpStream, String> {
        let vantage = self.vantage(at).await?;
        let connected = tokio::time::timeout(PATIENCE, vantage.connect(at.port, PATIENCE));
        match connected.await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(crate::probe::plain(&error)),
            Err(_elapsed) => Err(format!("no connection within {}s", PATIENCE.as_secs())),
        }
    }

    async fn vantage(&self, at: &ModelEndpoint) -> Result<Vantage, String> {
        match &at.place {
            ServerPlace::Host(address) | ServerPlace::Container { address: Some(address), .. } => {
                Ok(Vantage::Address(*address))
            }
            ServerPlace::Container { id, address: None } => {
                Ok(Vantage::Namespace(self.engine.namespace_of(id).await?))
            }
        }
    }

    /// Sends one request; `Err`: there is no answer, in words.
    async fn send(&self, at: &ModelEndpoint, method: Method, path: &str, json: Body) -> Result<Sent, String> {
        let stream = self.connect(at).await?;
        http::send(stream, method, path, &host(at), json).await
    }

    /// Asks for what is answered at once.
    async fn get<T: DeserializeOwned>(&self, at: &ModelEndpoint, path: &str) -> Result<T, String> {
        let asked = || format!("GET http://{}{path}{}", host(at), inside(at));
        let answer = async {
            let mut sent = self.send(at, Method::GET, path, Body::default()).await?;
            let body = sent.rest().await?;
            if sent.status() != StatusCode::OK {
                return Err(format!("{}: {}", sent.status().as_u16(), wire::message(&body)));
            }
            serde_json::from_slice(&body).map_err(|error| format!("an answer that is not Ollama's: {error}"))
        };
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        let late = |_| Err(format!("no answer within {}s", PATIENCE.as_secs()));
        answer.unwrap_or_else(late).map_err(|why| format!("{}: {why}", asked()))
    }

    async fn ask(&self, at: &ModelEndpoint) -> Result<ModelFacts, String> {
        let wire::Version { version } = self.get(at, "/api/version").await?;
        let wire::Listed { models } = self.get(at, "/api/tags").await?;
        let wire::Listed { models: loaded } = self.get(at, "/api/ps").await?;
        let mut models: Vec<StoredModel> = models.into_iter().filter_map(stored).collect();
        models.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(ModelFacts { version, models, loaded: loaded.into_iter().filter_map(in_memory).collect() })
    }

    async fn remove(&self, at: &ModelEndpoint, model: &ModelName) -> Result<(), HostError> {
        let call = async {
            let mut sent = self.send(at, Method::DELETE, "/api/delete", wire::named(model)).await?;
            Ok((sent.status(), sent.rest().await?))
        };
        let late = |_| Err(format!("no answer within {}s", PATIENCE.as_secs()));
        let answered: Result<_, String> = tokio::time::timeout(PATIENCE, call).await.unwrap_or_else(late);
        match answered {
            // What is gone is removed.
            Ok((status, _)) if status.is_success() || status == StatusCode::NOT_FOUND => Ok(()),
            Ok((_, body)) => Err(errors::refused("remove", model, at, &wire::message(&body))),
            Err(why) => Err(errors::away("remove", model, at, &why)),
        }
    }
}

impl Models for ModelServers {
    fn observe<'a>(&'a self, at: &'a ModelEndpoint) -> BoxFuture<'a, ModelAnswer> {
        Box::pin(async {
            match self.ask(at).await {
                Ok(facts) => ModelAnswer::Answers(facts),
                Err(why) => ModelAnswer::Unreachable { why },
            }
        })
    }

    fn manifest<'a>(&'a self, model: &'a ModelName) -> BoxFuture<'a, Result<ModelManifest, String>> {
        Box::pin(registry::manifest(&self.options, model))
    }

    fn pull<'a>(
        &'a self,
        pull: &'a PullModel,
        progress: Progress,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<(), HostError>> {
        Box::pin(self.pull_unless(pull, progress, cancel))
    }

    fn delete<'a>(
        &'a self,
        at: &'a ModelEndpoint,
        model: &'a ModelName,
    ) -> BoxFuture<'a, Result<(), HostError>> {
        Box::pin(self.remove(at, model))
    }
}

/// `172.18.0.3:11434`, as it is asked.
fn host(at: &ModelEndpoint) -> String {
    let loopback = std::net::IpAddr::from([127, 0, 0, 1]);
    let address = match &at.place {
        ServerPlace::Host(address) => *address,
        ServerPlace::Container { address, .. } => address.unwrap_or(loopback),
    };
    SocketAddr::new(address, at.port).to_string()
}

fn inside(at: &ModelEndpoint) -> &'static str {
    match &at.place {
        ServerPlace::Container { address: None, .. } => " (inside)",
        ServerPlace::Host(_) | ServerPlace::Container { .. } => "",
    }
}

/// One whose name is no name says nothing that could be compared.
fn stored(model: wire::Model) -> Option<StoredModel> {
    let wire::Model { name, digest, size, size_vram: _, expires_at: _ } = model;
    Some(StoredModel { name: name.parse().ok()?, digest, size })
}

fn in_memory(model: wire::Model) -> Option<LoadedModel> {
    let wire::Model { name, digest: _, size, size_vram, expires_at } = model;
    Some(LoadedModel { name: name.parse().ok()?, size, size_vram, expires_at })
}
