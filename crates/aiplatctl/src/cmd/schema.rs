//! `schema`: what an editor needs to complete and check the platform file.

use super::print_json;
use crate::exit::{Code, Outcome};

pub(super) fn run() -> Outcome {
    print_json(&aiplat_core::load::json_schema())?;
    Ok(Code::Done)
}
