//! Compose files as people write them, of our own making in the style of real stacks: what each compiles to, or what
//! a person is told. After a change of the loader, renew what is expected with one command and read the difference:
//! `INSTA_UPDATE=always cargo test -p aiplat-core --test compose_files`.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the files lie in a folder, so that one is added without touching the test"
)]

mod load_support;

use std::{
    fs,
    path::{Path, PathBuf},
};

use aiplat_core::load::{Facts, Files, KeyRow, Loaded, Severity, json_schema, key_row, load, render};
use aiplat_core::spec::{DependencyCondition, Platform};

/// Where the stacks seem to live, so that no path of this machine gets into what is expected.
const HOME: &str = "/srv/stacks";

/// The folder of the stacks, seen at [`HOME`].
struct Stacks(PathBuf);

impl Stacks {
    fn new() -> Self {
        Self(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compose"))
    }

    fn real(&self, path: &Path) -> PathBuf {
        self.0.join(path.strip_prefix(HOME).expect("nothing outside is looked for"))
    }

    /// The main file of every stack, as it is named to the loader.
    fn roots(&self) -> Vec<PathBuf> {
        let folders = fs::read_dir(&self.0)
            .expect("the stacks are there")
            .map(|entry| entry.expect("it can be read").path());
        let mut roots: Vec<PathBuf> =
            folders.filter(|path| !path.ends_with("snapshots")).map(|path| main_file(&path)).collect();
        roots.sort();
        roots
            .iter()
            .map(|path| Path::new(HOME).join(path.strip_prefix(&self.0).expect("it is inside")))
            .collect()
    }

    fn load(&self, root: &Path) -> Loaded {
        let facts =
            Facts { accept_compose: true, home: Some(PathBuf::from("/home/me")), ..load_support::facts() };
        load(root, self, &facts)
    }
}

impl Files for Stacks {
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, String> {
        Ok(fs::read(self.real(path)).ok())
    }

    fn list(&self, folder: &Path) -> Result<Option<Vec<PathBuf>>, String> {
        let Ok(entries) = fs::read_dir(self.real(folder)) else { return Ok(None) };
        Ok(Some(entries.map(|entry| folder.join(entry.expect("it can be read").file_name())).collect()))
    }
}

fn main_file(folder: &Path) -> PathBuf {
    let names = ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];
    let found = names.into_iter().map(|name| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("no Compose file in {}", folder.display()))
}

/// The name of the stack, as in `01-ollama-open-webui`.
fn name(root: &Path) -> String {
    let folder = root.parent().and_then(Path::file_name).expect("it lies in a folder");
    folder.to_string_lossy().into_owned()
}

/// What it compiles to, a line for each service.
fn outline(platform: &Platform) -> String {
    let mut out = format!("platform {}\n", platform.name);
    for spec in platform.containers.values() {
        let networks = spec.live.networks.keys().map(|id| id.key().to_owned()).collect::<Vec<_>>().join(", ");
        out.push_str(&format!("{}: {} on {networks}\n", spec.service, spec.runtime.image));
        for (id, edge) in &spec.policy.dependencies {
            let condition = match edge.condition {
                DependencyCondition::Started => "started",
                DependencyCondition::Healthy => "healthy",
                DependencyCondition::CompletedSuccessfully => "completed",
            };
            let restart = if edge.restart { ", and restarts with it" } else { "" };
            out.push_str(&format!("  after {} is {condition}{restart}\n", id.key()));
        }
        for port in &spec.runtime.ports {
            let host = port.host_port.map_or_else(|| "any".to_owned(), |port| port.to_string());
            out.push_str(&format!(
                "  {}:{host} -> {}/{}\n",
                port.host_ip, port.container_port, port.protocol
            ));
        }
        for mount in &spec.runtime.mounts {
            let access = if mount.read_only { " (read-only)" } else { "" };
            out.push_str(&format!("  {:?} at {}{access}\n", mount.source, mount.target));
        }
    }
    out
}

#[test]
fn every_stack_compiles_or_is_refused_in_words_for_a_person() {
    let stacks = Stacks::new();
    let roots = stacks.roots();
    assert!(roots.len() >= 20, "there are {}", roots.len());
    for root in roots {
        let loaded = stacks.load(&root);
        let mut seen = render(&loaded.diagnostics, &loaded.sources, false, 110);
        match &loaded.platform {
            Some(platform) => seen.push_str(&format!("\n=> valid\n\n{}", outline(platform))),
            None => seen.push_str("\n=> refused\n"),
        }
        insta::with_settings!({prepend_module_to_snapshot => false, snapshot_path => "compose/snapshots"}, {
            insta::assert_snapshot!(name(&root), seen);
        });
    }
}

#[test]
fn every_refusal_has_a_way_out_and_no_word_of_compose_is_taken_for_a_typo() {
    let stacks = Stacks::new();
    for root in stacks.roots() {
        for diagnostic in stacks.load(&root).diagnostics {
            assert_ne!(diagnostic.code, "unknown-key", "{diagnostic}");
            let says_what_to_do = !diagnostic.help.is_empty() || !diagnostic.label.is_empty();
            assert!(diagnostic.severity != Severity::Error || says_what_to_do, "{diagnostic}");
        }
    }
}

/// The files are worth something only as long as they use what people use.
#[test]
fn the_stacks_use_the_words_that_people_use() {
    let stacks = Stacks::new();
    let texts: Vec<String> = stacks
        .roots()
        .iter()
        .map(|root| fs::read_to_string(stacks.real(root)).expect("it can be read"))
        .collect();
    let words = [
        "extra_hosts:",
        "logging:",
        "devices:",
        "gpus:",
        "profiles:",
        "env_file:",
        "CMD-SHELL",
        "$$",
        "<<: *",
        "external: true",
        "network_mode:",
        "include:",
        "reservations:",
        "links:",
        "build:",
        "version:",
        "ulimits:",
        "sysctls:",
        "cap_add:",
        "shm_size:",
        "tmpfs",
        "secrets:",
        "configs:",
        "privileged:",
    ];
    for word in words {
        assert!(texts.iter().any(|text| text.contains(word)), "no stack uses `{word}`");
    }
    assert_eq!(key_row(&["services", "*", "build"]), Some(KeyRow::Refused), "one stack builds, and is told");
}

/// The file as an editor sees it.
fn value(text: &str) -> serde_json::Value {
    serde_saphyr::from_str(text).expect("it is YAML")
}

#[test]
fn the_schema_takes_every_stack_that_the_loader_takes() {
    let (stacks, schema, mut valid) = (Stacks::new(), json_schema(), 0);
    for root in stacks.roots() {
        if stacks.load(&root).platform.is_none() {
            continue;
        }
        let text = fs::read_to_string(stacks.real(&root)).expect("it can be read");
        let mut file = value(&text);
        file["apiVersion"] = "aiplat/v1".into();
        assert!(load_support::schema::fits(&schema, &file), "{}", root.display());
        valid += 1;
    }
    assert!(valid > 3, "only {valid} are valid");
}

#[test]
fn every_example_names_the_schema_and_fits_it() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let (schema, mut seen) = (json_schema(), 0);
    for entry in fs::read_dir(examples).expect("the examples are there") {
        let example = entry.expect("it can be read").path().join("platform.yaml");
        let Ok(text) = fs::read_to_string(&example) else { continue };
        assert!(load_support::schema::fits(&schema, &value(&text)), "{}", example.display());
        let named = text.lines().find_map(|line| line.strip_prefix("# yaml-language-server: $schema="));
        let named = named.unwrap_or_else(|| panic!("{} names no schema", example.display()));
        assert!(example.with_file_name(named).is_file(), "{named} is not there");
        seen += 1;
    }
    assert!(seen > 0);
}
