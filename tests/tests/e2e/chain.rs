//! Five in a row.

use std::{fmt::Write as _, time::Instant};

use crate::harness::{Stage, moment, report, service};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

#[test]
fn a_health_gated_chain_starts_each_service_when_its_dependency_is_ready() {
    let Some(mut stage) = Stage::new() else { return };
    let mut yaml = "apiVersion: aiplat/v1\nname: @name\nservices:\n".to_owned();
    for (index, name) in NAMES.iter().enumerate() {
        let body = "image: aiplat-demo:1, command: [serve], healthcheck: {http: {port: 8080, path: /ready}, interval: 5s}";
        let edge = index.checked_sub(1).map(|before| NAMES[before]);
        let edge = edge
            .map(|on| format!(", depends_on: {{{on}: {{condition: service_healthy}}}}"))
            .unwrap_or_default();
        writeln!(yaml, "  {name}: {{{body}{edge}}}").expect("a String takes every write");
    }
    stage.save(&yaml);
    let begun = Instant::now();
    stage.start();
    let status = stage.ready();
    report(&format!("a health-gated chain of five, interval 5s: {} ms", begun.elapsed().as_millis()));
    let runs = stage.runs();
    for pair in NAMES.windows(2) {
        let ready = moment(service(&status, pair[0]).since.as_deref().unwrap_or_default());
        let started = moment(&runs[pair[1]].started_at);
        assert!(started >= ready, "{} started at {started}, {} was Ready at {ready}", pair[1], pair[0]);
    }
}
