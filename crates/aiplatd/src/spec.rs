//! The file: read, judged, and put in force or not. An invalid, empty, half-written, unreadable or missing file
//! changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aiplat_api::v1::{ApplyReply, DiffReply};
use aiplat_core::{
    ResourceId, Timestamp,
    condition::Reason,
    load::{self, Diagnostic, Facts, Files, Loaded},
    observed::{ContainerState, ObservedContainer},
    spec::{ApplyMode, HostSpec, Platform, Removals},
    tier::Tier,
};

use crate::{
    history, machine,
    ports::{Batch, SpecFiles},
    shared::Shared,
    state::State,
};

/// What is known of the file on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpecStatus {
    /// Why the file on disk is not in force; `None` when it is.
    pub refused: Option<Refusal>,
    /// Diagnostics of the file on disk, rendered without colour.
    pub report: String,
    /// Counts the accepted files.
    pub generation: u64,
    /// A hash of all that was last read, good or not: whether the file has been changed, or only touched.
    digest: u64,
    /// The files that were last put in force: a beginning of one of them may be a file that is being written.
    files: BTreeMap<PathBuf, Option<Vec<u8>>>,
}

impl SpecStatus {
    /// Whether this is the text that `root` had when it was last put in force.
    pub(crate) fn is_text(&self, root: &Path, text: &[u8]) -> bool {
        self.files.get(root).and_then(Option::as_deref) == Some(text)
    }
}

/// A file that was not put in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `SpecInvalid`, `SpecMissing` or `ConfirmationNeeded`.
    pub reason: Reason,
    /// The sentence.
    pub message: String,
}

/// Columns of a rendered report.
const REPORT_WIDTH: usize = 100;

/// A removal takes effect when the file has been unchanged for this long.
pub const REMOVAL_GRACE: Duration = Duration::from_secs(2);

/// How a file is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Intent {
    /// `aiplatctl apply`: also with `reconcile.apply: on_command`.
    pub commanded: bool,
    /// `--confirm`: removing more than half of the services, or renaming the platform, is meant.
    pub confirmed: bool,
    /// `--once`: removals need no grace, for nobody edits the file meanwhile.
    pub immediate: bool,
    /// `aiplatctl rollback`: the revision that it goes back to.
    pub back_to: Option<u64>,
}

/// Files that remember what was read of them, so that the last good spec can be kept whole.
struct Recording<'a> {
    files: &'a dyn Files,
    read: Mutex<BTreeMap<PathBuf, Option<Vec<u8>>>>,
}

impl Recording<'_> {
    fn read(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Option<Vec<u8>>>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files for Recording<'_> {
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, String> {
        let bytes = self.files.read(path)?;
        self.read().insert(path.to_owned(), bytes.clone());
        Ok(bytes)
    }

    fn list(&self, folder: &Path) -> Result<Option<Vec<PathBuf>>, String> {
        self.files.list(folder)
    }
}

/// Facts that a file is judged with.
#[must_use]
pub fn facts(shared: &Shared) -> Facts {
    Facts {
        instance: shared.instance.clone(),
        state_dir: shared.state_dir.clone(),
        home: None,
        capacity: machine::judged(shared).capacity,
        accept_compose: false,
    }
}

/// Reads the file and puts it in force if it is good, and if it is different from the one that is.
pub async fn reload(shared: &Shared, intent: Intent) {
    let (loaded, files) = read(shared);
    shared.source.watch(&loaded.read, &loaded.folders);
    let report = load::render(&loaded.diagnostics, &loaded.sources, false, REPORT_WIDTH);
    let missing = files.get(shared.source.root()).is_some_and(Option::is_none);
    let overlays_gone = overlays_gone(shared, &loaded.folders).filter(|_| !intent.commanded);
    let digest = digest(&files);
    let is_edited = std::mem::replace(&mut shared.lock().spec.digest, digest) != digest;
    let judged = match overlays_gone {
        Some(refusal) if !missing => Err(refusal),
        Some(_) | None => judge(shared, loaded, missing, intent),
    };
    match judged {
        Ok(platform) => accept(shared, platform, files, report, intent, is_edited).await,
        Err(refusal) => refuse(shared, refusal, report),
    }
}

fn read(shared: &Shared) -> (Loaded, BTreeMap<PathBuf, Option<Vec<u8>>>) {
    let recording = Recording { files: &*shared.source, read: Mutex::default() };
    let loaded = load::load(shared.source.root(), &recording, &facts(shared));
    (loaded, recording.read.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// A folder of overlays that is gone as a whole is more likely a mount that is not there than an edit; one overlay
/// less is an edit like any other.
fn overlays_gone(shared: &Shared, folders: &[PathBuf]) -> Option<Refusal> {
    let state = shared.lock();
    let held = |folder: &&PathBuf| {
        let mut overlays = state.spec.files.iter().filter(|(_, content)| content.is_some());
        overlays.any(|(path, _)| path.parent() == Some(folder.as_path()))
    };
    let mut gone = folders.iter().filter(held).filter(|folder| shared.source.list(folder) == Ok(None));
    gone.next().map(|folder| Refusal {
        reason: Reason::SpecMissing,
        message: format!(
            "{} does not exist any more, and it held overlays: what was last in force stays so; bring it back, or say \
             with `aiplatctl apply` that it is meant",
            folder.display()
        ),
    })
}

fn digest(files: &BTreeMap<PathBuf, Option<Vec<u8>>>) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    files.hash(&mut hasher);
    hasher.finish()
}

/// Whether the loaded file may be put in force.
fn judge(shared: &Shared, loaded: Loaded, missing: bool, intent: Intent) -> Result<Platform, Refusal> {
    let root = shared.source.root().display().to_string();
    if missing {
        let message = if shared.lock().desired.is_some() {
            format!("{root} does not exist; what it last said stays in force")
        } else {
            format!(
                "{root} does not exist, and nothing is done until it does: write one with `aiplatctl edit`"
            )
        };
        return Err(Refusal { reason: Reason::SpecMissing, message });
    }
    let Some(platform) = loaded.platform else {
        let errors: Vec<&Diagnostic> =
            loaded.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).collect();
        let kept = if shared.lock().desired.is_some() {
            "the last good file stays in force"
        } else {
            "no file is in force"
        };
        return Err(Refusal { reason: Reason::SpecInvalid, message: invalid(&errors, kept) });
    };
    let before = shared.lock().desired.clone();
    let Some(before) = before else { return Ok(platform) };
    if let Some(message) = needs_confirmation(&before, &platform).filter(|_| !intent.confirmed)
        && before.name != platform.name
    {
        return Err(Refusal { reason: Reason::ConfirmationNeeded, message });
    }
    if platform.settings.apply == ApplyMode::OnCommand && !intent.commanded && !intent.immediate {
        let message = "reconcile.apply is `on_command`: put it in force with `aiplatctl apply`".to_owned();
        return Err(Refusal { reason: Reason::ConfirmationNeeded, message });
    }
    Ok(platform)
}

fn invalid(errors: &[&Diagnostic], kept: &str) -> String {
    let first = errors.first().map(ToString::to_string).unwrap_or_default();
    let more = match errors.len() {
        0 | 1 => String::new(),
        many => format!(" (and {} more)", many - 1),
    };
    format!("{first}{more}; {kept}")
}

/// Why a change from one file to another needs a person's word, if it does.
#[must_use]
pub fn needs_confirmation(before: &Platform, after: &Platform) -> Option<String> {
    // What a package puts in place names a platform of nothing: there the first edit may well choose another name.
    let is_empty = before.containers.is_empty() && before.volumes.is_empty() && before.networks.is_empty();
    if before.name != after.name && !is_empty {
        return Some(format!(
            "the platform's name changes from `{}` to `{}`, which renames every container and leaves the volumes \
             behind: add `--confirm` to `aiplatctl apply` if this is meant",
            before.name, after.name
        ));
    }
    let all = before.services().count();
    let removed: Vec<&str> =
        before.services().map(|(id, _)| id).filter(|id| !after.wants(id)).map(ResourceId::key).collect();
    (removed.len() > 1 && removed.len() * 2 > all).then(|| {
        format!(
            "it removes {} of {} services ({}): add `--confirm` to `aiplatctl apply` if this is meant",
            removed.len(),
            all,
            removed.join(", ")
        )
    })
}

async fn accept(
    shared: &Shared,
    mut platform: Platform,
    files: BTreeMap<PathBuf, Option<Vec<u8>>>,
    report: String,
    intent: Intent,
    is_edited: bool,
) {
    let now = shared.now();
    let (ids, batch) = {
        let mut state = shared.lock();
        state.spec.report = report;
        let recovered = state.spec.refused.take().is_some();
        let before = state.desired.clone();
        platform.generation = state.spec.generation + 1;
        platform.removals = removals(before.as_deref(), &platform, now, intent);
        // A file that is only read again is no other generation, and starts no grace anew.
        let unchanged = before.as_deref().filter(|before| same(before, &platform) && !intent.confirmed);
        if let Some(before) = unchanged {
            platform.generation = state.spec.generation;
            let pending = match before.removals {
                Removals::From(at) => at > now,
                Removals::WhenFileIsGood => true,
                Removals::AwaitConfirmation => false,
            };
            if !(is_edited && pending) {
                platform.removals = before.removals;
            }
        }
        let unchanged = unchanged.is_some();
        if recovered || !unchanged {
            let text = format!(
                "{} is in force (generation {})",
                shared.source.root().display(),
                platform.generation
            );
            tracing::info!(event = "SpecAccepted", generation = platform.generation, "The file is in force.");
            state.events.note(shared.clock.wall_ms(), "SpecAccepted", "platform", text);
        }
        state.spec.generation = platform.generation;
        state.spec.files.clone_from(&files);
        let is_news = if unchanged {
            history::follow(&mut state, &files)
        } else {
            history::note(&mut state, &platform, shared.clock.wall_ms(), &files, intent.back_to);
            true
        };
        let mut ids = state.ids();
        state.accept(Arc::new(platform));
        ids.extend(state.ids());
        let last_good = (!unchanged).then(|| last_good(&state));
        let history = is_news.then(|| state.history.clone());
        (ids, Batch { last_good, history, ..Batch::default() })
    };
    shared.changed();
    shared.schedule(ids);
    // Acting does not wait for the disk: what was good is only needed by the next start.
    if batch.last_good.is_some() || batch.history.is_some() {
        shared.commit_batch(batch).await;
    }
}

/// The file in force, as the next start needs it.
pub(crate) fn last_good(state: &State) -> SpecFiles {
    let awaits_confirmation =
        state.desired.as_ref().is_some_and(|desired| desired.removals == Removals::AwaitConfirmation);
    SpecFiles { generation: state.spec.generation, awaits_confirmation, files: state.spec.files.clone() }
}

fn removals(before: Option<&Platform>, after: &Platform, now: Timestamp, intent: Intent) -> Removals {
    if intent.confirmed {
        return Removals::From(now);
    }
    let grace = if intent.immediate { now } else { now + REMOVAL_GRACE };
    let Some(before) = before else { return Removals::From(grace) };
    if needs_confirmation(before, after).is_some() {
        return Removals::AwaitConfirmation;
    }
    // What waited for a person's word goes on waiting for it, whatever else is edited meanwhile.
    let services =
        |platform: &Platform| -> Vec<ResourceId> { platform.services().map(|(id, _)| id.clone()).collect() };
    if before.removals == Removals::AwaitConfirmation && services(before) == services(after) {
        return Removals::AwaitConfirmation;
    }
    Removals::From(grace)
}

fn same(before: &Platform, after: &Platform) -> bool {
    // Why the machine has its tier is no part of what is asked for.
    let host = |platform: &Platform| HostSpec {
        tier: platform.host.tier.clone().map(|tier| Tier { because: String::new(), ..tier }),
        ..platform.host.clone()
    };
    let comparable = |platform: &Platform| Platform {
        host: host(platform),
        generation: 0,
        removals: Removals::From(Timestamp::ZERO),
        ..platform.clone()
    };
    comparable(before) == comparable(after)
}

fn refuse(shared: &Shared, refusal: Refusal, report: String) {
    let mut state = shared.lock();
    if state.spec.refused.as_ref() != Some(&refusal) {
        tracing::warn!(event = "SpecRefused", reason = %refusal.reason, "{}", refusal.message);
        let text = refusal.message.clone();
        state.events.warn(shared.clock.wall_ms(), &refusal.reason.to_string(), "platform", text);
    }
    state.spec.refused = Some(refusal);
    state.spec.report = report;
    postpone_removals(&mut state, shared.now());
    drop(state);
    shared.changed();
}

/// What the file in force would remove is kept while the file on disk is refused: both may be parts of one edit.
fn postpone_removals(state: &mut State, now: Timestamp) {
    let Some(desired) = state.desired.as_deref() else { return };
    if matches!(desired.removals, Removals::From(at) if at > now) {
        state.desired = Some(Arc::new(Platform { removals: Removals::WhenFileIsGood, ..desired.clone() }));
    }
}

/// At the start: the spec that was last good is in force until the file on disk is found good, so that a broken
/// file at boot takes nothing down.
pub fn resume(shared: &Shared, last_good: Option<&SpecFiles>) {
    let Some(files) = last_good else {
        shared.lock().without_memory = true;
        return;
    };
    let loaded = load::load(shared.source.root(), files, &facts(shared));
    let Some(mut platform) = loaded.platform else {
        tracing::warn!("The last good file is not good for this version; waiting for the file on disk.");
        return;
    };
    platform.generation = files.generation;
    platform.removals = if files.awaits_confirmation {
        Removals::AwaitConfirmation
    } else {
        Removals::From(shared.now() + REMOVAL_GRACE)
    };
    let mut state = shared.lock();
    state.spec.generation = files.generation;
    state.spec.files.clone_from(&files.files);
    state.accept(Arc::new(platform));
}

/// Follows the file for ever: every hint reads it again; the bytes decide.
pub async fn follow(shared: Arc<Shared>) {
    loop {
        shared.source.changed().await;
        // The beginning of what is in force may be valid, and still be half of a file that somebody is writing piece
        // by piece: it is judged like a removal, once it has been left alone.
        while is_cut_short(&shared) {
            tokio::select! {
                biased;
                // Cancel-safe: a notification that is not taken is kept for the next call.
                () = shared.source.changed() => {}
                () = tokio::time::sleep(REMOVAL_GRACE) => break,
            }
        }
        reload(&shared, Intent::default()).await;
    }
}

fn is_cut_short(shared: &Shared) -> bool {
    let in_force = shared.lock().spec.files.clone();
    in_force.iter().filter_map(|(path, content)| Some((path, content.as_ref()?))).any(|(path, content)| {
        let now = shared.source.read(path).ok().flatten();
        now.is_some_and(|now| now.len() < content.len() && content.starts_with(&now))
    })
}

/// What a file would do, without putting it in force; without `file`: what the one in force still needs.
///
/// # Errors
/// When there is no file in force, or the engine does not answer.
pub async fn diff(shared: &Shared, file: Option<(Option<Platform>, String)>) -> Result<DiffReply, String> {
    let before = shared.lock().desired.clone();
    let not_in_force = match &file {
        None => shared.lock().spec.refused.as_ref().map(|refusal| refusal.message.clone()),
        Some(_) => None,
    };
    let (mut desired, report) = match file {
        None => (before.as_deref().cloned().ok_or("no good file has been read yet")?, String::new()),
        Some((Some(platform), report)) => (platform, report),
        Some((None, report)) => return Ok(DiffReply { report, invalid: true, ..DiffReply::default() }),
    };
    let needs_confirmation = before.as_deref().and_then(|before| needs_confirmation(before, &desired));
    desired.removals = Removals::From(Timestamp::ZERO);
    desired.settings.mode = aiplat_core::spec::Mode::Auto;
    look_for_images(shared, &desired).await;
    let units = desired.units.values().flat_map(|spec| [spec.unit.as_str(), spec.main()]);
    let units: BTreeSet<String> = units.map(str::to_owned).collect();
    shared.look_for_units(units).await;
    shared.look_for_files(desired.files.values().map(|spec| spec.path.clone()).collect()).await;
    if let Err(error) = shared.look_for_engine_file(&desired).await {
        tracing::info!(error = %error, "The engine's own file could not be looked at.");
    }
    // A container of somebody else may have come a moment ago, and its event is still on its way.
    if let Err(error) = shared.relist().await {
        return Err(format!("the engine does not answer: {}", error.message));
    }
    // A listing that has overtaken a look does not show how one has ended, and that decides what follows.
    let unseen: Vec<ResourceId> = {
        let state = shared.lock();
        let is_unseen = |it: &ObservedContainer| it.state == ContainerState::Exited && it.detail.is_none();
        let owned = state.observed.owned.iter().filter(|(_, members)| members.iter().any(is_unseen));
        owned.map(|(id, _)| id.clone()).collect()
    };
    for id in unseen {
        if let Err(error) = shared.look(&id).await {
            tracing::info!(resource = %id, error = %error, "It could not be looked at for a comparison.");
        }
    }
    shared.look_for_folders(&desired).await;
    shared.look_for_ports(&desired).await;
    shared.look_for_sizes(&desired).await;
    let instances = shared.second_instances(&desired).await;
    let now = shared.now();
    let (mut observed, ledger) = {
        let state = shared.lock();
        if !state.observed.engine.listed {
            let why =
                state.observed.engine.away.clone().unwrap_or_else(|| "it has not been listed yet".to_owned());
            return Err(format!("the engine does not answer: {why}"));
        }
        (state.observed.clone(), state.ledger.clone())
    };
    observed.instances = instances;
    let preview = aiplat_core::preview::preview(&desired, &observed, &ledger, now);
    let mut without_action = before
        .as_deref()
        .map(|before| aiplat_core::preview::without_action(before, &desired))
        .unwrap_or_default();
    // One that is made anew is touched after all, and follows with that.
    without_action.retain(|(id, _)| !preview.makes(id));
    Ok(DiffReply { preview, report, invalid: false, needs_confirmation, not_in_force, without_action })
}

/// Judges a file that is not the daemon's own. A newcomer's Compose file is planned as it is; only what is put in
/// force must say `apiVersion`.
#[must_use]
pub fn examine(shared: &Shared, root: &Path, files: &dyn Files) -> (Option<Platform>, String) {
    let facts = Facts { accept_compose: true, ..facts(shared) };
    let loaded = load::load(root, files, &facts);
    let report = load::render(&loaded.diagnostics, &loaded.sources, false, REPORT_WIDTH);
    (loaded.platform, report)
}

/// Images of a file that is not in force have not been looked for; failures to look leave them unknown.
async fn look_for_images(shared: &Shared, desired: &Platform) {
    for id in desired.images.keys() {
        let known = shared.lock().observed.images.contains_key(id.key());
        if !known && let Err(error) = shared.look(id).await {
            tracing::info!(image = id.key(), error = %error, "It could not be looked for.");
        }
    }
}

/// Validates `content`, writes it to the daemon's path atomically, and puts it in force; `None`: the file as it is.
///
/// # Errors
/// When the file cannot be written.
pub async fn apply(shared: &Shared, content: Option<String>, confirm: bool) -> Result<ApplyReply, String> {
    let intent = Intent { commanded: true, confirmed: confirm, ..Intent::default() };
    match content {
        Some(content) => write(shared, &content, intent).await,
        None => {
            reload(shared, intent).await;
            Ok(outcome(shared))
        }
    }
}

/// Writes `content` in the file's place, if it is good, and puts it in force. Going back is for the case that what is on
/// disk is broken: that text may be an hour's work, and is kept beside the file.
pub(crate) async fn write(shared: &Shared, content: &str, intent: Intent) -> Result<ApplyReply, String> {
    if let Some(refused) = refused_content(shared, content, intent.confirmed) {
        return Ok(refused);
    }
    let kept = match intent.back_to {
        Some(_) => history::keep_edit(shared)?,
        None => None,
    };
    let root = shared.source.root().display();
    shared.source.replace(content.as_bytes()).map_err(|error| format!("cannot write {root}: {error}"))?;
    reload(shared, intent).await;
    Ok(ApplyReply { kept, ..outcome(shared) })
}

/// What has come of a file that was to be put in force.
fn outcome(shared: &Shared) -> ApplyReply {
    let state = shared.lock();
    let refused = state.spec.refused.clone();
    ApplyReply {
        generation: state.spec.generation,
        report: state.spec.report.clone(),
        invalid: refused.as_ref().is_some_and(|refusal| refusal.reason != Reason::ConfirmationNeeded),
        needs_confirmation: refused
            .filter(|refusal| refusal.reason == Reason::ConfirmationNeeded)
            .map(|refusal| refusal.message)
            .or_else(|| crate::status::held_removals(&state)),
        kept: None,
    }
}

/// Why `content` is not to be written, if it is not.
fn refused_content(shared: &Shared, content: &str, confirm: bool) -> Option<ApplyReply> {
    let root = shared.source.root();
    let edited = Edited { files: &*shared.source, root, content: content.as_bytes() };
    let loaded = load::load(root, &edited, &facts(shared));
    let report = load::render(&loaded.diagnostics, &loaded.sources, false, REPORT_WIDTH);
    let Some(platform) = loaded.platform else {
        return Some(ApplyReply { report, invalid: true, ..ApplyReply::default() });
    };
    let before = shared.lock().desired.clone();
    let question =
        before.as_deref().and_then(|before| needs_confirmation(before, &platform)).filter(|_| !confirm);
    question.map(|question| ApplyReply {
        report,
        needs_confirmation: Some(question),
        ..ApplyReply::default()
    })
}

/// The files on disk, with another content of the main one.
struct Edited<'a> {
    files: &'a dyn Files,
    root: &'a Path,
    content: &'a [u8],
}

impl Files for Edited<'_> {
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, String> {
        if path == self.root { Ok(Some(self.content.to_vec())) } else { self.files.read(path) }
    }

    fn list(&self, folder: &Path) -> Result<Option<Vec<PathBuf>>, String> {
        self.files.list(folder)
    }
}
