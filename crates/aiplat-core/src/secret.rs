//! What is not shown: values whose names say that they are secrets, and passwords in addresses.

/// Instead of a secret.
pub const REDACTED: &str = "<redacted>";
/// A name with one of these in it names a secret.
const SECRETS: [&str; 6] = ["PASSWORD", "PASSWD", "TOKEN", "KEY", "SECRET", "CREDENTIAL"];
/// So does one with a word that ends in one of these: `PGPASS`, `MYSQL_PWD`, `REDIS_PW`, `BASIC_AUTH`.
const SECRET_WORDS: [&str; 4] = ["PASS", "PWD", "PW", "AUTH"];

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
