//! Unit names: which texts are one, and how the bus writes them.

use aiplat_core::condition::{ErrorClass, Reason};

use crate::port::{HostError, HostErrorKind};

/// Below it every unit has an object.
pub(super) const UNITS: &str = "/org/freedesktop/systemd1/unit";

const LENGTH_MAX: usize = 255;
const TYPES: &[&str] = &[
    "service",
    "socket",
    "target",
    "device",
    "mount",
    "automount",
    "swap",
    "timer",
    "path",
    "slice",
    "scope",
];

/// Refuses what is no unit's name, before it becomes part of a path or of a pattern of `journalctl`.
pub(super) fn check(unit: &str, doing: &str) -> Result<(), HostError> {
    if is_unit(unit) {
        return Ok(());
    }
    let message = format!(
        "cannot {doing} `{}`: that is no unit's name; write it with its suffix, as `systemctl list-units` shows it",
        unit.escape_debug()
    );
    Err(HostError::new(HostErrorKind::Refused, ErrorClass::Rejected, Reason::UnitNotFound, message))
}

fn is_unit(name: &str) -> bool {
    let Some((stem, kind)) = name.rsplit_once('.') else { return false };
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    name.len() <= LENGTH_MAX
        && !stem.is_empty()
        && !stem.starts_with('.')
        && stem.bytes().all(is_allowed)
        && TYPES.contains(&kind)
}

/// The unit of an object's path: the bus writes every byte that is no letter or digit as `_` and two hex digits.
pub(super) fn from_path(path: &str) -> Option<String> {
    let mut rest = path.strip_prefix(UNITS)?.strip_prefix('/')?.bytes();
    let mut name = Vec::new();
    while let Some(byte) = rest.next() {
        if byte != b'_' {
            name.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        name.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
    }
    String::from_utf8(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_is_refused_with_the_cure() {
        for good in
            ["ollama.service", "foo@bar.service", "a-b_c.d:e.timer", r"dev-disk\x2d1.mount", "x.slice"]
        {
            assert!(check(good, "start").is_ok(), "{good}");
        }
        for bad in [
            "",
            "ollama",
            ".service",
            "..service",
            "../x.service",
            "a/b.service",
            "a*.service",
            "a b.service",
            "x.conf",
            "ä.service",
        ] {
            assert!(check(bad, "start").is_err(), "{bad}");
        }
        assert!(check(&format!("{}.service", "x".repeat(250)), "start").is_err());
        let error = check("../x\n.service", "start").expect_err("no name");
        assert_eq!(
            error.message,
            r"cannot start `../x\n.service`: that is no unit's name; write it with its suffix, as `systemctl list-units` shows it"
        );
    }

    #[test]
    fn paths_of_the_bus_are_read() {
        let unit = |name: &str| from_path(&format!("{UNITS}/{name}"));
        assert_eq!(unit("ollama_2eservice").as_deref(), Some("ollama.service"));
        assert_eq!(unit("foo_40b_2da_5fr_2eservice").as_deref(), Some("foo@b-a_r.service"));
        assert_eq!(unit("_35x_2eservice").as_deref(), Some("5x.service"), "a leading digit");
        for bad in ["x_2", "x_zz", "x_"] {
            assert_eq!(unit(bad), None, "{bad}");
        }
        assert_eq!(from_path("/org/freedesktop/systemd1"), None);
        assert_eq!(from_path("/org/freedesktop/systemd1/job/7"), None);
    }
}
