//! The name server of the namespace: it answers what a row has set, and remembers every question.

use crate::network::NAME_SERVER;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::sync::{LazyLock, Mutex, MutexGuard};

/// One question: a name and the type of record asked for.
pub(crate) type Question = (String, Kind);

/// The types of record a resolver of addresses asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    A,
    Aaaa,
    Other(u16),
}

#[derive(Default)]
struct Zone {
    /// The addresses of a name, one list per time it is asked; the last one stays.
    known: HashMap<String, Vec<Vec<IpAddr>>>,
    aliases: HashMap<String, String>,
    asked: Vec<Question>,
}

static ZONE: LazyLock<Mutex<Zone>> = LazyLock::new(Mutex::default);

fn zone() -> MutexGuard<'static, Zone> {
    ZONE.lock().unwrap()
}

/// From now on `name` has these addresses: one list per lookup.
pub(crate) fn set(name: &str, answers: &[&[&str]]) {
    let parse = |list: &&[&str]| list.iter().map(|ip| ip.parse().unwrap()).collect();
    zone().known.insert(name.to_owned(), answers.iter().map(parse).collect());
}

/// From now on `name` is another name for `target`.
pub(crate) fn alias(name: &str, target: &str) {
    zone().aliases.insert(name.to_owned(), target.to_owned());
}

/// All questions since the last call.
pub(crate) fn take_asked() -> Vec<Question> {
    let mut asked = std::mem::take(&mut zone().asked);
    asked.sort();
    asked
}

/// Starts answering: `allowed.test` is there from the beginning.
pub(crate) fn serve() {
    set("allowed.test", &[&["93.184.216.34"]]);
    let socket = UdpSocket::bind((NAME_SERVER, 53)).unwrap();
    std::thread::spawn(move || {
        let mut query = [0; 1500];
        loop {
            let Ok((length, from)) = socket.recv_from(&mut query) else { continue };
            if let Some(answer) = answer(&query[..length]) {
                #[expect(clippy::disallowed_methods, reason = "a name server answers whoever asked")]
                let _ = socket.send_to(&answer, from);
            }
        }
    });
}

/// The same over a connection.
pub(crate) fn serve_stream(mut stream: TcpStream) {
    let mut length = [0; 2];
    while stream.read_exact(&mut length).is_ok() {
        let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
        if stream.read_exact(&mut query).is_err() {
            return;
        }
        let Some(answer) = answer(&query) else { return };
        let length = u16::try_from(answer.len()).unwrap_or(u16::MAX).to_be_bytes();
        if stream.write_all(&[&length[..], &answer].concat()).is_err() {
            return;
        }
    }
}

/// RFC 1035: header of 12 bytes, one question, as many answers as there are.
fn answer(query: &[u8]) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    let mut labels = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let name = labels.join(".");
    let kind = match u16::from_be_bytes(query.get(at..at + 2)?.try_into().ok()?) {
        1 => Kind::A,
        28 => Kind::Aaaa,
        other => Kind::Other(other),
    };
    let question = query.get(HEADER..at + 4)?;
    let records = zone().answer(&name, kind);
    let (code, records) = match records {
        Some(records) => (0, records),
        None => (3, Vec::new()),
    };
    let count = u8::try_from(records.len()).ok()?;
    let mut answer = query.get(..2)?.to_vec();
    answer.extend([0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
    answer.extend(question);
    answer.extend(records.concat());
    Some(answer)
}

impl Zone {
    /// The records of a name; `None` when there is no such name.
    fn answer(&mut self, name: &str, kind: Kind) -> Option<Vec<Vec<u8>>> {
        self.asked.push((name.to_owned(), kind));
        let times = self.asked.iter().filter(|(asked, k)| asked == name && *k == kind).count();
        let mut records = Vec::new();
        let mut owner = name.to_owned();
        while let Some(target) = self.aliases.get(&owner) {
            records.push(record(&owner, 5, &wire_name(target)));
            owner = target.clone();
        }
        // Whatever nobody has set below wild.test exists.
        let default = vec![vec!["93.184.216.35".parse().unwrap()]];
        let answers = match self.known.get(&owner) {
            Some(answers) => answers,
            None if owner.ends_with(".wild.test") => &default,
            None => return None,
        };
        let addresses = answers.get(times - 1).or(answers.last())?;
        records.extend(addresses.iter().filter_map(|ip| match (ip, kind) {
            (IpAddr::V4(ip), Kind::A) => Some(record(&owner, 1, &ip.octets())),
            (IpAddr::V6(ip), Kind::Aaaa) => Some(record(&owner, 28, &ip.octets())),
            _ => None,
        }));
        Some(records)
    }
}

fn wire_name(name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.split('.') {
        wire.push(u8::try_from(label.len()).unwrap());
        wire.extend(label.as_bytes());
    }
    wire.push(0);
    wire
}

/// Class IN, and a time to live of 0: nobody may keep it.
fn record(owner: &str, kind: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap();
    let mut record = wire_name(owner);
    record.extend(kind.to_be_bytes());
    record.extend([0, 1, 0, 0, 0, 0]);
    record.extend(length.to_be_bytes());
    record.extend(data);
    record
}
