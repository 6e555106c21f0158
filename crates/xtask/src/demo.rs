//! `cargo xtask demo`: a stack on a real engine, broken and healed before your eyes.

mod boot;
mod build;
mod ctl;
mod daemon;
mod edits;
mod floor;
mod folder;
mod say;
mod scenes;
mod stage;
mod table;

use std::fs;
use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::docker::Docker;
use crate::engine;
use crate::foreign::{self, Foreign};
use crate::image;
use crate::options;
use crate::wait::seconds;
use build::Build;
use ctl::Ctl;
use daemon::Binaries;
use folder::Folder;
use scenes::Scene;
use stage::Stage;

const BYSTANDER: &str = "aiplat-demo-bystander";
const QUICKSTART: &str = "examples/quickstart/platform.yaml";

/// Plays the demo; what it made stays, for the visitor to play on.
pub fn run(root: &Path, options: &options::Demo) -> Result<()> {
    let quickstart = root.join(QUICKSTART);
    let file =
        fs::read_to_string(&quickstart).with_context(|| format!("cannot read {}", quickstart.display()))?;
    let compose = options.compose.as_deref().map(readable).transpose()?;
    let folder = Folder::of_user()?;
    if folder.path().exists() {
        println!("An earlier demo is still here, it goes first.");
        engine::ensure(engine::consent(options.yes))?;
        down()?;
    }
    folder.create()?;
    let mut stage = set_up(root, options, &folder, file)?;
    let services = edits::service_names(&stage.file).len();
    let floor = floor::measure(&stage.docker, services)?;
    println!("The engine alone creates and starts {services} containers in {}.", seconds(floor));
    let bystander = Foreign::start(&stage.docker, BYSTANDER)?;
    let played = play(&mut stage, floor, services);
    let untouched = bystander.check_untouched(&stage.docker);
    if let Err(error) = played {
        println!("\nEverything stays as it is, for you to look at; the log is {}.", folder.log().display());
        println!("To remove it all: cargo xtask demo --down");
        return Err(error);
    }
    untouched?;
    println!();
    say::say_plainly(&format!(
        "Somebody else's container, network and volume ({BYSTANDER}) were not touched: `docker inspect` is the same."
    ));
    if let Some(compose) = compose {
        show_diff(&stage.ctl, compose)?;
    }
    how_to_go_on(&stage);
    Ok(())
}

/// Removes the daemon, its containers, networks and volumes, the bystander and the work folder.
pub fn down() -> Result<()> {
    let folder = Folder::of_user()?;
    if !folder.path().exists() {
        println!("There is no demo of yours here ({} does not exist).", folder.path().display());
        return Ok(());
    }
    if daemon::stop_recorded(&folder)? {
        println!("stopped aiplatd");
    }
    let docker = Docker::from_environment()?;
    if docker.version().is_err() {
        bail!(
            "no engine answers at {}: start it, or nothing can be removed from it",
            docker.socket().display()
        );
    }
    floor::remove(&docker)?;
    foreign::remove(&docker, BYSTANDER)?;
    if let Ok(instance) = fs::read_to_string(folder.instance_file()) {
        let removed = foreign::remove_labelled(&docker, &stage::instance_filter(&instance))?;
        removed.iter().for_each(|name| println!("removed {name}"));
    }
    folder.remove()?;
    println!("The demo is gone; the image {} stays (docker rmi {0}:1 {0}:2).", image::REPOSITORY);
    Ok(())
}

/// Builds while the engine is looked after, then loads the image.
fn set_up(root: &Path, options: &options::Demo, folder: &Folder, file: String) -> Result<Stage> {
    println!("Building (dev profile); the log is {}/build.log.", folder.path().display());
    let build = Build::start(root, folder)?;
    let (docker, version) = engine::ensure(engine::consent(options.yes))?;
    println!("The engine: {version}.");
    let static_binary = build.finish(root)?;
    println!("The demo image: {}.", image::import(&docker, &static_binary)?);
    folder.save(&file)?;
    let binaries = Binaries::of(root);
    let ctl = Ctl::new(&binaries, folder);
    Ok(Stage { docker, binaries, folder: folder.clone(), ctl, daemon: None, file })
}

fn play(stage: &mut Stage, floor: Duration, services: usize) -> Result<()> {
    println!("\nStarting aiplatd with {}:", stage.folder.file().display());
    stage.start_daemon()?;
    let took = stage.converge(floor)?;
    say::say_plainly(&converged(&stage.file, services, took, floor));
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        return menu(stage);
    }
    scenes::ALL.into_iter().try_for_each(|scene| scene.play(stage))
}

/// The time, and what it is made of: the floor starts containers, but nobody is ready for that.
fn converged(file: &str, services: usize, took: Duration, floor: Duration) -> String {
    let (chain, own) = boot::longest_chain(file);
    format!(
        "All {services} services are ready after {}: the engine alone needs {} to start {services} containers, \
         and the longest chain of the services' own start-up ({}) takes {}.",
        seconds(took),
        seconds(floor),
        chain.join(", "),
        seconds(own)
    )
}

fn menu(stage: &mut Stage) -> Result<()> {
    loop {
        println!("\nBreak something:");
        for (index, scene) in scenes::ALL.into_iter().enumerate() {
            println!("  {}  {}", index + 1, scene.title());
        }
        print!("  a  all of it, one after the other\n  q  enough\n> ");
        std::io::stdout().flush()?;
        let mut typed = String::new();
        let read = std::io::stdin().lock().read_line(&mut typed)?;
        match typed.trim() {
            "q" => return Ok(()),
            // The end of the input is a way to say q.
            "" if read == 0 => return Ok(()),
            "a" => scenes::ALL.into_iter().try_for_each(|scene| scene.play(stage))?,
            number => match scenes::by_number(number) {
                Ok(scene) => Scene::play(scene, stage)?,
                Err(error) => println!("{error}"),
            },
        }
    }
}

fn readable(path: &Path) -> Result<&Path> {
    fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(path)
}

fn show_diff(ctl: &Ctl, compose: &Path) -> Result<()> {
    println!("\nYour own {}: what aiplatd would do with it (nothing is done):", compose.display());
    let answer = ctl.call(&["diff".as_ref(), "-f".as_ref(), compose.as_os_str()])?;
    println!("{}", answer.said());
    match answer.code {
        Some(0 | 1) => Ok(()),
        Some(2) => {
            println!("Once these are mended, `{}` shows the plan.", ctl.line("diff -f FILE"));
            Ok(())
        }
        Some(_) | None => bail!("aiplatctl diff failed"),
    }
}

fn how_to_go_on(stage: &Stage) {
    println!("\nThe stack runs on. To play on:");
    println!("  {}", stage.ctl.line("get services"));
    println!("  edit {} and save it", stage.folder.file().display());
    println!("To remove it all:\n  cargo xtask demo --down");
}
