//! A sketch for who reads a failing case.

use std::fmt;

use aiplat_core::spec::Settings;

use super::{Service, Sketch, service};

/// A failing case is read by a person: a line a service, and only what it says.
impl fmt::Debug for Sketch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for service in &self.services {
            write!(f, "\n    {service:?}")?;
        }
        for unit in &self.units {
            write!(f, "\n    {unit:?}")?;
        }
        let Self {
            name: _,
            services: _,
            units: _,
            networks,
            settings,
            removals: _,
            external,
            names,
            internal,
            configs,
            models,
        } = self;
        if !models.is_empty() {
            write!(f, "\n    models {models:?}")?;
        }
        if !configs.is_empty() {
            write!(f, "\n    configs {configs:?}")?;
        }
        if *settings != Settings::default() {
            write!(f, "\n    {settings:?}")?;
        }
        if !networks.is_empty() || !external.is_empty() || !names.is_empty() {
            write!(f, "\n    networks {networks:?} external {external:?} names {names:?}")?;
        }
        if internal.is_empty() { Ok(()) } else { write!(f, "\n    internal {internal:?}") }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = service(&self.name);
        write!(f, "{} {} v{} {:?}", self.name, self.image, self.version, self.restart)?;
        for (on, edge) in &self.needs {
            write!(f, " after {on}:{:?}", edge.condition)?;
            write!(
                f,
                "{}{}",
                if edge.restart { "+restart" } else { "" },
                if edge.required { "" } else { "?" }
            )?;
        }
        write!(f, " networks {:?}", self.networks)?;
        for (what, said) in [
            ("volumes", format!("{:?}", self.volumes)),
            ("binds", format!("{:?}", self.binds)),
            ("configs", format!("{:?}", self.configs)),
        ] {
            if said != "[]" {
                write!(f, " {what} {said}")?;
            }
        }
        for (name, probe) in
            [("probe", &self.probe), ("startup", &self.startup), ("liveness", &self.liveness)]
        {
            if probe.is_some() {
                write!(f, " {name}")?;
            }
        }
        if !self.ports.is_empty() || !self.anonymous.is_empty() {
            write!(f, " ports {:?} anonymous {:?}", self.ports, self.anonymous)?;
        }
        if self.limits != plain.limits || self.container_name.is_some() {
            write!(f, " memory {} name {:?}", self.limits.memory, self.container_name)?;
        }
        if !self.gpus.is_empty() {
            write!(f, " gpus {:?}", self.gpus)?;
        }
        write!(f, " boot {:?} stops with {}", self.app.boot, self.app.stop_exit)?;
        if let Some(hang) = &self.app.hangs {
            write!(f, " {hang:?}")?;
        }
        if let Some(upstream) = &self.app.upstream {
            write!(f, " relies on {upstream}")?;
        }
        self.app.ends.as_ref().map_or(Ok(()), |ending| write!(f, " {ending:?}"))
    }
}
