//! Registry credentials from the Docker CLI's own configuration.

use std::{collections::BTreeMap, env, fs, io, path::PathBuf};

use base64::{Engine, engine::general_purpose};
use serde::Deserialize;
use serde_json::json;

/// What is known of one registry's credentials. No `Debug`: it must not reach a log.
pub(super) enum Credentials {
    /// The value of `X-Registry-Auth`.
    Header(String),
    /// None are configured.
    None,
    /// They cannot be used, and why: part of the sentence if the registry then refuses.
    Unusable(String),
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ConfigFile {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

/// `$DOCKER_CONFIG/config.json`, or `~/.docker/config.json`. A system service has no `HOME`: root's then.
pub(super) fn default_path() -> PathBuf {
    match env::var_os("DOCKER_CONFIG").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".docker"),
    }
    .join("config.json")
}

/// Reads the file anew: a `docker login` counts from the next pull on.
pub(super) fn read(path: &std::path::Path, registry: &str) -> Credentials {
    match fs::read(path) {
        Ok(bytes) => find(&bytes, registry, &path.display().to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Credentials::None,
        Err(error) => Credentials::Unusable(format!("{} cannot be read ({error})", path.display())),
    }
}

fn find(bytes: &[u8], registry: &str, path: &str) -> Credentials {
    let config: ConfigFile = match serde_json::from_slice(bytes) {
        Ok(config) => config,
        Err(error) => return Credentials::Unusable(format!("{path} is not valid ({error})")),
    };
    let entry = config.auths.iter().find(|(name, _)| host(name) == registry_key(registry));
    if let Some(header) = entry.and_then(|(server, entry)| header(server, entry)) {
        return Credentials::Header(header);
    }
    let helper = config.cred_helpers.iter().find(|(name, _)| host(name) == registry_key(registry));
    let helper = helper
        .map(|(_, helper)| helper.clone())
        .or((!config.creds_store.is_empty()).then_some(config.creds_store));
    match helper {
        Some(helper) => Credentials::Unusable(format!(
            "{path} keeps the credentials in the helper `docker-credential-{helper}`, and aiplatd runs no programs: \
             put them into `auths`"
        )),
        None => Credentials::None,
    }
}

fn header(server: &str, entry: &Entry) -> Option<String> {
    let Entry { auth, username, password, identitytoken } = entry;
    let decoded = general_purpose::STANDARD.decode(auth.trim_end_matches('\0')).ok();
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    let (username, password) = match decoded.trim_end_matches('\0').split_once(':') {
        Some((username, password)) => (username, password),
        None => (username.as_str(), password.as_str()),
    };
    let body = if !identitytoken.is_empty() {
        json!({"identitytoken": identitytoken, "serveraddress": server})
    } else if !username.is_empty() {
        json!({"username": username, "password": password, "serveraddress": server})
    } else {
        return None;
    };
    Some(general_purpose::URL_SAFE.encode(body.to_string()))
}

/// How the configuration names a registry: Docker Hub by its old index.
fn registry_key(registry: &str) -> &str {
    if registry == "docker.io" { "index.docker.io" } else { registry }
}

fn host(server: &str) -> &str {
    let server = server.trim_start_matches("https://").trim_start_matches("http://");
    let host = server.split('/').next().unwrap_or(server);
    if host == "docker.io" { "index.docker.io" } else { host }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &[u8] = br#"{
        "auths": {
            "https://index.docker.io/v1/": {"auth": "YW5uOnM6M2NyZXQ="},
            "localhost:5000": {"identitytoken": "t"},
            "ghcr.io": {}
        },
        "credHelpers": {"123.dkr.ecr.eu-west-1.amazonaws.com": "ecr-login"},
        "credsStore": "pass",
        "psFormat": "table"
    }"#;

    fn found(registry: &str) -> Result<serde_json::Value, Option<String>> {
        match find(CONFIG, registry, "/c.json") {
            Credentials::Header(header) => {
                let json = general_purpose::URL_SAFE.decode(header).expect("base64");
                Ok(serde_json::from_slice(&json).expect("json"))
            }
            Credentials::None => Err(None),
            Credentials::Unusable(why) => Err(Some(why)),
        }
    }

    #[test]
    fn docker_hub_is_found_under_its_old_name() {
        let expected =
            json!({"username": "ann", "password": "s:3cret", "serveraddress": "https://index.docker.io/v1/"});
        assert_eq!(found("docker.io"), Ok(expected));
    }

    #[test]
    fn a_token_is_handed_on() {
        assert_eq!(
            found("localhost:5000"),
            Ok(json!({"identitytoken": "t", "serveraddress": "localhost:5000"}))
        );
    }

    #[test]
    fn helpers_are_not_run_and_named() {
        let why = |registry| found(registry).expect_err("no credentials").expect("a reason");
        assert!(why("123.dkr.ecr.eu-west-1.amazonaws.com").contains("docker-credential-ecr-login"));
        assert!(why("ghcr.io").contains("docker-credential-pass"), "an empty entry is the store's");
    }

    #[test]
    fn without_a_file_or_an_entry_pulls_are_anonymous() {
        assert!(matches!(read(std::path::Path::new("/nonexistent/config.json"), "x"), Credentials::None));
        assert!(matches!(find(b"{}", "x", ""), Credentials::None));
        assert!(matches!(find(b"{", "x", ""), Credentials::Unusable(_)));
    }
}
