//! Edits of the demo's `platform.yaml`, as a person would make them: of lines, so that the rest stays as it is.

use anyhow::{Result, anyhow};

/// The names under `services:`, in the order of the file.
pub fn service_names(file: &str) -> Vec<String> {
    let block = file.lines().skip_while(|line| line.trim_end() != "services:").skip(1);
    let block = block.take_while(|line| line.is_empty() || line.starts_with([' ', '#']));
    block.filter_map(service_name).collect()
}

/// The lines of a service, without its key; none if it is not written as a block.
pub fn service_block<'a>(file: &'a str, service: &str) -> Vec<&'a str> {
    let lines: Vec<&str> = file.lines().collect();
    block(&lines, service).map_or(Vec::new(), |(start, end)| lines[start + 1..end].to_vec())
}

/// Makes a service die at its start, saying why, until the edit is taken back.
pub fn with_crash(file: &str, service: &str, log_line: &str) -> Result<String> {
    let mut lines: Vec<String> = file.lines().map(str::to_owned).collect();
    let (start, end) = block(&lines, service)?;
    let crash = format!("    command: [\"crash\", \"CRASH_AFTER=300\", \"LOG_LINE={log_line}\"]");
    match (start + 1..end).find(|&index| lines[index].starts_with("    command:")) {
        Some(index) => lines[index] = crash,
        None => lines.insert(start + 1, crash),
    }
    Ok(lines.join("\n") + "\n")
}

/// Publishes another port of the host in place of this one.
pub fn with_host_port(file: &str, old: u16, new: u16) -> Result<String> {
    let lines: Vec<Option<String>> = file.lines().map(|line| republished(line, old, new)).collect();
    if lines.iter().all(Option::is_none) {
        return Err(anyhow!("no line of the file publishes port {old}"));
    }
    let kept = file.lines().zip(lines).map(|(line, changed)| changed.unwrap_or_else(|| line.to_owned()));
    Ok(kept.collect::<Vec<_>>().join("\n") + "\n")
}

/// The line with the port replaced, if it stands there as `PORT:` and is no part of a longer number or address.
fn republished(line: &str, old: u16, new: u16) -> Option<String> {
    let index = line.find(&format!("{old}:"))?;
    let (before, rest) = line.split_at(index);
    let is_part = before.ends_with(|last: char| last.is_ascii_digit() || last == '.');
    let is_comment = line.trim_start().starts_with('#');
    (!is_part && !is_comment).then(|| format!("{before}{new}{}", &rest[old.to_string().len()..]))
}

/// What an editor leaves that was interrupted while it saved: the first half, cut inside a line.
pub fn torn(file: &str) -> String {
    let half: String = file.chars().take(file.chars().count() / 2).collect();
    format!("{}\n    ports: [\"127.0.0.1", half.trim_end())
}

/// A service whose restart another one follows: the first `depends_on` entry with `restart: true`.
pub fn restarting_dependency(file: &str) -> Option<String> {
    let lines: Vec<&str> = file.lines().collect();
    let index = lines
        .iter()
        .position(|line| !line.trim_start().starts_with('#') && line.contains("restart: true"))?;
    let (before, _) = lines[index].split_once("restart: true")?;
    if let Some((head, _)) = before.rsplit_once('{') {
        let key = head.trim_end().trim_end_matches(':');
        return key.rsplit([' ', '{']).next().map(str::to_owned);
    }
    let depth = indentation(lines[index]);
    let parent =
        lines[..index].iter().rev().find(|line| !line.trim().is_empty() && indentation(line) < depth)?;
    Some(parent.trim().trim_end_matches(':').to_owned())
}

/// The services that follow a restart of this one: those with `restart: true` on the line that depends on it.
pub fn followers(file: &str, service: &str) -> Vec<String> {
    let follows = |line: &&str| {
        let named = line.trim_start().strip_prefix(service).is_some_and(|rest| rest.starts_with(':'));
        named && line.contains("restart: true")
    };
    let names = service_names(file).into_iter();
    names.filter(|name| service_block(file, name).iter().any(follows)).collect()
}

fn service_name(line: &str) -> Option<String> {
    let key = line.strip_prefix("  ").filter(|rest| !rest.starts_with([' ', '#', '-']))?;
    key.split_once(':').map(|(name, _)| name.to_owned())
}

/// The lines of a service written as a block: its key, and the first line after it.
fn block(lines: &[impl AsRef<str>], service: &str) -> Result<(usize, usize)> {
    let key = format!("  {service}:");
    let start = lines.iter().position(|line| line.as_ref().trim_end() == key);
    let start = start.ok_or_else(|| anyhow!("the file has no block `{service}:` under services"))?;
    let inside = |line: &str| line.trim().is_empty() || indentation(line) > 2;
    let length = lines[start + 1..].iter().take_while(|line| inside(line.as_ref())).count();
    Ok((start, start + 1 + length))
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
name: quickstart
services:
  # the first
  db:
    image: aiplat-demo:1
  web:
    image: aiplat-demo:1
    command: [serve]
    ports: [\"127.0.0.1:18080:8080\"]
    depends_on:
      db:
        condition: service_healthy
        restart: true
networks:
  front: {}
";

    #[test]
    fn services_are_found_in_the_order_of_the_file() {
        assert_eq!(service_names(FILE), ["db", "web"]);
    }

    #[test]
    fn a_crash_replaces_the_command_or_adds_one() {
        let web = with_crash(FILE, "web", "FATAL").unwrap();
        assert!(web.contains("LOG_LINE=FATAL") && !web.contains("[serve]"), "{web}");
        let db = with_crash(FILE, "db", "FATAL").unwrap();
        assert!(db.contains("  db:\n    command: [\"crash\"") && db.contains("[serve]"), "{db}");
        assert!(with_crash(FILE, "nobody", "FATAL").is_err());
    }

    #[test]
    fn a_published_port_is_replaced() {
        assert!(with_host_port(FILE, 18080, 4711).unwrap().contains("127.0.0.1:4711:8080"));
        assert!(with_host_port(FILE, 1, 2).is_err(), "not the end of an address");
        assert!(with_host_port(FILE, 80, 81).is_err(), "not the end of a longer port");
    }

    #[test]
    fn the_restarting_dependency_is_found_in_both_styles() {
        assert_eq!(restarting_dependency(FILE).as_deref(), Some("db"));
        let flow = "      cache: {condition: service_healthy, restart: true}\n";
        assert_eq!(restarting_dependency(flow).as_deref(), Some("cache"));
        let nested = "    depends_on: {cache: {condition: service_healthy, restart: true}}\n";
        assert_eq!(restarting_dependency(nested).as_deref(), Some("cache"));
        assert_eq!(restarting_dependency("name: x"), None);
    }

    #[test]
    fn those_that_follow_are_found() {
        let file = include_str!("../../../../examples/quickstart/platform.yaml");
        assert_eq!(followers(file, "postgres"), ["litellm"]);
        assert!(followers(file, "redis").is_empty());
    }

    #[test]
    fn a_torn_file_ends_inside_a_string() {
        assert!(torn(FILE).ends_with("[\"127.0.0.1"));
    }
}
