//! `config`: the platform as it is understood.

use std::path::PathBuf;

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
    let config = config(platform);
    let text = match output {
        DataFormat::Json => json_text(&config)?,
        DataFormat::Yaml => yaml_text(&config)?,
    };
    // It is a platform file itself, in which a `$` begins a variable.
    console::line(&text.replace('$', "$$"))?;
    Ok(Code::Done)
}
