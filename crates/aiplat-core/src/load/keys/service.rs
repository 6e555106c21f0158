//! Keys of a service.

use super::{
    COMMAND, DEPENDENCY,
    Grammar::{
        self, Duration, Either, Flag, Integer, List, Named, Nothing, Number, OneOf, Scalar, Size, Text,
    },
    LIST_OR_MAP, STRINGS, Shape, ignored, key, later, later_but, refused,
};

const WINDOWS: &str = "it is for Windows containers";
const SWARM: &str = "it means something to Swarm only";

pub(in crate::load) static SERVICE: Shape = Shape {
    name: "a service",
    keys: &[
        key("image", "The image, as in `postgres:16-alpine`.", Text),
        key(
            "command",
            "Instead of the image's command; a text is split into words, without a shell.",
            COMMAND,
        ),
        key(
            "entrypoint",
            "Instead of the image's entrypoint; a text is split into words, without a shell.",
            COMMAND,
        ),
        key("environment", "Environment variables.", LIST_OR_MAP),
        key(
            "env_file",
            "Files with environment variables, relative to this file.",
            Either(&[Text, List(&Either(&[Text, Grammar::Shape(&ENV_FILE)]))]),
        ),
        key(
            "ports",
            "Published ports, as in `8080:80`. Without an address they are published on 127.0.0.1.",
            List(&Either(&[Scalar, Grammar::Shape(&PORT)])),
        ),
        key(
            "volumes",
            "Volumes and host folders, as in `data:/var/lib/data:ro`.",
            List(&Either(&[Text, Grammar::Shape(&VOLUME_MOUNT)])),
        ),
        key(
            "networks",
            "Networks it is on; `default` if absent.",
            Either(&[STRINGS, Named(&Either(&[Nothing, Grammar::Shape(&ATTACHMENT)]))]),
        ),
        key(
            "depends_on",
            "Services that come first.",
            Either(&[STRINGS, Named(&Grammar::Shape(&DEPENDENCY))]),
        ),
        key("healthcheck", "How it is found out whether the service is ready.", Grammar::Shape(&HEALTHCHECK)),
        key(
            "restart",
            "What follows the end of its process; carried out by aiplatd. Absent: exit 0 is Completed, any other end is healed.",
            Either(&[OneOf(&["no", "always", "unless-stopped", "on-failure"]), Text, Flag]),
        ),
        key("user", "User, or `user:group`, by name or number.", Scalar),
        key("labels", "Labels of the container.", LIST_OR_MAP),
        key("stop_signal", "The signal that asks it to stop, as in `SIGINT`.", Scalar),
        key("stop_grace_period", "How long a stop waits before the kill. Default 10s.", Duration),
        key(
            "pull_policy",
            "When the image is pulled.",
            OneOf(&["always", "missing", "if_not_present", "never"]),
        ),
        key("container_name", "The container's name, instead of `<platform>-<service>`.", Text),
        key("deploy", "Limits.", Grammar::Shape(&DEPLOY)),
        key("profiles", "The service is left out unless one of these profiles is active.", STRINGS),
        key(
            "allow_host_access",
            "Paths of the host that this service may mount although they give power over the host.",
            STRINGS,
        ),
        later_but("extends", "write the service out, or share parts with `&anchor` and `<<: *anchor`"),
        refused(
            "build",
            "aiplatd runs images and builds none",
            "build it with `docker build -t NAME .` and write `image: NAME`",
        ),
        refused(
            "develop",
            "a development loop has no place in a daemon",
            "use `docker compose watch` while you develop",
        ),
        refused("scale", "a service is one container", "write one service for each copy"),
        refused(
            "links",
            "services on one network reach each other by name already",
            "remove it; for a second name write `networks: {default: {aliases: [NAME]}}`",
        ),
        refused(
            "external_links",
            "containers reach each other through networks",
            "put both on one network: declare it under `networks:` with `external: true`",
        ),
        refused(
            "volumes_from",
            "it hides what is shared",
            "name the volume under `volumes:` of both services",
        ),
        refused("credential_spec", WINDOWS, "remove it"),
        refused("isolation", WINDOWS, "remove it"),
        refused("cpu_count", WINDOWS, "write `deploy: {resources: {limits: {cpus: \"2\"}}}`"),
        refused("cpu_percent", WINDOWS, "write `deploy: {resources: {limits: {cpus: \"0.5\"}}}`"),
        refused(
            "use_api_socket",
            "it hands over the engine, and with it the host, in one word",
            "mount the socket with `volumes:` and name it in `allow_host_access:`",
        ),
        refused(
            "post_start",
            "a command at a moment that cannot be repeated has no place in a reconciler",
            "do it in the entrypoint, or in a service of its own with `condition: service_completed_successfully`",
        ),
        refused(
            "pre_stop",
            "a command at a moment that cannot be repeated has no place in a reconciler",
            "handle the stop signal in the service; `stop_signal` and `stop_grace_period` are there",
        ),
        later_but("mem_limit", "write `deploy: {resources: {limits: {memory: 1g}}}`"),
        later_but("cpus", "write `deploy: {resources: {limits: {cpus: \"1.5\"}}}`"),
        later_but("pids_limit", "write `deploy: {resources: {limits: {pids: 100}}}`"),
        later_but("tmpfs", "write `volumes: [{type: tmpfs, target: /tmp}]`"),
        later_but("secrets", "mount a file, or set a variable in an env file"),
        later_but("configs", "mount a file with `volumes:`"),
        later_but("expose", "remove it: services on one network reach every port of each other"),
        later_but("label_file", "write the labels under `labels:`"),
        later("annotations"),
        later("attach"),
        later("blkio_config"),
        later("cap_add"),
        later("cap_drop"),
        later("cgroup"),
        later("cgroup_parent"),
        later("cpu_shares"),
        later("cpu_quota"),
        later("cpu_period"),
        later("cpu_rt_period"),
        later("cpu_rt_runtime"),
        later("cpuset"),
        later("device_cgroup_rules"),
        later("devices"),
        later("dns"),
        later("dns_opt"),
        later("dns_search"),
        later("domainname"),
        later("extra_hosts"),
        later("gpus"),
        later("group_add"),
        later("hostname"),
        later("init"),
        later("ipc"),
        later("logging"),
        later("mac_address"),
        later("mem_reservation"),
        later("mem_swappiness"),
        later("memswap_limit"),
        later("models"),
        later("network_mode"),
        later("oom_kill_disable"),
        later("oom_score_adj"),
        later("pid"),
        later("platform"),
        later("privileged"),
        later("provider"),
        later("pull_refresh_after"),
        later("read_only"),
        later("runtime"),
        later("security_opt"),
        later("shm_size"),
        later("stdin_open"),
        later("storage_opt"),
        later("sysctls"),
        later("tty"),
        later("ulimits"),
        later("userns_mode"),
        later("uts"),
        later("working_dir"),
        // Ours, of later versions.
        later("management"),
        later("restart_owner"),
        later("lint"),
        later("backup"),
    ],
};

pub(in crate::load) static ENV_FILE: Shape = Shape {
    name: "an entry of `env_file`",
    keys: &[
        key("path", "The file, relative to this one.", Text),
        key("required", "`false`: it may be missing. Default true.", Flag),
        key("format", "`raw`: everything after `=` is the value, quotes and `$` included.", OneOf(&["raw"])),
    ],
};

pub(in crate::load) static PORT: Shape = Shape {
    name: "an entry of `ports`",
    keys: &[
        key("target", "The port inside the container.", Scalar),
        key("published", "The port of the host; absent: the engine chooses one.", Scalar),
        key("host_ip", "The address of the host; absent: 127.0.0.1.", Text),
        key("protocol", "`tcp` or `udp`.", OneOf(&["tcp", "udp"])),
        ignored("mode", SWARM),
        ignored("name", "it is a remark for readers"),
        ignored("app_protocol", "it is a remark for readers"),
    ],
};

pub(in crate::load) static VOLUME_MOUNT: Shape = Shape {
    name: "an entry of `volumes`",
    keys: &[
        key("type", "What is mounted.", OneOf(&["volume", "bind", "tmpfs"])),
        key(
            "source",
            "The volume's name, or the path of the host. Absent for `tmpfs` and for a volume that the engine names.",
            Text,
        ),
        key("target", "The path inside the container.", Text),
        key("read_only", "No writes from inside.", Flag),
        key("bind", "For `type: bind`.", Grammar::Shape(&BIND_OPTIONS)),
        key("volume", "For `type: volume`.", Grammar::Shape(&VOLUME_OPTIONS)),
        key("tmpfs", "For `type: tmpfs`.", Grammar::Shape(&TMPFS_OPTIONS)),
        later("image"),
        ignored("consistency", "only Docker Desktop knows it"),
    ],
};

pub(in crate::load) static BIND_OPTIONS: Shape = Shape {
    name: "`bind`",
    keys: &[
        key("create_host_path", "Make the folder when it is missing. Default true.", Flag),
        later("propagation"),
        later("recursive"),
        refused(
            "selinux",
            "relabelling changes files of the host for good",
            "label the path once, with `chcon` or `semanage fcontext`",
        ),
    ],
};

pub(in crate::load) static VOLUME_OPTIONS: Shape =
    Shape { name: "`volume`", keys: &[later("labels"), later("nocopy"), later("subpath")] };

pub(in crate::load) static TMPFS_OPTIONS: Shape =
    Shape { name: "`tmpfs`", keys: &[key("size", "The most it holds, as in `64m`.", Size), later("mode")] };

pub(in crate::load) static ATTACHMENT: Shape = Shape {
    name: "a network of a service",
    keys: &[
        key("aliases", "Further names of the service on this network.", STRINGS),
        key("ipv4_address", "A fixed address; the network needs a subnet of its own.", Text),
        key("ipv6_address", "A fixed address; the network needs a subnet of its own.", Text),
        later("driver_opts"),
        later("gw_priority"),
        later("interface_name"),
        later("link_local_ips"),
        later("mac_address"),
        later("priority"),
    ],
};

pub(in crate::load) static HEALTHCHECK: Shape = Shape {
    name: "`healthcheck`",
    keys: &[
        key(
            "test",
            "A command in the container: `[CMD, ...]` without a shell, `[CMD-SHELL, ...]` or a text with the container's.",
            Either(&[Text, STRINGS]),
        ),
        key("http", "An HTTP request to the container.", Grammar::Shape(&HTTP)),
        key("tcp", "A TCP connection to the container.", Grammar::Shape(&TCP)),
        key("interval", "Time between two probes of a steady service. Default 30s.", Duration),
        key("timeout", "A probe that takes longer has failed. Default 30s.", Duration),
        key("retries", "Failures in a row that make it unhealthy. Default 3.", Integer),
        key("start_period", "Failures this soon after the start do not count. Default 0s.", Duration),
        key(
            "start_interval",
            "Without effect: aiplatd probes a starting service from 5 ms on, less and less often.",
            Duration,
        ),
        key("disable", "No probe at all, not even the image's own.", Flag),
        // Ours, of later versions.
        later_but("redis", "write `tcp: {port: 6379}`, or a `test`"),
        later_but("postgres", "write `test: [CMD, pg_isready, -U, USER]`"),
        later_but("exec", "write `test: [CMD, ...]`"),
        later("readiness"),
        later("liveness"),
        later("startup"),
        later("via"),
        later("source"),
    ],
};

pub(in crate::load) static HTTP: Shape = Shape {
    name: "`http`",
    keys: &[
        key("port", "The port inside the container.", Scalar),
        key("path", "Path and query. Default `/`.", Text),
        key("method", "Default GET.", OneOf(&["GET", "HEAD", "POST", "PUT", "OPTIONS"])),
        key("host", "The `Host` header; absent: the address.", Text),
        key("headers", "Further headers.", Named(&Scalar)),
        key("status", "Accepted codes, as in `200` or `200-299`. Default 200-399.", Scalar),
        key("scheme", "Only `http`.", OneOf(&["http"])),
        later("body"),
    ],
};

pub(in crate::load) static TCP: Shape =
    Shape { name: "`tcp`", keys: &[key("port", "The port inside the container.", Scalar)] };

pub(in crate::load) static DEPLOY: Shape = Shape {
    name: "`deploy`",
    keys: &[
        key("resources", "Limits.", Grammar::Shape(&RESOURCES)),
        key("replicas", "Only 1: a service is one container.", Integer),
        later_but("restart_policy", "write `reconcile: {restart_policy: {...}}` for the whole platform"),
        key("update_config", "What follows an edit that does not become ready.", Grammar::Shape(&UPDATE)),
        ignored("mode", SWARM),
        ignored("placement", SWARM),
        ignored("endpoint_mode", SWARM),
        ignored("labels", SWARM),
        ignored("rollback_config", SWARM),
    ],
};

pub(in crate::load) static UPDATE: Shape = Shape {
    name: "`update_config`",
    keys: &[
        key(
            "failure_action",
            "`rollback`: what served before is brought back; the default for a service that writes to no volume. `pause`: \
             the new one is left as it is.",
            OneOf(&["rollback", "pause", "continue"]),
        ),
        key(
            "monitor",
            "How long an edit has to run before what it replaced is removed. Default 5s.",
            Duration,
        ),
        later("order"),
        ignored("parallelism", SWARM),
        ignored("delay", SWARM),
        ignored("max_failure_ratio", SWARM),
    ],
};

pub(in crate::load) static RESOURCES: Shape = Shape {
    name: "`resources`",
    keys: &[key("limits", "The most it may use.", Grammar::Shape(&LIMITS)), later("reservations")],
};

pub(in crate::load) static LIMITS: Shape = Shape {
    name: "`limits`",
    keys: &[
        key("cpus", "CPUs, as in `0.5` or `2`.", Number),
        key("memory", "Memory, as in `512m` or `1g`.", Size),
        key("pids", "Processes.", Integer),
    ],
};
