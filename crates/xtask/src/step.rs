//! Named steps with printed times, and the table at the end.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::wait::seconds;

/// How a step ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// As it must; the text says what was seen.
    Passed(String),
    /// It did not run, for this reason. On CI that is a failure.
    Skipped(String),
    /// What went wrong.
    Failed(String),
}

/// A finished step.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name, as `--only` takes it.
    pub name: &'static str,
    /// How long it took.
    pub took: Duration,
    /// How it ended.
    pub outcome: Outcome,
}

/// The steps of one invocation.
#[derive(Debug)]
pub struct Steps {
    /// Whether a skipped step fails the run.
    ci: bool,
    done: Vec<Step>,
}

impl Steps {
    /// No step yet; on CI a skipped one will count as failed.
    pub fn new(ci: bool) -> Self {
        Self { ci, done: Vec::new() }
    }

    /// Runs one step and prints its time.
    pub fn run(&mut self, name: &'static str, work: impl FnOnce() -> Result<Outcome>) {
        println!("==> {name}");
        let begun = Instant::now();
        let outcome = work().unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        let outcome = judge(outcome, self.ci);
        let step = Step { name, took: begun.elapsed(), outcome };
        println!("<== {}", line(&step));
        self.done.push(step);
    }

    /// Prints the table and the count; true if nothing failed.
    pub fn finish(&self) -> bool {
        println!("\n{}", table(&self.done));
        let failed = self.done.iter().filter(|step| matches!(step.outcome, Outcome::Failed(_))).count();
        let passed = self.done.iter().filter(|step| matches!(step.outcome, Outcome::Passed(_))).count();
        let skipped = self.done.len() - failed - passed;
        let total: Duration = self.done.iter().map(|step| step.took).sum();
        let skipped = if skipped == 0 { String::new() } else { format!(", {skipped} skipped") };
        println!("{passed} passed, {failed} failed{skipped}");
        println!("total {}", seconds(total));
        failed == 0
    }
}

/// What cannot run is named, and CI fails on it.
fn judge(outcome: Outcome, ci: bool) -> Outcome {
    match outcome {
        Outcome::Skipped(reason) if ci => {
            Outcome::Failed(format!("skipped, which CI does not accept: {reason}"))
        }
        kept @ (Outcome::Passed(_) | Outcome::Skipped(_) | Outcome::Failed(_)) => kept,
    }
}

fn line(step: &Step) -> String {
    let (word, detail) = describe(&step.outcome);
    let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
    format!("{} {word} in {}{detail}", step.name, seconds(step.took))
}

fn describe(outcome: &Outcome) -> (&'static str, &str) {
    match outcome {
        Outcome::Passed(detail) => ("passed", detail),
        Outcome::Skipped(reason) => ("skipped", reason),
        Outcome::Failed(error) => ("FAILED", error),
    }
}

fn table(steps: &[Step]) -> String {
    let width = steps.iter().map(|step| step.name.len()).chain([4]).max().unwrap_or(4);
    let mut lines = vec![format!("{:width$}  {:>8}  RESULT", "STEP", "SECONDS")];
    for step in steps {
        let (word, detail) = describe(&step.outcome);
        let first = detail.lines().next().unwrap_or_default();
        let result = if first.is_empty() { word.to_owned() } else { format!("{word}  {first}") };
        lines.push(format!("{:width$}  {:>8.1}  {result}", step.name, step.took.as_secs_f64()));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ci_fails_on_what_was_skipped() {
        let skipped = || Outcome::Skipped("no engine".into());
        assert_eq!(judge(skipped(), false), skipped());
        assert!(matches!(judge(skipped(), true), Outcome::Failed(reason) if reason.contains("no engine")));
    }

    #[test]
    fn one_failure_fails_the_run_and_the_rest_still_runs() {
        let mut steps = Steps::new(false);
        steps.run("first", || anyhow::bail!("broken"));
        steps.run("second", || Ok(Outcome::Passed("2 tests".into())));
        assert!(!steps.finish());
        assert_eq!(steps.done.len(), 2);
    }

    #[test]
    fn the_table_shows_step_seconds_and_result() {
        let step =
            Step { name: "fmt", took: Duration::from_millis(1250), outcome: Outcome::Failed("a\nb".into()) };
        assert_eq!(table(&[step]), "STEP   SECONDS  RESULT\nfmt        1.2  FAILED  a");
    }
}
