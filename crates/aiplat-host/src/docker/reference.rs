//! Image references as people write them.

/// Docker Hub, as it is written in full.
const HUB: &str = "docker.io";

/// A reference taken apart: `[registry/]repository[:tag][@digest]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference<'a> {
    /// Everything before tag and digest, as written.
    pub(crate) name: &'a str,
    /// The registry's host, `docker.io` if none is written.
    pub(crate) registry: &'a str,
    tag: Option<&'a str>,
    digest: Option<&'a str>,
}

impl<'a> Reference<'a> {
    /// `None` for an empty name; whatever else is wrong with it, the engine says better.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        // A colon before the last slash is a registry's port.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        let registry = match name.split_once('/') {
            Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
            _ => HUB,
        };
        (!name.is_empty()).then_some(Self { name, registry, tag, digest })
    }

    /// What the engine's `tag` parameter takes. A digest wins over a tag: it says the content.
    pub(crate) fn tag_or_digest(&self) -> &'a str {
        self.digest.or(self.tag).unwrap_or("latest")
    }

    /// One spelling for all that mean the same image.
    pub(crate) fn canonical(&self) -> String {
        let repository = self.name.strip_prefix(&format!("{}/", self.registry)).unwrap_or(self.name);
        let repository = repository.strip_prefix("library/").unwrap_or(repository);
        match self.digest {
            Some(digest) => format!("{}/{repository}@{digest}", self.registry),
            None => format!("{}/{repository}:{}", self.registry, self.tag.unwrap_or("latest")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, registry: &str, name: &str, tag: &str) {
        let reference = Reference::parse(text).expect("a reference");
        assert_eq!((reference.registry, reference.name, reference.tag_or_digest()), (registry, name, tag));
    }

    #[test]
    fn references_are_taken_apart() {
        check("redis", "docker.io", "redis", "latest");
        check("redis:7", "docker.io", "redis", "7");
        check("ghcr.io/open-webui/open-webui:main", "ghcr.io", "ghcr.io/open-webui/open-webui", "main");
        check("localhost:5000/a", "localhost:5000", "localhost:5000/a", "latest");
        check("localhost/a:1", "localhost", "localhost/a", "1");
        check("redis@sha256:0", "docker.io", "redis", "sha256:0");
        check("redis:7@sha256:0", "docker.io", "redis", "sha256:0");
        assert_eq!(Reference::parse(""), None);
    }

    #[test]
    fn spellings_of_one_image_have_one_canonical_form() {
        let canonical = |text| Reference::parse(text).expect("a reference").canonical();
        assert_eq!(canonical("redis"), canonical("docker.io/library/redis:latest"));
        assert_ne!(canonical("redis"), canonical("redis:7"));
    }
}
