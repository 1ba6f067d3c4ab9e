//! A decision allocates nothing: counted by an allocator of this binary's own.

#![allow(clippy::unwrap_used, reason = "a broken fixture should end the test")]

use gestalt_core::egress::{Action, Rules};
use gestalt_core::host::{Host, HostPattern};
use gestalt_egress::Policy;

#[test]
fn a_decision_allocates_nothing() {
    let pattern = |n: usize| match n % 2 {
        0 => format!("host-{n}.service.example.com"),
        _ => format!("*.region-{n}.storage.example.net"),
    };
    let rules = Rules::allowing((0..64).map(|n| HostPattern::parse(&pattern(n)).unwrap()));
    let policy = Policy::new(&rules.allowed, Action::Allow);
    let long = ["a"; 120].join(".");
    let hosts =
        ["host-62.service.example.com", "b.region-63.storage.example.net", "evil.test", "127.0.0.1", "[::1]", &long];
    let hosts = hosts.map(|host| Host::parse(host).unwrap());
    let mut allowed = 0;
    let counted = allocation_counter::measure(|| {
        for host in &hosts {
            allowed += usize::from(policy.check(host).is_ok());
        }
    });
    assert_eq!((allowed, counted.count_total), (2, 0));
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(Box::new(1))));
    assert_eq!(counted.count_total, 1, "the counter counts");
}
