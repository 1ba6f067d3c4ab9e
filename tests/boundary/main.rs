//! The boundary as a whole: the daemon as a process, a hostile component in it, and around it a network of the test's own
//! in which every address answers and every packet is counted.
//!
//! Each test is a row of the threat model's catalogue and is named after it. What a row tries, `row` judges in four
//! respects: what the guest is told; that nobody was asked and nothing was sent, by the kernel's own counters; the one
//! audit record with its reason; and that daemon and app are well. Rows run one after the other: a counter tells nothing
//! about two at once.
//!
//! * `network` moves this process into namespaces of its own before its first thread starts. Without user namespaces the
//!   tests fail, and say so.
//! * `names`, `canary`, `authority`: the name server, whatever else there is to connect to, and who signs for it.
//! * `house`: the daemons, by kind of configuration. The other modules are the rows.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step of a test is a failed test")]
#![allow(clippy::print_stderr, reason = "why there are no tests has to be seen by whoever ran them")]

mod ambient;
mod authority;
mod canary;
mod confusion;
mod exhaustion;
mod framing;
mod house;
mod names;
mod names_and_addresses;
mod native;
mod network;
mod packages;
mod ports;
mod redirects;
mod row;
mod spelling;

use libtest_mimic::{Arguments, Failed, Trial};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    // What lies over /etc, until the end.
    let entered = if arguments.list { Ok(None) } else { network::enter().map(Some) };
    let _etc = match entered {
        Ok(etc) => etc,
        Err(reason) => {
            eprintln!("the boundary cannot be tested without a network of its own: {reason}");
            return ExitCode::FAILURE;
        }
    };
    if !arguments.list {
        names::serve();
        canary::serve();
    }
    let mut trials: Vec<Trial> = row::rows()
        .into_iter()
        .map(|row| {
            Trial::test(row.id, move || {
                (row.run)(&row::Site::new(&row));
                Ok(())
            })
        })
        .collect();
    trials.push(Trial::test("zz_every_record_was_accounted_for", zz_every_record_was_accounted_for));
    let conclusion = libtest_mimic::run(&arguments, trials);
    house::close();
    if conclusion.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// The daemons stop in good order, and by then have recorded what rows have seen, and nothing else.
fn zz_every_record_was_accounted_for() -> Result<(), Failed> {
    for (kind, exit, expected) in house::close() {
        assert_eq!(exit.status.code(), Some(0), "{kind:?}: {}", exit.log);
        for (app, count) in expected {
            let records = house::records(&exit.log, &app);
            assert_eq!(records.len(), count, "{app}: {records:?}");
        }
    }
    Ok(())
}
