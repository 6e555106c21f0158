//! What a service may do.

use std::collections::BTreeSet;

use super::{
    super::{
        Cx, Fields, Item,
        files::{Content, absolute},
    },
    namespace,
};
use crate::{
    load::{diagnostic::Problem, text::nearest, tree::Spanned},
    spec::{Confinement, Namespace},
};

const CAPABILITIES: [&str; 42] = [
    "ALL",
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

pub(super) fn confinement(cx: &mut Cx<'_>, fields: &mut Fields<'_>) -> Confinement {
    use Namespace::{Host, None as Nobody, Private, Shareable};
    let group = |text: &str| match text {
        "" => Err("write a group, by name or number".to_owned()),
        group if group.contains(|c: char| c.is_whitespace() || c == ':') => {
            Err("write a group alone, by name or number".to_owned())
        }
        group => Ok(group.to_owned()),
    };
    let pid = |text: &str| namespace(text, &[Host]);
    let ipc = |text: &str| namespace(text, &[Private, Shareable, Nobody, Host]);
    let mut word = |cx: &mut Cx<'_>, key: &'static str, words: &[(&str, Option<bool>)]| {
        let host = fields.take(key).and_then(|item| cx.word(&item, words)).flatten();
        host.map_or(Namespace::Unsaid, |host| if host { Host } else { Private })
    };
    let (uts, userns, cgroup) = (
        word(cx, "uts", &[("host", Some(true))]),
        word(cx, "userns_mode", &[("host", Some(true))]),
        word(cx, "cgroup", &[("host", Some(true)), ("private", Some(false))]),
    );
    Confinement {
        privileged: cx.taken_flag(fields, "privileged"),
        read_only: cx.taken_flag(fields, "read_only"),
        cap_add: cx.taken_each(fields, "cap_add", capability).into_iter().collect(),
        cap_drop: cx.taken_each(fields, "cap_drop", capability).into_iter().collect(),
        security_opt: fields.take("security_opt").map(|item| security(cx, &item)).unwrap_or_default(),
        sysctls: cx.taken_pairs(fields, "sysctls"),
        group_add: cx.taken_each(fields, "group_add", group).into_iter().collect(),
        pid: cx.taken_parsed(fields, "pid", pid).unwrap_or_default(),
        ipc: cx.taken_parsed(fields, "ipc", ipc).unwrap_or_default(),
        uts,
        userns,
        cgroup,
        cgroup_parent: cx.taken_text(fields, "cgroup_parent"),
    }
}

/// A capability as the engine names it, without `CAP_`.
pub(in crate::load::decode) fn capability(text: &str) -> Result<String, String> {
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("CAP_").unwrap_or(&name);
    if CAPABILITIES.contains(&name) {
        return Ok(name.to_owned());
    }
    Err(match nearest(name, CAPABILITIES) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "write a capability of the kernel, as in `NET_ADMIN`, or `ALL`".to_owned(),
    })
}

fn security(cx: &mut Cx<'_>, item: &Item<'_>) -> BTreeSet<String> {
    let items = cx.items(item).unwrap_or_default();
    items.iter().filter_map(|item| security_option(cx, item)).collect()
}

/// `name=value` as the engine has it; of a profile its content, for the engine reads no files of ours.
fn security_option(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<String> {
    const FORM: &str =
        "write as in `no-new-privileges:true`, `seccomp:profile.json`, `apparmor:profile` or `label:type:x`";
    let Spanned { value, place } = cx.filled(item)?;
    // Whichever comes first: a label holds colons itself.
    let (name, setting) = value.split_once(['=', ':']).unwrap_or((&value, ""));
    let setting = setting.trim();
    match (name, setting) {
        ("no-new-privileges", "" | "true") => Some("no-new-privileges=true".to_owned()),
        ("no-new-privileges", "false") => Some("no-new-privileges=false".to_owned()),
        ("no-new-privileges", _) => {
            cx.bad(item, "write `no-new-privileges:true` or `no-new-privileges:false`");
            None
        }
        ("systempaths", "unconfined") | ("seccomp", "unconfined" | "builtin") => {
            Some(format!("{name}={setting}"))
        }
        ("seccomp", profile) if profile.starts_with('{') => json_profile(profile).map_or_else(
            |reason| {
                cx.bad(item, reason);
                None
            },
            |profile| Some(format!("seccomp={profile}")),
        ),
        ("seccomp", path) if !path.is_empty() => {
            let path = absolute(&cx.base(place).folder, path);
            match cx.reader.read(cx.files, &path, false, Some(place), cx.sink) {
                Content::Bad => None,
                Content::Missing => {
                    let message = format!("the profile {} does not exist", path.display());
                    let problem = Problem::error("file-missing", place, message);
                    cx.sink.add(
                        problem.help("make the file, or leave the line out for the engine's own profile"),
                    );
                    None
                }
                Content::Text(file) => match json_profile(&cx.reader.sources.file(file).text) {
                    Ok(profile) => Some(format!("seccomp={profile}")),
                    Err(reason) => {
                        cx.sink.add(Problem::error(
                            "bad-value",
                            place,
                            format!("{}: {reason}", path.display()),
                        ));
                        None
                    }
                },
            }
        }
        ("apparmor" | "label", setting) if !setting.is_empty() => Some(format!("{name}={setting}")),
        _ => {
            cx.bad(item, FORM);
            None
        }
    }
}

/// A profile on one line, the same whatever its layout.
fn json_profile(text: &str) -> Result<String, String> {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(value) if value.is_object() => Ok(value.to_string()),
        Ok(_) => Err("a profile is a JSON object".to_owned()),
        Err(error) => Err(format!("the profile is not JSON: {error}")),
    }
}
