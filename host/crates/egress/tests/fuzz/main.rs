//! Differential fuzzing of how hosts are spelled, matched and dialled.
//!
//! Random authorities and entries go through this crate, `http::Uri`, the `url` crate and a matcher that was written to
//! be obvious; those that may be sent go over the wire to real listeners, with a resolver that records. What must hold:
//!
//! * whatever is allowed is dialled by the name that was matched: one question for that name, one connection to its
//!   answer, and a `Host` that says it;
//! * two spellings of one host get one answer, and a spelling that somebody else would read as another host gets none;
//! * the line that a server reads says the target that was checked, byte for byte;
//! * whatever is refused leaves nothing on the wire and no question.
//!
//! Runs for `GESTALT_FUZZ_SECONDS` (default 60, shared by both tests) from `GESTALT_FUZZ_SEED` (default: the clock). A
//! failure prints the seed and the input.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a broken fixture should end the test")]
#![allow(clippy::print_stdout, reason = "a failure says the seed that leads to it")]

mod texts;
mod wire;

use gestalt_core::egress::{Action, Rules};
use gestalt_core::host::{Host, HostPattern};
use gestalt_egress::{Policy, Target};
use http::{Method, Uri};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant, SystemTime};
use texts::Random;

/// How long each of the two tests runs.
fn time() -> Duration {
    let seconds = std::env::var("GESTALT_FUZZ_SECONDS").map_or(60.0, |text| text.parse().expect("a number of seconds"));
    Duration::from_secs_f64(seconds / 2.0)
}

fn seed() -> u64 {
    let clock = || SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    std::env::var("GESTALT_FUZZ_SEED").map_or_else(|_| clock(), |text| text.parse().expect("a number"))
}

/// Runs `round` until the time is up; says the seed that leads to a failure.
fn rounds(mut round: impl FnMut(&mut Random)) {
    let (start, first) = (Instant::now(), seed());
    let mut count = 0;
    while start.elapsed() < time() {
        let seed = first.wrapping_add(count);
        let told = Told(seed);
        round(&mut Random::new(seed));
        std::mem::forget(told);
        count += 1;
    }
    println!("{count} rounds from seed {first}");
    assert!(count > 100, "that is no fuzzing: {count} rounds");
}

/// Speaks when dropped by a panic.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        println!("GESTALT_FUZZ_SEED={}", self.0);
    }
}

#[test]
fn parsers_and_policy_agree() {
    rounds(|random| {
        let (text, entry) = (random.host(), random.entry());
        canonical(&text);
        matching(&entry, &text);
        spellings(random);
    });
}

/// What `Host` makes of a text, beside what others make of it.
fn canonical(text: &str) {
    let Ok(host) = Host::parse(text) else { return };
    let printed = host.to_string();
    assert_eq!(Host::parse(&printed).as_ref(), Ok(&host), "{text:?} prints as {printed:?}, which is another host");
    // A URL parser that a person or a library would use reads the same host.
    let url = url::Url::parse(&format!("http://{text}/")).unwrap_or_else(|e| panic!("{text:?}: {e}"));
    let read = url.host_str().unwrap().trim_end_matches('.').to_owned();
    assert_eq!(read, printed, "{text:?} is another host to a URL parser");
    // Inside a request's URI it stays in one piece.
    let uri: Uri = format!("http://{text}/").parse().unwrap_or_else(|e| panic!("{text:?}: {e}"));
    assert_eq!(uri.host(), Some(text), "{text:?}");
    match &host {
        // A name that a resolver of the C library would take for an address is none.
        Host::Name(name) => assert_eq!(aton(name), None, "{text:?} is an address to a C library"),
        Host::Ip(IpAddr::V4(ip)) => assert_eq!((aton(text), text), (Some(*ip), &*ip.to_string())),
        Host::Ip(IpAddr::V6(ip)) => assert!(ip.to_ipv4_mapped().is_none() && !text.contains('%'), "{text:?}"),
    }
}

/// The C library's liberal reading of an IPv4 address: one to four numbers, decimal, octal or hexadecimal.
fn aton(text: &str) -> Option<Ipv4Addr> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let parts: Vec<u64> = text
        .split('.')
        .map(|part| match part.to_ascii_lowercase().strip_prefix("0x") {
            Some("") => Some(0),
            Some(hex) => u64::from_str_radix(hex, 16).ok(),
            None if part.len() > 1 && part.starts_with('0') => u64::from_str_radix(part, 8).ok(),
            None => part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok()).flatten(),
        })
        .collect::<Option<_>>()?;
    let (last, first) = parts.split_last()?;
    let room = 4usize.checked_sub(first.len()).filter(|room| *room > 0)?;
    if first.iter().any(|part| *part > 255) || *last >= 1 << (8 * room) {
        return None;
    }
    let high = first.iter().enumerate().fold(0u64, |sum, (i, part)| sum | part << (24 - 8 * i));
    u32::try_from(high | last).ok().map(Ipv4Addr::from)
}

/// What the policy makes of an entry and a host, beside a matcher that is easy to believe.
fn matching(entry: &str, text: &str) {
    let Ok(pattern) = HostPattern::parse(entry) else { return };
    let Ok(host) = Host::parse(text) else { return };
    let expect = obvious(entry, &host);
    assert_eq!(pattern.matches(&host), expect, "entry {entry:?} host {host}");
    let policy = Policy::new(&Rules::allowing([pattern]).allowed, Action::Allow);
    assert_eq!(policy.check(&host).is_ok(), expect, "entry {entry:?} host {host}");
}

/// Label by label, from the end.
fn obvious(entry: &str, host: &Host) -> bool {
    let (any_below, rest) = match entry.strip_prefix("*.") {
        Some(rest) => (true, rest),
        None => (false, entry),
    };
    let rest = match url::Host::parse(rest) {
        Ok(url::Host::Ipv4(ip)) => return !any_below && *host == Host::Ip(ip.into()),
        Ok(url::Host::Ipv6(ip)) => return !any_below && *host == Host::Ip(ip.into()),
        Ok(url::Host::Domain(name)) => name.trim_end_matches('.').to_owned(),
        Err(_) => return rest.parse::<IpAddr>().is_ok_and(|ip| !any_below && *host == Host::Ip(ip)),
    };
    let Host::Name(name) = host else { return false };
    let (mut wanted, mut given) = (rest.rsplit('.'), name.rsplit('.'));
    loop {
        match (wanted.next(), given.next()) {
            (Some(want), Some(label)) if want == label => {}
            (None, rest) => return any_below == rest.is_some(),
            _ => return false,
        }
    }
}

/// One host in several spellings: one answer, or a refusal of the spelling.
fn spellings(random: &mut Random) {
    let text = random.host();
    let Ok(host) = Host::parse(&text) else { return };
    let policy = Policy::new(&Rules::allowing(HostPattern::parse(&random.entry())).allowed, Action::Allow);
    let answer = policy.check(&host);
    for spelling in random.spellings(&host.to_string()) {
        let Ok(uri) = format!("http://{spelling}/").parse::<Uri>() else { continue };
        let Ok(target) = Target::parse(&Method::GET, &uri) else { continue };
        assert_eq!(target.host, host, "{spelling:?} is not {text:?}");
        assert_eq!(policy.check(&target.host), answer, "{spelling:?} and {text:?} get two answers");
    }
}
