//! What a process has and a component has not: sockets, names, files, an environment.

use crate::{Attempt, Ended, refused};
use serde_json::{Value, json};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::{env, fs};

fn kind(at: &str) -> impl Fn(io::Error) -> Value {
    move |error| refused(at, format!("{:?}", error.kind()))
}

/// `address`, by way of a socket of the act's kind.
pub(crate) fn socket(attempt: &Attempt) -> Ended {
    let address = attempt.text("address");
    match attempt.text("act") {
        "tcp" => {
            let mut stream = TcpStream::connect(address).map_err(kind("connect"))?;
            stream.write_all(b"out").map_err(kind("write"))?;
        }
        "listen" => drop(TcpListener::bind(address).map_err(kind("bind"))?),
        "udp" => {
            let socket = UdpSocket::bind("0.0.0.0:0").map_err(kind("bind"))?;
            socket.send_to(b"out", address).map_err(kind("send"))?;
        }
        _ => {
            let found = address.to_socket_addrs().map_err(kind("lookup"))?;
            return Ok(json!({ "addresses": found.map(|a| a.to_string()).collect::<Vec<_>>() }));
        }
    }
    Ok(json!({ "done": address }))
}

/// `path`, in the act's way. Writing opens and does not write: the day it succeeds, it should not do harm.
pub(crate) fn file(attempt: &Attempt) -> Ended {
    let path = attempt.text("path");
    match attempt.text("act") {
        "read" => fs::read(path).map(|bytes| json!({ "bytes": bytes.len() })),
        "list" => fs::read_dir(path).map(|entries| json!({ "entries": entries.count() })),
        "write" => fs::OpenOptions::new().append(true).create(true).open(path).map(|_| json!({ "opened": path })),
        _ => fs::symlink_metadata(path).map(|_| json!({ "found": path })),
    }
    .map_err(kind("file"))
}

/// Everything about the process there is to know.
pub(crate) fn process() -> Ended {
    let mut input = Vec::new();
    let stdin = io::stdin().take(1024).read_to_end(&mut input);
    Ok(json!({
        "vars": env::vars().collect::<std::collections::BTreeMap<_, _>>(),
        "args": env::args().collect::<Vec<_>>(),
        "directory": env::current_dir().map(|d| d.display().to_string()).ok(),
        "stdin": stdin.map_or_else(|error| format!("{:?}", error.kind()), |bytes| format!("{bytes} bytes")),
    }))
}
