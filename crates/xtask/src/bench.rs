//! `cargo xtask bench`: how fast aiplatd is and what it costs, beside the engine's own floor and beside Compose.
//!
//! Figures of different runs are never compared: in each round everything is measured once, one after the other, and
//! only what was measured side by side makes a ratio. What disturbed a block is said, and no block is left out.

mod bed;
mod compose;
mod contest;
mod heal;
mod load;
mod numbers;
mod page;
mod resident;
mod shape;

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::{engine, image, options};
use bed::Bed;
use compose::Compose;
use page::Page;
use shape::Shape;

const PAGE: &str = "docs/measurements.md";

/// Measures everything and prints the page.
pub fn run(root: &Path, options: &options::Bench) -> Result<()> {
    let (docker, version) = engine::ensure(engine::consent(options.yes))?;
    eprintln!("The engine: {version}. Building, release profile.");
    let aiplatd = bed::release_build(root)?;
    eprintln!("The demo image: {}.", image::import(&docker, &image::build(root)?)?);
    let bed = Bed::new(docker, aiplatd, Compose::find(), options.quick)?;
    let mut page = Page::new(root, &version, &bed)?;
    measure(&bed, &mut page)?;
    let text = page.finish();
    if options.write {
        fs::write(root.join(PAGE), &text).with_context(|| format!("cannot write {PAGE}"))?;
        eprintln!("Written: {PAGE}");
    }
    println!("{text}");
    Ok(())
}

fn measure(bed: &Bed, page: &mut Page) -> Result<()> {
    let rounds = if bed.quick { 2 } else { 5 };
    let chain = Shape { services: 5, chained: true, probe_secs: Some(5), ready_after: 0 };
    for ready_after in [0, 200] {
        eprintln!("A chain of five, each ready after {ready_after} ms:");
        page.chain(ready_after, &contest::hold(bed, Shape { ready_after, ..chain }, rounds)?);
    }
    eprintln!("Fifteen, flat:");
    page.flat(&contest::hold(bed, Shape::flat(15), rounds)?);
    eprintln!("Deaths:");
    page.heal(&heal::measure(bed, if bed.quick { 5 } else { 20 })?);
    let watch = Duration::from_secs(if bed.quick { 20 } else { 60 });
    eprintln!("Quiet, for {} s, twice:", watch.as_secs());
    page.resident(&resident::measure(bed, watch)?);
    Ok(())
}
