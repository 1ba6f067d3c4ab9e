//! `Raw` → `Checked`: what must be there is there, every value means something, every name names something.
//!
//! A check never stops at the first problem: it reports, puts something harmless in the place, and goes on.

pub(crate) mod app;
pub(crate) mod app_egress;
mod auth;
mod authorization;
pub(crate) mod builtin;
pub(crate) mod config;
mod connections;
pub(crate) mod egress;
mod harness;
mod http;
pub(crate) mod known;
pub(crate) mod manifest;
mod paths;
mod placement;
pub(crate) mod providers;
mod server;
pub(crate) mod source;
mod steps;
pub(crate) mod texts;
mod ui;
pub(crate) mod values;
pub(crate) mod wasm;
mod workflows;

use crate::path::KeyPath;
use crate::problem::Location;
use crate::source::{Finding, Show, Sources, Span};
use crate::tree::{Node, Tree};

/// Where checks report to, and ask where something was written.
pub(crate) struct Report<'a> {
    pub(crate) tree: &'a Node,
    pub(crate) sources: &'a Sources,
    pub(crate) findings: Vec<Finding>,
    pub(crate) warnings: Vec<Finding>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(tree: &'a Node, sources: &'a Sources) -> Self {
        Self { tree, sources, findings: Vec::new(), warnings: Vec::new() }
    }

    /// Something is wrong at `path`.
    pub(crate) fn problem(&mut self, path: &KeyPath, message: impl Into<String>) {
        self.hinted(path, message, None);
    }

    /// Something is wrong at `path`, and perhaps we know better.
    pub(crate) fn hinted(&mut self, path: &KeyPath, message: impl Into<String>, hint: Option<String>) {
        self.findings.extend(self.finding(path, message.into(), hint));
    }

    /// Something at `path` is allowed, but likely not meant.
    pub(crate) fn warning(&mut self, path: &KeyPath, message: impl Into<String>, hint: Option<String>) {
        self.warnings.extend(self.finding(path, message.into(), hint));
    }

    /// Whether a key below `path` has been reported already, so that another one is not missed in its place.
    pub(crate) fn is_troubled(&self, path: &KeyPath) -> bool {
        let map = self.tree.find(path).node.and_then(Node::map);
        map.is_some_and(|map| map.values().any(|entry| matches!(entry.node.tree, Tree::Reported)))
    }

    /// Whether somebody wrote nothing at `path`, as opposed to not writing it.
    pub(crate) fn is_null(&self, path: &KeyPath) -> bool {
        matches!(self.tree.find(path).node, Some(Node { tree: Tree::Null, .. }))
    }

    /// `None` when something on the way has been reported already, and when the value is a secret still to be supplied:
    /// it is judged when it is there.
    fn finding(&self, path: &KeyPath, message: String, hint: Option<String>) -> Option<Finding> {
        let found = self.tree.find(path);
        let (span, show) = match found.node {
            Some(node) if node.map().is_none() && node.span != Span::default() => (node.span, Show::Value),
            _ => (found.span, Show::Line),
        };
        let pending = found.node.is_some_and(|node| matches!(node.tree, Tree::Secret { .. }));
        (!found.reported && !pending).then(|| Finding { span, path: path.clone(), message, hint, show })
    }

    /// Where `path`, or the nearest thing above it, was written.
    pub(crate) fn locate(&self, path: &KeyPath) -> Location {
        self.sources.locate(self.tree.find(path).span)
    }
}
