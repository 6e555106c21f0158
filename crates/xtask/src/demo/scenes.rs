//! The scenes: break one thing, print why in one sentence, watch it heal, print the time.

use std::net::TcpListener;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use super::edits;
use super::say::say;
use super::stage::{DEADLINE, GLANCE, Healing, Stage, all_settled, restarted};
use crate::wait::{self, seconds};

/// One thing to break.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scene {
    /// `docker kill` of a container that others depend on.
    Kill,
    /// An edit that makes a service die at its start, and back.
    CrashLoop,
    /// Somebody else listens on the port that a service wants.
    TakePort,
    /// `kill -9` of aiplatd itself.
    KillDaemon,
    /// A file that was saved in half, and mended.
    BreakFile,
}

/// All scenes, in the order of the fixed script.
pub const ALL: [Scene; 5] =
    [Scene::Kill, Scene::CrashLoop, Scene::TakePort, Scene::KillDaemon, Scene::BreakFile];

impl Scene {
    /// What the menu and the headings call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Kill => "kill a container",
            Self::CrashLoop => "break a service by an edit of the file",
            Self::TakePort => "take a port that a service wants",
            Self::KillDaemon => "kill -9 aiplatd, and start it again",
            Self::BreakFile => "save half a file, and mend it",
        }
    }

    /// Plays it; the stack is whole again afterwards.
    pub fn play(self, stage: &mut Stage) -> Result<()> {
        println!("\n── {}", self.title());
        let played = match self {
            Self::Kill => kill(stage),
            Self::CrashLoop => crash_loop(stage),
            Self::TakePort => take_port(stage),
            Self::KillDaemon => kill_daemon(stage),
            Self::BreakFile => break_file(stage),
        };
        played.with_context(|| format!("the scene `{}` did not go as it should", self.title()))
    }
}

fn kill(stage: &mut Stage) -> Result<()> {
    let before = stage.runs()?;
    let victim = edits::restarting_dependency(&stage.file)
        .or_else(|| before.keys().next().cloned())
        .context("no service runs in a container")?;
    let id = before.get(&victim).with_context(|| format!("{victim} has no container"))?.id.clone();
    stage.docker.post(&format!("/containers/{id}/kill"), &Value::Null)?;
    say(&format!("docker kill {victim}"));
    let followers = edits::followers(&stage.file, &victim);
    let healing = stage.watch(&victim, |stage| {
        let now = stage.runs()?;
        let runs_anew =
            |name: &String| now.get(name).is_some_and(|run| run.running && before.get(name) != Some(run));
        Ok(runs_anew(&victim) && followers.iter().all(runs_anew))
    })?;
    say_why(stage, &victim, &healing)?;
    let followed = restarted(&before, &stage.runs()?);
    say(&format!(
        "all ready again after {}; started anew, in this order: {}",
        seconds(healing.took),
        followed.join(", ")
    ));
    Ok(())
}

fn crash_loop(stage: &mut Stage) -> Result<()> {
    let services = stage.services()?;
    let ready = services.iter().rev().filter(|row| row.status == "Ready");
    let line = "FATAL: no API key in the environment";
    let (victim, edited) = ready
        .filter_map(|row| Some((row.name.clone(), edits::with_crash(&stage.file, &row.name, line).ok()?)))
        .next()
        .context("no service of the file can be edited")?;
    stage.folder.save(&edited)?;
    say(&format!("saved: {victim} now dies at its start"));
    // A service that writes to a volume is left in its loop; any other one is soon what it was before, by itself.
    let word = wait::until(&format!("{victim} to fail"), DEADLINE, GLANCE, || {
        let row = stage.services()?.into_iter().find(|row| row.name == victim);
        let failed = row.filter(|row| {
            matches!(row.status.as_str(), "CrashLoop" | "Held") || row.message.contains("was taken back")
        });
        Ok(failed.map(|row| row.status))
    })?;
    say(&format!("{victim} is {word}"));
    say(&format!("why: {}", stage.ctl.why(&victim)?));
    mend(stage, &victim)
}

fn take_port(stage: &mut Stage) -> Result<()> {
    let services = stage.services()?;
    let (victim, port) = services
        .iter()
        .find_map(|row| Some((row.name.clone(), row.host_port()?)))
        .context("no service publishes a port")?;
    let thief = TcpListener::bind("127.0.0.1:0").context("cannot listen on a port")?;
    let taken = thief.local_addr()?.port();
    stage.folder.save(&edits::with_host_port(&stage.file, port, taken)?)?;
    say(&format!("saved: {victim} shall be published on port {taken}, where this program listens already"));
    wait::until(&format!("{victim} to be blocked"), DEADLINE, GLANCE, || {
        let row = stage.services()?.into_iter().find(|row| row.name == victim);
        Ok(row.filter(|row| !row.is_settled() && row.message.contains(&taken.to_string())))
    })?;
    say(&format!("why: {}", stage.ctl.why(&victim)?));
    drop(thief);
    let healing = stage.watch(&victim, Stage::agrees_with_the_file)?;
    say(&format!("the port is free; ready again after {}", seconds(healing.took)));
    mend(stage, &victim)
}

fn kill_daemon(stage: &mut Stage) -> Result<()> {
    let before = stage.runs()?;
    let daemon = stage.daemon.take().context("aiplatd is not running")?;
    say(&format!("kill -9 {}", daemon.pid()));
    daemon.kill()?;
    if stage.runs()? != before {
        bail!("a container changed when aiplatd died");
    }
    say(&format!("aiplatd is gone; all {} containers run on", before.len()));
    let begun = Instant::now();
    stage.start_daemon()?;
    wait::until("aiplatd to know the stack again", DEADLINE, GLANCE, || {
        // Until it listens it does not answer, which is no failure yet.
        let Ok(services) = stage.services() else { return stage.check_daemon().map(|()| None) };
        Ok((all_settled(&services) && stage.agrees_with_the_file()?).then_some(()))
    })?;
    let anew = restarted(&before, &stage.runs()?);
    if !anew.is_empty() {
        bail!("the new aiplatd restarted {}", anew.join(", "));
    }
    say(&format!(
        "started again: all known after {}, nothing restarted, nothing to do",
        seconds(begun.elapsed())
    ));
    Ok(())
}

fn break_file(stage: &mut Stage) -> Result<()> {
    let before = stage.runs()?;
    stage.folder.save(&edits::torn(&stage.file))?;
    say("saved: half of platform.yaml");
    let complaint = wait::until("aiplatd to notice", DEADLINE, GLANCE, || spec_complaint(stage))?;
    complaint.lines().for_each(|line| println!("   │ {line}"));
    let anew = restarted(&before, &stage.runs()?);
    if !anew.is_empty() || !all_settled(&stage.services()?) {
        bail!("a broken file must change nothing, but {} changed", anew.join(", "));
    }
    say("nothing was changed: the last good file stays in force");
    let begun = Instant::now();
    stage.folder.save(&stage.file)?;
    wait::until("aiplatd to accept the mended file", DEADLINE, GLANCE, || {
        Ok(spec_complaint(stage)?.is_none().then_some(()))
    })?;
    say(&format!("mended: accepted after {}", seconds(begun.elapsed())));
    Ok(())
}

/// What `status` says about the file while it is not valid.
fn spec_complaint(stage: &Stage) -> Result<Option<String>> {
    let said = stage.ctl.call(&["status"])?.said();
    Ok(said.contains("SpecValid").then_some(said))
}

/// Saves the file as it was, and waits until the host agrees with it.
fn mend(stage: &mut Stage, service: &str) -> Result<()> {
    stage.folder.save(&stage.file)?;
    let healing = stage.watch(service, Stage::agrees_with_the_file)?;
    say(&format!("the file as it was: {service} is ready after {}", seconds(healing.took)));
    Ok(())
}

/// The first sentence that was there while it was down; if it healed too fast to ask, what is said afterwards.
fn say_why(stage: &Stage, service: &str, healing: &Healing) -> Result<()> {
    match healing.whys.first() {
        Some(why) => say(&format!("why: {why}")),
        None => say(&format!("why, asked afterwards: {}", stage.ctl.why(service)?)),
    }
    Ok(())
}

/// The scene with this number in the menu.
pub fn by_number(typed: &str) -> Result<Scene> {
    let index: usize = typed.trim().parse().map_err(|_| anyhow!("`{}` is no number", typed.trim()))?;
    let scene = index.checked_sub(1).and_then(|index| ALL.get(index));
    scene.copied().ok_or_else(|| anyhow!("there is no scene {index}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_menu_counts_from_one() {
        assert_eq!(by_number("1\n").unwrap(), Scene::Kill);
        assert!(by_number("0").is_err() && by_number("6").is_err() && by_number("x").is_err());
    }
}
