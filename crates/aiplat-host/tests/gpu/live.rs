//! What `cargo xtask gpu-live` is told of a machine: of the double here, and compared over there with an answer of nvidia-smi.

use std::{path::Path, time::Duration};

use aiplat_host::Gpus;
use serde_json::json;

use crate::machine::Machine;

#[path = "../../examples/gpu_live/document.rs"]
mod document;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/gpu-live.json");

#[tokio::test]
async fn the_document_of_a_machine_is_the_one_that_is_compared_with_nvidia_smi() {
    let mut machine = Machine::with_two_gpus();
    machine.change(|scenario| {
        for gpu in scenario["gpus"].as_array_mut().expect("a list") {
            gpu["memory"] = json!([25_757_220_864_u64, 24_959_254_528_u64, 387_973_120]);
        }
        scenario["gpus"][1]["temperature"] = json!(null);
    });
    let facts = machine.gpus().observe().await;
    let costs = document::Costs {
        before: 4_096,
        after: 16_384,
        listening: 16_640,
        first: Duration::from_millis(412),
        next: Duration::from_millis(9),
        listened: Duration::from_secs(5),
    };
    let document = document::of(&facts, &[], &costs);
    if std::env::var("AIPLAT_REWRITE").is_ok() {
        std::fs::write(DOCUMENT, format!("{document:#}\n")).expect("written");
    }
    let expected = std::fs::read_to_string(Path::new(DOCUMENT)).expect("the document");
    let rewrite = "the document has changed: write it with AIPLAT_REWRITE=1, and see what xtask makes of it";
    assert_eq!(format!("{document:#}\n"), expected, "{rewrite}");
}
