//! What AppArmor has denied a unit, from the kernel's audit records. Where `auditd` runs they are in its own log instead, and
//! are not found here.

use std::path::Path;

use super::journal;
use crate::lines::printable;

/// Records that are told, the last ones.
const MOST: usize = 10;

/// Who is looked for: a record names a process and a profile, and no unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Suspect {
    /// Its main process; 0 when it has had none.
    pub(super) pid: u32,
    /// `AppArmorProfile=` of its file.
    pub(super) profile: String,
    /// Its program: a profile of that path, or of its name, is laid on it by itself.
    pub(super) program: String,
}

/// What was denied since `began`, in microseconds since 1970, a sentence each.
pub(super) async fn denials(folder: Option<&Path>, began: u64, suspect: &Suspect) -> Vec<String> {
    if began == 0 || !is_enabled() {
        return Vec::new();
    }
    let mut denials = journal::said_by_the_kernel(folder, began, MOST, |line| denial(line, suspect)).await;
    // The same record may come from the kernel and from the audit system.
    denials.dedup();
    denials
}

/// Where it is not there is nothing to search for.
fn is_enabled() -> bool {
    std::fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|said| said.starts_with('Y'))
}

/// The sentence of a record, if it is one of a denial that concerns `suspect`.
fn denial(line: &str, suspect: &Suspect) -> Option<String> {
    if field(line, "apparmor")? != "DENIED" {
        return None;
    }
    let (profile, pid) = (field(line, "profile").unwrap_or_default(), field(line, "pid").unwrap_or_default());
    let is_process = suspect.pid != 0 && pid.parse() == Ok(suspect.pid);
    if !is_process && !suspect.is_confined_by(profile) {
        return None;
    }
    let what = field(line, "name").or_else(|| field(line, "capname")).or_else(|| field(line, "family"));
    let how = field(line, "denied_mask").map(|mask| format!(" ({mask})")).unwrap_or_default();
    let operation = field(line, "operation").unwrap_or("an operation");
    Some(printable(&format!(
        "AppArmor's profile `{profile}` denied {operation} of `{}`{how}: allow it in /etc/apparmor.d, or try with \
         `aa-complain {profile}`",
        what.unwrap_or("unnamed")
    )))
}

impl Suspect {
    fn is_confined_by(&self, profile: &str) -> bool {
        // Of a program that it runs: `ollama//null-/usr/bin/git`.
        let profile = profile.split("//").next().unwrap_or_default();
        let name = Path::new(&self.program).file_name().and_then(|name| name.to_str());
        !profile.is_empty() && (profile == self.profile || profile == self.program || Some(profile) == name)
    }
}

/// `name="value"`, or `name=value`.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = line;
    loop {
        let at = rest.find(name)?;
        let (before, from) = rest.split_at(at);
        let after = &from[name.len()..];
        if let Some(value) =
            after.strip_prefix('=').filter(|_| before.is_empty() || before.ends_with([' ', '\t']))
        {
            return match value.strip_prefix('"') {
                Some(quoted) => quoted.split('"').next(),
                None => value.split_whitespace().next(),
            };
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: &str = r#"audit: type=1400 audit(1700000000.123:45): apparmor="DENIED" operation="open" class="file" profile="/usr/local/bin/ollama" name="/srv/models/" pid=812 comm="ollama" requested_mask="r" denied_mask="r" fsuid=0 ouid=0"#;

    fn suspect(pid: u32, profile: &str, program: &str) -> Suspect {
        Suspect { pid, profile: profile.to_owned(), program: program.to_owned() }
    }

    #[test]
    fn a_denial_is_told_with_what_was_asked_for() {
        let said = denial(OPEN, &suspect(0, "", "/usr/local/bin/ollama")).expect("its own");
        assert!(said.contains("`/usr/local/bin/ollama` denied open of `/srv/models/` (r)"), "{said}");
        let capability = r#"AVC apparmor="DENIED" operation="capable" profile="ollama" pid=9 comm="x" capability=21  capname="sys_admin""#;
        let said =
            denial(capability, &suspect(0, "", "/usr/local/bin/ollama")).expect("named as its program");
        assert!(said.contains("denied capable of `sys_admin`"), "{said}");
    }

    #[test]
    fn it_is_the_units_by_its_process_or_its_profile_and_by_nothing_else() {
        for (suspect, is_its) in [
            (suspect(812, "", "/bin/other"), true),
            (suspect(0, "/usr/local/bin/ollama", "/bin/other"), true),
            (suspect(813, "nginx", "/usr/sbin/nginx"), false),
            (Suspect::default(), false),
        ] {
            assert_eq!(denial(OPEN, &suspect).is_some(), is_its, "{suspect:?}");
        }
        let own = suspect(812, "", "");
        assert_eq!(denial(&OPEN.replace("DENIED", "ALLOWED"), &own), None, "only complained of");
        assert_eq!(denial("apparmor", &own), None);
        let child = OPEN.replace("/usr/local/bin/ollama\"", "ollama//null-/usr/bin/git\"");
        assert!(denial(&child, &suspect(0, "ollama", "")).is_some(), "of a program that it runs");
    }

    #[test]
    fn what_a_record_says_is_printable() {
        let hostile = OPEN.replace("/srv/models/", "/srv/\u{1b}[31m");
        let said = denial(&hostile, &suspect(812, "", "")).expect("its own");
        assert!(!said.contains('\u{1b}'), "{said:?}");
    }
}
