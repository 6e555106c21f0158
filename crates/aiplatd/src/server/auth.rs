//! Who may do what: root everything, the group `aiplat` reads and operates, others nothing.

use std::{os::unix::fs::chown, path::Path};

use tokio::net::unix::UCred;

/// The group that reads and operates.
pub const GROUP: &str = "aiplat";

/// What a route does. No route without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Looks.
    Read,
    /// Acts on what the file declares.
    Operate,
    /// Changes the file: root's alone, for whoever writes the file is root.
    Administer,
}

/// Who is at the other end of the socket, as the kernel says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// User id.
    pub uid: u32,
    /// Process id, if the kernel told.
    pub pid: Option<i32>,
    /// Member of the group `aiplat`, by its own or a supplementary group.
    pub in_group: bool,
}

impl Peer {
    /// The peer of a connection; `daemon_uid` is who runs this daemon.
    #[must_use]
    pub fn of(credentials: &UCred) -> Self {
        Self {
            uid: credentials.uid(),
            pid: credentials.pid(),
            in_group: is_member(credentials.uid(), credentials.gid()),
        }
    }

    /// Whether it may do `verb`. Who runs the daemon without root (a demo, a test) is its root.
    #[must_use]
    pub fn may(&self, verb: Verb) -> bool {
        let is_owner = self.uid == 0 || self.uid == rustix::process::geteuid().as_raw();
        match verb {
            Verb::Read | Verb::Operate => is_owner || self.in_group,
            Verb::Administer => is_owner,
        }
    }
}

fn is_member(uid: u32, gid: u32) -> bool {
    let Ok(Some(group)) = nix::unistd::Group::from_name(GROUP) else { return false };
    if group.gid.as_raw() == gid {
        return true;
    }
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid));
    let Ok(Some(user)) = user else { return false };
    user.gid == group.gid || group.mem.contains(&user.name)
}

/// Gives `path` to the group, where there is one and we may.
pub fn give_to_group(path: &Path) {
    if let Ok(Some(group)) = nix::unistd::Group::from_name(GROUP)
        && let Err(error) = chown(path, None, Some(group.gid.as_raw()))
    {
        tracing::debug!(path = %path.display(), error = %error, "It cannot be given to the group.");
    }
}
