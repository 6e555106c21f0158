//! Which settings the engine's file is to have, and how they get into it: added where they are missing, and nothing else touched.

use serde_json::{Map, Value, json};

use crate::{
    observed::{CdiSpec, EngineSettings, Route},
    plan::World,
    spec::DockerSpec,
};

/// Out of which the engine is to make its networks: far from what homes and offices use, as a rule.
const POOL: ([u8; 4], u8) = ([172, 20, 0, 0], 14);

/// What a file is to have.
pub(super) struct Wanted {
    /// By key, in the engine's words.
    pub(super) settings: Map<String, Value>,
    /// What is not asked for, and why, for a person.
    pub(super) left_out: Vec<String>,
    /// What cannot be had before somebody installs something.
    pub(super) missing: Option<String>,
}

/// What is to be in the file on this machine. What would keep the engine from starting is left out, and told.
pub(super) fn wanted(world: &World<'_>, spec: DockerSpec, engine: &EngineSettings) -> Wanted {
    let mut settings = Map::new();
    let mut left_out = Vec::new();
    settings.insert("log-driver".to_owned(), json!("json-file"));
    settings.insert("log-opts".to_owned(), json!({"max-size": "10m", "max-file": "3"}));
    if engine.swarm {
        left_out.push("`live-restore` is left out, for the engine is part of a swarm".to_owned());
    } else {
        settings.insert("live-restore".to_owned(), json!(true));
    }
    let routes = world.observed.machine.routes.iter().flatten();
    match routes.into_iter().find(|route| meets_pool(route)) {
        Some(Route { network, prefix, interface }) => left_out.push(format!(
            "`default-address-pools` is left out, for the machine reaches {network}/{prefix} by {interface}"
        )),
        None => {
            let ([a, b, c, d], prefix) = POOL;
            let pool = json!([{"base": format!("{a}.{b}.{c}.{d}/{prefix}"), "size": 24}]);
            settings.insert("default-address-pools".to_owned(), pool);
        }
    }
    let missing = if spec.nvidia { nvidia(world, engine, &mut settings) } else { None };
    // Said twice, as a flag and in the file, the engine refuses to start.
    for flag in world.observed.machine.engine_flags.iter().flatten() {
        let of_flag = match flag.as_str() {
            "log-opt" => "log-opts",
            "default-address-pool" => "default-address-pools",
            "add-runtime" => "runtimes",
            other => other,
        };
        if settings.remove(of_flag).is_some() {
            left_out.push(format!("`{of_flag}` is left out, for the engine is started with `--{flag}`"));
        }
    }
    // The options of one log driver are errors to another.
    if !settings.contains_key("log-driver") {
        settings.remove("log-opts");
    }
    Wanted { settings, left_out, missing }
}

fn meets_pool(route: &Route) -> bool {
    let std::net::IpAddr::V4(network) = route.network else { return false };
    let ([a, b, c, d], prefix) = POOL;
    let bits = u32::from(prefix.min(route.prefix));
    let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
    u32::from(network) & mask == u32::from_be_bytes([a, b, c, d]) & mask
}

/// The runtime as `nvidia-ctk runtime configure` writes it; or what is to be installed for it.
fn nvidia(world: &World<'_>, engine: &EngineSettings, settings: &mut Map<String, Value>) -> Option<String> {
    let tools = world.observed.machine.nvidia_tools.as_ref()?;
    if tools.program.is_none() {
        return Some(
            "NVIDIA's container toolkit is not installed: `sudo apt install nvidia-container-toolkit` (from NVIDIA's own \
             repository), then it is configured by itself"
                .to_owned(),
        );
    }
    let runtime = json!({"nvidia": {"path": "nvidia-container-runtime", "args": []}});
    settings.insert("runtimes".to_owned(), runtime);
    let is_of_nvidia = |spec: &CdiSpec| spec.kind.starts_with("nvidia.com/");
    let needs_spec = engine.cdi_dirs.is_some() && !tools.cdi_specs.values().any(is_of_nvidia);
    needs_spec.then(|| {
        "there is no specification of NVIDIA's devices: `sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`".to_owned()
    })
}

/// What becomes of a file.
pub(super) struct Merged {
    /// All of it.
    pub(super) settings: Map<String, Value>,
    /// As text.
    pub(super) text: String,
    /// Keys that it gets.
    pub(super) added: Vec<String>,
    /// Keys that it has otherwise, in words.
    pub(super) kept: Vec<String>,
}

/// `bytes` with what they lack of `wanted`.
///
/// # Errors
/// Why they are no settings.
pub(super) fn merged(bytes: &[u8], wanted: &Wanted) -> Result<Merged, String> {
    let empty = bytes.iter().all(u8::is_ascii_whitespace);
    let value =
        if empty { json!({}) } else { serde_json::from_slice(bytes).map_err(|error| error.to_string())? };
    let Value::Object(mut settings) = value else { return Err("it is no object".to_owned()) };
    let (mut added, mut kept) = (Vec::new(), Vec::new());
    for (key, value) in &wanted.settings {
        // The options of one log driver are errors to another, and the administrator has chosen that.
        let foreign_log = key == "log-opts" && settings.get("log-driver").is_some_and(|it| it != "json-file");
        if !foreign_log {
            add(&mut settings, key, key, value, &mut added, &mut kept);
        }
    }
    let text = serde_json::to_string_pretty(&settings).map_err(|error| error.to_string())?;
    Ok(Merged { settings, text: format!("{text}\n"), added, kept })
}

/// Adds one setting, and of a group what it lacks.
fn add(
    settings: &mut Map<String, Value>,
    key: &str,
    shown: &str,
    wanted: &Value,
    added: &mut Vec<String>,
    kept: &mut Vec<String>,
) {
    let Some(has) = settings.get_mut(key) else {
        settings.insert(key.to_owned(), wanted.clone());
        added.push(shown.to_owned());
        return;
    };
    if let (Value::Object(has), Value::Object(group)) = (&mut *has, wanted)
        // What a runtime consists of is one thing: half of ours and half of somebody else's is neither.
        && !shown.starts_with("runtimes.")
    {
        for (key, value) in group {
            add(has, key, &format!("{shown}.{key}"), value, added, kept);
        }
    } else if *has != *wanted && !shown.starts_with("runtimes.") {
        kept.push(format!("`{shown}` is {has} there, and not {wanted}"));
    }
}

/// Settings of the file that the engine, by its own word, does not run with. Of log options it says nothing.
pub(super) fn unread(settings: &Map<String, Value>, engine: &EngineSettings) -> Vec<&'static str> {
    let mut unread = Vec::new();
    if settings.get("log-driver").and_then(Value::as_str).is_some_and(|it| it != engine.log_driver) {
        unread.push("log-driver");
    }
    if settings.get("live-restore").and_then(Value::as_bool).is_some_and(|it| it != engine.live_restore) {
        unread.push("live-restore");
    }
    let pools = settings.get("default-address-pools").and_then(Value::as_array);
    let runs_with = |pool: &Value| {
        let (base, size) = (pool["base"].as_str(), pool["size"].as_u64());
        let same = |(has, of): &(String, u8)| Some(has.as_str()) == base && Some(u64::from(*of)) == size;
        engine.address_pools.iter().any(same)
    };
    if pools.is_some_and(|pools| !pools.iter().all(runs_with)) {
        unread.push("default-address-pools");
    }
    let runtimes = settings.get("runtimes").and_then(Value::as_object);
    if runtimes.is_some_and(|runtimes| runtimes.keys().any(|name| !engine.runtimes.contains(name))) {
        unread.push("runtimes");
    }
    unread
}
