//! Models that a service serves, and their names as Ollama understands them.

use std::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{ResourceId, fingerprint::Fingerprinted};

const HOST: &str = "registry.ollama.ai";
const NAMESPACE: &str = "library";
const TAG: &str = "latest";

/// The longest part of a name that Ollama takes.
const PART_MAX: usize = 80;
/// The longest name of a registry that it takes.
const HOST_MAX: usize = 350;

/// One entry of `models:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelSpec {
    /// Which model.
    pub model: ModelName,
    /// The service that serves it, and pulls it: a container or a unit.
    pub runner: ResourceId,
}

impl Fingerprinted for ModelSpec {
    fn canonical(&self) -> Vec<(String, String)> {
        let Self { model, runner } = self;
        vec![
            ("model".to_owned(), model.full().to_ascii_lowercase()),
            ("runner".to_owned(), runner.to_string()),
        ]
    }
}

/// The name of a model with all of its parts: `llama3.1:8b` is `registry.ollama.ai/library/llama3.1:8b`. Two names are the
/// same in Ollama's own way: whole, with what is left out put in, and without regard to case; never by how they begin.
#[derive(Debug, Clone)]
pub struct ModelName {
    host: String,
    namespace: String,
    model: String,
    tag: String,
}

impl ModelName {
    /// With every part, as in `registry.ollama.ai/library/llama3.1:8b`.
    #[must_use]
    pub fn full(&self) -> String {
        let Self { host, namespace, model, tag } = self;
        format!("{host}/{namespace}/{model}:{tag}")
    }

    /// Where its registry tells what it consists of: host, and path on it.
    #[must_use]
    pub fn manifest(&self) -> (&str, String) {
        let Self { host, namespace, model, tag } = self;
        (host, format!("/v2/{namespace}/{model}/manifests/{tag}"))
    }

    /// The page on which a person finds out which tags there are.
    #[must_use]
    pub fn page(&self) -> String {
        let Self { host, namespace, model, tag: _ } = self;
        match (self.is_official_host(), self.is_official()) {
            (true, true) => format!("https://ollama.com/library/{model}/tags"),
            (true, false) => format!("https://ollama.com/{namespace}/{model}/tags"),
            (false, _) => format!("https://{host}/{namespace}/{model}"),
        }
    }

    fn is_official_host(&self) -> bool {
        self.host.eq_ignore_ascii_case(HOST)
    }

    fn is_official(&self) -> bool {
        self.is_official_host() && self.namespace.eq_ignore_ascii_case(NAMESPACE)
    }

    fn parts(&self) -> [&str; 4] {
        let Self { host, namespace, model, tag } = self;
        [host, namespace, model, tag]
    }
}

/// As Ollama lists it: without the official registry and its `library`, always with the tag.
impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, namespace, model, tag } = self;
        if !self.is_official_host() {
            write!(f, "{host}/{namespace}/")?;
        } else if !self.is_official() {
            write!(f, "{namespace}/")?;
        }
        write!(f, "{model}:{tag}")
    }
}

/// What is wrong with a text that is no name of a model, and what to write.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct InvalidModelName(String);

impl FromStr for ModelName {
    type Err = InvalidModelName;

    /// As `ParseName` of Ollama's `types/model` has it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains('@') {
            return Err(InvalidModelName(
                "a model is named by its tag, as in `llama3.1:8b`: Ollama pulls none by its digest"
                    .to_owned(),
            ));
        }
        let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
        // A colon before a slash is that of a port.
        let (path, tag) = match bare.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, tag),
            Some(_) | None => (bare, TAG),
        };
        let (rest, model) = path.rsplit_once('/').unwrap_or(("", path));
        let (host, namespace) = match rest.rsplit_once('/') {
            Some((host, namespace)) => (host, namespace),
            None if rest.is_empty() && !path.contains('/') => (HOST, NAMESPACE),
            None => (HOST, rest),
        };
        let part = |what: &str, part: &str, max: usize, more: &str| {
            let fits = part.len() <= max
                && part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c) || more.contains(c));
            if fits {
                return Ok(part.to_owned());
            }
            let shown = if part.is_empty() { "is empty".to_owned() } else { format!("cannot be `{part}`") };
            Err(InvalidModelName(format!(
                "{what} {shown}: write it as in `llama3.1:8b`, `someone/model:tag` or `hf.co/someone/model:Q4_K_M`"
            )))
        };
        Ok(Self {
            host: part("its registry", host, HOST_MAX, ".:")?,
            namespace: part("the part before the `/`", namespace, PART_MAX, "")?,
            model: part("the name", model, PART_MAX, ".")?,
            tag: part("the tag", tag, PART_MAX, ".")?,
        })
    }
}

impl PartialEq for ModelName {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for ModelName {}

impl PartialOrd for ModelName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ModelName {
    fn cmp(&self, other: &Self) -> Ordering {
        let folded = |name: &Self| name.parts().map(str::to_ascii_lowercase);
        folded(self).cmp(&folded(other))
    }
}

impl Serialize for ModelName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ModelName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ModelName {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn what_is_left_out_is_put_in_as_ollama_does() {
        for (written, full, shown) in [
            ("x", "registry.ollama.ai/library/x:latest", "x:latest"),
            ("x:latest", "registry.ollama.ai/library/x:latest", "x:latest"),
            ("registry.ollama.ai/library/x:latest", "registry.ollama.ai/library/x:latest", "x:latest"),
            ("https://registry.ollama.ai/library/x", "registry.ollama.ai/library/x:latest", "x:latest"),
            ("llama3.1:8b", "registry.ollama.ai/library/llama3.1:8b", "llama3.1:8b"),
            ("u/r:Q4", "registry.ollama.ai/u/r:Q4", "u/r:Q4"),
            ("hf.co/u/r:Q4", "hf.co/u/r:Q4", "hf.co/u/r:Q4"),
            ("hf.co/u/r", "hf.co/u/r:latest", "hf.co/u/r:latest"),
            ("host:5000/ns/m", "host:5000/ns/m:latest", "host:5000/ns/m:latest"),
            ("host:5000/ns/m:t", "host:5000/ns/m:t", "host:5000/ns/m:t"),
        ] {
            assert_eq!(
                (name(written).full(), name(written).to_string()),
                (full.to_owned(), shown.to_owned())
            );
            assert_eq!(name(written), name(full));
        }
    }

    #[test]
    fn names_are_compared_whole_and_without_regard_to_case() {
        assert_eq!(name("hf.co/User/Repo:q4_k_m"), name("HF.co/user/repo:Q4_K_M"));
        assert_eq!(name("hf.co/User/Repo:q4_k_m").to_string(), "hf.co/User/Repo:q4_k_m", "as it was written");
        for (one, other) in [
            ("llama3.1:8b", "llama3.1:8b-instruct-q4_0"),
            ("llama3.1", "llama3.1:8b"),
            ("llama3.1", "llama3"),
            ("x", "u/x"),
            ("u/x", "hf.co/u/x"),
        ] {
            assert_ne!(name(one), name(other), "{one} is not {other}");
        }
    }

    #[test]
    fn what_ollama_would_not_take_is_refused_with_what_to_write() {
        for (text, said) in [
            ("", "the name is empty"),
            ("x:", "the tag is empty"),
            ("/x", "the part before the `/` is empty"),
            ("a/b/", "the name is empty"),
            ("a b", "the name cannot be `a b`"),
            ("-x", "the name cannot be `-x`"),
            ("u.v/x", "the part before the `/` cannot be `u.v`"),
            ("x@sha256:0123", "a model is named by its tag"),
            ("a/b/c/d", "its registry cannot be `a/b`"),
        ] {
            let error = text.parse::<ModelName>().expect_err(text).to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
        assert!(format!("x:{}", "t".repeat(81)).parse::<ModelName>().is_err());
    }

    #[test]
    fn the_manifest_is_where_the_registry_has_it() {
        assert_eq!(
            name("llama3.1:8b").manifest(),
            ("registry.ollama.ai", "/v2/library/llama3.1/manifests/8b".to_owned())
        );
        assert_eq!(name("hf.co/u/r:Q4").manifest(), ("hf.co", "/v2/u/r/manifests/Q4".to_owned()));
    }
}
