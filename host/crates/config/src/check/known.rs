//! The names that a config defines, so that every name it uses can be looked up.

use super::Report;
use super::app::trimmed;
use crate::path::KeyPath;
use crate::raw::config::RawConfig;
use crate::shape::{did_you_mean, nearest};
use std::collections::{BTreeMap, BTreeSet};

/// Keys by the map they stand in. Entries that turn out wrong are here as well: a use of one is not wrong too.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) policies: Names,
    pub(crate) connections: Names,
    pub(crate) snapshots: Names,
    pub(crate) agents: Names,
    pub(crate) authentication: Names,
    pub(crate) cache: Names,
    pub(crate) indexeddb: Names,
    pub(crate) s3: Names,
    pub(crate) ui: Names,
    pub(crate) workflow: Names,
    pub(crate) apps: Names,
}

/// The keys of one map, and what it is called.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) map: &'static str,
    pub(crate) keys: BTreeSet<String>,
}

impl Names {
    fn of<T>(map: &'static str, entries: &Option<BTreeMap<String, T>>) -> Self {
        Self { map, keys: entries.iter().flat_map(BTreeMap::keys).cloned().collect() }
    }
}

impl Known {
    pub(crate) fn of(raw: &RawConfig) -> Self {
        let providers = raw.providers.as_ref();
        macro_rules! provider {
            ($kind:ident, $map:literal) => {
                providers.map_or_else(Names::default, |p| Names::of($map, &p.$kind)).called($map)
            };
        }
        let policies = raw.authorization.as_ref().and_then(|a| a.policies.as_ref());
        Self {
            policies: Names {
                map: "authorization.policies",
                keys: policies.into_iter().flat_map(BTreeMap::keys).cloned().collect(),
            },
            connections: Names::of("connections", &raw.connections),
            snapshots: Names::of("providerSnapshotRepositories", &raw.provider_snapshot_repositories),
            agents: provider!(agent, "providers.agent"),
            authentication: provider!(authentication, "providers.authentication"),
            cache: provider!(cache, "providers.cache"),
            indexeddb: provider!(indexeddb, "providers.indexeddb"),
            s3: provider!(s3, "providers.s3"),
            ui: provider!(ui, "providers.ui"),
            workflow: provider!(workflow, "providers.workflow"),
            apps: Names::of("apps", &raw.apps),
        }
    }
}

impl Names {
    fn called(self, map: &'static str) -> Self {
        Self { map, ..self }
    }
}

impl Report<'_> {
    /// The name at `path`, if it is one of `known`.
    pub(crate) fn named(&mut self, path: &KeyPath, name: Option<String>, known: &Names) -> Option<String> {
        let name = trimmed(name)?;
        if known.keys.contains(&name) {
            return Some(name);
        }
        let meant = nearest(&name, known.keys.iter().map(String::as_str)).map(did_you_mean);
        self.hinted(path, format!("`{}` has no such entry", known.map), meant);
        None
    }

    /// [`Report::named`], where there must be a name.
    pub(crate) fn must_name(&mut self, path: &KeyPath, name: Option<String>, known: &Names) -> Option<String> {
        let name = self.needed(path, name, &format!("a key of `{}`", known.map))?;
        self.named(path, Some(name), known)
    }

    /// Names, each known and each only once.
    pub(crate) fn all_named(&mut self, path: &KeyPath, names: Option<Vec<String>>, known: &Names) -> Vec<String> {
        let mut all = Vec::new();
        for (i, name) in names.into_iter().flatten().enumerate() {
            let at = path.index(i);
            let Some(name) = self.must_name(&at, Some(name), known) else { continue };
            if all.contains(&name) {
                self.problem(&at, "is listed twice");
            } else {
                all.push(name);
            }
        }
        all
    }

    /// Text that must be there; `what` says what it is.
    pub(crate) fn needed(&mut self, path: &KeyPath, text: Option<String>, what: &str) -> Option<String> {
        let text = trimmed(text);
        if text.is_none() {
            self.problem(path, format!("is required: {what}"));
        }
        text
    }

    /// Texts that are not blank, each only once.
    pub(crate) fn distinct(&mut self, path: &KeyPath, texts: Option<Vec<String>>) -> Vec<String> {
        self.numbered(path, texts).into_iter().map(|(_, text)| text).collect()
    }

    /// [`Report::distinct`], each with its place in the list.
    pub(crate) fn numbered(&mut self, path: &KeyPath, texts: Option<Vec<String>>) -> Vec<(usize, String)> {
        let mut all: Vec<(usize, String)> = Vec::new();
        for (i, text) in texts.into_iter().flatten().enumerate() {
            let at = path.index(i);
            match trimmed(Some(text)) {
                None => self.problem(&at, "must not be blank"),
                Some(text) if all.iter().any(|(_, other)| *other == text) => self.problem(&at, "is listed twice"),
                Some(text) => all.push((i, text)),
            }
        }
        all
    }

    /// The entry at `path`, which a file may have set to nothing.
    pub(crate) fn entry<T>(&mut self, path: &KeyPath, raw: Option<T>, needs: &str) -> Option<T> {
        if raw.is_none() {
            self.problem(path, format!("the entry is empty; {needs}"));
        }
        raw
    }
}
