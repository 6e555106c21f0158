//! What Ollama says, as far as it is used. Missing fields are empty: versions differ.

use aiplat_core::spec::ModelName;
use serde::Deserialize;

use super::http::Body;
use crate::lines::printable;

/// `GET /api/version`
#[derive(Debug, Deserialize)]
pub(super) struct Version {
    pub(super) version: String,
}

/// `GET /api/tags`, `GET /api/ps`
#[derive(Debug, Deserialize)]
pub(super) struct Listed {
    #[serde(deserialize_with = "nothing_for_null")]
    pub(super) models: Vec<Model>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Model {
    pub(super) name: String,
    pub(super) digest: String,
    pub(super) size: u64,
    pub(super) size_vram: u64,
    pub(super) expires_at: String,
}

/// One line of `POST /api/pull`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PullLine {
    pub(super) status: String,
    pub(super) digest: String,
    pub(super) total: u64,
    pub(super) completed: u64,
    pub(super) error: Option<String>,
}

/// A manifest, as far as sizes go.
#[derive(Debug, Deserialize)]
pub(super) struct Manifest {
    pub(super) config: Option<Part>,
    pub(super) layers: Vec<Part>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Part {
    #[serde(default)]
    pub(super) size: u64,
}

/// Go writes an empty list as `null`.
fn nothing_for_null<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Model>, D::Error> {
    Ok(Option::<Vec<Model>>::deserialize(deserializer)?.unwrap_or_default())
}

/// The body that names a model; older servers know it as `name`.
pub(super) fn named(model: &ModelName) -> Body {
    let name = model.to_string();
    let body = serde_json::json!({"model": name, "name": name, "stream": true});
    serde_json::to_vec(&body).expect("a map of texts is JSON").into()
}

/// The server's sentence: `{"error": …}`, or the text itself.
pub(super) fn message(body: &[u8]) -> String {
    let line: Option<PullLine> = serde_json::from_slice(body).ok();
    let said = line.and_then(|line| line.error);
    printable(&said.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned()))
}
