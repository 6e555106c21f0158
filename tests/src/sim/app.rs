//! What runs inside a simulated container: a small automaton.

use std::time::Duration;

/// How a program behaves, from its start on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// It answers probes after this long.
    pub boot: Duration,
    /// It ends by itself.
    pub ends: Option<Ending>,
    /// It runs on and answers no more.
    pub hangs: Option<Hang>,
    /// The service without which it does not answer.
    pub upstream: Option<String>,
    /// How long it takes to obey a stop signal; longer than the grace means a kill.
    pub stop_takes: Duration,
    /// What it exits with when it obeys.
    pub stop_exit: i64,
    /// Its program is not in the image: the start itself fails.
    pub missing_executable: bool,
}

/// How a program ends by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// So long after its start. Before `boot` is a crash while not ready.
    pub after: Duration,
    /// What with.
    pub exit_code: i64,
    /// The kernel does it, for memory.
    pub oom: bool,
    /// Its last line before that.
    pub says: Option<String>,
    /// Only its first so many runs end so; the others stay.
    pub times: u32,
}

/// How a program ceases to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hang {
    /// So long after its start.
    pub after: Duration,
    /// Only its first so many runs do so.
    pub times: u32,
}

impl Default for App {
    fn default() -> Self {
        Self {
            boot: Duration::from_millis(500),
            ends: None,
            hangs: None,
            upstream: None,
            stop_takes: Duration::from_millis(100),
            stop_exit: 143,
            missing_executable: false,
        }
    }
}

impl App {
    /// Does its work and exits with 0.
    #[must_use]
    pub fn one_shot(after: Duration) -> Self {
        Self::crashing(after, 0)
    }

    /// Exits with `exit_code` so long after every start.
    #[must_use]
    pub fn crashing(after: Duration, exit_code: i64) -> Self {
        Self {
            ends: Some(Ending { after, exit_code, oom: false, says: None, times: u32::MAX }),
            ..Self::default()
        }
    }

    /// The same, but only its first `times` runs.
    #[must_use]
    pub fn crashing_times(times: u32, after: Duration, exit_code: i64) -> Self {
        Self { ends: Some(Ending { after, exit_code, oom: false, says: None, times }), ..Self::default() }
    }

    /// What it says before it ends by itself.
    #[must_use]
    pub fn saying(mut self, line: &str) -> Self {
        if let Some(ending) = &mut self.ends {
            ending.says = Some(line.to_owned());
        }
        self
    }

    /// Ceases to answer so long after its start, in its first `times` runs.
    #[must_use]
    pub fn hanging(times: u32, after: Duration) -> Self {
        Self { hangs: Some(Hang { after, times }), ..Self::default() }
    }

    /// Answers probes while `service` does.
    #[must_use]
    pub fn relying_on(service: &str) -> Self {
        Self { upstream: Some(service.to_owned()), ..Self::default() }
    }

    /// Answers probes after `boot`.
    #[must_use]
    pub fn booting(boot: Duration) -> Self {
        Self { boot, ..Self::default() }
    }
}
