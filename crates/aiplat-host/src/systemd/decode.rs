//! From the properties of a unit's object to what core knows of it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use aiplat_core::observed::{ActiveState, Incarnation, LoadState, ObservedUnit};
use zbus::{OwnedObjectPath, OwnedVariant};

use super::apparmor::Suspect;

/// `si_code` of a process that a signal ended, without and with a core dump.
const KILLED: [i32; 2] = [2, 3];

/// Path, arguments, whether its failure is ignored, and of its last run: four times, pid, code, status.
type Command = (String, Vec<String>, bool, u64, u64, u64, u64, u32, i32, i32);

/// All properties of one object. One that is missing, or of another type than ours, reads as its default: a unit that
/// runs no process has no `MainPID`.
pub(super) struct Properties(pub(super) BTreeMap<String, OwnedVariant>);

impl Properties {
    fn get<T: TryFrom<OwnedVariant>>(&self, name: &str) -> Option<T> {
        T::try_from(self.0.get(name)?.try_clone().ok()?).ok()
    }

    /// A number without a sign.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.get(name)
    }

    fn text(&self, name: &str) -> String {
        self.get(name).unwrap_or_default()
    }

    /// systemd's own name for the unit; it may be looked at under an alias.
    pub(super) fn id(&self) -> String {
        self.text("Id")
    }

    /// The job that is queued or under way, if one is.
    pub(super) fn job(&self) -> Option<OwnedObjectPath> {
        let (id, path) = self.get::<(u32, OwnedObjectPath)>("Job")?;
        (id != 0).then_some(path)
    }

    /// The units that its files ask for.
    pub(super) fn needs(&self) -> BTreeSet<String> {
        let lists = ["Requires", "Requisite", "BindsTo", "Wants"];
        lists.iter().flat_map(|list| self.get::<Vec<String>>(list).unwrap_or_default()).collect()
    }

    /// When the main process of the last run began, in microseconds since 1970; 0 when it never did.
    pub(super) fn main_began(&self) -> u64 {
        self.get("ExecMainStartTimestamp").unwrap_or_default()
    }

    /// What AppArmor calls its main process.
    pub(super) fn suspect(&self) -> Suspect {
        let (_, profile): (bool, String) = self.get("AppArmorProfile").unwrap_or_default();
        let programs: Vec<Command> = self.get("ExecStart").unwrap_or_default();
        let program = programs.into_iter().next().map(|(path, ..)| path).unwrap_or_default();
        Suspect { pid: self.get("ExecMainPID").unwrap_or_default(), profile, program }
    }

    /// What the properties say; the job's kind, the processes' environment, the files and the journal are not among them.
    pub(super) fn unit(&self) -> ObservedUnit {
        let since: u64 = self.get("StateChangeTimestamp").unwrap_or_default();
        let (active, result) = (active_state(&self.text("ActiveState")), self.text("Result"));
        let given_up = active == ActiveState::Failed && self.would_restart(&result);
        ObservedUnit {
            name: self.id(),
            load: load_state(&self.text("LoadState")),
            load_error: self.load_error(),
            active,
            sub: self.text("SubState"),
            file_state: self.text("UnitFileState"),
            fragment: self.text("FragmentPath"),
            drop_ins: self.get("DropInPaths").unwrap_or_default(),
            needs_reload: self.get("NeedDaemonReload").unwrap_or_default(),
            invocation: self.invocation(),
            given_up,
            result,
            main_pid: self.get("MainPID").unwrap_or_default(),
            exit_status: self.get("ExecMainStatus").unwrap_or_default(),
            killed: self.is_killed(),
            restarts: self.get("NRestarts").unwrap_or_default(),
            next_wall_ms: self.moment("NextElapseUSecRealtime"),
            last_wall_ms: self.moment("LastTriggerUSec"),
            since_wall_ms: (since > 0).then(|| i64::try_from(since / 1000).unwrap_or(i64::MAX)),
            environment: self.environment(),
            environment_files: self.environment_files(),
            unset: self.get::<Vec<String>>("UnsetEnvironment").unwrap_or_default().into_iter().collect(),
            user: self.text("User"),
            program: self.program(),
            ..ObservedUnit::default()
        }
    }

    /// A time in milliseconds since 1970; `None` where it is none: 0, or the largest number for one that never comes.
    fn moment(&self, name: &str) -> Option<i64> {
        let micros: u64 = self.get(name)?;
        (micros != 0 && micros != u64::MAX).then(|| i64::try_from(micros / 1000).unwrap_or(i64::MAX))
    }

    /// Whether systemd would have started it again after `result`, and had done so before. That it then has failed means that
    /// it did so too often: `Result` says `start-limit-hit` only where the last run itself had no fault.
    fn would_restart(&self, result: &str) -> bool {
        let is_bad = !matches!(result, "" | "success" | "exec-condition");
        let is_wanted = match self.text("Restart").as_str() {
            "always" | "on-failure" => is_bad,
            "on-abnormal" => is_bad && result != "exit-code",
            "on-watchdog" => result == "watchdog",
            "on-abort" => matches!(result, "signal" | "core-dump"),
            _ => false,
        };
        let restarts: u32 = self.get("NRestarts").unwrap_or_default();
        let (codes, signals): (Vec<i32>, Vec<i32>) = self.get("RestartPreventExitStatus").unwrap_or_default();
        let status: i32 = self.get("ExecMainStatus").unwrap_or_default();
        let is_prevented = if self.is_killed() { signals.contains(&status) } else { codes.contains(&status) };
        is_wanted && restarts > 0 && !is_prevented
    }

    fn is_killed(&self) -> bool {
        self.get("ExecMainCode").is_some_and(|code| KILLED.contains(&code))
    }

    /// The sentence; the error's name where there is none.
    fn load_error(&self) -> String {
        let (name, text) = self.get::<(String, String)>("LoadError").unwrap_or_default();
        if text.is_empty() { name } else { text }
    }

    fn invocation(&self) -> Option<Incarnation> {
        let bytes: Vec<u8> = self.get("InvocationID").unwrap_or_default();
        let is_one = bytes.iter().any(|byte| *byte != 0);
        is_one.then(|| Incarnation(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// The last part of the path of its first `ExecStart`.
    fn program(&self) -> String {
        let commands: Option<Vec<Command>> = self.get("ExecStart");
        let path =
            commands.unwrap_or_default().into_iter().next().map(|command| command.0).unwrap_or_default();
        path.rsplit('/').next().unwrap_or_default().to_owned()
    }

    fn environment(&self) -> BTreeMap<String, String> {
        let pairs: Vec<String> = self.get("Environment").unwrap_or_default();
        let pairs = pairs.iter().filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn environment_files(&self) -> Vec<String> {
        let files: Vec<(String, bool)> = self.get("EnvironmentFiles").unwrap_or_default();
        files.into_iter().map(|(path, _may_be_missing)| path).collect()
    }
}

fn load_state(word: &str) -> LoadState {
    match word {
        "loaded" => LoadState::Loaded,
        "not-found" => LoadState::NotFound,
        "masked" => LoadState::Masked,
        "bad-setting" => LoadState::BadSetting,
        "error" => LoadState::Error,
        other => LoadState::Other(other.to_owned()),
    }
}

fn active_state(word: &str) -> ActiveState {
    match word {
        "active" => ActiveState::Active,
        "reloading" => ActiveState::Reloading,
        "inactive" => ActiveState::Inactive,
        "failed" => ActiveState::Failed,
        "activating" => ActiveState::Activating,
        "deactivating" => ActiveState::Deactivating,
        other => ActiveState::Other(other.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use zbus::{ObjectPath, Variant};

    use super::*;

    fn properties<const N: usize>(pairs: [(&str, Variant<'static>); N]) -> Properties {
        let own =
            |(name, value): (&str, Variant<'static>)| (name.to_owned(), value.try_into_owned().unwrap());
        Properties(pairs.into_iter().map(own).collect())
    }

    #[test]
    fn a_unit_that_was_killed_is_read_whole() {
        let job = (7_u32, ObjectPath::try_from("/org/freedesktop/systemd1/job/7").unwrap());
        let properties = properties([
            ("Id", "ollama.service".into()),
            ("LoadState", "loaded".into()),
            ("LoadError", Variant::new((String::new(), String::new()))),
            ("ActiveState", "activating".into()),
            ("SubState", "auto-restart".into()),
            ("UnitFileState", "enabled".into()),
            ("FragmentPath", "/etc/systemd/system/ollama.service".into()),
            ("DropInPaths", Variant::new(vec!["/etc/systemd/system/ollama.service.d/50-aiplatd.conf"])),
            ("NeedDaemonReload", true.into()),
            ("InvocationID", Variant::new(vec![0xab_u8, 1, 2, 0xff])),
            ("Result", "signal".into()),
            ("MainPID", 0_u32.into()),
            ("ExecMainCode", 2_i32.into()),
            ("ExecMainStatus", 9_i32.into()),
            ("NRestarts", 3_u32.into()),
            ("Job", Variant::new(job)),
            ("StateChangeTimestamp", 1_700_000_000_123_456_u64.into()),
            ("Environment", Variant::new(vec!["A=1", "B=x=y", "C="])),
            ("EnvironmentFiles", Variant::new(vec![("/a", false), ("/b", true)])),
        ]);
        assert_eq!(properties.id(), "ollama.service");
        assert_eq!(properties.job().unwrap().as_str(), "/org/freedesktop/systemd1/job/7");
        let pairs = [("A", "1"), ("B", "x=y"), ("C", "")];
        let expected = ObservedUnit {
            name: "ollama.service".to_owned(),
            load: LoadState::Loaded,
            active: ActiveState::Activating,
            sub: "auto-restart".to_owned(),
            file_state: "enabled".to_owned(),
            fragment: "/etc/systemd/system/ollama.service".to_owned(),
            drop_ins: vec!["/etc/systemd/system/ollama.service.d/50-aiplatd.conf".to_owned()],
            needs_reload: true,
            invocation: Some(Incarnation("ab0102ff".to_owned())),
            result: "signal".to_owned(),
            exit_status: 9,
            killed: true,
            restarts: 3,
            since_wall_ms: Some(1_700_000_000_123),
            environment: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            environment_files: vec!["/a".to_owned(), "/b".to_owned()],
            ..ObservedUnit::default()
        };
        assert_eq!(properties.unit(), expected);
    }

    #[test]
    fn what_apparmor_calls_a_unit_is_read_from_its_properties() {
        let argv = vec!["/usr/local/bin/ollama".to_owned(), "serve".to_owned()];
        let zero = (0_u64, 0_u64, 0_u64, 0_u64);
        let command: Command =
            (argv[0].clone(), argv.clone(), false, zero.0, zero.1, zero.2, zero.3, 812, 0, 0);
        let properties = properties([
            ("ExecMainPID", 812_u32.into()),
            ("AppArmorProfile", Variant::new((true, "ollama".to_owned()))),
            ("ExecStart", Variant::new(vec![command])),
        ]);
        let expected = Suspect { pid: 812, profile: "ollama".to_owned(), program: argv[0].clone() };
        assert_eq!(properties.suspect(), expected);
    }

    #[test]
    fn a_unit_that_is_not_there_has_a_reason_and_nothing_else() {
        let text = "Unit nope.service not found.";
        let error = ("org.freedesktop.systemd1.NoSuchUnit".to_owned(), text.to_owned());
        let properties = properties([
            ("LoadState", "not-found".into()),
            ("LoadError", Variant::new(error)),
            ("ActiveState", "inactive".into()),
            ("InvocationID", Variant::new(Vec::<u8>::new())),
            ("StateChangeTimestamp", 0_u64.into()),
            ("Job", Variant::new((0_u32, ObjectPath::try_from("/").unwrap()))),
        ]);
        assert_eq!(properties.job(), None);
        assert_eq!(
            properties.unit(),
            ObservedUnit { load_error: text.to_owned(), ..ObservedUnit::default() }
        );
    }

    #[test]
    fn a_unit_that_systemd_has_given_up_has_hit_its_limit_whatever_its_last_run_says() {
        let unit = |active: &'static str, policy: &'static str, result: &'static str, restarts: u32| {
            let prevented = (vec![23], Vec::<i32>::new());
            let status = if result == "exit-code" { 23_i32 } else { 9 };
            properties([
                ("ActiveState", active.into()),
                ("Restart", policy.into()),
                ("Result", result.into()),
                ("NRestarts", restarts.into()),
                ("ExecMainCode", if result == "exit-code" { 1_i32 } else { 2 }.into()),
                ("ExecMainStatus", status.into()),
                ("RestartPreventExitStatus", Variant::new(prevented)),
            ])
            .unit()
        };
        let given_up = |active, policy, result, restarts| unit(active, policy, result, restarts).given_up;
        assert!(given_up("failed", "always", "signal", 5));
        assert!(given_up("failed", "on-abort", "signal", 5));
        assert!(given_up("failed", "always", "start-limit-hit", 5));
        assert!(!given_up("failed", "always", "exit-code", 5), "it is not restarted after 23");
        assert!(!given_up("failed", "no", "signal", 0));
        assert!(!given_up("failed", "on-watchdog", "signal", 5));
        assert!(!given_up("failed", "always", "signal", 0), "it was never restarted");
        assert!(!given_up("activating", "always", "signal", 5), "it waits for its restart");
        assert_eq!(
            unit("failed", "always", "signal", 5).result,
            "signal",
            "how its last run ended is not lost"
        );
    }

    #[test]
    fn a_property_of_another_type_is_as_if_it_were_missing() {
        let unit = properties([("MainPID", "12".into()), ("DropInPaths", 3_u32.into())]).unit();
        assert_eq!((unit.main_pid, unit.drop_ins), (0, Vec::new()));
    }

    #[test]
    fn words_that_are_new_are_kept() {
        for (word, state) in [
            ("loaded", LoadState::Loaded),
            ("not-found", LoadState::NotFound),
            ("masked", LoadState::Masked),
            ("bad-setting", LoadState::BadSetting),
            ("error", LoadState::Error),
            ("merged", LoadState::Other("merged".to_owned())),
        ] {
            assert_eq!(load_state(word), state);
        }
        for (word, alive) in [
            ("active", true),
            ("reloading", true),
            ("inactive", false),
            ("failed", false),
            ("activating", true),
            ("deactivating", true),
            ("maintenance", true),
        ] {
            assert_eq!(active_state(word).is_alive(), alive, "{word}");
        }
    }
}
