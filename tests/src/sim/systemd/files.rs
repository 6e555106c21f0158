//! Which files give a simulated unit which variables, as systemd reads them.

use std::collections::BTreeMap;

use aiplat_core::observed::{Layer, OwnFiles};

use super::{Unit, own};

impl Unit {
    /// The files with variables that its drop-ins name, in the order in which systemd reads them: by drop-in, and what each
    /// sets.
    pub(super) fn files(&self) -> Vec<(String, BTreeMap<String, String>)> {
        let OwnFiles { drop_in_path, environment, loaded, .. } = &self.seen.own;
        let mut files = self.others.clone();
        if *loaded || own::is_ours(self) {
            files.insert(drop_in_path.clone(), variables(environment.as_deref().unwrap_or_default()));
        }
        let mut files: Vec<_> = files.into_iter().collect();
        files.sort_by_key(|(path, _)| path.rsplit('/').next().unwrap_or_default().to_owned());
        files
    }

    /// What a look at its files shows.
    pub(super) fn layers(&self) -> Vec<Layer> {
        let OwnFiles { drop_in_path, environment_path, .. } = &self.seen.own;
        let own = Layer {
            path: self.seen.fragment.clone(),
            named_in: None,
            variables: self.seen.environment.clone(),
        };
        let files = self.files().into_iter().map(|(by, variables)| {
            let path = if by == *drop_in_path { environment_path.clone() } else { format!("{by}.env") };
            Layer { path, named_in: Some(by), variables }
        });
        std::iter::once(own).chain(files).collect()
    }
}

/// What an environment file sets, as far as these tests write any.
fn variables(text: &str) -> BTreeMap<String, String> {
    let pair = |line: &str| {
        let (name, value) = line.split_once('=')?;
        Some((name.to_owned(), value.trim_matches('"').to_owned()))
    };
    text.lines().filter_map(pair).collect()
}
