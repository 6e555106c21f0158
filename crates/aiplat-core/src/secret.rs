//! What is not shown: values whose names say that they are secrets, and passwords in addresses.

use std::collections::BTreeMap;

/// Instead of a secret.
pub const REDACTED: &str = "<redacted>";
/// A name with one of these in it names a secret.
const SECRETS: [&str; 6] = ["PASSWORD", "PASSWD", "TOKEN", "KEY", "SECRET", "CREDENTIAL"];
/// So does one with a word that ends in one of these: `PGPASS`, `MYSQL_PWD`, `REDIS_PW`, `BASIC_AUTH`.
const SECRET_WORDS: [&str; 4] = ["PASS", "PWD", "PW", "AUTH"];
/// Values that are shorter are not looked for in lines.
const SHORTEST: usize = 6;

/// A value, unless its name says that it is a secret. A path to a secret is none.
#[must_use]
pub fn redacted(name: &str, value: &str) -> String {
    if !value.is_empty() && is_secret(name) { REDACTED.to_owned() } else { without_password(value) }
}

/// Whether a variable of this name holds a secret, by the usual names.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    // The working folder of every shell.
    if upper.ends_with("_FILE") || upper == "PWD" || upper == "OLDPWD" {
        return false;
    }
    let mut words = upper.split(|char: char| !char.is_ascii_alphanumeric());
    SECRETS.iter().any(|secret| upper.contains(secret))
        || words.any(|word| SECRET_WORDS.iter().any(|secret| word.ends_with(secret)))
}

/// `postgres://user:word@host` without the word.
#[must_use]
pub fn without_password(value: &str) -> String {
    let parts = || {
        let (scheme, rest) = value.split_once("://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (login, _) = rest[..end].rsplit_once('@')?;
        let (user, password) = login.split_once(':')?;
        (!password.is_empty()).then(|| format!("{scheme}://{user}:{REDACTED}{}", &rest[login.len()..]))
    };
    parts().unwrap_or_else(|| value.to_owned())
}

/// A line of a service's log, or what is quoted of it, without the secrets that `environment` gives the service.
#[must_use]
pub fn redacted_for(line: &str, environment: &BTreeMap<String, String>) -> String {
    let of_names = environment.iter().filter(|(name, _)| is_secret(name));
    redacted_line(line, of_names.map(|(_, value)| value.as_str()))
}

/// A line of a log without the values of `secrets`, without passwords in addresses, and without what is given to a name
/// that says that it is a secret: `API_KEY=...`, `token: ...`.
#[must_use]
pub fn redacted_line<'a>(line: &str, secrets: impl IntoIterator<Item = &'a str>) -> String {
    let mut line = line.to_owned();
    // A short value would be found in words that have nothing to do with it.
    for secret in secrets.into_iter().filter(|secret| secret.len() >= SHORTEST) {
        line = line.replace(secret, REDACTED);
    }
    let mut after_name = false;
    let words = line.split(' ').map(|word| {
        if std::mem::take(&mut after_name) && !word.is_empty() {
            return REDACTED.to_owned();
        }
        if word.eq_ignore_ascii_case("bearer") {
            after_name = true;
            return word.to_owned();
        }
        let Some((name, value)) = word.split_once(['=', ':']).filter(|(_, value)| !value.starts_with("//"))
        else {
            return without_password(word);
        };
        let named = name.trim_matches(['"', '\'', '{', ',']);
        // `missing key: model` names one and has none.
        if !is_secret(named) || named.eq_ignore_ascii_case("key") {
            return without_password(word);
        }
        after_name = value.is_empty() || value == "\"";
        if after_name { word.to_owned() } else { format!("{}{REDACTED}", &word[..=name.len()]) }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_log_tells_no_secret() {
        for (line, expected) in [
            ("listening on 0.0.0.0:11434", "listening on 0.0.0.0:11434"),
            ("using canary-1 for all", "using <redacted> for all"),
            ("no route to postgres://u:pw@db/x today", "no route to postgres://u:<redacted>@db/x today"),
            ("bad API_KEY=abc in file", "bad API_KEY=<redacted> in file"),
            ("{\"token\":\"abc\"}", "{\"token\":<redacted>"),
            ("password: hunter2 refused", "password: <redacted> refused"),
            ("Authorization: Bearer abc", "Authorization: Bearer <redacted>"),
            ("missing key: model", "missing key: model"),
            ("error: open: no such file", "error: open: no such file"),
        ] {
            assert_eq!(redacted_line(line, ["canary-1", "on"]), expected);
        }
    }
}
