//! The models of the stand-in for Ollama: what was pulled, and how each pull goes. A model's name decides that, so that a test
//! says in its file what it wants to see.
//!
//! | the name contains | what becomes of its pull |
//! |---|---|
//! | `slow` | its bytes come over `PULL_MS` |
//! | `stall` | half of it comes, and then nothing; the next pull goes on there |
//! | `break` | half of it comes, and the registry breaks off; the next pull goes on there |
//! | `hangup` | half of it comes, and the connection is closed; the next pull goes on there |
//! | `missing` | the registry has no such model |
//! | `full` | half of it comes, and the disk is full, until the file `room` is in the folder of the models |
//! | `newer` | the registry has another one each time |
//!
//! `cpu` in a name is a model that is in memory without a byte on a GPU, `gpu` one that is there with all of them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Between two lines of a pull, as Ollama has it.
const TICK: Duration = Duration::from_millis(60);
/// A pull that stalls goes on saying so for no longer.
const STALLS_FOR: Duration = Duration::from_secs(600);

/// What the server has, and how it pulls.
#[derive(Debug)]
pub struct Store {
    folder: Option<PathBuf>,
    size: u64,
    takes: Duration,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Content by name.
    models: BTreeMap<String, u64>,
    /// What has come of those that are not whole.
    partial: BTreeMap<String, u64>,
    pulls: u64,
}

/// One model, as `/api/tags` has it.
#[derive(Debug, PartialEq)]
pub struct Listed {
    pub name: String,
    pub digest: String,
    pub size: u64,
}

impl Store {
    /// A server that keeps its models in `folder`, if it has one; each of `size` bytes, a slow one over `takes`.
    pub fn new(folder: Option<&Path>, size: u64, takes: Duration) -> Self {
        Self { folder: folder.map(Path::to_owned), size, takes, inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that were pulled.
    pub fn pulled(&self) -> Vec<Listed> {
        let listed = |(name, content): (&String, &u64)| Listed {
            name: name.clone(),
            digest: digest(name, *content),
            size: self.size,
        };
        self.lock().models.iter().map(listed).collect()
    }

    /// Those that are in memory: name, bytes, bytes on a GPU.
    pub fn loaded(&self) -> Vec<(String, u64, u64)> {
        let models = self.lock().models.keys().cloned().collect::<Vec<_>>();
        let is_loaded = |name: &String| name.contains("cpu") || name.contains("gpu");
        let of = |name: String| {
            let vram = if name.contains("gpu") { self.size } else { 0 };
            (name, self.size, vram)
        };
        models.into_iter().filter(is_loaded).map(of).collect()
    }

    /// Removes a model; whether it was there.
    pub fn delete(&self, name: &str) -> bool {
        self.lock().models.remove(&whole(name)).is_some()
    }

    /// Pulls a model, a line for each step. An error is that of who listens.
    pub fn pull(&self, name: &str, out: &mut impl Write) -> io::Result<()> {
        let name = whole(name);
        let mut say = |line: String| {
            out.write_all(line.as_bytes())?;
            out.write_all(b"\n")?;
            out.flush()
        };
        say(r#"{"status":"pulling manifest"}"#.to_owned())?;
        if name.contains("missing") {
            return say(r#"{"error":"pull model manifest: file does not exist"}"#.to_owned());
        }
        let attempt = {
            let mut inner = self.lock();
            inner.pulls += 1;
            inner.pulls
        };
        let content = if name.contains("newer") { attempt } else { 1 };
        let part = digest(&name, content);
        let bytes = |done: u64| {
            let short = &part[..12];
            format!(
                r#"{{"status":"pulling {short}","digest":"sha256:{part}","total":{},"completed":{done}}}"#,
                self.size
            )
        };
        let mut done = self.lock().partial.get(&name).copied().unwrap_or_default();
        let is_first = done == 0;
        let step = self.step(&name);
        say(bytes(done))?;
        while done < self.size {
            if done >= self.size / 2 && is_first && name.contains("stall") {
                return self.stall(|| say(bytes(done)));
            }
            if done >= self.size / 2 && is_first && name.contains("hangup") {
                return Ok(());
            }
            if done >= self.size / 2 && is_first && name.contains("break") {
                return say(r#"{"error":"max retries exceeded: unexpected EOF"}"#.to_owned());
            }
            if done >= self.size / 2 && name.contains("full") && !self.has_room() {
                return say(
                    r#"{"error":"write /models/blobs/x-partial: no space left on device"}"#.to_owned()
                );
            }
            thread::sleep(TICK);
            done = done.saturating_add(step).min(self.size);
            self.lock().partial.insert(name.clone(), done);
            say(bytes(done))?;
        }
        say(r#"{"status":"verifying sha256 digest"}"#.to_owned())?;
        {
            let mut inner = self.lock();
            inner.partial.remove(&name);
            inner.models.insert(name, content);
        }
        say(r#"{"status":"success"}"#.to_owned())
    }

    /// Bytes a tick.
    fn step(&self, name: &str) -> u64 {
        if !name.contains("slow") {
            return (self.size / 4).max(1);
        }
        let ticks = self.takes.as_millis() / TICK.as_millis();
        (self.size / u64::try_from(ticks).unwrap_or(u64::MAX).max(1)).max(1)
    }

    /// Lines come, and no byte.
    fn stall(&self, mut say: impl FnMut() -> io::Result<()>) -> io::Result<()> {
        for _ in 0..STALLS_FOR.as_millis() / TICK.as_millis() {
            thread::sleep(TICK);
            say()?;
        }
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.folder.as_ref().is_some_and(|folder| fs::exists(folder.join("room")).unwrap_or(false))
    }
}

/// With its tag.
fn whole(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or_default();
    if last.contains(':') { name.to_owned() } else { format!("{name}:latest") }
}

/// 64 digits that depend on both.
fn digest(name: &str, content: u64) -> String {
    // FNV-1a, four times over.
    let hash = |seed: u64| {
        name.bytes().chain(content.to_le_bytes()).fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    };
    (1..=4).map(|seed| format!("{:016x}", hash(seed))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(store: &Store, name: &str) -> Vec<String> {
        let mut out = Vec::new();
        store.pull(name, &mut out).unwrap();
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_pull_that_broke_off_goes_on_where_it_was() {
        let store = Store::new(None, 100, Duration::ZERO);
        let first = lines(&store, "break");
        assert!(first.last().unwrap().contains("max retries exceeded"), "{first:?}");
        assert!(store.pulled().is_empty());
        let second = lines(&store, "break:latest");
        assert!(second[1].contains(r#""total":100,"completed":50"#), "{second:?}");
        assert_eq!(second.last().unwrap(), r#"{"status":"success"}"#);
        assert_eq!(store.pulled()[0].name, "break:latest");
        assert!(store.delete("break") && !store.delete("break"));
    }

    #[test]
    fn what_the_registry_lacks_and_what_the_disk_has_no_room_for_is_said() {
        let store = Store::new(None, 100, Duration::ZERO);
        assert!(lines(&store, "missing:7b").last().unwrap().contains("file does not exist"));
        assert!(lines(&store, "full:7b").last().unwrap().contains("no space left on device"));
        lines(&store, "on-cpu");
        lines(&store, "on-gpu");
        assert_eq!(
            store.loaded(),
            [("on-cpu:latest".to_owned(), 100, 0), ("on-gpu:latest".to_owned(), 100, 100)]
        );
    }
}
