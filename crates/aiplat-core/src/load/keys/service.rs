//! Keys of a service.

use super::{
    COMMAND, CONFIG_GRANT, DEPENDENCY,
    Grammar::{
        self, Duration, Either, Flag, Integer, List, Named, Nothing, Number, OneOf, Scalar, Size, Text,
    },
    HEALTHCHECK, LINT, LIST_OR_MAP, STRING_OR_STRINGS, STRINGS, Shape, ignored, key, later, later_but,
    options::{BLKIO, DEVICE, GPU, LOGGING, MICROSECONDS, RESERVATIONS, ULIMIT},
    refused,
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
        key("deploy", "Resources, and what follows an edit.", Grammar::Shape(&DEPLOY)),
        key("profiles", "The service is left out unless one of these profiles is active.", STRINGS),
        key(
            "allow_host_access",
            "What gives this service power over the host, and is meant: paths that it mounts, device files, `privileged`, `cap:NAME`, `host-network`, `host-pid`, `host-ipc`, `host-uts`, `host-userns`, `host-cgroup`, `device-rules`, `unconfined`.",
            STRINGS,
        ),
        key("lint", "Warnings about this service that are meant so.", Grammar::Shape(&LINT)),
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
        key("working_dir", "The folder in which the process starts.", Text),
        key("init", "A small init as process 1, which passes signals on and reaps.", Flag),
        key("tty", "A terminal.", Flag),
        key("stdin_open", "Standard input stays open.", Flag),
        key(
            "attach",
            "Without effect: aiplatd attaches to nothing; `aiplatctl logs -f` follows the log.",
            Flag,
        ),
        key(
            "ulimits",
            "Limits of the process, as in `nofile: 65536`.",
            Named(&Either(&[Integer, Grammar::Shape(&ULIMIT)])),
        ),
        key("oom_score_adj", "-1000 to 1000; more is killed sooner when memory is short.", Integer),
        key("oom_kill_disable", "The kernel does not kill it for memory.", Flag),
        key("shm_size", "The size of `/dev/shm`, as in `256m`.", Size),
        key("tmpfs", "Folders in memory, as in `/run` or `/tmp:size=64m,mode=1777`.", STRING_OR_STRINGS),
        key(
            "logging",
            "Where its output goes. Absent: the engine's default; of `json-file` and `local` three files of 10 MB.",
            Grammar::Shape(&LOGGING),
        ),
        key("annotations", "Notes for the OCI runtime.", LIST_OR_MAP),
        key("platform", "The platform of the image, as in `linux/arm64`; absent: the machine's.", Text),
        key("runtime", "The OCI runtime, as in `nvidia`, under the name that the engine knows it by.", Text),
        key("storage_opt", "Options of the storage driver, as in `size: 10G`.", Named(&Scalar)),
        key("label_file", "Files with labels, relative to this file; `labels` win.", STRING_OR_STRINGS),
        key("privileged", "All power over the host; needs `allow_host_access: [privileged]`.", Flag),
        key("read_only", "No writes to its own file system; volumes and `tmpfs` stay writable.", Flag),
        key("cap_add", "Capabilities beyond the engine's default, as in `NET_ADMIN`.", STRINGS),
        key("cap_drop", "Capabilities to take away; `ALL` for all.", STRINGS),
        key(
            "security_opt",
            "As in `no-new-privileges:true` or `seccomp:profile.json`, relative to this file.",
            STRINGS,
        ),
        key(
            "sysctls",
            "Settings of the kernel in its namespaces, as in `net.core.somaxconn: 1024`.",
            LIST_OR_MAP,
        ),
        key("group_add", "Further groups of its process, by name or number.", STRINGS),
        key("pid", "Whose processes it sees: `host`, `service:NAME` or `container:NAME`.", Text),
        key(
            "ipc",
            "Whose shared memory it sees: `private`, `shareable`, `none`, `host`, `service:NAME` or `container:NAME`.",
            Text,
        ),
        key("uts", "Whose host name it has: `host`.", OneOf(&["host"])),
        key("userns_mode", "Whose users it has: `host`.", OneOf(&["host"])),
        key("cgroup", "Whose control groups it sees: `private` or `host`.", OneOf(&["host", "private"])),
        key("cgroup_parent", "The control group in which its own is made.", Text),
        key("device_cgroup_rules", "Rules for devices, as in `c 189:* rmw`.", STRINGS),
        key(
            "network_mode",
            "Instead of `networks`: `none`, `bridge`, `host`, `service:NAME` or `container:NAME`.",
            Text,
        ),
        key("hostname", "Its own name for itself.", Text),
        key("domainname", "Its NIS domain.", Text),
        key("dns", "Name servers.", STRING_OR_STRINGS),
        key("dns_search", "Domains in which short names are looked up.", STRING_OR_STRINGS),
        key("dns_opt", "Options of the resolver, as in `ndots:1`.", STRINGS),
        key(
            "extra_hosts",
            "Names and their addresses, as in `db.example: 10.0.0.5`; `host-gateway` is the host.",
            Either(&[STRINGS, Named(&STRING_OR_STRINGS)]),
        ),
        key("mac_address", "A fixed hardware address.", Text),
        key("expose", "Ports that it listens on; published by `ports` alone.", STRINGS),
        key(
            "devices",
            "Device files of the host, as in `/dev/ttyUSB0:/dev/ttyUSB0:rw`; most need `allow_host_access`.",
            List(&Either(&[Text, Grammar::Shape(&DEVICE)])),
        ),
        key(
            "gpus",
            "GPUs: `all`, or a list of requests.",
            Either(&[OneOf(&["all"]), List(&Grammar::Shape(&GPU))]),
        ),
        key("blkio_config", "Limits on block devices.", Grammar::Shape(&BLKIO)),
        key("mem_limit", "The same as `deploy.resources.limits.memory`.", Size),
        key("mem_reservation", "The same as `deploy.resources.reservations.memory`.", Size),
        key(
            "memswap_limit",
            "Memory and swap together; absent: twice the memory, -1: no limit to swap.",
            Either(&[Size, Integer]),
        ),
        key("mem_swappiness", "0 to 100: how soon its memory goes to swap.", Integer),
        key("cpus", "The same as `deploy.resources.limits.cpus`.", Number),
        key("cpu_shares", "Its weight when the CPUs are short; the default is 1024.", Integer),
        key("cpuset", "The CPUs it may run on, as in `0-2,4`.", Scalar),
        key("pids_limit", "The same as `deploy.resources.limits.pids`.", Integer),
        key(
            "cpu_period",
            "Microseconds in which `cpu_quota` is counted; `cpus` says both in one.",
            MICROSECONDS,
        ),
        key("cpu_quota", "Microseconds of CPU in each `cpu_period`.", Integer),
        key("cpu_rt_period", "Microseconds in which `cpu_rt_runtime` is counted.", MICROSECONDS),
        key("cpu_rt_runtime", "Microseconds of real-time scheduling in each `cpu_rt_period`.", MICROSECONDS),
        later_but("secrets", "mount a file, or set a variable in an env file"),
        key(
            "configs",
            "Configs of this file, each mounted read-only as one file: names, or `{source, target, mode, uid, gid}`.",
            List(&Either(&[Text, Grammar::Shape(&CONFIG_GRANT)])),
        ),
        later("models"),
        key(
            "provider",
            "Who runs it, when that is not the engine: a unit of systemd.",
            Grammar::Shape(&PROVIDER),
        ),
        later_but("pull_refresh_after", "pull by hand, with `docker pull`"),
        key(
            "management",
            "Of a unit: how far aiplatd's hands reach. `configure` (default): a drop-in, starts and restarts; `observe`: nothing; `full`: unmasked and enabled as well.",
            OneOf(&["observe", "configure", "full"]),
        ),
        // Ours, of later versions.
        later("restart_owner"),
        later("backup"),
    ],
};

pub(in crate::load) static PROVIDER: Shape = Shape {
    name: "`provider`",
    keys: &[
        key("type", "`systemd`.", OneOf(&["systemd"])),
        key("options", "What the provider is told.", Grammar::Shape(&PROVIDER_OPTIONS)),
    ],
};

pub(in crate::load) static PROVIDER_OPTIONS: Shape = Shape {
    name: "`options`",
    keys: &[
        key(
            "unit",
            "The unit, as in `ollama.service`. With `command` it may be left out: then it is `aiplat-<service>.service`.",
            Text,
        ),
        key(
            "hardening",
            "What the unit that aiplatd writes for `command` may not do: `default` is a sandbox that ordinary programs do not notice, `none` is none.",
            OneOf(&["default", "none"]),
        ),
        key(
            "on_calendar",
            "`command` runs at these times, by a timer of systemd, as in `daily` or `Mon..Fri 03:00`.",
            Text,
        ),
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
        later_but("image", "put the files into an image of their own and copy them, or mount a volume"),
        ignored("consistency", "only Docker Desktop knows it"),
    ],
};

pub(in crate::load) static BIND_OPTIONS: Shape = Shape {
    name: "`bind`",
    keys: &[
        key("create_host_path", "Make the folder when it is missing. Default true.", Flag),
        key(
            "propagation",
            "Which mounts of the other side are seen. Default `rprivate`.",
            OneOf(&["private", "rprivate", "shared", "rshared", "slave", "rslave"]),
        ),
        key(
            "recursive",
            "Mounts below it: `enabled` (default), `disabled`, `writable` or `readonly`.",
            OneOf(&["enabled", "disabled", "writable", "readonly"]),
        ),
        refused(
            "selinux",
            "relabelling changes files of the host for good",
            "label the path once, with `chcon` or `semanage fcontext`",
        ),
    ],
};

pub(in crate::load) static VOLUME_OPTIONS: Shape = Shape {
    name: "`volume`",
    keys: &[
        key("labels", "Labels of a volume that the engine names.", LIST_OR_MAP),
        key("nocopy", "A new volume stays empty, whatever the image has at the target.", Flag),
        key("subpath", "Only this folder of the volume; it must exist.", Text),
    ],
};

pub(in crate::load) static TMPFS_OPTIONS: Shape = Shape {
    name: "`tmpfs`",
    keys: &[
        key("size", "The most it holds, as in `64m`.", Size),
        key("mode", "Its permissions, as in `1777`.", Scalar),
    ],
};

pub(in crate::load) static ATTACHMENT: Shape = Shape {
    name: "a network of a service",
    keys: &[
        key("aliases", "Further names of the service on this network.", STRINGS),
        key("ipv4_address", "A fixed address; the network needs a subnet of its own.", Text),
        key("ipv6_address", "A fixed address; the network needs a subnet of its own.", Text),
        key("driver_opts", "Options of the driver for this connection.", Named(&Scalar)),
        key("gw_priority", "The network with the highest is the way out.", Integer),
        key("interface_name", "The name of the interface in the container, as in `eth0`.", Text),
        key("link_local_ips", "Further addresses, of this link alone.", STRINGS),
        key("mac_address", "A fixed hardware address.", Text),
        key("priority", "The network with the highest is connected first.", Integer),
    ],
};

pub(in crate::load) static DEPLOY: Shape = Shape {
    name: "`deploy`",
    keys: &[
        key("resources", "Limits, reservations and devices.", Grammar::Shape(&RESOURCES)),
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
        key(
            "order",
            "`start-first`: the new one is ready before the old one ends, where no port, volume or address keeps both from \
             running at once. Default `stop-first`.",
            OneOf(&["stop-first", "start-first"]),
        ),
        ignored("parallelism", SWARM),
        ignored("delay", SWARM),
        ignored("max_failure_ratio", SWARM),
    ],
};

pub(in crate::load) static RESOURCES: Shape = Shape {
    name: "`resources`",
    keys: &[
        key("limits", "The most it may use.", Grammar::Shape(&LIMITS)),
        key("reservations", "What it keeps, and the devices it gets.", Grammar::Shape(&RESERVATIONS)),
    ],
};

pub(in crate::load) static LIMITS: Shape = Shape {
    name: "`limits`",
    keys: &[
        key("cpus", "CPUs, as in `0.5` or `2`.", Number),
        key("memory", "Memory, as in `512m` or `1g`.", Size),
        key("pids", "Processes.", Integer),
    ],
};
