//! The command line.

mod values;

use std::{ffi::OsString, path::PathBuf, time::Duration};

use aiplat_api::v1::EventType;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

use crate::find::{KindWord, Target};
pub(crate) use values::{Since, Tail, Wanted};
use values::{duration, event_type, some_duration, tail};

/// Looks at an AI platform that aiplatd keeps, and changes it.
#[derive(Debug, Parser)]
#[command(
    name = "aiplatctl",
    version,
    about,
    after_help = "Exit codes: 0 done, 1 failed (diff: differs), 2 usage or invalid input, 3 not ready, 4 no such \
                  resource, 5 daemon not reachable.\n\n\
                  Start with `aiplatctl status`; `aiplatctl why NAME` says what is wrong with one service.",
    disable_help_subcommand = true
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Where things are.
#[derive(Debug, Clone, ClapArgs)]
#[command(next_help_heading = "Where things are")]
pub(crate) struct Globals {
    /// The daemon's socket
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "AIPLATD_SOCKET",
        default_value = "/run/aiplatd/aiplatd.sock",
        hide_env_values = true
    )]
    pub(crate) socket: PathBuf,
    /// The platform file
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "AIPLATD_CONFIG",
        default_value = "/etc/aiplatd/platform.yaml",
        hide_env_values = true
    )]
    pub(crate) config: PathBuf,
    /// The daemon's state folder, for what it last wrote when it is not reachable
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "AIPLATD_STATE_DIR",
        default_value = "/var/lib/aiplatd",
        hide_env_values = true
    )]
    pub(crate) state_dir: PathBuf,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List resources of a kind
    #[command(
        after_help = "Kinds: services (svc), containers (ctr), units, images (img), volumes (vol), networks (net), files (configs), models, gates, \
                      events (ev), endpoints (ep), host, gpus."
    )]
    Get(GetArgs),
    /// Everything about one service or resource
    Describe {
        /// A service, or KIND/NAME
        name: Target,
        /// How to print it
        #[arg(short, long, value_enum, default_value_t = DocFormat::Text)]
        output: DocFormat,
    },
    /// The platform on one screen; exit code 3 if it is not Ready
    Status {
        /// A service, or KIND/NAME
        name: Option<Target>,
        /// How to print it
        #[arg(short, long, value_enum, default_value_t = DocFormat::Text)]
        output: DocFormat,
    },
    /// The chain from a symptom to its cause
    Why {
        /// A service, or KIND/NAME; without it, every service that is not well
        name: Option<Target>,
        /// How to print it
        #[arg(short, long, value_enum, default_value_t = DocFormat::Text)]
        output: DocFormat,
    },
    /// What happened
    Events(EventsArgs),
    /// Wait until a condition holds; exit code 1 if it does not in time
    Wait(WaitArgs),
    /// Is it ready? Exit code 0 ready, 3 not, 4 no such name
    IsReady {
        /// A service, or KIND/NAME; without it, the platform
        name: Option<Target>,
    },
    /// Logs of services
    Logs(LogsArgs),
    /// What the daemon would do, and why; exit code 1 if there is something
    Diff {
        /// A file to plan instead of the one in force
        #[arg(short, long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// How to print it
        #[arg(short, long, value_enum, default_value_t = DocFormat::Text)]
        output: DocFormat,
    },
    /// Check a file, all of its problems at once; works without the daemon
    Validate {
        /// The file; without it, the platform file
        #[arg(short, long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// How to print it
        #[arg(short, long, value_enum, default_value_t = ReportFormat::Text)]
        output: ReportFormat,
    },
    /// The platform as it is understood: merged, every name final, secrets left out; works without the daemon
    Config {
        /// The file; without it, the platform file
        #[arg(short, long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// The values as they are written, each with the file and the line that set it
        #[arg(long)]
        origin: bool,
        /// How to print it
        #[arg(short, long, value_enum, default_value_t = DataFormat::Yaml)]
        output: DataFormat,
    },
    /// What a key of the file, a condition, a reason or a lint means; works without the daemon
    Explain {
        /// As in services.healthcheck, CrashLoop, floating-tag; without it, what there is
        topic: Option<String>,
    },
    /// The JSON schema of the platform file, for editors
    Schema,
    /// Put a file in force
    #[command(
        after_help = "With somebody at a terminal it shows the plan and asks; without one (a script, a pipe, cron), with \
                      --yes, and where the plan is empty, it does not ask. Removing more than half of the services is \
                      never done without --confirm."
    )]
    Apply(ApplyArgs),
    /// Change the platform file in an editor, see the plan, apply it
    Edit {
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        /// Removing more than half of the services, or renaming the platform, is meant
        #[arg(long)]
        confirm: bool,
    },
    /// The files that were in force; with REVISION, how the present one differs from it
    History {
        /// One of them
        #[arg(value_name = "REVISION")]
        revision: Option<u64>,
        /// How to print the list
        #[arg(short, long, value_enum, default_value_t = DocFormat::Text)]
        output: DocFormat,
    },
    /// Put an earlier file in force; what that does is printed first
    #[command(
        after_help = "It asks as `apply` does. What is on disk and not in force, broken or not, is kept beside the file as \
                      platform.yaml.refused-TIME."
    )]
    Rollback {
        /// Which, as in `history`; without it, the one before the present one, or, where the file on disk is not in
        /// force, the one that is
        #[arg(value_name = "REVISION")]
        revision: Option<u64>,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        /// Removing more than half of the services, or renaming the platform, is meant
        #[arg(long)]
        confirm: bool,
    },
    /// What is ours and no longer in the file: shows it, and removes the volumes that are named
    #[command(
        after_help = "Containers and networks that left the file aiplatd removes by itself; what is shown of them is what \
                      they wait for. A volume goes, with its data, only by name, and only root may say so.\n\n\
                      Images are the engine's: `docker image prune` removes those that nobody uses."
    )]
    Prune(PruneArgs),
    /// Start services that were stopped, and wait until they are Ready
    Start(OperateArgs),
    /// Stop services and keep them stopped, over restarts of the daemon and the machine too
    Stop(OperateArgs),
    /// Restart services, and wait until they are Ready again; what depends on them with `restart: true` follows
    Restart(OperateArgs),
    /// Forget failures, back-off and taken-back edits, try at once, and wait until what is tried is Ready
    ResetFailed(OperateArgs),
    /// Ask the registry whether tags mean other images now than what runs; changes no container
    Pull(ServicesArgs),
    /// Make services anew from what their tags mean now; an image that does not become Ready is taken back
    Update(UpdateArgs),
    /// Models of the file: pull them anew, or remove one that the file does not have
    #[command(subcommand)]
    Model(ModelCommand),
    /// Run a program in a service's container; its exit code is this command's
    #[command(
        after_help = "On a terminal the program gets it; otherwise its input, output and errors are this command's.\n\n\
                      It asks the engine itself: whoever may use the engine's socket may run programs, and is root."
    )]
    Exec(ExecArgs),
    /// Who depends on whom, and how each of them does
    Graph {
        /// How to print it
        #[arg(short, long, value_enum, default_value_t = GraphFormat::Text)]
        output: GraphFormat,
    },
    /// What running services use: CPU, memory, network, disk
    Top {
        /// Only these
        #[arg(value_name = "NAME")]
        names: Vec<Target>,
        /// Go on, and measure again and again
        #[arg(short, long)]
        watch: bool,
        /// How to print it
        #[arg(short, long, value_enum, default_value_t = DocFormat::Text, conflicts_with = "watch")]
        output: DocFormat,
    },
    /// Leave services alone: they run on, are looked at and spoken of, and nothing is done to them until `resume`
    Suspend(SuspendArgs),
    /// Take services back that were suspended or released
    Resume(ServicesArgs),
    /// Hand services back to the engine, which restarts them from now on (`unless-stopped`), and leave them alone
    Release(ServicesArgs),
    /// Check this machine; each problem comes with the command that cures it
    Doctor,
    /// An archive for somebody who helps: state, events, logs of what is not well, without secrets; works without the daemon
    #[command(
        after_help = "It holds the merged file, the daemon's state and events, doctor's output, versions, what the engine and \
                      systemd say of themselves, and the last 200 lines of each service that is not well. Secrets are left out \
                      by name and by value; run it as root, who may read the file that says which they are. Nothing is sent \
                      anywhere, and no file is written over."
    )]
    Bundle {
        /// Where to write it; without it, aiplatd-bundle-TIME.tar.gz in this folder
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// A script that completes commands in a shell
    #[command(
        after_help = "bash: aiplatctl completion bash > /usr/share/bash-completion/completions/aiplatctl\n\
                            zsh:  aiplatctl completion zsh > /usr/share/zsh/site-functions/_aiplatctl\n\
                            fish: aiplatctl completion fish > /usr/share/fish/vendor_completions.d/aiplatctl.fish"
    )]
    Completion {
        /// Which shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Versions of the command, the daemon, its API and the engine
    Version {
        /// How to print it
        #[arg(short, long, value_enum, default_value_t = DocFormat::Text)]
        output: DocFormat,
    },
    /// Words that other programs know; answered with ours.
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

/// `get`.
#[derive(Debug, ClapArgs)]
pub(crate) struct GetArgs {
    /// The kind, or KIND/NAME
    #[arg(value_name = "KIND")]
    pub(crate) kind: Option<KindWord>,
    /// Only these
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
    /// Go on, and show what changes
    #[arg(short, long)]
    pub(crate) watch: bool,
}

/// `events`.
#[derive(Debug, ClapArgs)]
pub(crate) struct EventsArgs {
    /// Go on, and show what happens
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// Only of this service or KIND/NAME
    #[arg(long = "for", value_name = "NAME")]
    pub(crate) about: Option<Target>,
    /// Only of this type
    #[arg(long = "type", value_name = "TYPE", value_parser = event_type)]
    pub(crate) kind: Option<EventType>,
    /// Only newer than this: 90s, 20m, 2h, 3d, or a moment like 2026-11-20T08:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<Since>,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
}

/// `start`, `stop`, `restart`, `reset-failed`.
#[derive(Debug, ClapArgs)]
pub(crate) struct OperateArgs {
    /// Services
    #[arg(value_name = "NAME", required_unless_present_any = ["all", "failed"], conflicts_with_all = ["all", "failed"])]
    pub(crate) names: Vec<Target>,
    /// Every service
    #[arg(long)]
    pub(crate) all: bool,
    /// Every service that is not well
    #[arg(long, conflicts_with = "all")]
    pub(crate) failed: bool,
    /// Give the order, and do not wait
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    pub(crate) timeout: Duration,
}

/// Services, or all of them.
#[derive(Debug, ClapArgs)]
pub(crate) struct ServicesArgs {
    /// Services
    #[arg(value_name = "NAME", required_unless_present = "all", conflicts_with = "all")]
    pub(crate) names: Vec<Target>,
    /// Every service
    #[arg(long)]
    pub(crate) all: bool,
}

/// `model`.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Pull models of the file, also those that are there: is there a newer one? What was interrupted goes on where it was
    Pull(ModelPullArgs),
    /// Remove models that the file does not ask for from their server, for good
    #[command(
        after_help = "One that the file asks for would be pulled again, and stays: take its entry out of the file first. An entry that \
                      leaves the file leaves its model where it is, until it is removed with this."
    )]
    Rm(ModelRemoveArgs),
}

/// `model pull`.
#[derive(Debug, ClapArgs)]
pub(crate) struct ModelPullArgs {
    /// Entries of `models:`, or the names of their models
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
    /// Give the order, and do not wait
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// How long to wait for each
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    pub(crate) timeout: Duration,
}

/// `model rm`.
#[derive(Debug, ClapArgs)]
pub(crate) struct ModelRemoveArgs {
    /// Models, as their server names them
    #[arg(value_name = "MODEL", required = true)]
    pub(crate) names: Vec<String>,
    /// The service from which they are removed; without it the only one that has them
    #[arg(long, value_name = "SERVICE")]
    pub(crate) runner: Option<String>,
    /// Change nothing; say whether it may be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// `prune`.
#[derive(Debug, ClapArgs)]
pub(crate) struct PruneArgs {
    /// Remove this volume and its data, by the engine's name for it
    #[arg(long = "volume", value_name = "NAME")]
    pub(crate) volumes: Vec<String>,
    /// Change nothing; say whether it may be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// `update`.
#[derive(Debug, ClapArgs)]
pub(crate) struct UpdateArgs {
    #[command(flatten)]
    pub(crate) services: ServicesArgs,
    /// Give the order, and do not wait
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// How long to wait for each to be Ready
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration)]
    pub(crate) timeout: Duration,
}

/// `exec`.
#[derive(Debug, ClapArgs)]
pub(crate) struct ExecArgs {
    /// The service
    #[arg(value_name = "NAME")]
    pub(crate) name: Target,
    /// The program and its arguments, behind `--`
    #[arg(value_name = "ARGV", required = true, last = true)]
    pub(crate) argv: Vec<String>,
    /// As this user of the container
    #[arg(short, long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// In this folder of the container
    #[arg(short, long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    /// With this in its environment
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<String>,
    /// The engine's socket
    #[arg(
        long,
        value_name = "PATH",
        env = "AIPLATD_DOCKER_SOCKET",
        default_value = "/var/run/docker.sock",
        hide_env_values = true
    )]
    pub(crate) docker_socket: PathBuf,
}

/// How `graph` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// A tree, for people
    Text,
    /// For Graphviz
    Dot,
    /// For Markdown
    Mermaid,
}

/// `suspend`.
#[derive(Debug, ClapArgs)]
pub(crate) struct SuspendArgs {
    #[command(flatten)]
    pub(crate) services: ServicesArgs,
    /// End it by itself after this long: 90s, 20m, 2h, 3d
    #[arg(long = "for", value_name = "DURATION", value_parser = some_duration)]
    pub(crate) lasts: Option<Duration>,
}

/// `wait`.
#[derive(Debug, ClapArgs)]
pub(crate) struct WaitArgs {
    /// Services, or KIND/NAME
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<Target>,
    /// What to wait for: condition=Ready, condition=Healthy, condition=Ready=False
    #[arg(long = "for", value_name = "CONDITION", default_value = "condition=Ready")]
    pub(crate) condition: Wanted,
    /// How long
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

/// `logs`.
#[derive(Debug, ClapArgs)]
pub(crate) struct LogsArgs {
    /// Services; without any, all
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Go on with what is written from now on
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Not older than this: 90s, 20m, 2h, 3d, or a moment like 2026-11-20T08:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<Since>,
    /// The last so many lines of each
    #[arg(short = 'n', long = "tail", value_name = "LINES", value_parser = tail)]
    pub(crate) tail: Option<Tail>,
    /// With the time of each line
    #[arg(short, long)]
    pub(crate) timestamps: bool,
    /// Only of services that are not well
    #[arg(long, conflicts_with = "names")]
    pub(crate) failed: bool,
    /// What was logged before the present run, also when its container is gone: the last 200 lines
    #[arg(short, long, conflicts_with_all = ["follow", "since"])]
    pub(crate) previous: bool,
}

/// `apply`.
#[derive(Debug, ClapArgs)]
pub(crate) struct ApplyArgs {
    /// The file; without it, the platform file as it is on disk
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Removing more than half of the services, or renaming the platform, is meant
    #[arg(long)]
    pub(crate) confirm: bool,
    /// Wait until all services are Ready and nothing of the edit is left to do
    #[arg(short, long)]
    pub(crate) wait: bool,
    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration, requires = "wait")]
    pub(crate) timeout: Duration,
}

/// How `get` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns that fit the terminal
    Table,
    /// All columns, as wide as they are
    Wide,
    /// The daemon's own words
    Json,
    /// The same as YAML
    Yaml,
    /// KIND/NAME, a line each
    Name,
    /// NAME=value, for a shell or an env file; of `get host` alone
    Env,
}

/// How a verb for people prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DocFormat {
    /// For people
    Text,
    /// For programs
    Json,
    /// The same as YAML
    Yaml,
}

/// How `validate` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// With snippets
    Text,
    /// FILE:LINE:COLUMN: MESSAGE, a line each
    Short,
    /// For programs
    Json,
}

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DataFormat {
    /// For programs
    Json,
    /// For people
    Yaml,
}

/// Shells with completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}
