//! What the machine has besides containers and units: folders with data, and processes that nobody has asked for.

use std::{collections::BTreeMap, net::IpAddr};

use super::ContainerId;
use crate::spec::Protocol;

/// The files below one folder of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FolderFacts {
    /// Size by path relative to the folder; a folder that is not there has none.
    pub files: BTreeMap<String, u64>,
    /// There are more than were looked at.
    pub cut: bool,
}

/// A process of the machine that runs a program which a service of the file runs, too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instance {
    /// The program: the last part of its path.
    pub program: String,
    /// Its number.
    pub pid: u32,
    /// What it belongs to.
    pub owner: InstanceOwner,
    /// The TCP ports of the machine on which it listens. Those of a container are its own, and not among them.
    pub ports: Vec<u16>,
}

/// What a process belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum InstanceOwner {
    /// A unit of systemd.
    Unit(String),
    /// A container.
    Container(ContainerId),
    /// Neither: somebody has started it by hand.
    Nobody,
}

/// A host port that a process listens on, which is none of the engine's own proxies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldPort {
    /// The port.
    pub port: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Where the process listens; unspecified: on all addresses of its family.
    pub address: IpAddr,
    /// Who that is, for a person: "process `python3` (pid 812)", and the unit that it belongs to, if it does.
    pub by: String,
    /// The container that the process belongs to, if it does: one on the host's own network. Its name is known from the listing.
    pub container: Option<ContainerId>,
}
