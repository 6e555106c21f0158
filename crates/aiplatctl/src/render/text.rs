//! Text that others wrote, made fit for a terminal.

/// One line without anything that moves a cursor, recolours, reorders or hides.
#[must_use]
pub fn clean(text: &str) -> String {
    filter(text, false, false)
}

/// Several lines, otherwise like [`clean`].
#[must_use]
pub fn clean_lines(text: &str) -> String {
    filter(text, true, false)
}

/// One line of a log: like [`clean`], but colours stay, for people read logs by them, and end with the line.
#[must_use]
pub fn clean_log(text: &str) -> String {
    let cleaned = filter(text.trim_end_matches(['\r', '\n']), false, true);
    if cleaned.contains('\u{1b}') { format!("{cleaned}\u{1b}[0m") } else { cleaned }
}

fn filter(text: &str, lines: bool, colors: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\n' if lines => out.push('\n'),
            '\n' | '\t' | '\r' => out.push(' '),
            '\u{1b}' => {
                let (after, sequence) = escape_sequence(rest.as_str());
                if colors && is_color(sequence) {
                    out.push('\u{1b}');
                    out.push_str(sequence);
                }
                rest = after.chars();
            }
            // The one-character forms of the same: a terminal may obey them too.
            '\u{9b}' => rest = control_sequence(rest.as_str()).0.chars(),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => rest = string(rest.as_str()).0.chars(),
            c if c.is_control() || is_deceptive(c) => {}
            c => out.push(c),
        }
    }
    out
}

/// What follows an escape character: the text after the sequence, and the sequence.
fn escape_sequence(text: &str) -> (&str, &str) {
    let mut chars = text.chars();
    let rest = match chars.next() {
        Some('[') => control_sequence(chars.as_str()).0,
        // Titles, clipboard, links, device strings: up to their terminator.
        Some(']' | 'P' | 'X' | '^' | '_') => string(chars.as_str()).0,
        // Character sets and the like: intermediates, then one more.
        Some(' '..='/') => {
            let rest = chars.as_str().trim_start_matches(|c| matches!(c, ' '..='/'));
            let mut rest = rest.chars();
            rest.next();
            rest.as_str()
        }
        Some('0'..='~') => chars.as_str(),
        // Not a sequence: the escape character alone goes.
        Some(_) | None => text,
    };
    (rest, &text[..text.len() - rest.len()])
}

/// Parameters and a final character.
fn control_sequence(text: &str) -> (&str, &str) {
    let end =
        text.find(|c| !matches!(c, ' '..='?')).map_or(text.len(), |end| match text[end..].chars().next() {
            Some('@'..='~') => end + 1,
            Some(_) | None => end,
        });
    (&text[end..], &text[..end])
}

fn string(text: &str) -> (&str, &str) {
    let ends = text.char_indices().find_map(|(at, c)| match c {
        '\u{7}' | '\u{9c}' => Some(at + c.len_utf8()),
        '\u{1b}' => Some(at + c.len_utf8() + usize::from(text[at + 1..].starts_with('\\'))),
        // One that never ends must not swallow the rest of a document.
        '\n' => Some(at),
        _ => None,
    });
    let end = ends.unwrap_or(text.len());
    (&text[end..], &text[..end])
}

fn is_color(sequence: &str) -> bool {
    let parameters = sequence.strip_prefix('[').and_then(|rest| rest.strip_suffix('m'));
    parameters.is_some_and(|it| it.chars().all(|c| matches!(c, '0'..='9' | ';' | ':')))
}

/// Reorders or hides what is around it.
fn is_deceptive(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// `3 services`, `1 service`.
#[must_use]
pub fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// A content id as the engine's own tools print it: `4b3f0a1c9d2e`.
#[must_use]
pub fn short_id(id: &str) -> &str {
    let id = id.strip_prefix("sha256:").unwrap_or(id);
    id.get(..12).unwrap_or(id)
}

/// `1.5 GiB`.
#[must_use]
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut scaled = number as f64;
    let mut unit = 0;
    while scaled >= 1_024.0 && unit + 1 < UNITS.len() {
        scaled /= 1_024.0;
        unit += 1;
    }
    if unit == 0 || scaled >= 10.0 {
        format!("{scaled:.0} {}", UNITS[unit])
    } else {
        format!("{scaled:.1} {}", UNITS[unit])
    }
}

/// Breaks `text` into lines of at most `width`, at spaces where there are any; following lines are indented, and the first
/// keeps the spaces that it begins with. Colours take no room.
#[must_use]
pub fn wrap(text: &str, width: Option<usize>, indent: usize) -> String {
    let Some(width) = width.map(|width| width.saturating_sub(indent).max(20)) else { return text.to_owned() };
    let words = text.trim_start_matches(' ');
    let mut out = text[..text.len() - words.len()].to_owned();
    let mut used = 0;
    for word in words.split(' ') {
        let length = anstream::adapter::strip_str(word).to_string().chars().count();
        if used > 0 && used + 1 + length > width {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            used = 0;
        } else if used > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += length;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_line_cannot_touch_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\u{1b}]0;title\u{7}c\u{1b}]8;;http://x\u{1b}\\d"), "abcd");
        assert_eq!(clean("\u{1b}c\u{1b}(0x\u{9b}31my\u{90}q\u{9c}z\u{202e}!"), "xyz!");
        assert_eq!(clean("one\r\ntwo\tthree\u{7}\u{8}"), "one  two three");
        assert_eq!(clean("\u{1b}"), "");
        assert_eq!(clean("\u{1b}[31"), "");
        assert_eq!(clean("\u{1b}é"), "é");
        assert_eq!(clean_lines("a\n\u{1b}Pnever ended\nb"), "a\n\nb");
    }

    #[test]
    fn logs_keep_their_colours_and_nothing_else() {
        assert_eq!(clean_log("\u{1b}[31mred\u{1b}[0m \u{1b}[1A up\n"), "\u{1b}[31mred\u{1b}[0m  up\u{1b}[0m");
        assert_eq!(clean_log("\u{1b}[38;5;1mx\u{1b}[?25l"), "\u{1b}[38;5;1mx\u{1b}[0m");
        assert_eq!(clean_log("plain\r"), "plain");
    }

    #[test]
    fn lines_break_between_words_and_keep_where_they_begin() {
        let text = "  web waits for a postgres that is not there";
        assert_eq!(wrap(text, Some(28), 4), "  web waits for a postgres\n    that is not there");
        assert_eq!(wrap(text, None, 4), text);
    }

    #[test]
    fn sizes_are_binary() {
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(1_536), "1.5 KiB");
        assert_eq!(bytes(12_884_901_888), "12 GiB");
    }
}
