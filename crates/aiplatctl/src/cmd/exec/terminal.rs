//! The terminal as a program in a container needs it: every key goes there.

use std::io;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Failure;

/// While this lives, keys are not echoed, not collected into lines, and not turned into signals.
pub(super) struct Raw(Termios);

impl Raw {
    pub(super) fn take() -> Result<Self, Failure> {
        let failed = |error| Failure::failed(format!("cannot set the terminal up: {error}"));
        let before = tcgetattr(io::stdin()).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).map_err(failed)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that has gone needs nothing back.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Rows and columns.
pub(super) fn size() -> (u16, u16) {
    tcgetwinsize(io::stdout()).map_or((24, 80), |size| (size.ws_row.max(1), size.ws_col.max(1)))
}

/// The window has another size.
pub(super) fn resizes() -> Result<Signal, Failure> {
    signal(SignalKind::window_change())
        .map_err(|error| Failure::failed(format!("cannot watch the window: {error}")))
}
