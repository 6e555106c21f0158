//! A `tar.gz` of a few texts, written by hand: a POSIX archive within gzip's frame, its bytes stored as they are. What it costs in
//! size it saves in a dependency; every tool unpacks it.

use std::io::{self, Write};

/// Tar counts in these.
const BLOCK: usize = 512;
/// No stored block of deflate is longer.
const STORED_MAX: usize = 0xffff;
/// The polynomial of gzip's checksum, its bits turned round.
const POLYNOMIAL: u32 = 0xedb8_8320;

/// Writes `files`, by path, which only their owner may read. `seconds` since 1970 is when they were made.
///
/// # Errors
/// As of the writer; or when a path is longer than the format takes.
pub(crate) fn write(out: &mut impl Write, files: &[(String, String)], seconds: u64) -> io::Result<()> {
    let mut tar = Vec::new();
    for (path, text) in files {
        tar.extend_from_slice(&header(path, text.len(), seconds)?);
        tar.extend_from_slice(text.as_bytes());
        tar.resize(tar.len().next_multiple_of(BLOCK), 0);
    }
    tar.resize(tar.len() + 2 * BLOCK, 0);
    gzip(out, &tar)
}

/// A ustar header. A size that eleven octal digits do not hold is refused.
fn header(path: &str, size: usize, seconds: u64) -> io::Result<[u8; BLOCK]> {
    let size = format!("{size:011o}\0");
    if path.len() > 100 || size.len() > 12 {
        return Err(io::Error::other(format!("{path} is too long for an archive")));
    }
    let mut block = [0; BLOCK];
    let mut put =
        |offset: usize, text: &str| block[offset..offset + text.len()].copy_from_slice(text.as_bytes());
    put(0, path);
    put(100, "0000600\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &size);
    put(136, &format!("{:011o}\0", seconds & 0x1_ffff_ffff));
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let checksum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{checksum:06o}\0 ").as_bytes());
    Ok(block)
}

/// RFC 1952 around RFC 1951's stored blocks.
fn gzip(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    // Deflate, no name, no time, made on a Unix.
    out.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3])?;
    let mut pieces = bytes.chunks(STORED_MAX).peekable();
    while let Some(piece) = pieces.next() {
        let length = u16::try_from(piece.len()).unwrap_or(u16::MAX);
        out.write_all(&[u8::from(pieces.peek().is_none())])?;
        out.write_all(&length.to_le_bytes())?;
        out.write_all(&(!length).to_le_bytes())?;
        out.write_all(piece)?;
    }
    out.write_all(&checksum(bytes).to_le_bytes())?;
    // Of what is longer than 4 GiB the rest, as the format has it.
    let length = u32::try_from(bytes.len() & 0xffff_ffff).unwrap_or(u32::MAX);
    out.write_all(&length.to_le_bytes())
}

/// CRC-32 as gzip has it, bit by bit: a bundle is a few megabytes.
fn checksum(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _bit: u32| if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(checksum(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn what_the_format_cannot_hold_is_refused() {
        let long = ("x".repeat(101), String::new());
        assert!(write(&mut Vec::new(), &[long], 0).is_err());
    }
}
