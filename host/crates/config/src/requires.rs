//! `spec.requires` of packages: which apps must be up before others.

use crate::check::Report;
use crate::packages::Package;
use crate::path::KeyPath;
use gestalt_core::AppName;
use std::collections::{BTreeMap, BTreeSet};

/// The apps in an order in which each comes after those it requires; and those that can have no such order, since they,
/// or what they require, require one another.
pub fn start_order(packages: &BTreeMap<AppName, Package>) -> (Vec<AppName>, Vec<AppName>) {
    let mut left: BTreeMap<&AppName, BTreeSet<&AppName>> =
        packages.keys().map(|name| (name, required(name, packages))).collect();
    let mut order: Vec<AppName> = Vec::new();
    loop {
        let before = left.len();
        left.retain(|name, needs| {
            let ready = needs.iter().all(|need| order.contains(need));
            if ready {
                order.push((*name).clone());
            }
            !ready
        });
        if left.len() == before {
            return (order, left.into_keys().cloned().collect());
        }
    }
}

/// The apps that `name` requires: all that are made of a package it names.
pub fn required<'a>(name: &AppName, packages: &'a BTreeMap<AppName, Package>) -> BTreeSet<&'a AppName> {
    let spec = packages.get(name).and_then(|package| package.manifest.app());
    let sources: BTreeSet<&str> = spec.into_iter().flat_map(|spec| &spec.requires).map(String::as_str).collect();
    let made_of = packages.iter().filter(|(_, package)| sources.contains(package.manifest.source.as_str()));
    made_of.map(|(name, _)| name).collect()
}

/// Warns of requirements that no app here meets.
pub(crate) fn missing(packages: &BTreeMap<AppName, Package>, report: &mut Report<'_>) {
    let there: BTreeSet<&str> = packages.values().map(|package| package.manifest.source.as_str()).collect();
    for (name, package) in packages {
        for source in package.manifest.app().into_iter().flat_map(|spec| &spec.requires) {
            if !there.contains(source.as_str()) {
                let at = KeyPath::default().key("apps").key(name.as_str());
                let message = format!("its package requires `{source}`, and no app here is made of that");
                report.warning(&at, message, None);
            }
        }
    }
}
