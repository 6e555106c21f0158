//! Redis' own protocol (RESP), as far as a log-in and a PING need it.

use aiplat_core::spec::{Password, RedisProbe};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use super::{Cause, Vantage, quoted, tls};

/// No answer to these two is longer.
const MAX_LINE: u64 = 8 << 10;

pub(super) async fn exchange(
    stream: TcpStream,
    vantage: &Vantage,
    probe: &RedisProbe,
) -> Result<String, Cause> {
    match &probe.tls {
        None => speak(stream, probe).await,
        Some(trust) => speak(tls::wrap(stream, trust, None, vantage.ip()).await?, probe).await,
    }
}

async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin, probe: &RedisProbe) -> Result<String, Cause> {
    let RedisProbe { port: _, username, password, tls: _ } = probe;
    let secret = password.as_ref().map(Password::expose);
    let mut stream = BufReader::new(stream);
    if let Some(password) = secret {
        let login: Vec<&str> = ["AUTH"].into_iter().chain(username.as_deref()).chain([password]).collect();
        stream.write_all(&command(&login)).await?;
        match answer(&mut stream, secret).await? {
            Answer::Said(word) if word == "OK" => {}
            Answer::Said(word) => return Err(Cause::Other(format!("it answers AUTH with `{word}`"))),
            Answer::Refused(why) => return Err(Cause::Other(refusal(&why))),
        }
    }
    stream.write_all(&command(&["PING"])).await?;
    match answer(&mut stream, secret).await? {
        Answer::Said(word) if word == "PONG" => Ok(word),
        Answer::Said(word) => Err(Cause::Other(format!("it answers PING with `{word}`"))),
        Answer::Refused(why) => Err(Cause::Other(refusal(&why))),
    }
}

/// An array of bulk strings: the form in which no byte of a password can end the command.
fn command(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

enum Answer {
    Said(String),
    Refused(String),
}

async fn answer(
    stream: &mut BufReader<impl AsyncRead + Unpin>,
    secret: Option<&str>,
) -> Result<Answer, Cause> {
    let mut line = Vec::new();
    let length = stream.take(MAX_LINE).read_until(b'\n', &mut line).await?;
    if length == 0 {
        return Err(Cause::other("it closed the connection without an answer"));
    }
    if !line.ends_with(b"\n") && line.len() < MAX_LINE as usize {
        return Err(Cause::other("it closed the connection in the middle of its answer"));
    }
    match line.split_first() {
        Some((b'+', word)) => Ok(Answer::Said(quoted(word, secret))),
        Some((b'-', why)) => Ok(Answer::Refused(quoted(why, secret))),
        Some(_) | None => {
            Err(Cause::Other(format!("this is no answer of Redis: `{}`", quoted(&line, secret))))
        }
    }
}

/// What it says, and what that means where it is not plain.
fn refusal(why: &str) -> String {
    let meaning = match why.split(' ').next().unwrap_or_default() {
        "LOADING" => "it still loads its data",
        "NOAUTH" => "it wants a password: write `password: ${...}` for the probe",
        "WRONGPASS" => "the password of the probe is not the server's",
        "MASTERDOWN" => "its master does not answer",
        "ERR" if why.contains("without any password configured") => {
            "the probe has a password, and the server has none"
        }
        _ => return why.to_owned(),
    };
    format!("{why} ({meaning})")
}
