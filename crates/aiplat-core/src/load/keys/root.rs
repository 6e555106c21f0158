//! Keys outside `services`.

use super::{
    Grammar::{self, Duration, Either, Flag, Integer, List, Named, Nothing, OneOf, Scalar, Size, Text},
    LIST_OR_MAP, SERVICE, STRING_OR_STRINGS, STRINGS, Shape, ignored, key, later, later_but, refused,
};

pub(in crate::load) static ROOT: Shape = Shape {
    name: "a platform",
    keys: &[
        key("apiVersion", "The version of this format: `aiplat/v1`.", OneOf(&["aiplat/v1"])),
        key(
            "name",
            "The platform's name: the prefix of the names of its containers, networks and volumes.",
            Text,
        ),
        key(
            "env_file",
            "Files with variables for `${VAR}` in this file, relative to it. Without it: `.env` beside it, if there is one.",
            STRING_OR_STRINGS,
        ),
        key(
            "active_profiles",
            "Profiles that are switched on; `*` for all. `COMPOSE_PROFILES` in an env file adds to them.",
            STRINGS,
        ),
        key("services", "What runs, by name.", Named(&Grammar::Shape(&SERVICE))),
        key(
            "networks",
            "Networks, by name. `default` is the one of services that name none.",
            Named(&Either(&[Nothing, Grammar::Shape(&NETWORK)])),
        ),
        key(
            "volumes",
            "Volumes, by name. They are never removed.",
            Named(&Either(&[Nothing, Grammar::Shape(&VOLUME)])),
        ),
        key(
            "gates",
            "Named conditions that hold when all of their members are ready: services, or `network/x`, `volume/x`, `container/x`.",
            Named(&STRINGS),
        ),
        key("reconcile", "How aiplatd goes about it.", Grammar::Shape(&RECONCILE)),
        ignored("version", "Compose itself ignores it"),
        key(
            "include",
            "Other files of this machine whose services, networks, volumes and gates belong to this platform. Their paths are relative to themselves.",
            List(&Either(&[Text, Grammar::Shape(&INCLUDE)])),
        ),
        later_but("secrets", "mount a file, or set a variable in an env file"),
        key(
            "configs",
            "Files that aiplatd writes on the host and mounts, read-only, into the services that name them.",
            Named(&Grammar::Shape(&CONFIG)),
        ),
        key(
            "models",
            "Models, by name, each on a service that speaks Ollama's API. They are pulled, and never removed by an edit.",
            Named(&Grammar::Shape(&MODEL)),
        ),
        // Ours, of later versions.
        key("host", "The machine itself.", Grammar::Shape(&HOST)),
        key(
            "tier",
            "The tier of this machine, whatever `host.tiers` would give: a profile of its name is active.",
            Text,
        ),
        key("lint", "Warnings that are meant so.", Grammar::Shape(&LINT)),
        later("tasks"),
        later("checks"),
        later("databases"),
        later("backups"),
        later("notify"),
        later("ingress"),
    ],
};

pub(in crate::load) static HOST: Shape = Shape {
    name: "`host`",
    keys: &[
        key("disk_pressure", "When a file system counts as short of room.", Grammar::Shape(&DISK_PRESSURE)),
        key(
            "tiers",
            "What a machine is strong enough for: the first rule that fits, and a profile of its name is active. Default: \
             `performance` (15000MiB of GPU memory, 30GiB), `standard` (5800MiB, 15GiB), `minimal`.",
            List(&Grammar::Shape(&TIER)),
        ),
        key("docker", "How the engine is set up, if aiplatd is to see to that.", Grammar::Shape(&DOCKER)),
        later("data_root"),
        later("domain"),
        later("tls"),
        later_but("default_host_ip", "write the address in `ports:`"),
    ],
};

pub(in crate::load) static DISK_PRESSURE: Shape = Shape {
    name: "`disk_pressure`",
    keys: &[
        key("warn", "Less free room than this is said, of bytes or of inodes. Default 10%.", Text),
        key("stop_pulls", "With less free room than this nothing is pulled. Default 5%.", Text),
    ],
};

pub(in crate::load) static DOCKER: Shape = Shape {
    name: "`docker`",
    keys: &[
        key(
            "manage",
            "Add to /etc/docker/daemon.json what it lacks: logs in three files of 10 MB, `live-restore`, networks out of \
             172.20.0.0/14. What is set otherwise there stays. The engine is never restarted for it. Default false.",
            Flag,
        ),
        key(
            "nvidia",
            "The runtime `nvidia` as well, where NVIDIA's container toolkit is installed. Default false.",
            Flag,
        ),
    ],
};

pub(in crate::load) static TIER: Shape = Shape {
    name: "an entry of `tiers`",
    keys: &[
        key("name", "The tier's name, and that of the profile.", Text),
        key("vram", "The least memory of the largest GPU, as in `8GiB`.", Size),
        key("ram", "The least memory of the machine, as in `16GiB`.", Size),
        key("cpus", "The fewest threads of its processors.", Integer),
    ],
};

pub(in crate::load) static INCLUDE: Shape = Shape {
    name: "an entry of `include`",
    keys: &[
        key(
            "path",
            "The file, relative to this one; of several, the later ones are laid over the first.",
            STRING_OR_STRINGS,
        ),
        key("project_directory", "What its paths are relative to. Default: its folder.", Text),
        key(
            "env_file",
            "Files with variables for it. Default: `.env` in its folder. Those of the platform go first.",
            STRING_OR_STRINGS,
        ),
    ],
};

pub(in crate::load) static LINT: Shape = Shape {
    name: "`lint`",
    keys: &[key(
        "allow",
        "Names of warnings that are not shown; `aiplatctl explain lints` lists them.",
        List(&OneOf(&crate::load::lint::NAMES)),
    )],
};

pub(in crate::load) static NETWORK: Shape = Shape {
    name: "a network",
    keys: &[
        key("name", "Its name in the engine, instead of `<platform>_<key>`.", Text),
        key(
            "external",
            "It exists already and is somebody else's: it is never made, changed or removed.",
            Flag,
        ),
        key("driver", "`bridge` if absent.", Text),
        key("driver_opts", "Options of the driver.", Named(&Scalar)),
        key("internal", "No way out of it.", Flag),
        key("enable_ipv6", "IPv6 addresses too.", Flag),
        key("attachable", "Standalone containers may attach; for overlay networks.", Flag),
        key("labels", "Labels.", LIST_OR_MAP),
        key("ipam", "Address pools.", Grammar::Shape(&IPAM)),
        key("enable_ipv4", "`false`: no IPv4 addresses.", Flag),
    ],
};

pub(in crate::load) static IPAM: Shape = Shape {
    name: "`ipam`",
    keys: &[
        key("driver", "`default` if absent.", Text),
        key("config", "The pools.", List(&Grammar::Shape(&IPAM_CONFIG))),
        key("options", "Options of that driver.", Named(&Scalar)),
    ],
};

pub(in crate::load) static IPAM_CONFIG: Shape = Shape {
    name: "an entry of `ipam.config`",
    keys: &[
        key("subnet", "The pool, as in `172.28.0.0/16`.", Text),
        key("gateway", "The address of the host in it.", Text),
        key("ip_range", "The part of the pool from which containers get addresses.", Text),
        key("aux_addresses", "Addresses in it that are somebody else's, by name.", Named(&Text)),
    ],
};

pub(in crate::load) static VOLUME: Shape = Shape {
    name: "a volume",
    keys: &[
        key("name", "Its name in the engine, instead of `<platform>_<key>`.", Text),
        key("external", "It exists already and is somebody else's: it is never made or changed.", Flag),
        key("driver", "`local` if absent.", Text),
        key("driver_opts", "Options of the driver.", Named(&Scalar)),
        key("labels", "Labels.", LIST_OR_MAP),
        // Ours, of later versions.
        later_but("host_path", "mount the path itself: `volumes: [\"/the/path:/target\"]`"),
        later("owner"),
        later("mode"),
        later("requires_mount"),
        later("access_mode"),
    ],
};

pub(in crate::load) static MODEL: Shape = Shape {
    name: "a model",
    keys: &[
        key(
            "model",
            "The model, as its server names it: `llama3.1:8b`, `hf.co/someone/model:Q4_K_M`. Without a tag it is `latest`.",
            Text,
        ),
        key("runner", "The service of this file that serves it.", Text),
        key("profiles", "It is pulled only where one of these is active; the tier is one.", STRINGS),
        later_but("context_size", "set `OLLAMA_CONTEXT_LENGTH` in the `environment` of its `runner`"),
        refused(
            "runtime_flags",
            "they are those of Docker's own Model Runner",
            "set what its `runner` reads in the `environment` of that service",
        ),
        ignored("name", "a model has the name of its entry"),
    ],
};

pub(in crate::load) static CONFIG: Shape = Shape {
    name: "a config",
    keys: &[
        key(
            "file",
            "The file that holds it, relative to this one. 500 KiB at most; an edit of it is an edit of the platform.",
            Text,
        ),
        key("content", "The text itself, with variables put in.", Text),
        key("environment", "The variable whose value it is, from the env file of the platform.", Text),
        key(
            "on_change",
            "What follows for the services that mount it when its content changes: `restart` (default), `recreate`, or `none`.",
            OneOf(&["restart", "recreate", "none"]),
        ),
        refused(
            "external",
            "it means a config that a Swarm keeps, and there is none",
            "write `file:` or `content:`",
        ),
        ignored("name", "it is the name under which a Swarm keeps a config"),
        ignored("labels", "only a config that a Swarm keeps has labels"),
        later_but("template_driver", "write what is to be in it, with `${VARIABLES}` in `content:`"),
    ],
};

pub(in crate::load) static CONFIG_GRANT: Shape = Shape {
    name: "an entry of `configs`",
    keys: &[
        key("source", "The config, by its name in this file.", Text),
        key("target", "Where it is in the container. Default: `/` and its name.", Text),
        key("mode", "Its permissions, in octal digits. Default: 0444.", Scalar),
        key("uid", "Its owner, by number. Default: root.", Scalar),
        key("gid", "Its group, by number. Default: root.", Scalar),
    ],
};

pub(in crate::load) static RECONCILE: Shape = Shape {
    name: "`reconcile`",
    keys: &[
        key(
            "mode",
            "`auto` converges; `observe` changes nothing and says what it would do.",
            OneOf(&["auto", "observe"]),
        ),
        key(
            "apply",
            "`on_save`: a saved file is in force; `on_command`: only `aiplatctl apply` puts it in force.",
            OneOf(&["on_save", "on_command"]),
        ),
        key(
            "resync",
            "How often everything is listed again, whatever the events said. Default 60s.",
            Duration,
        ),
        key("restart_policy", "How crashes are answered.", Grammar::Shape(&RESTART_POLICY)),
    ],
};

pub(in crate::load) static RESTART_POLICY: Shape = Shape {
    name: "`restart_policy`",
    keys: &[
        key(
            "delay",
            "The wait before the second restart in a row; the first is immediate. Default 1s.",
            Duration,
        ),
        key("max_delay", "The longest wait. Default 300s.", Duration),
        key("reset_after", "After running this long the count starts anew. Default 10m.", Duration),
        key("crash_loop", "So many restarts within `window` are a crash loop. Default 5.", Integer),
        key("window", "See `crash_loop`. Default 10m.", Duration),
        key(
            "on_exhausted",
            "After a crash loop: `retry` at `max_delay` for ever, or `hold`.",
            OneOf(&["retry", "hold"]),
        ),
    ],
};

pub(in crate::load) static DEPENDENCY: Shape = Shape {
    name: "an entry of `depends_on`",
    keys: &[
        key(
            "condition",
            "What must hold of the other service first.",
            OneOf(&["service_started", "service_healthy", "service_completed_successfully"]),
        ),
        key("required", "`false`: its failure does not keep this service from starting.", Flag),
        key("restart", "Restart this service when the other has been restarted, for whatever reason.", Flag),
    ],
};
