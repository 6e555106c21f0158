//! Processes of this machine that run one of a few programs, with what they belong to and where they listen.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use aiplat_core::observed::{Instance, InstanceOwner};

use crate::listeners::{self, Owner};

/// Thousands of processes are not searched to the end.
const DEADLINE: Duration = Duration::from_secs(2);
/// The kernel keeps so much of a process's name.
const COMM_MAX: usize = 15;

/// One for each program and owner: the process with the lowest number, and the ports of all of them. `proc` is the process
/// file system: `/proc`.
pub async fn instances(proc: PathBuf, programs: BTreeSet<String>) -> Vec<Instance> {
    if programs.is_empty() {
        return Vec::new();
    }
    let search = move || search(&proc, &programs, Instant::now() + DEADLINE);
    tokio::task::spawn_blocking(search).await.unwrap_or_default()
}

fn search(proc: &Path, programs: &BTreeSet<String>, deadline: Instant) -> Vec<Instance> {
    let mut found: BTreeMap<(String, InstanceOwner), Instance> = BTreeMap::new();
    let mut listening = None;
    for pid in listeners::processes(proc) {
        if Instant::now() >= deadline {
            break;
        }
        let Some(program) = program(proc, pid, programs) else { continue };
        let owner = match listeners::owner_of(proc, pid) {
            Owner::Unit(name) => InstanceOwner::Unit(name),
            Owner::Container(id) => InstanceOwner::Container(id),
            Owner::Nothing => InstanceOwner::Nobody,
        };
        let listening = listening.get_or_insert_with(|| listeners::listening(proc));
        let ports = listeners::inodes(proc, pid).filter_map(|inode| listening.get(&inode).copied());
        let ports: Vec<u16> = ports.collect();
        let instance = found.entry((program.clone(), owner.clone())).or_insert_with(|| Instance {
            program,
            pid,
            owner,
            ports: Vec::new(),
        });
        instance.ports.extend(ports);
        instance.ports.sort_unstable();
        instance.ports.dedup();
    }
    found.into_values().collect()
}

/// Which of `programs` the process runs: by its own file, or by the name that a script gives it.
fn program(proc: &Path, pid: u32, programs: &BTreeSet<String>) -> Option<String> {
    let folder = proc.join(pid.to_string());
    let comm = fs::read_to_string(folder.join("comm")).unwrap_or_default();
    let comm = comm.trim_end_matches('\n');
    let cut = |program: &str| program.chars().take(COMM_MAX).collect::<String>();
    if let Some(by_name) = programs.iter().find(|program| cut(program) == comm) {
        return Some(by_name.clone());
    }
    let file = fs::read_link(folder.join("exe")).ok()?;
    let name = file.file_name()?.to_string_lossy().into_owned();
    programs.contains(&name).then_some(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const HEAD: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    /// `(pid, comm, program's file, control group, inode of a socket)`
    fn proc(processes: &[(u32, &str, &str, &str, u64)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("net")).unwrap();
        let line = |port: &str, state: &str, inode: u64| {
            format!(
                "   0: 00000000:{port} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0\n"
            )
        };
        let tcp = [line("2CAA", "0A", 11), line("2CAB", "0A", 12), line("2CAC", "01", 13)].concat();
        fs::write(folder.path().join("net/tcp"), format!("{HEAD}{tcp}")).unwrap();
        for (pid, comm, exe, cgroup, inode) in processes {
            let process = folder.path().join(pid.to_string());
            fs::create_dir_all(process.join("fd")).unwrap();
            fs::write(process.join("comm"), format!("{comm}\n")).unwrap();
            symlink(exe, process.join("exe")).unwrap();
            fs::write(process.join("cgroup"), format!("0::{cgroup}\n")).unwrap();
            symlink(format!("socket:[{inode}]"), process.join("fd/3")).unwrap();
        }
        folder
    }

    #[test]
    fn each_owner_of_a_program_is_one_instance_with_its_ports() {
        let proc = proc(&[
            (7, "ollama", "/usr/bin/ollama", "/system.slice/ollama.service", 11),
            (9, "ollama", "/usr/bin/ollama", "/system.slice/ollama.service", 13),
            (8, "renamed", "/opt/ollama", "/system.slice/other.service", 12),
            (10, "open-webui-with", "/usr/bin/python3", "/user.slice", 13),
            (11, "nginx", "/usr/bin/nginx", "/system.slice/nginx.service", 11),
        ]);
        let programs = ["ollama", "open-webui-with-a-long-name"].map(str::to_owned).into();
        let found = search(proc.path(), &programs, Instant::now() + DEADLINE);
        let seen: Vec<(u32, &str, InstanceOwner, &[u16])> = found
            .iter()
            .map(|it| (it.pid, it.program.as_str(), it.owner.clone(), it.ports.as_slice()))
            .collect();
        let unit = |name: &str| InstanceOwner::Unit(name.to_owned());
        assert_eq!(
            seen,
            [
                (7, "ollama", unit("ollama.service"), [11434].as_slice()),
                (8, "ollama", unit("other.service"), &[11435]),
                (10, "open-webui-with-a-long-name", InstanceOwner::Nobody, &[]),
            ]
        );
    }
}
