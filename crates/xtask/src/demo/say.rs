//! What the demo says: wrapped between words where a terminal would wrap inside them.

use std::io::IsTerminal;
use std::process::Stdio;

use crate::process::command;

/// Where a terminal does not say how wide it is.
const WIDTH: usize = 80;

/// Prints a sentence of a scene, indented; later lines of it a little deeper.
pub fn say(sentence: &str) {
    for (index, line) in wrapped(sentence, width().map(|width| width - 5)).iter().enumerate() {
        println!("{}{line}", if index == 0 { "   " } else { "     " });
    }
}

/// Prints a sentence at the margin.
pub fn say_plainly(sentence: &str) {
    wrapped(sentence, width()).iter().for_each(|line| println!("{line}"));
}

/// The columns of our terminal, if our output is one, from the tool that every system has for it.
pub fn width() -> Option<usize> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    let mut stty = command("stty");
    let size = stty.arg("size").stdin(Stdio::inherit()).stderr(Stdio::null()).output().ok();
    let size = size.and_then(|size| String::from_utf8(size.stdout).ok()).unwrap_or_default();
    let columns = size.split_whitespace().nth(1).and_then(|columns| columns.parse().ok());
    Some(columns.filter(|columns| *columns > 20).unwrap_or(WIDTH))
}

/// The lines of a text; without a width there is one. A word that is too long gets a line of its own.
fn wrapped(text: &str, width: Option<usize>) -> Vec<String> {
    let Some(width) = width else { return vec![text.to_owned()] };
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is always a line");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            let gap = if line.is_empty() { "" } else { " " };
            line.push_str(gap);
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_between_words() {
        assert_eq!(wrapped("one two three", Some(7)), ["one two", "three"]);
        assert_eq!(wrapped("a /a/very/long/path b", Some(5)), ["a", "/a/very/long/path", "b"]);
        assert_eq!(wrapped("one two three", None), ["one two three"]);
    }
}
