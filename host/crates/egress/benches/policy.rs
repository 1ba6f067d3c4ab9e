//! What a policy's decision costs: it is made for every request, on lists as long as operators write them.

#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

use criterion::{Criterion, criterion_group, criterion_main};
use gestalt_core::egress::{Action, Rules};
use gestalt_core::host::{Host, HostPattern};
use gestalt_egress::{Policy, Target};
use http::{Method, Uri};
use std::hint::black_box;

/// 64 entries: half hosts, half suffixes, none of them short.
fn policy() -> Policy {
    let pattern = |n: usize| match n % 2 {
        0 => format!("host-{n}.service.example.com"),
        _ => format!("*.region-{n}.storage.example.net"),
    };
    let rules = Rules::allowing((0..64).map(|n| HostPattern::parse(&pattern(n)).unwrap()));
    Policy::new(&rules.allowed, Action::Allow)
}

fn checks(criterion: &mut Criterion) {
    let policy = policy();
    let mut group = criterion.benchmark_group("policy of 64 entries");
    for (name, host) in [
        ("exact", "host-62.service.example.com"),
        ("last suffix", "bucket.region-63.storage.example.net"),
        ("refused", "host-62.service.example.com.evil.test"),
        ("refused, as long as names can be", &["a"; 120].join(".")),
    ] {
        let host = Host::parse(host).unwrap();
        group.bench_function(name, |bencher| bencher.iter(|| policy.check(black_box(&host))));
    }
    let uri = Uri::from_static("https://bucket.region-63.storage.example.net/path?query");
    group.bench_function("with parsing", |bencher| {
        bencher.iter(|| {
            let target = Target::parse(&Method::GET, black_box(&uri)).unwrap();
            policy.check(&target.host)
        });
    });
    group.finish();
}

criterion_group!(benches, checks);
criterion_main!(benches);
