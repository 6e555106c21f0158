//! Units that aiplatd writes itself: what a command line, a timer and the management of one may be.

use crate::{
    load::{
        diagnostic::{Problem, Sink},
        draft::{Health, ServiceDraft, UnitDraft},
        tree::Place,
    },
    spec::{Management, RestartMode},
};

/// The keys of a service that mean something for a unit of ours besides those of any unit.
pub(super) const KEYS: [&str; 5] = ["command", "user", "working_dir", "stop_signal", "stop_grace_period"];

pub(super) fn check(name: &str, service: &ServiceDraft, unit: &UnitDraft, sink: &mut Sink) {
    let Some(command) = &service.command else {
        without_program(name, service, unit, sink);
        return;
    };
    program(name, service, command, sink);
    if unit.management == Management::Observe {
        let message = format!("`{name}` is only observed: its unit is not aiplatd's to write");
        sink.add(
            Problem::error("not-for-a-unit", place(service, "command"), message)
                .help("remove `command`, or write `management: configure`"),
        );
    }
    if let RestartMode::OnFailure(Some(_)) = service.restart.value {
        let message = format!(
            "`restart` of `{name}` counts, and what restarts a unit is systemd, which counts its own way"
        );
        sink.add(
            Problem::error("not-for-a-unit", service.restart.place, message)
                .help("write `on-failure`: after five starts within ten seconds aiplatd takes over, with a wait that grows"),
        );
    }
    if unit.on_calendar.is_some() {
        timer(name, service, sink);
    }
}

/// What is said of a file that is not ours.
fn without_program(name: &str, service: &ServiceDraft, unit: &UnitDraft, sink: &mut Sink) {
    // It could not be read, which has been said.
    if service.places.contains_key("command") {
        return;
    }
    let options = [
        ("hardening", unit.hardening.as_ref().map(|it| it.place)),
        ("on_calendar", unit.on_calendar.as_ref().map(|it| it.place)),
    ];
    for (key, place) in options.into_iter().filter_map(|(key, place)| Some((key, place?))) {
        let message =
            format!("`{key}` goes into a unit that aiplatd writes, and `{name}` is somebody else's unit");
        sink.add(
            Problem::error("not-for-a-unit", place, message).help(
                "write what it runs as `command`, or set this in the unit's own file: `systemctl edit`",
            ),
        );
    }
}

fn program(name: &str, service: &ServiceDraft, command: &[String], sink: &mut Sink) {
    let refuse = |sink: &mut Sink, message: String, help: &str| {
        sink.add(Problem::error("bad-command", place(service, "command"), message).help(help.to_owned()));
    };
    match command.first() {
        None => refuse(
            sink,
            format!("the `command` of `{name}` is empty"),
            "write the program by its absolute path, as in `command: [/usr/local/bin/agent, --verbose]`",
        ),
        Some(program) if !program.starts_with('/') || program.ends_with('/') => refuse(
            sink,
            format!("the `command` of `{name}` begins with `{}`", program.escape_debug()),
            "begin with the program's absolute path, as in `/usr/local/bin/agent`: a unit has no shell and no `PATH` of yours",
        ),
        // systemd expands it in the name that the program is given, and not in the path by which it is found.
        Some(program) if program.contains('$') => refuse(
            sink,
            format!("the path of the program of `{name}` has a `$`, which systemd would expand"),
            "give the program another name",
        ),
        Some(_) => {}
    }
    if command.iter().any(|word| word.chars().any(|c| c.is_control() && c != '\t')) {
        refuse(
            sink,
            format!("the `command` of `{name}` has a line break or another control character in a word"),
            "a unit's file has one line for it: put what is longer into a file, and let the program read that",
        );
    }
    let folder = service.options.process.working_dir.as_deref().unwrap_or_default();
    if folder.chars().any(char::is_control) {
        let message = format!("the `working_dir` of `{name}` has a control character");
        sink.add(Problem::error("bad-value", place(service, "working_dir"), message));
    }
}

/// It runs at times: between them there is nothing to ask, and nothing to restart.
fn timer(name: &str, service: &ServiceDraft, sink: &mut Sink) {
    let asks = match service.health {
        Health::Unsaid | Health::Off(_) | Health::Broken => false,
        Health::Engine(..) | Health::Probes(_) => true,
    };
    if asks {
        let message = format!("`{name}` runs by its timer, and there is nothing to ask between its runs");
        sink.add(
            Problem::error("not-for-a-unit", place(service, "healthcheck"), message).help(
                "remove `healthcheck`: it is Ready while its timer waits and its last run has not failed",
            ),
        );
    }
    match service.restart.value {
        RestartMode::Default | RestartMode::No => {}
        RestartMode::Always | RestartMode::OnFailure(_) => {
            let message = format!("`{name}` runs by its timer, which starts it again at the next time");
            sink.add(
                Problem::error("not-for-a-unit", service.restart.place, message).help("remove `restart`"),
            );
        }
    }
}

fn place(service: &ServiceDraft, key: &str) -> Place {
    service.places.get(key).copied().unwrap_or(service.place)
}
