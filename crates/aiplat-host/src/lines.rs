//! Lines out of a stream of pieces, with a bound.

use bytes::{Buf, BytesMut};

/// So many lines of a log are evidence.
pub(crate) const EVIDENCE_LINES: u32 = 40;
/// No line of them is longer, in characters.
const EVIDENCE_MAX: usize = 400;

/// At most 400 characters on one line, none of them a control character.
pub(crate) fn printable(text: &str) -> String {
    let mut chars = text.trim().chars().filter(|char| !char.is_control());
    let clean: String = chars.by_ref().take(EVIDENCE_MAX).collect();
    if chars.next().is_some() { format!("{clean}…") } else { clean }
}

/// Collects pieces and gives out whole lines. What exceeds the bound is cut off its line.
#[derive(Debug)]
pub(crate) struct Lines {
    buffer: BytesMut,
    /// The rest of the current line is thrown away.
    skipping: bool,
    max: usize,
}

impl Lines {
    pub(crate) fn new(max: usize) -> Self {
        Self { buffer: BytesMut::new(), skipping: false, max }
    }

    /// Takes in a piece, and calls `each` for every line that it ends, without its end; `cut` says that it was longer.
    pub(crate) fn push(&mut self, mut piece: &[u8], mut each: impl FnMut(&[u8], bool)) {
        while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
            self.take(&piece[..end]);
            self.finish(&mut each);
            piece.advance(end + 1);
        }
        self.take(piece);
    }

    /// The line that has begun and not ended.
    pub(crate) fn finish(&mut self, mut each: impl FnMut(&[u8], bool)) {
        let line = self.buffer.split();
        let cut = std::mem::take(&mut self.skipping);
        each(line.strip_suffix(b"\r").unwrap_or(&line), cut);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty() && !self.skipping
    }

    fn take(&mut self, piece: &[u8]) {
        let room = self.max - self.buffer.len();
        self.skipping |= piece.len() > room;
        self.buffer.extend_from_slice(&piece[..piece.len().min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_from_pieces_and_cut_at_the_bound() {
        let mut lines = Lines::new(5);
        let mut seen = Vec::new();
        for piece in ["ab", "c\r\nd", "", "efghijk\n\nl"] {
            lines.push(piece.as_bytes(), |line, cut| {
                seen.push((String::from_utf8_lossy(line).into_owned(), cut))
            });
        }
        let expected =
            [("abc", false), ("defgh", true), ("", false)].map(|(line, cut)| (line.to_owned(), cut));
        assert_eq!(seen, expected);
        assert!(!lines.is_empty());
    }
}
