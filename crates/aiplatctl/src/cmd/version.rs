//! `version`: who is of which version.

use aiplat_api::{client::ClientError, v1::Version};
use serde::Serialize;

use super::print_doc;
use crate::{
    args::{DocFormat, Globals},
    console,
    exit::{Code, Failure, Outcome},
    render::text::clean,
    source,
};

/// Of the wire format that this command speaks.
const API: &str = "v1";

#[derive(Serialize)]
struct Versions {
    client: &'static str,
    client_api: &'static str,
    #[serde(flatten)]
    daemon: Option<Version>,
}

pub(super) async fn run(globals: &Globals, output: DocFormat) -> Outcome {
    let answer = source::client(globals).version().await;
    let (daemon, failure) = match answer {
        Ok(version) => (Some(version), None),
        Err(error @ ClientError::NotReachable(_)) => (None, Some(Failure::from(error))),
        Err(error) => return Err(error.into()),
    };
    let versions = Versions { client: env!("CARGO_PKG_VERSION"), client_api: API, daemon };
    if !print_doc(&versions, output)? {
        console::print(&text(&versions))?;
    }
    failure.map_or(Ok(Code::Done), Err)
}

fn text(versions: &Versions) -> String {
    let Versions { client, client_api, daemon } = versions;
    let mut out = format!("aiplatctl  {client} (API {client_api})\n");
    if let Some(Version { daemon, api, engine }) = daemon {
        out.push_str(&format!("aiplatd    {} (API {})\n", clean(daemon), clean(api)));
        out.push_str(&format!(
            "engine     {}\n",
            engine.as_deref().map_or_else(|| "not known".to_owned(), clean)
        ));
    }
    out
}
