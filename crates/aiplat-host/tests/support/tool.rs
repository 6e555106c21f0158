//! The one program of the test image: `rustc`-built and static, so that the tests need neither a registry nor a shell.
//!
//! Not a module of the tests: `support/image.rs` compiles it and puts it into an image as `/tool`.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
    time::Duration,
};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        [] | ["sleep"] => sleep(3_600_000),
        ["sleep", millis] => sleep(number(millis)),
        ["exit", code] => std::process::exit(i32::try_from(number(code)).unwrap_or(99)),
        ["say", words @ ..] => {
            println!("{}", words.join(" "));
            eprintln!("stderr: {}", words.join(" "));
        }
        ["fail", words @ ..] => {
            eprintln!("{}", words.join(" "));
            std::process::exit(1);
        }
        ["long", length] => println!("{}", "x".repeat(usize::try_from(number(length)).unwrap_or(0))),
        ["tick", millis] => {
            for n in 0_u64.. {
                println!("tick {n}");
                sleep(number(millis));
            }
        }
        ["serve", port] => serve("0.0.0.0", u16::try_from(number(port)).unwrap_or(80)),
        ["serve-inside", port] => serve("127.0.0.1", u16::try_from(number(port)).unwrap_or(80)),
        other => {
            eprintln!("unknown: {other:?}");
            std::process::exit(64);
        }
    }
}

/// `/ok` answers 200, `/<code>` that code, `/hang` never.
fn serve(address: &str, port: u16) {
    let listener = TcpListener::bind((address, port)).expect("cannot listen");
    println!("listening on {port}");
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        thread::spawn(move || {
            let mut head = [0_u8; 4096];
            let length = stream.read(&mut head).unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            let path = head.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
            let code = match path.as_str() {
                "hang" => return sleep(60_000),
                "host" if head.to_lowercase().contains("host: example.test\r\n") => 200,
                "header" if head.contains("x-probe: yes\r\n") => 200,
                other => other.parse::<u16>().unwrap_or(if other == "ok" { 200 } else { 404 }),
            };
            let answer = format!("HTTP/1.1 {code} Said\r\ncontent-length: 2\r\nlocation: /ok\r\n\r\nhi");
            stream.write_all(answer.as_bytes()).ok();
        });
    }
}

fn sleep(millis: u64) {
    thread::sleep(Duration::from_millis(millis));
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}
