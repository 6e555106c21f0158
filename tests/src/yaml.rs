//! A sketch as the file that a person would write.

use std::{collections::BTreeMap, fmt::Write as _};

use aiplat_core::spec::{Dependency, DependencyCondition, FailureAction, OnChange, RestartMode};

use crate::build::{Service, Sketch};

impl Sketch {
    /// `platform.yaml`.
    #[must_use]
    pub fn yaml(&self) -> String {
        let mut out = format!("apiVersion: aiplat/v1\nname: {}\n", self.name);
        let mut networks: Vec<&String> = self.services.iter().flat_map(|service| &service.networks).collect();
        networks.sort();
        networks.dedup();
        section(&mut out, "networks", networks.into_iter().map(|key| self.network(key)));
        let mut volumes: Vec<&String> =
            self.services.iter().flat_map(|service| &service.volumes).map(|(key, _)| key).collect();
        volumes.sort();
        volumes.dedup();
        section(&mut out, "volumes", volumes.into_iter().map(|key| self.named(key)));
        let mut configs: Vec<&String> = self.services.iter().flat_map(|service| &service.configs).collect();
        configs.sort();
        configs.dedup();
        section(&mut out, "configs", configs.into_iter().map(|key| self.config_line(key)));
        let models = self
            .models
            .iter()
            .map(|(entry, model, runner)| format!("  {entry}: {{model: \"{model}\", runner: {runner}}}\n"));
        section(&mut out, "models", models);
        let is_empty = self.services.is_empty() && self.units.is_empty();
        out.push_str(if is_empty { "services: {}\n" } else { "services:\n" });
        for service in &self.services {
            service.yaml(&mut out);
        }
        for unit in &self.units {
            out.push_str(&unit.yaml());
            edges(&mut out, &unit.needs);
        }
        out
    }

    fn network(&self, key: &String) -> String {
        let name = self.names.iter().find(|(other, _)| other == key).map(|(_, name)| format!("name: {name}"));
        let internal = self.internal.contains(key).then(|| "internal: true".to_owned());
        let settings: Vec<String> = name.into_iter().chain(internal).collect();
        if settings.is_empty() { self.named(key) } else { format!("  {key}: {{{}}}\n", settings.join(", ")) }
    }

    fn config_line(&self, key: &str) -> String {
        let (text, on_change) = &self.configs[key];
        let on_change = match on_change {
            OnChange::Restart => "restart",
            OnChange::Recreate => "recreate",
            OnChange::Nothing => "none",
        };
        format!("  {key}: {{content: {text:?}, on_change: {on_change}}}\n")
    }

    fn named(&self, key: &str) -> String {
        match self.external.iter().find(|(other, _)| other == key) {
            Some((_, name)) => format!("  {key}: {{external: true, name: {name}}}\n"),
            None => format!("  {key}: {{}}\n"),
        }
    }
}

fn section(out: &mut String, name: &str, lines: impl Iterator<Item = String>) {
    let lines: Vec<String> = lines.collect();
    if !lines.is_empty() {
        let _ = write!(out, "{name}:\n{}", lines.concat());
    }
}

impl Service {
    fn yaml(&self, out: &mut String) {
        let _ = writeln!(out, "  {}:\n    image: {}", self.name, self.image);
        let _ = writeln!(out, "    environment: {{VERSION: \"{}\"}}", self.version);
        // Without any the loader puts it on `default`.
        if !self.networks.is_empty() {
            let _ = writeln!(out, "    networks: {:?}", self.networks);
        }
        let volumes = self.volumes.iter().map(|(key, target)| format!("\"{key}:{target}\""));
        let anonymous = self.anonymous.iter().map(|target| format!("\"{target}\""));
        let binds = self.binds.iter().map(|(path, make)| {
            format!("{{type: bind, source: {path}, target: {path}, bind: {{create_host_path: {make}}}}}")
        });
        let mounts: Vec<String> = volumes.chain(anonymous).chain(binds).collect();
        if !mounts.is_empty() {
            let _ = writeln!(out, "    volumes: [{}]", mounts.join(", "));
        }
        if !self.configs.is_empty() {
            let _ = writeln!(out, "    configs: {:?}", self.configs);
        }
        if !self.ports.is_empty() {
            let ports: Vec<String> = self.ports.iter().map(|port| format!("{port}:80")).collect();
            let _ = writeln!(out, "    ports: {ports:?}");
        }
        let restart = match self.restart {
            RestartMode::Default => String::new(),
            RestartMode::No => "    restart: \"no\"\n".to_owned(),
            RestartMode::Always => "    restart: always\n".to_owned(),
            RestartMode::OnFailure(None) => "    restart: on-failure\n".to_owned(),
            RestartMode::OnFailure(Some(most)) => format!("    restart: on-failure:{most}\n"),
        };
        out.push_str(&restart);
        if let Some(name) = &self.container_name {
            let _ = writeln!(out, "    container_name: {name}");
        }
        out.push_str(&crate::build::gpus_yaml(&self.gpus));
        let limits = (self.limits.memory > 0)
            .then(|| format!("resources: {{limits: {{memory: \"{}\"}}}}", self.limits.memory));
        let action = self.on_failure.map(|action| match action {
            FailureAction::Rollback => "failure_action: rollback",
            FailureAction::Pause => "failure_action: pause",
        });
        let order = self.start_first.then_some("order: start-first");
        let update: Vec<&str> = action.into_iter().chain(order).collect();
        let update = (!update.is_empty()).then(|| format!("update_config: {{{}}}", update.join(", ")));
        let deploy: Vec<String> = limits.into_iter().chain(update).collect();
        if !deploy.is_empty() {
            let _ = writeln!(out, "    deploy: {{{}}}", deploy.join(", "));
        }
        let patient = "{tcp: {port: 80}, retries: 5}";
        let probes = [
            self.probe.is_some().then(|| "tcp: {port: 80}".to_owned()),
            self.startup.is_some().then(|| format!("startup: {patient}")),
            self.liveness.is_some().then(|| format!("liveness: {patient}")),
        ];
        let probes: Vec<String> = probes.into_iter().flatten().collect();
        if !probes.is_empty() {
            let probes = probes.join(", ");
            let _ = writeln!(out, "    healthcheck: {{{probes}, interval: 1s, timeout: 1s, retries: 3}}");
        }
        edges(out, &self.needs);
    }
}

fn edges(out: &mut String, needs: &BTreeMap<String, Dependency>) {
    if !needs.is_empty() {
        out.push_str("    depends_on:\n");
    }
    for (on, edge) in needs {
        let condition = match edge.condition {
            DependencyCondition::Started => "service_started",
            DependencyCondition::Healthy => "service_healthy",
            DependencyCondition::CompletedSuccessfully => "service_completed_successfully",
        };
        let (restart, required) = (edge.restart, edge.required);
        let _ =
            writeln!(out, "      {on}: {{condition: {condition}, restart: {restart}, required: {required}}}");
    }
}
