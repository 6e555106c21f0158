//! Stand-ins for servers that speak first words of their own: as much of them as a probe sees.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// A Redis: AUTH and PING, in the form that clients send them.
pub fn redis(stream: TcpStream, password: Option<&str>) {
    let mut is_in = password.is_none();
    let mut reader = BufReader::new(&stream);
    while let Some(words) = command(&mut reader) {
        let answer = match (words.first().map(String::as_str), words.last()) {
            (Some("AUTH"), _) if password.is_none() => {
                "-ERR AUTH <password> called without any password configured for the default user.\r\n"
            }
            (Some("AUTH"), Some(given)) if Some(given.as_str()) == password => {
                is_in = true;
                "+OK\r\n"
            }
            (Some("AUTH"), _) => "-WRONGPASS invalid username-password pair or user is disabled.\r\n",
            (Some(_), _) if !is_in => "-NOAUTH Authentication required.\r\n",
            (Some("PING"), _) => "+PONG\r\n",
            (_, _) => "-ERR unknown command\r\n",
        };
        if (&stream).write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// `*2`, and twice `$LENGTH` and that many bytes.
fn command(reader: &mut impl BufRead) -> Option<Vec<String>> {
    let count = number(reader, '*').filter(|count| *count <= 8)?;
    (0..count)
        .map(|_| {
            let mut bytes = vec![0; number(reader, '$').filter(|length| *length <= 1024)? + 2];
            reader.read_exact(&mut bytes).ok()?;
            bytes.truncate(bytes.len() - 2);
            String::from_utf8(bytes).ok()
        })
        .collect()
}

fn number(reader: &mut impl BufRead, mark: char) -> Option<usize> {
    let mut line = String::new();
    reader.take(32).read_line(&mut line).ok()?;
    line.trim_end().strip_prefix(mark)?.parse().ok()
}

/// A PostgreSQL: a session from its beginning to "ready for query", with the password in plain text.
pub fn postgres(mut stream: TcpStream, password: Option<&str>) {
    let _gone = session(&mut stream, password);
}

fn session(stream: &mut TcpStream, password: Option<&str>) -> std::io::Result<()> {
    drop(body(stream)?);
    if let Some(password) = password {
        stream.write_all(b"R\0\0\0\x08\0\0\0\x03")?;
        let mut kind = [0];
        stream.read_exact(&mut kind)?;
        let given = body(stream)?;
        if given.strip_suffix(b"\0") != Some(password.as_bytes()) {
            let fields = b"SFATAL\0C28P01\0Mpassword authentication failed\0\0";
            let length = u32::try_from(fields.len() + 4).unwrap_or(u32::MAX).to_be_bytes();
            return stream.write_all(&[b"E".as_slice(), &length, fields].concat());
        }
    }
    stream.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I")?;
    // Until the client goes.
    drop(body(stream));
    Ok(())
}

/// What follows a length that counts itself.
fn body(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut bytes = vec![0; (u32::from_be_bytes(length).saturating_sub(4)).min(4096) as usize];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_arrays_of_counted_words() {
        let mut bytes: &[u8] = b"*2\r\n$4\r\nAUTH\r\n$3\r\na\nb\r\n*1\r\n$4\r\nPING\r\n";
        assert_eq!(command(&mut bytes), Some(vec!["AUTH".to_owned(), "a\nb".to_owned()]));
        assert_eq!(command(&mut bytes), Some(vec!["PING".to_owned()]));
        assert_eq!(command(&mut bytes), None);
    }
}
