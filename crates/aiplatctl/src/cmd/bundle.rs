//! `bundle`: what somebody who helps needs to see, in one archive, without secrets. Works without the daemon, with what there is.

mod redact;

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use aiplat_api::{
    client::{Client, LogQuery},
    v1::{Event, ServiceStatus, StatusDoc},
};
use aiplat_core::spec::Platform;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use self::redact::Secrets;
use super::{config, doctor};
use crate::{
    archive,
    args::Globals,
    console,
    engine::{self, Engine},
    exit::{Code, Failure, Outcome},
    offline::{self, Rules},
    render::{style, text},
    source,
};

/// Lines of each log.
const LINES: u64 = 200;

/// What goes into the archive, and what does not.
#[derive(Default)]
struct Bundle {
    files: Vec<(String, String)>,
    left_out: Vec<String>,
}

impl Bundle {
    fn text(&mut self, path: &str, text: String) {
        self.files.push((path.to_owned(), text));
    }

    fn json(&mut self, path: &str, value: &Value) {
        let text = serde_json::to_string_pretty(value).unwrap_or_default();
        self.text(path, format!("{text}\n"));
    }

    fn leave_out(&mut self, what: &str, why: impl std::fmt::Display) {
        self.left_out.push(format!("{what}: {why}"));
    }
}

pub(super) async fn run(globals: &Globals, output: Option<&PathBuf>) -> Outcome {
    let now = Timestamp::now();
    let stamp = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let path = output.cloned().unwrap_or_else(|| format!("aiplatd-bundle-{stamp}.tar.gz").into());
    // Before anything is gathered: what is there already is somebody's.
    let mut file = create(&path)?;
    let bundle = gather(globals, now).await;
    let files: Vec<(String, String)> = bundle
        .files
        .iter()
        .map(|(name, text)| (format!("aiplatd-bundle-{stamp}/{name}"), text.clone()))
        .collect();
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let mut bytes = Vec::new();
    let written = archive::write(&mut bytes, &files, seconds).and_then(|()| file.write_all(&bytes));
    if let Err(error) = written.and_then(|()| file.sync_all()) {
        // Half an archive helps nobody; it was made a moment ago, and is ours.
        drop(fs::remove_file(&path));
        return Err(Failure::failed(format!("cannot write {}: {error}", path.display())));
    }
    console::print(&report(&path, &bundle, bytes.len() as u64))?;
    Ok(Code::Done)
}

/// A new file that only its owner may read.
fn create(path: &Path) -> Result<fs::File, Failure> {
    let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.map_err(|error| {
        let failure = Failure::failed(format!("cannot make {}: {error}", path.display()));
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            failure.tip("nothing is written over: name another file with --output")
        } else {
            failure.tip("name a file in a folder that you may write to with --output")
        }
    })
}

fn report(path: &Path, bundle: &Bundle, size: u64) -> String {
    let mut out =
        format!("Written to {} ({}), which only you may read:\n", path.display(), text::bytes(size));
    for (name, text) in &bundle.files {
        out.push_str(&format!("  {name} ({})\n", text::bytes(text.len() as u64)));
    }
    for what in &bundle.left_out {
        out.push_str(&format!("Left out: {}\n", text::clean(what)));
    }
    out.push_str(
        "Secrets are left out by name and by value. Look through it all the same before you hand it on.\n",
    );
    out
}

async fn gather(globals: &Globals, now: Timestamp) -> Bundle {
    let client = source::client(globals);
    let mut bundle = Bundle::default();
    let live = client.status().await;
    let doc = match live {
        Ok(doc) => Some(doc),
        Err(error) => {
            bundle.leave_out("the present state", &error);
            source::read(globals).await.ok().map(|seen| seen.doc)
        }
    };
    let config =
        doc.as_ref().map_or_else(|| globals.config.clone(), |doc| doc.platform.config.clone().into());
    let known = known(globals, &client, &config).await;
    match &known {
        Known::All { platform, secrets } => {
            match config::merged(platform) {
                Ok(text) => bundle.text("config.yaml", secrets.out_of(&text)),
                Err(error) => bundle.leave_out("config.yaml", error.message()),
            }
            of_daemon(&mut bundle, &client, doc.as_ref(), secrets).await;
            let examined = doctor::examine(globals).await.text;
            bundle.text("doctor.txt", secrets.out_of(&console::plain(&examined)));
        }
        Known::Nothing(why) => {
            let why = format!("{why}, so the values of its secrets are not known here");
            bundle.leave_out("config.yaml, status.json, events.json, doctor.txt and logs", why);
            if let Some(doc) = &doc {
                bundle.json("services.json", &outline(doc));
            }
        }
    }
    of_machine(&mut bundle, &client, &known).await;
    let readme = readme(&bundle, now);
    bundle.files.insert(0, ("README.txt".to_owned(), readme));
    bundle
}

/// What is known of the secrets of this platform.
enum Known {
    All {
        platform: Box<Platform>,
        secrets: Secrets,
    },
    /// Why nothing is.
    Nothing(String),
}

impl Known {
    fn out_of(&self, value: Value) -> Value {
        match self {
            Self::All { secrets, .. } => secrets.out_of_value(value),
            // By name alone.
            Self::Nothing(_) => Secrets::none().out_of_value(value),
        }
    }
}

/// The file on disk, and the one in force, which may be an earlier one: what runs was started with that.
async fn known(globals: &Globals, client: &Client, config: &Path) -> Known {
    let mut secrets = Secrets::none();
    let mut read = |edited: Option<String>| -> Result<Platform, String> {
        let offline = offline::read(globals, config, Rules::Daemon, edited)
            .map_err(|error| error.message().to_owned())?;
        // Those of services too that this machine's tier, or a profile, leaves out here and not in the daemon.
        offline.texts().for_each(|text| secrets.add_all_in(text));
        let tally = offline.tally();
        offline
            .loaded
            .platform
            .ok_or_else(|| if tally.is_empty() { "it holds no platform".to_owned() } else { tally })
    };
    let in_force = in_force(client).await.and_then(|text| read(Some(text)).ok());
    let on_disk = read(None);
    for platform in on_disk.as_ref().ok().into_iter().chain(&in_force) {
        secrets.add_all(platform);
    }
    match (on_disk, in_force) {
        (Ok(platform), _) | (Err(_), Some(platform)) => Known::All { platform: Box::new(platform), secrets },
        (Err(why), None) => Known::Nothing(format!("{} cannot be read ({why})", config.display())),
    }
}

/// Only root is told.
async fn in_force(client: &Client) -> Option<String> {
    let history = client.history().await.ok()?;
    let revision = history.iter().find(|it| it.in_force)?.revision;
    Some(client.revision(revision).await.ok()?.text)
}

async fn of_daemon(bundle: &mut Bundle, client: &Client, doc: Option<&StatusDoc>, secrets: &Secrets) {
    let Some(doc) = doc else { return };
    bundle.json("status.json", &secrets.out_of_value(value(doc)));
    let events: Vec<Event> = match client.events(0).await {
        Ok(events) => events,
        // Those that the state has.
        Err(_) => doc.events.clone(),
    };
    bundle.json("events.json", &secrets.out_of_value(value(&events)));
    for service in doc.services.iter().filter(|it| !style::is_well(it)) {
        log(bundle, client, service, secrets).await;
    }
}

/// The last lines of a service that is not well, and of its run before.
async fn log(bundle: &mut Bundle, client: &Client, service: &ServiceStatus, secrets: &Secrets) {
    for (previous, ending) in [(false, ""), (true, ".previous")] {
        let query = LogQuery { follow: false, tail: Some(LINES), since: None, previous };
        let path = format!("logs/{}{ending}.txt", service.name);
        match lines(client, &service.name, &query).await {
            // One that has run once has no run before.
            Ok(lines) if lines.is_empty() => {}
            Ok(lines) => bundle.text(&path, text::clean_lines(&secrets.out_of(&lines))),
            Err(_) if previous => {}
            Err(why) => bundle.leave_out(&path, why),
        }
    }
}

async fn lines(client: &Client, name: &str, query: &LogQuery) -> Result<String, String> {
    let mut stream = client.logs(name, query).await.map_err(|error| error.to_string())?;
    let mut lines = String::new();
    while let Some(record) = stream.next().await.map_err(|error| error.to_string())? {
        lines.push_str(&format!("{} {}\n", record.time, record.text));
    }
    Ok(lines)
}

async fn of_machine(bundle: &mut Bundle, client: &Client, known: &Known) {
    let daemon = client.version().await.ok();
    bundle.json("versions.json", &json!({"aiplatctl": env!("CARGO_PKG_VERSION"), "daemon": daemon}));
    match client.systemd().await {
        Ok(report) => bundle.json("systemd.json", &known.out_of(value(&report))),
        Err(error) => bundle.leave_out("systemd.json", error),
    }
    let engine = match engine::socket() {
        Ok(socket) => Engine::new(&socket).ask("/info").await.map_err(|failure| failure.message().to_owned()),
        Err(host) => Err(format!("DOCKER_HOST={host} is no Unix socket")),
    };
    match engine {
        Ok(info) => bundle.json("engine.json", &known.out_of(info)),
        Err(why) => bundle.leave_out("engine.json", why),
    }
}

/// Words of ours alone.
fn outline(doc: &StatusDoc) -> Value {
    let service = |it: &ServiceStatus| json!({"name": it.name, "type": it.kind, "status": it.status, "since": it.since, "restarts": it.restarts});
    doc.services.iter().map(service).collect()
}

fn value<T: Serialize>(it: &T) -> Value {
    serde_json::to_value(it).unwrap_or_default()
}

fn readme(bundle: &Bundle, now: Timestamp) -> String {
    let mut out = format!("Made by `aiplatctl bundle` {} at {now}.\n\n", env!("CARGO_PKG_VERSION"));
    for (name, _) in &bundle.files {
        let about = match name.as_str() {
            "config.yaml" => "the platform as it is understood, every file merged",
            "status.json" => "what aiplatd says of everything",
            "services.json" => "the services, in a word each",
            "events.json" => "what happened",
            "doctor.txt" => "what `aiplatctl doctor` says of the machine",
            "versions.json" => "who is of which version",
            "systemd.json" => "systemd's state, and the units that have failed",
            "engine.json" => "what the engine says of itself",
            _ => "the last lines of a service that is not well",
        };
        out.push_str(&format!("{name}: {about}\n"));
    }
    for what in &bundle.left_out {
        out.push_str(&format!("Left out: {what}\n"));
    }
    out.push_str(
        "\nSecrets are replaced by <redacted>: what has a name like PASSWORD, TOKEN or KEY in the file, passwords in addresses, and \
         these values wherever else they stand, if they have six characters or more. A secret that the file does not have, such as \
         one that a program makes itself, is not known to be one.\n",
    );
    out
}
