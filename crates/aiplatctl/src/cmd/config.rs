//! `config`: the platform as it is understood.

use std::path::PathBuf;

use super::{diff::valid, print_json, print_yaml};
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
    match output {
        DataFormat::Json => print_json(&config)?,
        DataFormat::Yaml => print_yaml(&config)?,
    }
    Ok(Code::Done)
}
