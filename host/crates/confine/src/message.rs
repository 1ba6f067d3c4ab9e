//! What the daemon says to its gate, and what it hears from it: one message each way, with a mark, a length and a bound.

use crate::cell::Cell;
use crate::failure::Failure;
use crate::limits::WorkLimits;
use crate::means::Means;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, Read};

/// How a message begins. Whoever is called with something else was not called by a daemon of this version.
const MARK: &[u8; 8] = b"gstcell2";

/// The longest message. A cell of thousands of places, variables and arguments fits.
const LONGEST: usize = 4 << 20;

/// What the subcommand is to do. It is on the descriptor the process inherits as its standard input, not on the command
/// line, which everybody on the machine can read.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) enum Order {
    /// To go into new namespaces and start the second process there.
    Enter(Box<Job>),
    /// To confine this process, which is the first one in those namespaces, and run the program.
    Inside(Box<Job>),
    /// To do a piece of work of this binary's own, confined.
    Work {
        name: String,
        limits: WorkLimits,
        /// The daemon's process id: without it a worker has nothing to live for.
        parent: u32,
    },
}

/// A cell, and what the machine can do of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Job {
    pub(crate) cell: Cell,
    pub(crate) means: Means,
    /// Whether the walls are put up and nothing is run in them.
    pub(crate) dry: bool,
}

/// What the gate says once the program runs, or will not.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Report {
    /// Why nothing was started.
    pub(crate) failure: Option<Failure>,
}

/// What the second process says about the file that was to be handed back.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) enum Collected {
    /// Its length. So many bytes follow.
    Bytes(u64),
    /// Why it is not handed back.
    Refused(String),
}

/// A message as bytes.
///
/// # Errors
/// When it holds a path that is not UTF-8, which JSON cannot say, or is too long.
pub(crate) fn encode(message: &impl Serialize) -> Result<Vec<u8>, String> {
    let body = serde_json::to_vec(message).map_err(|error| error.to_string())?;
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= LONGEST);
    let length = length.ok_or_else(|| format!("a message of {} bytes is longer than {LONGEST}", body.len()))?;
    Ok([MARK.as_slice(), &length.to_be_bytes(), &body].concat())
}

/// How long the message is that these bytes begin.
pub(crate) fn length(head: [u8; HEAD]) -> Result<usize, String> {
    let (mark, length) = head.split_at(MARK.len());
    if mark != MARK {
        return Err("not called by the daemon".to_owned());
    }
    let length = length.try_into().map(u32::from_be_bytes).unwrap_or(u32::MAX) as usize;
    if length <= LONGEST { Ok(length) } else { Err(format!("a message of {length} bytes is longer than {LONGEST}")) }
}

/// The bytes that say how a message begins and how long it is.
pub(crate) const HEAD: usize = MARK.len() + 4;

/// Reads one message, and not a byte more: what comes behind it is somebody else's.
///
/// # Errors
/// When it is not one, or not a valid one.
pub(crate) fn receive<T: DeserializeOwned>(from: &mut impl Read) -> Result<T, String> {
    let failed = |error: io::Error| format!("not called by the daemon: {error}");
    let mut head = [0; HEAD];
    from.read_exact(&mut head).map_err(failed)?;
    let mut body = vec![0; length(head)?];
    from.read_exact(&mut body).map_err(failed)?;
    decode(&body)
}

/// Reads the body of a message.
pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| format!("not called by this daemon: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::tests::shell;

    #[test]
    fn a_message_is_read_as_it_is_written_and_no_further() {
        let mut cell = shell("true");
        let odd: std::ffi::OsString = std::os::unix::ffi::OsStringExt::from_vec(vec![0xff, b'"']);
        cell.args.push(odd.clone());
        cell.env.insert(odd.clone(), odd);
        let order = Order::Enter(Box::new(Job { cell, means: Means::none("x"), dry: false }));
        let bytes = [encode(&order).unwrap(), b"behind".to_vec()].concat();
        let mut rest = bytes.as_slice();
        let read: Order = receive(&mut rest).unwrap();
        assert_eq!((format!("{read:?}"), rest), (format!("{order:?}"), b"behind".as_slice()));
    }

    #[test]
    fn what_is_not_a_message_is_refused() {
        let report = Report { failure: None };
        let whole = encode(&report).unwrap();
        let long = [MARK.as_slice(), &u32::MAX.to_be_bytes()].concat();
        let other = [MARK.as_slice(), &2_u32.to_be_bytes(), b"{}"].concat();
        for bytes in [&b""[..], b"{\"inner\":true}", &whole[..whole.len() - 1], &long, &other] {
            assert!(receive::<Order>(&mut &bytes[..]).is_err(), "{bytes:?}");
        }
        assert!(receive::<Report>(&mut whole.as_slice()).is_ok());
    }
}
