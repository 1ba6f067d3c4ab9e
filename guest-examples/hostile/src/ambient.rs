//! Reaching for what a process has and a component has not: sockets, files, environment.

use gestalt_guest::{Error, Request};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt::Display;
use std::io::Read;
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::{fs, io};

/// How an attempt ended. `ok` is the one that must never be seen.
fn ended<T, E: Display>(result: Result<T, E>) -> String {
    match result {
        Ok(_) => "ok".into(),
        Err(error) => error.to_string(),
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Address {
    /// `host:port`; the host may be a name.
    address: String,
}

pub(crate) fn tcp(params: Address, _: &Request) -> Result<Value, Error> {
    Ok(json!({
        "connect": ended(TcpStream::connect(&params.address)),
        "listen": ended(TcpListener::bind("127.0.0.1:0")),
        "listenEverywhere": ended(TcpListener::bind("[::]:0")),
    }))
}

pub(crate) fn udp(params: Address, _: &Request) -> Result<Value, Error> {
    let socket = UdpSocket::bind("0.0.0.0:0");
    let send = match &socket {
        Ok(socket) => ended(socket.send_to(b"out", &params.address)),
        Err(error) => error.to_string(),
    };
    Ok(json!({ "bind": ended(socket), "send": send }))
}

pub(crate) fn resolve(params: Address, _: &Request) -> Result<Value, Error> {
    let found: io::Result<Vec<String>> =
        params.address.to_socket_addrs().map(|addresses| addresses.map(|a| a.to_string()).collect());
    Ok(match found {
        Ok(addresses) => json!({ "lookup": "ok", "addresses": addresses }),
        Err(error) => json!({ "lookup": error.to_string() }),
    })
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Path {
    path: String,
}

pub(crate) fn files(params: Path, _: &Request) -> Result<Value, Error> {
    Ok(json!({
        "read": ended(fs::read(&params.path)),
        "list": ended(fs::read_dir(&params.path)),
        // Opened and not written to: the day this succeeds, it should not do harm.
        "write": ended(fs::OpenOptions::new().append(true).open(&params.path)),
        "temporary": ended(fs::write(std::path::Path::new("/tmp").join("hostile"), "out")),
        "working": ended(fs::read_dir(".")),
    }))
}

pub(crate) fn env(_: Value, _: &Request) -> Result<Value, Error> {
    let mut input = Vec::new();
    let stdin = io::stdin().take(1024).read_to_end(&mut input);
    Ok(json!({
        "vars": std::env::vars().collect::<std::collections::BTreeMap<_, _>>(),
        "args": std::env::args().collect::<Vec<_>>(),
        "stdin": stdin.map_or_else(|error| error.to_string(), |bytes| format!("{bytes} bytes")),
    }))
}
