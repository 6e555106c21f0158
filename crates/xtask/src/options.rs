//! What was typed after `cargo xtask`.

use std::path::PathBuf;

/// The usage text.
pub const USAGE: &str = "usage: cargo xtask VERB

  demo [--yes] [--compose FILE]   a stack on a real engine, broken and healed before your eyes
  demo --down                     remove all that the demo made
  test [--only a,b] [--yes]       everything that CI checks, step by step
  bench [--quick] [--write]       speed and memory beside the engine's floor and Compose; --write: docs/measurements.md
  gpu-live                        the GPU adapter beside nvidia-smi on a real NVIDIA GPU: docs/gpu-live.md; exits with 3 without one
  docs                            write docs/reference from the tables of the code
  check                           format, clippy, the reference and unit tests only
  licences                        licences, sources, bans and duplicates of the dependencies
  package [--dev] [--version V]   target/package: a .deb and a .tar.gz of the release build; --dev: of the dev build
  image [--yes]                   build and import the images aiplat-demo:1 and :2

  --yes   install and start a container engine without asking, if none answers (CI=true means the same)";

/// One invocation.
#[derive(Debug, PartialEq)]
pub enum Verb {
    /// Print the usage.
    Help,
    /// `test`.
    Test {
        /// The steps to run; none means all.
        only: Vec<String>,
        /// Install without asking.
        yes: bool,
    },
    /// `docs`.
    Docs,
    /// `check`.
    Check,
    /// `licences`.
    Licences,
    /// `image`.
    Image {
        /// Install without asking.
        yes: bool,
    },
    /// `package`.
    Package(Package),
    /// `demo`.
    Demo(Demo),
    /// `demo --down`.
    DemoDown,
    /// `bench`.
    Bench(Bench),
    /// `gpu-live`.
    GpuLive,
}

/// The options of the packages.
#[derive(Debug, Default, PartialEq)]
pub struct Package {
    /// Of the dev build, uncompressed: for tests.
    pub dev: bool,
    /// Another version than the workspace's: for tests of upgrades.
    pub version: Option<String>,
}

/// The options of the benchmarks.
#[derive(Debug, Default, PartialEq)]
pub struct Bench {
    /// Install without asking.
    pub yes: bool,
    /// Few rounds.
    pub quick: bool,
    /// Write the page, not only print it.
    pub write: bool,
}

/// The options of the demo.
#[derive(Debug, Default, PartialEq)]
pub struct Demo {
    /// Install without asking.
    pub yes: bool,
    /// The newcomer's own compose file.
    pub compose: Option<PathBuf>,
}

/// Parses argv; the error is what to print.
pub fn parse(arguments: &[String]) -> Result<Verb, String> {
    let mut words = arguments.iter().map(String::as_str);
    let verb = words.next().unwrap_or("help");
    let flags = Flags::read(words)?;
    let verb = match verb {
        "demo" if flags.down => Verb::DemoDown,
        "demo" => Verb::Demo(Demo { yes: flags.yes, compose: flags.compose.clone() }),
        "test" => Verb::Test { only: flags.only.clone(), yes: flags.yes },
        "bench" => Verb::Bench(Bench { yes: flags.yes, quick: flags.quick, write: flags.write }),
        "gpu-live" => Verb::GpuLive,
        "docs" => Verb::Docs,
        "package" => Verb::Package(Package { dev: flags.dev, version: flags.version.clone() }),
        "check" => Verb::Check,
        "licences" | "licenses" => Verb::Licences,
        "image" => Verb::Image { yes: flags.yes },
        "help" | "--help" | "-h" => Verb::Help,
        other => return Err(format!("no verb is called `{other}`\n{USAGE}")),
    };
    match flags.foreign_to(&verb) {
        Some(flag) => Err(format!("`{flag}` does not belong there\n{USAGE}")),
        None => Ok(verb),
    }
}

#[derive(Default)]
struct Flags {
    yes: bool,
    down: bool,
    quick: bool,
    write: bool,
    dev: bool,
    version: Option<String>,
    compose: Option<PathBuf>,
    only: Vec<String>,
}

impl Flags {
    fn read<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut flags = Self::default();
        while let Some(word) = words.next() {
            let (flag, inline) =
                word.split_once('=').map_or((word, None), |(flag, value)| (flag, Some(value)));
            let mut value =
                || inline.or_else(|| words.next()).ok_or_else(|| format!("`{flag}` needs a value\n{USAGE}"));
            match flag {
                "--yes" | "-y" => flags.yes = true,
                "--down" => flags.down = true,
                "--quick" => flags.quick = true,
                "--write" => flags.write = true,
                "--dev" => flags.dev = true,
                "--version" => flags.version = Some(value()?.to_owned()),
                "--compose" => flags.compose = Some(value()?.into()),
                "--only" => flags.only.extend(value()?.split(',').map(|name| name.trim().to_owned())),
                other => return Err(format!("`{other}` is not understood\n{USAGE}")),
            }
        }
        Ok(flags)
    }

    /// A flag that was given and that this verb does not take.
    fn foreign_to(&self, verb: &Verb) -> Option<&'static str> {
        let taken: &[&str] = match verb {
            Verb::Help | Verb::Docs | Verb::Check | Verb::Licences | Verb::GpuLive => &[],
            Verb::Test { .. } => &["--yes", "--only"],
            Verb::Image { .. } => &["--yes"],
            Verb::Package(_) => &["--dev", "--version"],
            Verb::Demo(_) => &["--yes", "--compose"],
            Verb::DemoDown => &["--yes", "--down"],
            Verb::Bench(_) => &["--yes", "--quick", "--write"],
        };
        let given = [
            ("--yes", self.yes),
            ("--down", self.down),
            ("--quick", self.quick),
            ("--write", self.write),
            ("--dev", self.dev),
            ("--version", self.version.is_some()),
            ("--compose", self.compose.is_some()),
            ("--only", !self.only.is_empty()),
        ];
        given.into_iter().find(|(flag, given)| *given && !taken.contains(flag)).map(|(flag, _)| flag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &str) -> Result<Verb, String> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn verbs_take_their_flags() {
        assert_eq!(
            typed("test --only fmt,clippy"),
            Ok(Verb::Test { only: vec!["fmt".into(), "clippy".into()], yes: false })
        );
        assert_eq!(typed("demo --down"), Ok(Verb::DemoDown));
        assert_eq!(
            typed("demo --compose=x.yml -y"),
            Ok(Verb::Demo(Demo { yes: true, compose: Some("x.yml".into()) }))
        );
        assert_eq!(
            typed("package --dev --version 9.9"),
            Ok(Verb::Package(Package { dev: true, version: Some("9.9".into()) }))
        );
        assert_eq!(typed("bench --quick"), Ok(Verb::Bench(Bench { quick: true, ..Bench::default() })));
        assert_eq!(typed("gpu-live"), Ok(Verb::GpuLive));
        assert_eq!(typed(""), Ok(Verb::Help));
    }

    #[test]
    fn mistakes_print_the_usage() {
        for line in ["tset", "check --yes", "demo --only x", "test --only", "test extra", "demo --quick"] {
            assert!(typed(line).unwrap_err().contains("usage: cargo xtask"), "{line}");
        }
    }
}
