//! `docs/reference`, which a test of `aiplatctl` makes from the tables of the code and compares.

use std::path::Path;

use anyhow::Result;

use crate::process::{self, run};

/// The test looks at it: with it, the pages are written before they are compared.
const WRITE: &str = "AIPLAT_WRITE_DOCS";
const TEST: &str = "every_page_of_the_reference_is_as_the_tables_say";

/// Fails where a page is not what the tables say.
pub fn check(root: &Path) -> Result<String> {
    test(root, false)?;
    Ok("the reference is as the tables say".to_owned())
}

/// Writes every page.
pub fn write(root: &Path) -> Result<String> {
    test(root, true)?;
    Ok("docs/reference is written; look at the difference".to_owned())
}

fn test(root: &Path, write: bool) -> Result<()> {
    let mut cargo = process::cargo();
    cargo.current_dir(root).args(["test", "--quiet", "--package", "aiplatctl", "--test", "it", TEST]);
    if write {
        cargo.env(WRITE, "1");
    } else {
        cargo.env_remove(WRITE);
    }
    run(&mut cargo)
}
