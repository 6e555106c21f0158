//! The beginning of a PostgreSQL session (protocol 3.0), up to "ready for query".

use aiplat_core::spec::{Password, PostgresProbe};
use md5::{Digest, Md5};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use super::{Cause, quoted, scram::Scram};

/// Version 3.0.
const PROTOCOL: i32 = 196_608;
/// No message before the first query is longer.
const MAX_MESSAGE: usize = 64 << 10;
/// Nor are there more of them: parameters and notices.
const MAX_MESSAGES: usize = 200;
/// What a server without a password for us can tell.
const ALIVE: &str = "accepts connections (password not checked)";

pub(super) async fn exchange(mut stream: TcpStream, probe: &PostgresProbe) -> Result<String, Cause> {
    let PostgresProbe { port: _, user, database, password } = probe;
    let secret = password.as_ref().map(Password::expose);
    stream.write_all(&startup(user, database.as_deref())).await?;
    let mut scram = None;
    for _ in 0..MAX_MESSAGES {
        let (kind, body) = message(&mut stream, secret).await?;
        match kind {
            b'R' => {
                let Some(secret) = secret.filter(|_| !is_welcome(&body)) else {
                    if is_welcome(&body) {
                        continue;
                    }
                    return Ok(ALIVE.to_owned());
                };
                log_in(&mut stream, &body, user, secret, &mut scram).await?;
            }
            b'E' => return Err(Cause::Other(refusal(&body, probe))),
            b'Z' => {
                // A farewell, so that its log has no line about a client that went away. Nobody waits for an answer.
                let _gone = stream.write_all(b"X\0\0\0\x04").await;
                return Ok(format!("ready for queries as {}", quoted(user.as_bytes(), None)));
            }
            // Parameters, the key for a cancel, notices, and that it speaks 3.0 only.
            b'S' | b'K' | b'N' | b'v' => {}
            _ => return Err(garbage(&[kind])),
        }
    }
    Err(Cause::other("it says much and never that it is ready"))
}

fn startup(user: &str, database: Option<&str>) -> Vec<u8> {
    let mut body = PROTOCOL.to_be_bytes().to_vec();
    let pairs = [("user", Some(user)), ("database", database), ("application_name", Some("aiplatd"))];
    for (name, value) in pairs.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        body.extend_from_slice(name.as_bytes());
        body.push(0);
        body.extend_from_slice(value.as_bytes());
        body.push(0);
    }
    body.push(0);
    framed(None, &body)
}

/// A message: its kind, its length with itself, and what is in it.
fn framed(kind: Option<u8>, body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len() + 4).unwrap_or(i32::MAX);
    kind.into_iter().chain(length.to_be_bytes()).chain(body.iter().copied()).collect()
}

async fn message(stream: &mut TcpStream, secret: Option<&str>) -> Result<(u8, Vec<u8>), Cause> {
    let mut head = [0; 5];
    match stream.read(&mut head[..1]).await? {
        0 => return Err(Cause::other("it closed the connection without an answer")),
        _ => stream.read_exact(&mut head[1..]).await?,
    };
    let [kind, length @ ..] = head;
    let length = usize::try_from(i32::from_be_bytes(length)).ok().and_then(|length| length.checked_sub(4));
    let Some(length) = length.filter(|length| *length <= MAX_MESSAGE && kind.is_ascii_alphabetic()) else {
        // The first bytes of another protocol: `HTTP/`.
        return Err(Cause::Other(format!("this is no answer of PostgreSQL: `{}`", quoted(&head, secret))));
    };
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok((kind, body))
}

fn garbage(bytes: &[u8]) -> Cause {
    Cause::Other(format!("this is no answer of PostgreSQL: `{}`", quoted(bytes, None)))
}

fn code(body: &[u8]) -> Option<(u32, &[u8])> {
    let (code, rest) = body.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*code), rest))
}

/// It wants nothing more of us.
fn is_welcome(body: &[u8]) -> bool {
    matches!(code(body), Some((0, _)))
}

async fn log_in(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    body: &[u8],
    user: &str,
    password: &str,
    scram: &mut Option<Scram>,
) -> Result<(), Cause> {
    let answer = match code(body) {
        Some((3, _)) => zero_ended(password.as_bytes()),
        Some((5, salt)) => zero_ended(md5_answer(user, password, salt).as_bytes()),
        Some((10, mechanisms)) => {
            if !mechanisms.split(|byte| *byte == 0).any(|name| name == b"SCRAM-SHA-256") {
                return Err(Cause::other("it wants a log-in by SASL that aiplatd does not know"));
            }
            let begun = Scram::begin(password).map_err(Cause::Other)?;
            let first = begun.first();
            *scram = Some(begun);
            let length = i32::try_from(first.len()).unwrap_or(i32::MAX).to_be_bytes();
            [b"SCRAM-SHA-256\0".as_slice(), &length, first.as_bytes()].concat()
        }
        Some((11, challenge)) => {
            let Some(scram) = scram.as_mut() else { return Err(garbage(body)) };
            scram.answer(challenge).map_err(Cause::Other)?.into_bytes()
        }
        Some((12, proof)) => {
            let is_genuine = scram.as_ref().is_some_and(|scram| scram.is_genuine(proof));
            return if is_genuine {
                Ok(())
            } else {
                Err(Cause::other("it does not know the password itself"))
            };
        }
        Some((kind, _)) => {
            return Err(Cause::Other(format!(
                "it wants a log-in of kind {kind}, which aiplatd does not know"
            )));
        }
        None => return Err(garbage(body)),
    };
    stream.write_all(&framed(Some(b'p'), &answer)).await?;
    Ok(())
}

fn zero_ended(text: &[u8]) -> Vec<u8> {
    text.iter().copied().chain([0]).collect()
}

fn md5_answer(user: &str, password: &str, salt: &[u8]) -> String {
    let hex = |parts: [&[u8]; 2]| -> String {
        let digest = Md5::digest(parts.concat());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let inner = hex([password.as_bytes(), user.as_bytes()]);
    format!("md5{}", hex([inner.as_bytes(), salt]))
}

/// `57P03 the database system is starting up`, and what that means where it is not plain.
fn refusal(body: &[u8], probe: &PostgresProbe) -> String {
    let secret = probe.password.as_ref().map(Password::expose);
    let field = |wanted: u8| {
        let mut fields = body.split(|byte| *byte == 0).filter_map(|field| field.split_first());
        fields.find(|(kind, _)| **kind == wanted).map(|(_, text)| quoted(text, secret)).unwrap_or_default()
    };
    let (state, said) = (field(b'C'), field(b'M'));
    let meaning = match state.as_str() {
        "57P03" => "it is not up yet",
        "28P01" => "the password of the probe is not this user's",
        "28000" => "its pg_hba.conf does not let this user in",
        "3D000" => "name a `database` that exists",
        "53300" => "too many clients",
        _ => return format!("{state} {said}").trim().to_owned(),
    };
    format!("{state} {said} ({meaning})")
}
