//! `config`: the platform as it is understood.

use std::path::PathBuf;

use aiplat_core::spec::Platform;

use super::{diff::valid, json_text, print_json, yaml_text};
use crate::{
    args::{DataFormat, Globals},
    console,
    exit::{Code, Failure, Outcome},
    offline::{self, Rules},
    render::{
        config::config,
        origin::{rows, yaml},
    },
    source,
};

pub(super) fn run(globals: &Globals, file: Option<&PathBuf>, origin: bool, output: DataFormat) -> Outcome {
    let offline = valid(offline::read(globals, &source::file(globals, file), Rules::Newcomer, None)?)?;
    if origin {
        let origins = offline.origins();
        match output {
            DataFormat::Json => print_json(&rows(&origins))?,
            DataFormat::Yaml => {
                console::print(&yaml(&origins, offline.path.parent().unwrap_or(&offline.path)))?;
            }
        }
        return Ok(Code::Done);
    }
    let platform = offline.loaded.platform.as_ref();
    let platform = platform.ok_or_else(|| Failure::usage("the file holds no platform"))?;
    let text = match output {
        DataFormat::Json => escaped(&json_text(&config(platform))?),
        DataFormat::Yaml => merged(platform)?,
    };
    console::line(&text)?;
    Ok(Code::Done)
}

/// The platform as a file, secrets left out.
pub(super) fn merged(platform: &Platform) -> Result<String, Failure> {
    Ok(escaped(&yaml_text(&config(platform))?))
}

/// It is a platform file itself, in which a `$` begins a variable.
fn escaped(text: &str) -> String {
    text.replace('$', "$$")
}
