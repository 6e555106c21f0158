//! `exec`: a program in a service's container, with this terminal or these pipes as its own.
//!
//! The command talks to the engine's own socket, and not through the daemon: whoever may run programs in containers is
//! root on this machine, and whether a user may is the engine's to say (root, and the group of its socket). The group
//! `aiplat` operates what the file declares and gets no shell by that; and a session does not end with the daemon's.

mod engine;
mod terminal;

use std::io::{self, IsTerminal as _};

use self::{
    engine::{Exec, Piece},
    terminal::Raw,
};
use super::operate::{name, service};
use crate::{
    args::{ExecArgs, Globals},
    console,
    engine::Engine,
    exit::{Code, Failure, Outcome},
    source,
};
use aiplat_core::condition::Word;

pub(super) async fn run(globals: &Globals, args: &ExecArgs) -> Outcome {
    let seen = source::read(globals).await?;
    let name = name(&seen.doc, &args.name)?;
    let it =
        service(&seen.doc, &name).ok_or_else(|| Failure::new(Code::NoSuch, format!("{name} is gone")))?;
    if let Some(unit) = &it.detail.unit {
        let message =
            format!("{name} is the systemd unit {}, and no container to run a program in", unit.name);
        return Err(Failure::new(Code::NotReady, message).tip("run it on this machine itself"));
    }
    let runs = it.detail.state.as_deref() == Some("running");
    let Some(container) = it.detail.container_id.as_deref().filter(|_| runs) else {
        let failure = Failure::new(Code::NotReady, format!("{name} does not run: it is {}", it.status));
        let cure = if it.status == Word::Stopped {
            format!("`aiplatctl start {name}` starts it")
        } else {
            format!("`aiplatctl why {name}` says why")
        };
        return Err(failure.tip(cure));
    };
    let tty = io::stdin().is_terminal() && io::stdout().is_terminal();
    let engine = Engine::new(&args.docker_socket);
    let exec = engine.exec(container, args, tty).await?;
    let code = attend(&engine, exec, tty).await?;
    if code == 0 { Ok(Code::Done) } else { Err(Failure::program(code)) }
}

/// Moves bytes until the program has ended; its exit code.
async fn attend(engine: &Engine, mut exec: Exec, tty: bool) -> Result<u8, Failure> {
    // Given back when this ends, however it ends.
    let _raw = if tty { Some(Raw::take()?) } else { None };
    let _lent = tty.then(console::Lent::out);
    let mut resized = terminal::resizes()?;
    if tty {
        engine.resize(&exec, terminal::size()).await;
    }
    let input = tokio::spawn(exec.send(console::input()));
    loop {
        // Both can be dropped at any time: what was read of a piece stays in the buffer, and a signal is not forgotten.
        tokio::select! {
            biased;
            _ = resized.recv() => if tty { engine.resize(&exec, terminal::size()).await },
            piece = exec.next(tty) => match piece? {
                Some(Piece::Out(bytes)) => console::bytes(&bytes, false)?,
                Some(Piece::Err(bytes)) => console::bytes(&bytes, true)?,
                None => break,
            },
        }
    }
    input.abort();
    engine.exit_code(&exec).await
}
