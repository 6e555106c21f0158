//! The one table of lints: every warning has a name in it, by which it can be allowed.

/// One warning that the loader may give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lint {
    /// As in `lint: {allow: [floating-tag]}` and `warning[floating-tag]`.
    pub name: &'static str,
    /// What it is about.
    pub summary: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// What to write instead.
    pub instead: &'static str,
}

const fn lint(name: &'static str, summary: &'static str, why: &'static str, instead: &'static str) -> Lint {
    Lint { name, summary, why, instead }
}

/// Every lint, in the order of the alphabet.
pub const LINTS: [Lint; 27] = [
    lint(
        "api-version",
        "A Compose file without `apiVersion`.",
        "`validate -f` and `diff -f` take it; the daemon does not.",
        "Write `apiVersion: aiplat/v1` as the first line.",
    ),
    lint(
        "backend-published",
        "A port of a database, cache or queue is published on an address that others can reach.",
        "Services reach it over their network without any published port. What is published goes past most host firewalls, and several of these servers have no password by default.",
        "Leave the port out, or publish it on `127.0.0.1`.",
    ),
    lint(
        "default-password",
        "A variable for a password holds one that everyone knows, or the name of its user.",
        "It is the first that is tried.",
        "Choose a long random one and keep it in an env file: `NAME: ${NAME:?set it in .env}`.",
    ),
    lint(
        "duplicate-entry",
        "A list of `NAME=value` has one name twice.",
        "Only the last one holds.",
        "Remove one of the two.",
    ),
    lint(
        "floating-tag",
        "An image without a tag, or with one that moves by its name (`latest`).",
        "The next pull may bring another version with another file format, and nothing in the file says which one ran before.",
        "Name a version, as in `redis:7.4-alpine`, or a digest.",
    ),
    lint(
        "health-unknown",
        "A service waits for another one to be healthy that says nothing about its health.",
        "The image may bring a check of its own; if it does not, running counts as healthy.",
        "Give the other service a `healthcheck`.",
    ),
    lint(
        "ignored-key",
        "A word of Compose that has no effect here.",
        "It reads as if it did something.",
        "Remove it.",
    ),
    lint(
        "liveness-without-restart",
        "A `liveness` probe of a service whose `restart` is `no`.",
        "It would restart the service, and nothing is restarted.",
        "Write another `restart`, or remove `liveness`.",
    ),
    lint(
        "localhost-in-url",
        "A URL in the environment points at `localhost` with the port of another service.",
        "Inside a container `localhost` is the container itself.",
        "Write the name of the other service, as in `http://ollama:11434`.",
    ),
    lint(
        "member-left-out",
        "A gate names a service that its profiles leave out.",
        "The gate does not wait for it.",
        "Switch the profile on, or take the service out of the gate.",
    ),
    lint(
        "model-left-out",
        "A model is active, and its profiles leave out the service that is to serve it.",
        "The model is not pulled.",
        "Switch a profile of the service on, or give the model the same `profiles`.",
    ),
    lint(
        "name-missing",
        "The platform has no `name`.",
        "The folder's name is taken, and moving the file would rename every container and leave the volumes behind.",
        "Write the `name` that is taken now.",
    ),
    lint(
        "no-shared-network",
        "A service depends, if not strictly, on one that it cannot reach.",
        "The two share no network.",
        "Put both on one network, or remove the dependency.",
    ),
    lint(
        "not-an-overlay",
        "A file in the folder of overlays ends in `.yml`.",
        "Only `*.yaml` is read there.",
        "Rename it.",
    ),
    lint(
        "nothing-to-reset",
        "`!reset` stands at a key that no file below sets.",
        "It takes nothing away: the key may be misspelt, or gone below.",
        "Remove the line, or mend the name.",
    ),
    lint(
        "published-on-all-addresses",
        "A port other than 80 and 443 is published on every address of the machine.",
        "Everybody on the network reaches it, past most host firewalls.",
        "Leave the address out (127.0.0.1 is taken then), or name the one address that is meant.",
    ),
    lint(
        "pull-policy-conflict",
        "Two services with one image do not agree on whether it may be pulled.",
        "One image has one policy: it may be pulled.",
        "Write the same `pull_policy` for both.",
    ),
    lint(
        "secret-in-environment",
        "A secret is written out in the file, and the image could read it from a file of its own.",
        "The platform file is copied, shown and committed; the environment is shown by `docker inspect`.",
        "Set the image's `..._FILE` variable to a mounted file, or take the value from an env file: `NAME: ${NAME}`.",
    ),
    lint(
        "single-file-bind",
        "A single file of the host is mounted.",
        "Editors replace a file by another one of its name; the container goes on seeing the old one until it is restarted.",
        "Mount the folder in which the file lies, or restart the service after an edit.",
    ),
    lint(
        "start-first-without-effect",
        "`order: start-first` where two containers of the service cannot run at once.",
        "Both would hold one port or address of the host, or write to one volume: the old one ends first.",
        "Remove it, or what keeps both from running.",
    ),
    lint(
        "unknown-profile",
        "A profile is switched on that no service has.",
        "It switches nothing on.",
        "Mend the name, or remove it.",
    ),
    lint(
        "unused-config",
        "A config is declared and no service mounts it.",
        "It is not written.",
        "Remove it, or name it in the `configs` of a service.",
    ),
    lint(
        "unused-network",
        "A network is declared and no service is on it.",
        "It is not made.",
        "Remove it, or name it in a service.",
    ),
    lint(
        "unused-permission",
        "`allow_host_access` names something that the service does not ask for.",
        "It would allow it later without anybody noticing.",
        "Remove it.",
    ),
    lint(
        "unused-volume",
        "A volume is declared and no service mounts it.",
        "It is not made. One that exists is kept.",
        "Remove it, or mount it.",
    ),
    lint(
        "variable-left-out",
        "A variable is named without a value, and no env file of the platform sets it.",
        "It is left out of the container's environment.",
        "Write a value; an empty one is `NAME: \"\"`.",
    ),
    lint(
        "version-ignored",
        "`version:` at the top of the file.",
        "Compose itself ignores it nowadays.",
        "Remove it.",
    ),
];

/// The names of all lints.
pub(super) static NAMES: [&str; LINTS.len()] = names();

const fn names() -> [&'static str; LINTS.len()] {
    let mut names = [""; LINTS.len()];
    let mut at = 0;
    while at < LINTS.len() {
        names[at] = LINTS[at].name;
        at += 1;
    }
    names
}
