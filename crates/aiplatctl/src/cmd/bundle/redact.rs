//! Nothing leaves this machine by a bundle that the file says is a secret: by its name where it is named, by its value wherever
//! else it stands.

use std::collections::{BTreeMap, BTreeSet};

use aiplat_core::{
    secret::{REDACTED, is_secret, redacted_line, without_password},
    spec::{Password, Platform, ProbeKind, ProbeSpec, Role},
};
use serde_json::Value;

use crate::render::config::without_secrets;

/// What stands around a value and is no part of it.
const QUOTES: [char; 5] = ['"', '\'', ',', ';', ' '];

/// The values that must not be told.
pub(super) struct Secrets(BTreeSet<String>);

impl Secrets {
    /// None is known.
    pub(super) fn none() -> Self {
        Self(BTreeSet::new())
    }

    /// Those of `platform`: variables, labels, words of a command, passwords of probes and in addresses, settings within
    /// configs.
    pub(super) fn add_all(&mut self, platform: &Platform) {
        let secrets = self;
        for spec in platform.containers.values() {
            secrets.named(&spec.runtime.environment);
            secrets.named(&spec.runtime.labels);
            for argv in [&spec.runtime.command, &spec.runtime.entrypoint].into_iter().flatten() {
                secrets.words(argv);
            }
        }
        for spec in platform.units.values() {
            secrets.named(&spec.environment);
            secrets.words(spec.own.as_ref().map(|own| own.command.as_slice()).unwrap_or_default());
        }
        for (_, service) in platform.services() {
            for probe in Role::ALL.iter().filter_map(|role| service.probe_for(*role)) {
                secrets.probe(probe);
            }
        }
        for file in platform.files.values() {
            secrets.add_all_in(&String::from_utf8_lossy(file.content.bytes()));
        }
    }

    fn add(&mut self, value: &str) {
        let value = value.trim();
        if !value.is_empty() {
            self.0.insert(value.to_owned());
        }
    }

    fn named(&mut self, values: &BTreeMap<String, String>) {
        for (name, value) in values {
            if is_secret(name) {
                self.add(value);
            }
            self.address(value);
        }
    }

    /// The password of `postgres://user:password@host`.
    fn address(&mut self, value: &str) {
        let hidden = without_password(value);
        let Some((before, after)) = hidden.split_once(REDACTED).filter(|_| hidden != value) else { return };
        let password = value.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        self.add(password.unwrap_or_default());
    }

    /// What is left out of a command line.
    fn words(&mut self, argv: &[String]) {
        for (word, hidden) in argv.iter().zip(without_secrets(argv)) {
            let Some((before, after)) = hidden.split_once(REDACTED).filter(|_| hidden != *word) else {
                continue;
            };
            let secret = word.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
            self.add(secret.unwrap_or_default());
        }
    }

    fn probe(&mut self, probe: &ProbeSpec) {
        let password = match &probe.kind {
            ProbeKind::Redis(redis) => redis.password.as_ref(),
            ProbeKind::Postgres(postgres) => postgres.password.as_ref(),
            ProbeKind::Http(http) => {
                self.named(&http.headers);
                None
            }
            ProbeKind::Exec { argv } => {
                self.words(argv);
                None
            }
            ProbeKind::Tcp { .. } => None,
        };
        self.add(password.map(Password::expose).unwrap_or_default());
    }

    /// Those that stand in a file of settings, read or not: `name: value`, `name = value`, several in a line too.
    pub(super) fn add_all_in(&mut self, text: &str) {
        for line in text.lines() {
            self.setting(line);
            line.split([',', '{', '}', '[', ']']).for_each(|part| self.setting(part));
            line.split_whitespace().for_each(|word| self.address(word.trim_matches(QUOTES)));
        }
    }

    fn setting(&mut self, text: &str) {
        if let Some((name, value)) = text.split_once(['=', ':'])
            && is_secret(name.trim().trim_matches(QUOTES))
        {
            self.add(value.trim().trim_matches(QUOTES));
        }
    }

    /// `text`, line by line, without them.
    pub(super) fn out_of(&self, text: &str) -> String {
        let lines = text.split('\n').map(|line| self.line_without(line));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn line_without(&self, line: &str) -> String {
        // The longest first: one may begin as another does.
        let mut all: Vec<&str> = self.0.iter().map(String::as_str).collect();
        all.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        redacted_line(line, all)
    }

    /// A document without them. What is not text stays, and the document stays one.
    pub(super) fn out_of_value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.out_of(&text)),
            Value::Array(values) => values.into_iter().map(|value| self.out_of_value(value)).collect(),
            Value::Object(fields) => self.out_of_fields(fields).into(),
            Value::Null | Value::Bool(_) | Value::Number(_) => value,
        }
    }

    fn out_of_fields(&self, fields: serde_json::Map<String, Value>) -> serde_json::Map<String, Value> {
        // `{"name": "API_KEY", "value": "..."}`.
        let named = fields.get("name").and_then(Value::as_str).is_some_and(is_secret);
        let hide = |name: &str, value: Value| {
            let is_one = value.as_str().is_some_and(|text| !text.is_empty());
            if is_one && (is_secret(name) || (named && name == "value")) {
                return Value::String(REDACTED.to_owned());
            }
            self.out_of_value(value)
        };
        fields
            .into_iter()
            .map(|(name, value)| {
                let hidden = hide(&name, value);
                (name, hidden)
            })
            .collect()
    }
}
