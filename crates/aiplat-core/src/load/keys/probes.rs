//! Keys of `healthcheck` and its probes.

use super::{
    Grammar::{self, Duration, Either, Flag, Integer, List, Named, OneOf, Scalar, Text},
    Key, STRINGS, Shape, key,
};

// What a probe may ask, and how often, is the same in `healthcheck` itself and in the probes inside it.
const ASK_TEST: Key = key(
    "test",
    "A command in the container: `[CMD, ...]` without a shell, `[CMD-SHELL, ...]` or a text with the container's.",
    Either(&[Text, STRINGS]),
);
const ASK_EXEC: Key =
    key("exec", "A command in the container, without a shell; exit 0 is success.", Grammar::Shape(&EXEC));
const ASK_HTTP: Key = key("http", "An HTTP request to the container.", Grammar::Shape(&HTTP));
const ASK_HTTPS: Key = key("https", "The same over TLS: `http` with `scheme: https`.", Grammar::Shape(&HTTP));
const ASK_TCP: Key = key("tcp", "A TCP connection to the container.", Grammar::Shape(&TCP));
const ASK_REDIS: Key =
    key("redis", "A PING, after the log-in if there is a password.", Grammar::Shape(&REDIS));
const ASK_POSTGRES: Key = key(
    "postgres",
    "The beginning of a session, with the log-in if there is a password.",
    Grammar::Shape(&POSTGRES),
);
const INTERVAL: Key = key("interval", "Time between two probes of a steady service. Default 30s.", Duration);
const TIMEOUT: Key = key("timeout", "A probe that takes longer has failed. Default 30s.", Duration);
const RETRIES: Key = key("retries", "Failures in a row that make it unhealthy. Default 3.", Integer);
const VIA: Key = key(
    "via",
    "From where it is asked: `address` from the host, `namespace` at 127.0.0.1 inside the container. Default `address`, and \
     `namespace` for a container that has none.",
    OneOf(&["address", "namespace"]),
);

pub(in crate::load) static HEALTHCHECK: Shape = Shape {
    name: "`healthcheck`",
    keys: &[
        ASK_TEST,
        ASK_EXEC,
        ASK_HTTP,
        ASK_HTTPS,
        ASK_TCP,
        ASK_REDIS,
        ASK_POSTGRES,
        INTERVAL,
        TIMEOUT,
        RETRIES,
        key("start_period", "Failures this soon after the start do not count. Default 0s.", Duration),
        key(
            "start_interval",
            "Without effect: aiplatd probes a starting service from 5 ms on, less and less often.",
            Duration,
        ),
        VIA,
        key("disable", "No probe at all, not even the image's own.", Flag),
        key(
            "source",
            "Who checks: `aiplatd`, or `engine`: the engine runs `test`, or the image's own check, and aiplatd follows it.",
            OneOf(&["aiplatd", "engine"]),
        ),
        key(
            "readiness",
            "Whether it can do its work, which dependants wait for; the same as a probe beside it.",
            Grammar::Shape(&PROBE),
        ),
        key(
            "liveness",
            "Whether it still answers: after `retries` failures in a row it is restarted, unless a dependency is down.",
            Grammar::Shape(&PROBE),
        ),
        key(
            "startup",
            "What must pass once, within `start_period` and `retries` intervals, before the other probes begin.",
            Grammar::Shape(&PROBE),
        ),
    ],
};

pub(in crate::load) static PROBE: Shape = Shape {
    name: "a probe",
    keys: &[
        ASK_TEST,
        ASK_EXEC,
        ASK_HTTP,
        ASK_HTTPS,
        ASK_TCP,
        ASK_REDIS,
        ASK_POSTGRES,
        INTERVAL,
        TIMEOUT,
        RETRIES,
        VIA,
    ],
};

pub(in crate::load) static HTTP: Shape = Shape {
    name: "`http`",
    keys: &[
        key("port", "The port at which it listens: inside the container, or on the host for a unit.", Scalar),
        key("path", "Path and query. Default `/`.", Text),
        key("method", "Default GET.", OneOf(&["GET", "HEAD", "POST", "PUT", "OPTIONS"])),
        key("host", "The `Host` header; absent: the address.", Text),
        key("headers", "Further headers.", Named(&Scalar)),
        key(
            "status",
            "Accepted codes: one, a range as in `200-299`, or a list of them. Default 200-399.",
            Either(&[Scalar, List(&Scalar)]),
        ),
        key("scheme", "`http` or `https`. Default `http`.", OneOf(&["http", "https"])),
        key("body", "A text that the answer must contain, in its first 64 KiB.", Scalar),
        key("tls", "Whose certificate is taken.", Grammar::Shape(&TLS)),
    ],
};

pub(in crate::load) static TLS: Shape = Shape {
    name: "`tls`",
    keys: &[
        key("verify", "Check the certificate; default: if there is a `ca`.", Flag),
        key("ca", "A PEM file with the authorities that are trusted, relative to this file.", Text),
    ],
};

pub(in crate::load) static TCP: Shape = Shape {
    name: "`tcp`",
    keys: &[key(
        "port",
        "The port at which it listens: inside the container, or on the host for a unit.",
        Scalar,
    )],
};

pub(in crate::load) static REDIS: Shape = Shape {
    name: "`redis`",
    keys: &[
        key(
            "port",
            "The port at which it listens: inside the container, or on the host for a unit. Default 6379.",
            Scalar,
        ),
        key("username", "Absent: the default user.", Scalar),
        key("password", "Absent: no log-in. Write it as a variable, as in `${REDIS_PASSWORD}`.", Scalar),
        key("tls", "Over TLS; `true`, or whose certificate is taken.", Either(&[Flag, Grammar::Shape(&TLS)])),
    ],
};

pub(in crate::load) static POSTGRES: Shape = Shape {
    name: "`postgres`",
    keys: &[
        key(
            "port",
            "The port at which it listens: inside the container, or on the host for a unit. Default 5432.",
            Scalar,
        ),
        key("user", "The user to log in as.", Scalar),
        key("database", "Absent: of the user's name.", Scalar),
        key(
            "password",
            "Absent: a server that asks for one is taken as ready. Write it as a variable, as in `${PG_PASSWORD}`.",
            Scalar,
        ),
    ],
};

pub(in crate::load) static EXEC: Shape =
    Shape { name: "`exec`", keys: &[key("command", "The program and its arguments, as a list.", STRINGS)] };
