//! A tar archive in memory: enough for an image of a few files, and the same bytes for the same content.

const BLOCK: usize = 512;

/// An archive under construction.
#[derive(Default)]
pub struct Tar {
    bytes: Vec<u8>,
}

impl Tar {
    /// Adds a folder.
    pub fn folder(self, path: &str, mode: u32, owner: u32) -> Self {
        self.entry(&format!("{path}/"), mode, owner, b'5', &[])
    }

    /// Adds a file, owned by root.
    pub fn file(self, path: &str, mode: u32, content: &[u8]) -> Self {
        self.entry(path, mode, 0, b'0', content)
    }

    /// The archive's bytes.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 2 * BLOCK, 0);
        self.bytes
    }

    fn entry(mut self, path: &str, mode: u32, owner: u32, kind: u8, content: &[u8]) -> Self {
        self.bytes.extend_from_slice(&header(path, mode, owner, kind, content.len()));
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(BLOCK), 0);
        self
    }
}

/// A POSIX ustar header; times are zero, so that the same content is the same archive.
fn header(path: &str, mode: u32, owner: u32, kind: u8, size: usize) -> [u8; BLOCK] {
    assert!(path.len() <= 100, "a path of our own images is short");
    let mut block = [0; BLOCK];
    let mut put =
        |offset: usize, text: &str| block[offset..offset + text.len()].copy_from_slice(text.as_bytes());
    put(0, path);
    put(100, &format!("{mode:07o}\0"));
    put(108, &format!("{owner:07o}\0"));
    put(116, &format!("{owner:07o}\0"));
    put(124, &format!("{size:011o}\0"));
    put(136, "00000000000\0");
    put(148, "        ");
    put(257, "ustar\x0000");
    block[156] = kind;
    let checksum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{checksum:06o}\0 ").as_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{capture, command};

    #[test]
    fn the_systems_tar_reads_it() {
        let path = std::env::temp_dir().join(format!("xtask-tar-{}.tar", std::process::id()));
        let archive = Tar::default().folder("data", 0o755, 1000).file("app", 0o755, b"hello").finish();
        std::fs::write(&path, archive).unwrap();
        let listed =
            capture(command("tar").arg("-tvf").arg(&path), std::time::Duration::from_secs(10)).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(listed.ok(), "{}", listed.said());
        assert!(listed.stdout.contains("drwxr-xr-x 1000/1000"), "{}", listed.stdout);
        assert!(listed.stdout.contains("-rwxr-xr-x 0/0"), "{}", listed.stdout);
    }
}
