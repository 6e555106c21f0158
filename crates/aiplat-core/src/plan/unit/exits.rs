//! What the number means that a process has ended with.

/// What systemd itself exits with, in place of the program, when it cannot set up what the unit's file asks for and another
/// try would not change that: man 5 `systemd.exec`, "Process Exit Codes".
pub(super) fn set_up(status: i32) -> Option<&'static str> {
    match status {
        200 => Some("its `WorkingDirectory=` is missing"),
        203 => Some("its program is missing or cannot be run: see `ExecStart=`"),
        216 => Some("its `Group=` does not exist"),
        217 => Some("its `User=` does not exist"),
        226 => Some("its file system view cannot be set up: a path of its sandboxing is missing"),
        _ => None,
    }
}

/// Names of the signals that end programs, on Linux of every architecture that systemd runs on.
pub(super) fn signal_name(number: i32) -> String {
    let name = match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        other => return other.to_string(),
    };
    name.to_owned()
}
