//! Writes what a package carries besides the programs: manual pages and completions, made from the programs' own
//! command lines. `cargo xtask package` runs it; nobody else needs it, so that the programs do not carry it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate};
use clap_mangen::Man;

/// What the page of the daemon says before its arguments.
const DAEMON_TEXT: &str = "Keeps a self-hosted AI platform on this machine the way platform.yaml says it should be, for \
                           as long as it runs. Its end, by whatever cause, stops no service; only when the machine goes \
                           down are they stopped, in their order. SIGHUP reads the file again.";

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return fail("usage: aiplat-manual FOLDER");
    };
    match write(&folder) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("cannot write the manual to {}: {error}", folder.display())),
    }
}

#[expect(clippy::print_stderr, reason = "a command line tool talks to its user")]
fn fail(text: &str) -> ExitCode {
    eprintln!("{text}");
    ExitCode::from(2)
}

/// Writes everything below `folder`, laid out as below `/usr/share`; answers with what it wrote.
fn write(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let daemon = aiplatd::args::Args::command().long_about(DAEMON_TEXT);
    let mut written = Vec::new();
    pages(&folder.join("man"), &daemon, "8", &mut written)?;
    pages(&folder.join("man"), &aiplatctl::command(), "1", &mut written)?;
    for mut command in [aiplatctl::command(), daemon] {
        for (shell, path) in completions(command.get_name()) {
            let mut script = Vec::new();
            let name = command.get_name().to_owned();
            generate(shell, &mut command, name, &mut script);
            put(&folder.join(path), &script, &mut written)?;
        }
    }
    Ok(written)
}

/// Where the shells look for the completion of `program`.
fn completions(program: &str) -> [(Shell, String); 3] {
    [
        (Shell::Bash, format!("bash-completion/completions/{program}")),
        (Shell::Zsh, format!("zsh/vendor-completions/_{program}")),
        (Shell::Fish, format!("fish/vendor_completions.d/{program}.fish")),
    ]
}

/// One page for the program, and one for each of its verbs.
fn pages(folder: &Path, program: &Command, section: &str, written: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut program = program.clone();
    program.build();
    page(folder, &program, program.get_name().to_owned(), section, written)?;
    for verb in program.get_subcommands() {
        let name = format!("{}-{}", program.get_name(), verb.get_name());
        page(folder, verb, name, section, written)?;
    }
    Ok(())
}

fn page(
    folder: &Path,
    command: &Command,
    name: String,
    section: &str,
    written: &mut Vec<PathBuf>,
) -> io::Result<()> {
    let path = folder.join(format!("man{section}/{name}.{section}"));
    let manual = format!("aiplatd {}", env!("CARGO_PKG_VERSION"));
    let page = Man::new(command.clone().display_name(name)).section(section).source(manual).manual("aiplatd");
    let mut text = Vec::new();
    page.render(&mut text)?;
    put(&path, &text, written)
}

fn put(path: &Path, content: &[u8], written: &mut Vec<PathBuf>) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, content)?;
    written.push(path.to_owned());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_a_page_that_names_its_arguments() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path()).expect("it can be written");
        let page = |name: &str| fs::read_to_string(folder.path().join("man").join(name)).expect(name);
        let verbs: Vec<String> =
            aiplatctl::command().get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
        assert!(verbs.len() > 20, "{verbs:?}");
        for verb in &verbs {
            let text = page(&format!("man1/aiplatctl-{verb}.1"));
            assert!(text.contains("\n.SH SYNOPSIS"), "{verb}: {text}");
            let named = format!("aiplatctl-{verb}(1)").replace('-', "\\-");
            assert!(page("man1/aiplatctl.1").contains(&named), "{verb}");
        }
        assert!(page("man1/aiplatctl-logs.1").contains("\\-\\-previous"));
        let daemon = page("man8/aiplatd.8");
        assert!(daemon.contains("\\-\\-docker\\-socket") && daemon.contains("stops no service"), "{daemon}");
    }

    #[test]
    fn each_shell_gets_a_script_where_it_looks_for_it() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path()).expect("it can be written");
        for program in ["aiplatctl", "aiplatd"] {
            for (_, path) in completions(program) {
                let script = fs::read_to_string(folder.path().join(&path)).expect(&path);
                assert!(script.contains(program), "{path}");
            }
        }
    }
}
