//! `edit`: a copy in an editor, its problems, its plan, a question. Nothing is lost on the way.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use aiplat_api::client::Client;
use similar::{ChangeTag, TextDiff};
use tempfile::NamedTempFile;

use super::apply::{Consent, Proposal, send, show_plan};
use crate::{
    args::Globals,
    console::{self, Lent},
    exit::{Code, Failure, Outcome},
    offline::{self, Rules},
    render::{
        style::{self, paint},
        text::clean_lines,
    },
    source,
};

/// What a machine without a platform begins with.
const TEMPLATE: &str = "\
# The platform of this machine. `aiplatctl schema` describes every key.
apiVersion: aiplat/v1
name: home-ai

services: {}
";

pub(super) async fn run(globals: &Globals, yes: bool, confirm: bool) -> Outcome {
    if !yes && !console::can_ask() {
        return Err(Failure::usage(
            "edit asks before it changes anything, and there is no terminal to ask on",
        )
        .tip("`aiplatctl apply -f FILE` puts a file in force, `aiplatctl edit --yes` does not ask"));
    }
    let client = source::client(globals);
    // Asked first: nobody should type for ten minutes and then hear that it cannot be applied.
    let status = client.status().await.map_err(|error| {
        Failure::from(error).tip(format!(
            "start aiplatd, or change {} itself: it is read when aiplatd starts",
            globals.config.display()
        ))
    })?;
    let path = PathBuf::from(&status.platform.config);
    let mut session = Session::new(globals, client, path, Consent { yes, confirm })?;
    let outcome = session.run().await;
    session.keep_unless_done(&outcome);
    outcome
}

/// One sitting.
struct Session<'a> {
    globals: &'a Globals,
    client: Client,
    path: PathBuf,
    /// What the file held at the beginning; `None`: it did not exist.
    original: Option<String>,
    copy: Option<NamedTempFile>,
    consent: Consent,
}

/// What the user wants next.
enum Next {
    EditAgain,
    Leave(Outcome),
}

impl<'a> Session<'a> {
    fn new(globals: &'a Globals, client: Client, path: PathBuf, consent: Consent) -> Result<Self, Failure> {
        let original = read(&path)?;
        let copy = tempfile::Builder::new().prefix("platform-").suffix(".yaml").tempfile();
        let mut copy =
            copy.map_err(|error| Failure::failed(format!("cannot make a copy to edit: {error}")))?;
        let written =
            copy.write_all(original.as_deref().unwrap_or(TEMPLATE).as_bytes()).and_then(|()| copy.flush());
        written.map_err(|error| Failure::failed(format!("cannot write the copy to edit: {error}")))?;
        Ok(Self { globals, client, path, original, copy: Some(copy), consent })
    }

    async fn run(&mut self) -> Outcome {
        loop {
            open_editor(self.copy_path()).await?;
            let text = std::fs::read_to_string(self.copy_path())
                .map_err(|error| Failure::failed(format!("cannot read what was edited: {error}")))?;
            if text == self.original.as_deref().unwrap_or(TEMPLATE) {
                console::note("Nothing was changed.");
                return Ok(Code::Done);
            }
            if text.trim().is_empty() {
                console::note("The file was emptied: nothing is changed.");
                return Ok(Code::Done);
            }
            match self.consider(text).await? {
                Next::EditAgain => {}
                Next::Leave(outcome) => return outcome,
            }
        }
    }

    /// Checks, shows and asks.
    async fn consider(&self, text: String) -> Result<Next, Failure> {
        let offline = offline::read(self.globals, &self.path, Rules::Daemon, Some(text.clone()))?;
        console::note(offline.report(&offline.loaded.diagnostics).trim_end());
        if offline.loaded.has_errors() {
            return self.on_errors(Failure::usage(offline.tally())).await;
        }
        console::print(&text_diff(self.original.as_deref().unwrap_or_default(), &text))?;
        let proposal = Proposal { upload: Some(offline.upload()), content: Some(text) };
        if show_plan(&self.client, &proposal, &self.consent).await?.is_none() {
            return Ok(Next::Leave(Err(Failure::quiet(Code::Failed))));
        }
        match self.ask("Apply?", &[('y', "yes"), ('e', "edit again"), ('n', "no")], 'n').await? {
            'y' => {}
            'e' => return Ok(Next::EditAgain),
            _ => return Ok(Next::Leave(Err(Failure::failed("nothing was changed")))),
        }
        if read(&self.path)? != self.original {
            let failure =
                Failure::failed(format!("{} was changed by somebody else meanwhile", self.path.display()))
                    .tip("bring the two together and use `aiplatctl apply -f FILE`");
            return Ok(Next::Leave(Err(failure)));
        }
        send(&self.client, proposal, &self.consent).await?;
        Ok(Next::Leave(Ok(Code::Done)))
    }

    async fn on_errors(&self, failure: Failure) -> Result<Next, Failure> {
        if self.consent.yes {
            return Ok(Next::Leave(Err(failure)));
        }
        match self.ask("The file is not valid. Edit again?", &[('y', "yes"), ('n', "no")], 'y').await? {
            'y' => Ok(Next::EditAgain),
            _ => Ok(Next::Leave(Err(failure))),
        }
    }

    async fn ask(&self, question: &str, choices: &[(char, &str)], default: char) -> Result<char, Failure> {
        if self.consent.yes { Ok('y') } else { console::ask(question, choices, default).await }
    }

    fn copy_path(&self) -> &Path {
        self.copy.as_ref().map_or(Path::new(""), NamedTempFile::path)
    }

    /// What was typed is worth more than a tidy folder.
    fn keep_unless_done(&mut self, outcome: &Outcome) {
        let Some(copy) = self.copy.take() else { return };
        let written = std::fs::read_to_string(copy.path()).ok();
        let is_new =
            written.as_deref().is_some_and(|text| text != self.original.as_deref().unwrap_or(TEMPLATE));
        if outcome.is_err() && is_new {
            match copy.keep() {
                Ok((_, path)) => console::note(&format!("What you wrote is kept in {}.", path.display())),
                Err(error) => console::note(&format!("What you wrote cannot be kept: {error}")),
            }
        }
    }
}

fn read(path: &Path) -> Result<Option<String>, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let failure = Failure::failed(format!("cannot read {}: {error}", path.display()));
            Err(match error.kind() == io::ErrorKind::PermissionDenied {
                true => failure.tip("the platform file is root's alone: `sudo aiplatctl edit`"),
                false => failure,
            })
        }
    }
}

async fn open_editor(copy: &Path) -> Result<(), Failure> {
    let named = ["VISUAL", "EDITOR"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|it| !it.trim().is_empty()));
    let editor = named.unwrap_or_else(|| "vi".to_owned());
    // As many words as in `code --wait`; no shell looks at it.
    let mut words = editor.split_whitespace().map(str::to_owned);
    let program = words.next().unwrap_or_else(|| "vi".to_owned());
    #[expect(clippy::disallowed_methods, reason = "the user's own editor, which the user has named")]
    let mut command = std::process::Command::new(&program);
    command.args(words).arg(copy);
    let lent = Lent::out();
    let ended = tokio::task::spawn_blocking(move || command.status()).await;
    drop(lent);
    match ended {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(Failure::failed(format!("the editor `{editor}` ended with {status}"))),
        Ok(Err(error)) => Err(Failure::failed(format!("cannot start the editor `{editor}`: {error}"))
            .tip("name one in $EDITOR")),
        Err(error) => Err(Failure::failed(format!("cannot wait for the editor: {error}"))),
    }
}

/// The change of the text, with three lines around it.
pub(super) fn text_diff(old: &str, new: &str) -> String {
    let diff = TextDiff::from_lines(old, new);
    let mut out = String::new();
    for group in diff.grouped_ops(3) {
        out.push_str(&paint(style::FAINT, "@@"));
        out.push('\n');
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let (sign, style) = match change.tag() {
                ChangeTag::Delete => ("-", style::BAD),
                ChangeTag::Insert => ("+", style::GOOD),
                ChangeTag::Equal => (" ", style::PLAIN),
            };
            let line = format!("{sign}{}", clean_lines(change.value()).trim_end());
            out.push_str(&paint(style, &line));
            out.push('\n');
        }
    }
    out.push('\n');
    out
}
