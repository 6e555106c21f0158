//! A file of the host that aiplatd writes: what a config holds.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::fingerprint;

/// One file, at one path, with one content. A config that services mount with different modes or owners is as many files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSpec {
    /// The config's name in the file.
    pub config: String,
    /// Where it is on the host. Mounted as one file: a container that runs goes on seeing what was there when it was
    /// started, for a new content is a new inode. That is meant: a process never reads half of two versions.
    pub path: String,
    /// What is in it.
    pub content: Content,
    /// Permissions.
    pub mode: u32,
    /// Owner; `None`: the user that aiplatd runs as.
    pub uid: Option<u32>,
    /// Group; `None`: that of the user that aiplatd runs as.
    pub gid: Option<u32>,
}

/// What follows for a service when the content of a config that it mounts changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum OnChange {
    /// It is started again, once, and then reads the new content.
    #[default]
    Restart,
    /// It is made anew: each content has a file of its own, so that what goes back to the old container goes back to the
    /// old content too.
    Recreate,
    /// Nothing: it reads the new content at its next start, whenever that is.
    Nothing,
}

/// The bytes of a file. Never shown whole: they may have come out of a variable that is a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    hash: ContentHash,
    bytes: Arc<[u8]>,
}

/// Names a content without showing it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContentHash(pub String);

impl Content {
    /// More is no configuration; it is the bound of Compose and Swarm.
    pub const BYTES_MAX: usize = 500 << 10;

    /// Takes these bytes.
    #[must_use]
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self { hash: ContentHash(fingerprint::digest(&bytes, 32)), bytes }
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Their name.
    #[must_use]
    pub fn hash(&self) -> &ContentHash {
        &self.hash
    }

    /// The first twelve digits of the name, for names of files.
    #[must_use]
    pub fn short(&self) -> &str {
        self.hash.0.get(..12).unwrap_or(&self.hash.0)
    }

    /// How many lines `after` has that this one has not, and the other way round. A line that only moved is neither.
    #[must_use]
    pub fn lines_changed(&self, after: &Self) -> (usize, usize) {
        let mut count: BTreeMap<&[u8], i64> = BTreeMap::new();
        for line in after.lines() {
            *count.entry(line).or_default() += 1;
        }
        for line in self.lines() {
            *count.entry(line).or_default() -= 1;
        }
        let sum = |sign: i64| {
            let lines = count.values().map(|count| count * sign).filter(|count| *count > 0).sum::<i64>();
            usize::try_from(lines).unwrap_or(0)
        };
        (sum(1), sum(-1))
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let bytes = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        bytes.split(|byte| *byte == b'\n').filter(|_| !self.bytes.is_empty())
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes, {})", self.bytes.len(), self.hash.0)
    }
}
