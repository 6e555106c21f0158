//! `diff`: what the daemon would do, computed by the daemon with its own facts.

use std::path::PathBuf;

use aiplat_api::{client::ClientError, v1::DiffRequest};

use super::print_doc;
use crate::{
    args::{DocFormat, Globals},
    console,
    exit::{Code, Failure, Outcome},
    offline::{self, Offline, Rules},
    render::{plan, text::clean_lines},
    source,
};

pub(super) async fn run(globals: &Globals, file: Option<&PathBuf>, output: DocFormat) -> Outcome {
    let upload = match file {
        Some(file) => Some(valid(offline::read(globals, file, Rules::Newcomer, None)?)?.upload()),
        None => None,
    };
    let reply = source::client(globals).diff(&DiffRequest { file: upload }).await.map_err(failure)?;
    if !print_doc(&reply, output)? {
        if reply.invalid {
            console::note(clean_lines(&reply.report).trim_end());
            return Err(invalid());
        }
        console::print(&plan::plan(&reply, console::screen().width))?;
    }
    Ok(match (reply.invalid, plan::is_empty(&reply.preview)) {
        (true, _) => Code::Usage,
        (false, true) => Code::Done,
        (false, false) => Code::Failed,
    })
}

/// A file without errors. There is no need to bother the daemon with another one.
pub(super) fn valid(offline: Offline) -> Result<Offline, Failure> {
    if offline.loaded.has_errors() {
        console::note(offline.report(&offline.loaded.diagnostics).trim_end());
        return Err(Failure::usage(offline.tally()));
    }
    Ok(offline)
}

fn invalid() -> Failure {
    Failure::usage("the file is not valid: there is nothing to compare with")
        .tip("`aiplatctl validate` shows its problems, `aiplatctl edit` opens it")
}

/// Of `diff`, 1 means "differs": whatever else goes wrong is 2, except that the daemon is away.
fn failure(error: ClientError) -> Failure {
    if error.not_reachable().is_some() { error.into() } else { Failure::usage(error.to_string()) }
}
