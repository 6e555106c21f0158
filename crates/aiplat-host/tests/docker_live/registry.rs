//! A registry of one image, in a thread: enough of `/v2/` for the engine, and as ill-behaved as wanted.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::image::{hex, tar};

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Serves its image, not too fast.
    Kind,
    /// Wants `ann` with `s3cret`.
    Private,
    /// Answers 429.
    Limited,
    /// Answers 503.
    Down,
    /// Stops in the middle of a layer.
    Stalls,
    /// Has no image for this platform.
    Foreign,
}

pub struct Registry {
    pub address: String,
}

struct Content {
    mood: Mood,
    manifest: Vec<u8>,
    blobs: Vec<(String, Vec<u8>)>,
}

impl Registry {
    pub fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let content = Arc::new(content(mood));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let content = content.clone();
                thread::spawn(move || while serve(&stream, &content).is_some() {});
            }
        });
        Self { address }
    }
}

fn content(mood: Mood) -> Content {
    // Random, so that nothing can be compressed, and no two tests share a layer.
    let mut noise = vec![0; 3 << 20];
    getrandom::fill(&mut noise).unwrap();
    let layer = tar(&[("noise", &noise, 0o644)]);
    let arch = if std::env::consts::ARCH == "aarch64" { "arm64" } else { "amd64" };
    let config = json!({
        "architecture": arch, "os": "linux", "config": {"Entrypoint": ["/noise"]},
        "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
    });
    let config = config.to_string().into_bytes();
    let docker = "application/vnd.docker";
    let manifest = if mood == Mood::Foreign {
        let entry = json!({
            "mediaType": format!("{docker}.distribution.manifest.v2+json"), "size": 1, "digest": digest(b"x"),
            "platform": {"architecture": "s390x", "os": "plan9"},
        });
        json!({"schemaVersion": 2, "mediaType": format!("{docker}.distribution.manifest.list.v2+json"), "manifests": [entry]})
    } else {
        json!({
            "schemaVersion": 2,
            "mediaType": format!("{docker}.distribution.manifest.v2+json"),
            "config": {"mediaType": format!("{docker}.container.image.v1+json"), "size": config.len(), "digest": digest(&config)},
            "layers": [{"mediaType": format!("{docker}.image.rootfs.diff.tar.gzip"), "size": layer.len(), "digest": digest(&layer)}],
        })
    };
    let blobs = vec![(digest(&config), config), (digest(&layer), layer)];
    Content { mood, manifest: manifest.to_string().into_bytes(), blobs }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

/// One request of one connection; `None` at its end.
fn serve(mut stream: &TcpStream, content: &Content) -> Option<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        // The engine tries TLS first: what does not look like HTTP is hung up on.
        if stream.read(&mut byte).ok()? == 0 || (head.is_empty() && !byte[0].is_ascii_uppercase()) {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1)?.to_owned();
    let is_ann =
        head.to_lowercase().contains("authorization: basic yw5uonmzy3jldA==".to_lowercase().as_str());
    let mut send = |status: &str, kind: &str, body: &[u8]| {
        let auth = if status.starts_with("401") { "www-authenticate: Basic realm=\"test\"\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\n{auth}docker-distribution-api-version: registry/2.0\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        for (n, piece) in body.chunks(64 << 10).enumerate() {
            if content.mood == Mood::Stalls && n == 8 {
                thread::sleep(Duration::from_secs(30));
                return None;
            }
            if body.len() > 1 << 20 {
                thread::sleep(Duration::from_millis(20));
            }
            stream.write_all(piece).ok()?;
        }
        Some(())
    };
    let error = |code: &str| {
        json!({"errors": [{"code": code, "message": code.to_lowercase()}]}).to_string().into_bytes()
    };
    let json = "application/json";
    match content.mood {
        Mood::Private if !is_ann => return send("401 Unauthorized", json, &error("UNAUTHORIZED")),
        Mood::Limited if path != "/v2/" => {
            return send("429 Too Many Requests", json, &error("TOOMANYREQUESTS"));
        }
        Mood::Down if path != "/v2/" => return send("503 Service Unavailable", json, b"down"),
        Mood::Kind | Mood::Private | Mood::Limited | Mood::Down | Mood::Stalls | Mood::Foreign => {}
    }
    if path == "/v2/" {
        return send("200 OK", json, b"{}");
    }
    if path.ends_with("/manifests/1") || path.contains("/manifests/sha256:") {
        let kind: serde_json::Value = serde_json::from_slice(&content.manifest).unwrap();
        return send("200 OK", kind["mediaType"].as_str().unwrap(), &content.manifest);
    }
    match content.blobs.iter().find(|(digest, _)| path.ends_with(digest.as_str())) {
        Some((_, blob)) => send("200 OK", "application/octet-stream", blob),
        None => send("404 Not Found", json, &error("MANIFEST_UNKNOWN")),
    }
}
