//! Services of a sketch that are units of systemd.

use std::{collections::BTreeMap, time::Duration};

use aiplat_core::{
    ResourceId,
    spec::{
        Dependency, GpuRequest, Hardening, Management, OwnUnit, ProbeKind, ProbeSpec, RestartMode, TimerSpec,
        UnitSpec,
    },
};

use super::{Sketch, tcp_probe};
use crate::sim::systemd::Program;

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitService {
    /// Its name in the file.
    pub name: String,
    /// What the names in systemd begin with: as a rule its name.
    pub unit_of: String,
    /// Environment: the simplest thing whose change restarts it; 0: none.
    pub version: u32,
    /// The version of its program, where its whole file is aiplatd's; `None`: a package brings it.
    pub own: Option<u32>,
    /// Its program runs at times, where its file is aiplatd's.
    pub timer: bool,
    /// `management`.
    pub management: Management,
    /// Whether it is probed, each second, three tries.
    pub probe: bool,
    /// Edges.
    pub needs: BTreeMap<String, Dependency>,
    /// `gpus`.
    pub gpus: Vec<GpuRequest>,
}

/// What a program does that runs at times.
pub const RUN: Program = Program::Ends(Duration::from_millis(400), 0, "");

/// A unit of a package's, configured.
#[must_use]
pub fn unit(name: &str) -> UnitService {
    UnitService {
        name: name.to_owned(),
        unit_of: name.to_owned(),
        version: 1,
        own: None,
        timer: false,
        management: Management::Configure,
        probe: false,
        needs: BTreeMap::new(),
        gpus: Vec::new(),
    }
}

impl UnitService {
    /// Waits for `other`.
    #[must_use]
    pub fn after(mut self, other: &str, edge: Dependency) -> Self {
        self.needs.insert(other.to_owned(), edge);
        self
    }

    /// Its name in systemd. What a package brings and what aiplatd writes never have one name in turn: the one would be
    /// in the other's way.
    #[must_use]
    pub fn unit(&self) -> String {
        let whose = if self.own.is_some() { "own" } else { "package" };
        format!("{}-{whose}.service", self.unit_of)
    }

    fn command(&self, version: u32) -> Vec<String> {
        // What runs at times is another program than what serves: it ends.
        let job = if self.timer { "-job" } else { "" };
        vec![format!("/usr/bin/{}{job}", self.name), format!("v{version}")]
    }

    /// What its programs do, by the command line in its file, where that is not to serve.
    #[must_use]
    pub fn programs(&self) -> Option<(String, Program)> {
        let words = self.command(self.own.filter(|_| self.timer)?);
        let line: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        Some((line.join(" "), RUN))
    }

    fn calendar(&self) -> Option<TimerSpec> {
        let unit = self.unit().replace(".service", ".timer");
        self.timer.then(|| TimerSpec { unit, on_calendar: "daily".to_owned() })
    }

    fn port(&self) -> u16 {
        9_000 + u16::from(self.name.bytes().next().unwrap_or_default())
    }

    pub(super) fn spec(&self, sketch: &Sketch) -> UnitSpec {
        let Self { name, unit_of: _, version, own, timer: _, management, probe, needs, gpus } = self;
        let program = |version: u32| OwnUnit {
            command: self.command(version),
            user: None,
            group: None,
            working_dir: None,
            stop_signal: None,
            stop_grace: Duration::from_secs(10),
            hardening: Hardening::Default,
            timer: self.calendar(),
        };
        let asked = ProbeSpec { kind: ProbeKind::Tcp { port: self.port() }, ..tcp_probe() };
        UnitSpec {
            service: name.clone(),
            unit: self.unit(),
            management: *management,
            own: own.map(program),
            environment: (*version > 0)
                .then(|| ("VERSION".to_owned(), version.to_string()))
                .into_iter()
                .collect(),
            restart: RestartMode::Default,
            dependencies: needs.iter().map(|(on, edge)| (sketch.id_of(on), *edge)).collect(),
            probe: probe.then_some(asked),
            startup: None,
            liveness: None,
            gpus: gpus.clone(),
        }
    }

    /// As a person would write it.
    pub(crate) fn yaml(&self) -> String {
        let Self { name, unit_of: _, version, own, timer, management, probe, needs: _, gpus } = self;
        let unit = self.unit();
        let times = if *timer { ", on_calendar: daily" } else { "" };
        let mut text =
            format!("  {name}:\n    provider: {{type: systemd, options: {{unit: {unit}{times}}}}}\n");
        if *version > 0 {
            text.push_str(&format!("    environment: {{VERSION: \"{version}\"}}\n"));
        }
        if let Some(version) = own {
            text.push_str(&format!("    command: {:?}\n", self.command(*version)));
        }
        text.push_str(match management {
            Management::Observe => "    management: observe\n",
            Management::Configure => "",
            Management::Full => "    management: full\n",
        });
        text.push_str(&super::gpus_yaml(gpus));
        if *probe {
            let port = self.port();
            text.push_str(&format!(
                "    healthcheck: {{tcp: {{port: {port}}}, interval: 1s, timeout: 1s, retries: 3}}\n"
            ));
        }
        text
    }
}

impl Sketch {
    /// The same with these units.
    #[must_use]
    pub fn with_units(mut self, units: impl IntoIterator<Item = UnitService>) -> Self {
        self.units.extend(units);
        self
    }

    /// The resource of the service `name`.
    #[must_use]
    pub fn id_of(&self, name: &str) -> ResourceId {
        let is_unit = self.units.iter().any(|unit| unit.name == name);
        if is_unit { ResourceId::unit(name) } else { ResourceId::container(name) }
    }
}
