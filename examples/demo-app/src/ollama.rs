//! As much of Ollama's API as a probe, and a person who looks at its models, sees.
//! See <https://docs.ollama.com/api>.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use crate::models::{Listed, Store};
use crate::request::Request;

/// Where Ollama listens unless `OLLAMA_HOST` says otherwise.
const PORT: u16 = 11434;

/// Address and port of `OLLAMA_HOST`: each of the two may be missing, and `http://` may stand before them.
pub fn address(host: &str) -> Result<(String, u16), String> {
    let bare = host.trim().trim_start_matches("http://").trim_end_matches('/');
    let (name, port) = match bare.rsplit_once(':') {
        Some((name, port)) => {
            let port = port.parse().map_err(|_| format!("OLLAMA_HOST={host} has no port in range"))?;
            (name, port)
        }
        None => (bare, PORT),
    };
    let name = if name.is_empty() { "127.0.0.1" } else { name };
    Ok((name.to_owned(), port))
}

/// The body of `path`, if it is one of the API; `models` is the folder of `OLLAMA_MODELS`, `store` what was pulled besides.
pub fn body(path: &str, version: &str, models: Option<&Path>, store: &Store) -> Option<String> {
    match path {
        "/api/version" => Some(format!(r#"{{"version":"{version}"}}"#)),
        "/api/tags" => {
            let mut listed: Vec<String> = models.map(tags).unwrap_or_default();
            listed.extend(store.pulled().iter().map(|Listed { name, digest, size }| {
                format!(r#"{{"name":"{name}","model":"{name}","digest":"{digest}","size":{size}}}"#)
            }));
            Some(format!(r#"{{"models":[{}]}}"#, listed.join(",")))
        }
        "/api/ps" => {
            let loaded = store.loaded().into_iter().map(|(name, size, vram)| {
                let until = "2099-01-01T00:00:00Z";
                format!(r#"{{"name":"{name}","size":{size},"size_vram":{vram},"expires_at":"{until}"}}"#)
            });
            Some(format!(r#"{{"models":[{}]}}"#, loaded.collect::<Vec<_>>().join(",")))
        }
        _ => None,
    }
}

/// Answers what changes models; `false`: it was asked for something else.
pub fn change(request: &Request, store: &Store, out: &mut impl Write) -> io::Result<bool> {
    let Request { method, target, body } = request;
    let name = model_in(body);
    let mut head = |status: &str| {
        write!(out, "HTTP/1.1 {status}\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n")
    };
    match (method.as_str(), target.as_str()) {
        ("POST", "/api/pull") => {
            head("200 OK")?;
            store.pull(name, out)?;
        }
        ("DELETE", "/api/delete") if store.delete(name) => head("200 OK")?,
        ("DELETE", "/api/delete") => {
            head("404 Not Found")?;
            write!(out, r#"{{"error":"model '{name}' not found"}}"#)?;
        }
        _ => return Ok(false),
    }
    out.flush()?;
    Ok(true)
}

/// The name in `{"model": "..."}`.
fn model_in(body: &str) -> &str {
    let after = body.split_once(r#""model""#).map(|(_, rest)| rest).unwrap_or_default();
    after.split('"').nth(1).unwrap_or_default()
}

/// One JSON object for each manifest: `manifests/HOST/NAMESPACE/NAME/TAG`. The official host and namespace are left out of
/// the name, as Ollama does.
fn tags(models: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let root = models.join("manifests");
    for host in names(&root) {
        for space in names(&root.join(&host)) {
            for name in names(&root.join(&host).join(&space)) {
                for tag in names(&root.join(&host).join(&space).join(&name)) {
                    let path = root.join(&host).join(&space).join(&name).join(&tag);
                    let full = match (host.as_str(), space.as_str()) {
                        ("registry.ollama.ai", "library") => format!("{name}:{tag}"),
                        ("registry.ollama.ai", space) => format!("{space}/{name}:{tag}"),
                        (host, space) => format!("{host}/{space}/{name}:{tag}"),
                    };
                    let size = size(&fs::read_to_string(path).unwrap_or_default());
                    found.push(format!(r#"{{"name":"{full}","model":"{full}","size":{size}}}"#));
                }
            }
        }
    }
    found
}

/// What is in a folder, in order; nothing where there is none.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// The bytes of a model: the sum of the sizes that its manifest names.
fn size(manifest: &str) -> u64 {
    let after = manifest.split(r#""size":"#).skip(1);
    after.filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_lack_either_half() {
        assert_eq!(address("0.0.0.0"), Ok(("0.0.0.0".to_owned(), 11434)));
        assert_eq!(address("http://0.0.0.0:11999/"), Ok(("0.0.0.0".to_owned(), 11999)));
        assert_eq!(address(":80"), Ok(("127.0.0.1".to_owned(), 80)));
        assert!(address("x:ollama").is_err());
    }

    #[test]
    fn models_are_listed_by_their_manifests() {
        let models = std::env::temp_dir().join(format!("aiplat-demo-models-{}", std::process::id()));
        let of_library = models.join("manifests/registry.ollama.ai/library/llama3.2");
        fs::create_dir_all(&of_library).unwrap();
        fs::write(of_library.join("3b"), r#"{"config":{"size":2},"layers":[{"size":40}]}"#).unwrap();
        let store = Store::new(None, 1, std::time::Duration::ZERO);
        let tags = body("/api/tags", "1", Some(&models), &store).unwrap();
        fs::remove_dir_all(&models).unwrap();
        assert_eq!(tags, r#"{"models":[{"name":"llama3.2:3b","model":"llama3.2:3b","size":42}]}"#);
        assert_eq!(body("/api/tags", "1", Some(&models), &store).unwrap(), r#"{"models":[]}"#);
        assert_eq!(body("/api/pull", "1", None, &store), None);
        let asked = |method: &str, body: &str| Request {
            method: method.to_owned(),
            target: "/api/delete".to_owned(),
            body: body.to_owned(),
        };
        let mut out = Vec::new();
        assert!(change(&asked("DELETE", r#"{"model": "x:1"}"#), &store, &mut out).unwrap());
        assert!(String::from_utf8(out).unwrap().contains("model 'x:1' not found"));
        assert!(!change(&asked("GET", ""), &store, &mut Vec::new()).unwrap());
    }
}
