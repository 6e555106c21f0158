//! What the engine's floor leaves out: the time that the services themselves take to be ready.

use std::time::Duration;

use super::edits;

/// The longest chain of the services' own start-up along `depends_on`: who, in order, and how long.
///
/// Read from the lines of the demo's own file, as the edits are; a cycle is no chain, and aiplatd refuses it anyway.
pub fn longest_chain(file: &str) -> (Vec<String>, Duration) {
    let mut longest = (Vec::new(), Duration::ZERO);
    for name in edits::service_names(file) {
        let chain = chain_to(file, &name, &[]);
        if chain.1 > longest.1 {
            longest = chain;
        }
    }
    longest
}

/// The longest chain that ends in this service.
fn chain_to(file: &str, name: &str, behind: &[&str]) -> (Vec<String>, Duration) {
    let block = edits::service_block(file, name);
    let mut longest = (Vec::new(), Duration::ZERO);
    for needed in
        dependencies(&block).into_iter().filter(|needed| !behind.contains(needed) && *needed != name)
    {
        let chain = chain_to(file, needed, &[behind, &[name]].concat());
        if chain.1 > longest.1 {
            longest = chain;
        }
    }
    longest.0.push(name.to_owned());
    longest.1 += own_start(&block);
    longest
}

/// `READY_AFTER`, in ms, as the demo's image reads it.
fn own_start(block: &[&str]) -> Duration {
    let given = block.iter().find_map(|line| line.split_once("READY_AFTER=")).map_or("", |(_, rest)| rest);
    let digits: String = given.chars().take_while(char::is_ascii_digit).collect();
    Duration::from_millis(digits.parse().unwrap_or(0))
}

/// The keys under `depends_on:`, one to a line.
fn dependencies<'a>(block: &[&'a str]) -> Vec<&'a str> {
    let below = block.iter().skip_while(|line| line.trim_end() != "    depends_on:").skip(1);
    let inside = below.take_while(|line| line.starts_with("      "));
    let keys =
        inside.filter_map(|line| line.strip_prefix("      ")).filter(|line| !line.starts_with([' ', '#']));
    keys.filter_map(|line| line.split_once(':')).map(|(key, _)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_chain_of_the_quickstart_is_found() {
        let file = include_str!("../../../../examples/quickstart/platform.yaml");
        let (chain, took) = longest_chain(file);
        assert_eq!(chain, ["ollama", "litellm", "open-webui"]);
        assert_eq!(took, Duration::from_millis(1100));
    }

    #[test]
    fn without_edges_it_is_the_slowest_service_and_a_cycle_ends() {
        let flat =
            "services:\n  a:\n    command: [\"READY_AFTER=5\"]\n  b:\n    command: [\"READY_AFTER=9\"]\n";
        assert_eq!(longest_chain(flat), (vec!["b".to_owned()], Duration::from_millis(9)));
        let cycle = "services:\n  a:\n    command: [\"READY_AFTER=5\"]\n    depends_on:\n      a: {}\n";
        assert_eq!(longest_chain(cycle).1, Duration::from_millis(5));
        assert_eq!(longest_chain("name: x"), (Vec::new(), Duration::ZERO));
    }
}
