//! What is brought up: the same services for every way, written down in each way's own words.

use std::fmt::Write as _;

use crate::image;

/// A platform to bring up: services `s0`, `s1` and so on, all of the demo image.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// How many.
    pub services: usize,
    /// Whether each waits until the one before it is healthy.
    pub chained: bool,
    /// Whether their readiness is asked for over HTTP, and how often.
    pub probe_secs: Option<u32>,
    /// How long each takes to be ready, in ms.
    pub ready_after: u32,
}

impl Shape {
    /// Flat, ready at once, not asked.
    pub fn flat(services: usize) -> Self {
        Self { services, chained: false, probe_secs: None, ready_after: 0 }
    }

    /// The container's arguments.
    pub fn command(&self) -> [String; 2] {
        ["serve".to_owned(), format!("READY_AFTER={}", self.ready_after)]
    }

    /// As `platform.yaml`.
    pub fn platform(&self, name: &str, label: (&str, &str)) -> String {
        let probe = self.probe_secs.map(|secs| {
            format!("    healthcheck: {{http: {{port: 8080, path: /ready}}, interval: {secs}s}}\n")
        });
        let head = format!("apiVersion: aiplat/v1\nname: {name}\n");
        head + &self.services_block(label, probe.as_deref().unwrap_or_default())
    }

    /// As Compose's file; the check runs in the container, for Compose has no other, at this interval.
    pub fn compose(&self, label: (&str, &str), interval_secs: u32) -> String {
        let test = r#"["CMD", "/app", "probe", "http://127.0.0.1:8080/ready"]"#;
        let probe = self
            .probe_secs
            .map(|_| format!("    healthcheck: {{test: {test}, interval: {interval_secs}s, retries: 10}}\n"));
        self.services_block(label, probe.as_deref().unwrap_or_default())
    }

    fn services_block(&self, (key, value): (&str, &str), probe: &str) -> String {
        let label = format!("labels: {{\"{key}\": \"{value}\"}}");
        let mut text = format!("networks:\n  default:\n    {label}\nservices:\n");
        for index in 0..self.services {
            let [verb, ready] = self.command();
            let mut put = |line: &str| writeln!(text, "{line}").expect("a String takes every write");
            put(&format!("  s{index}:\n    image: {}:1", image::REPOSITORY));
            put(&format!("    command: [\"{verb}\", \"{ready}\"]\n    restart: unless-stopped\n    {label}"));
            if self.chained && index > 0 {
                put(&format!("    depends_on: {{s{}: {{condition: service_healthy}}}}", index - 1));
            }
            text.push_str(probe);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_files_have_the_same_services_and_edges() {
        let shape = Shape { services: 2, chained: true, probe_secs: Some(5), ready_after: 200 };
        let platform = shape.platform("x", ("a.b", "1"));
        let compose = shape.compose(("a.b", "1"), 1);
        for text in [&platform, &compose] {
            assert!(text.contains("depends_on: {s0: {condition: service_healthy}}"), "{text}");
            assert_eq!(text.matches("READY_AFTER=200").count(), 2, "{text}");
        }
        assert!(platform.contains("http: {port: 8080") && compose.contains("interval: 1s"));
        assert!(!Shape::flat(3).compose(("a", "1"), 5).contains("healthcheck"));
    }
}
