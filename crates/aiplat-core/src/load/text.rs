//! Small grammars of Compose: durations, sizes, CPUs, commands; and the nearest known word.

use std::time::Duration;

/// A size as Docker reads it: `k`, `kb` and `KiB` are all 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub i64);

impl std::str::FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.trim().to_ascii_lowercase();
        let split = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
        let (number, unit) = (&lower[..split], lower[split..].trim_start());
        let power = match unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(unit) {
            "" => 0,
            "k" => 1,
            "m" => 2,
            "g" => 3,
            "t" => 4,
            "p" => 5,
            _ => {
                return Err("write a number and `b`, `k`, `m`, `g` or `t`, as in `512m` or `1.5g`".to_owned());
            }
        };
        let bytes = decimal(number, 1024_i128.pow(power)).ok_or("write a number and a unit, as in `512m`")?;
        i64::try_from(bytes).map(Self).map_err(|_| "this is more than any machine has".to_owned())
    }
}

/// `number` × `scale`, exactly, rounded down. `None`: not a plain decimal number.
fn decimal(number: &str, scale: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return None;
    }
    if whole.len() > 18 || fraction.len() > 12 {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    Some(whole * scale + part * scale / 10_i128.pow(u32::try_from(fraction.len()).ok()?))
}

/// `1.5` CPUs in billionths.
pub(super) fn nano_cpus(text: &str) -> Result<i64, String> {
    let nanos = decimal(text.trim(), 1_000_000_000).ok_or("write a number of CPUs, as in `0.5` or `2`")?;
    i64::try_from(nanos).map_err(|_| "this is more CPUs than any machine has".to_owned())
}

/// `1m30s`, `500ms`, `1.5h`: what Go's `time.ParseDuration` takes, and `d` and `w` as Compose does.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    const HINT: &str = "write numbers with `ms`, `s`, `m` or `h`, as in `10s` or `1m30s`";
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.starts_with('-') {
        return Err("a duration cannot be negative".to_owned());
    }
    if !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(format!("the unit is missing: write `{rest}s` for seconds"));
    }
    if rest.is_empty() {
        return Err(HINT.to_owned());
    }
    let mut nanos: i128 = 0;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or(HINT)?;
        let tail = &rest[number..];
        let unit = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let scale: i128 = match &tail[..unit] {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            "w" => 604_800_000_000_000,
            _ => return Err(HINT.to_owned()),
        };
        nanos += decimal(&rest[..number], scale).ok_or(HINT)?;
        rest = &tail[unit..];
    }
    // A century: longer is a slip, and sums of such durations must not overflow anywhere.
    if nanos > 3_153_600_000_000_000_000 {
        return Err("this is longer than a hundred years".to_owned());
    }
    u64::try_from(nanos).map(Duration::from_nanos).map_err(|_| HINT.to_owned())
}

/// Splits a command into words as Compose does: quotes and backslashes, but no shell.
pub(super) fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(inner) => word.push(inner),
                        None => return Err("a single quote is not closed".to_owned()),
                    }
                }
            }
            '"' => quoted(&mut chars, word.get_or_insert_default())?,
            '\\' => match chars.next() {
                Some('\n') => {}
                Some(next) => word.get_or_insert_default().push(next),
                None => return Err("it ends with a backslash".to_owned()),
            },
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quoted(chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), String> {
    loop {
        match chars.next() {
            Some('"') => return Ok(()),
            Some('\\') => match chars.next() {
                Some(escaped @ ('"' | '\\' | '$' | '`')) => word.push(escaped),
                Some('\n') => {}
                Some(other) => word.extend(['\\', other]),
                None => return Err("a double quote is not closed".to_owned()),
            },
            Some(inner) => word.push(inner),
            None => return Err("a double quote is not closed".to_owned()),
        }
    }
}

/// The known word that was probably meant by `word`.
#[must_use]
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let plain = |text: &str| -> Vec<char> {
        text.chars().filter(|c| !matches!(c, '_' | '-' | '.')).flat_map(char::to_lowercase).take(64).collect()
    };
    let word = plain(word);
    let allowed = (word.len() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|candidate| (distance(&word, &plain(candidate)), candidate))
        .filter(|(far, candidate)| *far <= allowed && *far < candidate.len().min(word.len().max(1)))
        .min_by_key(|(far, _)| *far)
        .map(|(_, candidate)| candidate)
}

/// Edits between two words; neighbours swapped are one.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (above[j] + 1).min(row[j - 1] + 1).min(above[j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

/// `a`, `b` and `c`.
pub(super) fn list<S: AsRef<str>>(words: &[S]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{}`", word.as_ref())).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}
