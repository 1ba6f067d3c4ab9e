//! Warnings where a later file lets out more than an earlier one did. Layers are written by different people: whoever
//! wrote the earlier one may believe that its boundary holds.

use crate::path::KeyPath;
use crate::source::{Finding, Show, Span};
use crate::tree::{Node, Patterns, Tree};
use gestalt_core::host::HostPattern;
use std::sync::LazyLock;

const LISTS: [&str; 2] = ["apps.*.egress.allowedHosts", "providers.*.*.egress.allowedHosts"];

static ALLOWED: LazyLock<Patterns> = LazyLock::new(|| Patterns::new(LISTS));

/// Where `overlay` widens what `base` allows.
pub(crate) fn widened(base: &Node, overlay: &Node) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut warn = |span: Span, path: KeyPath, message: String| {
        let message = format!("EGRESS_WIDENED: {message}");
        findings.push(Finding { span, path, message, hint: None, show: Show::Line });
    };
    for key in ["defaultAction", "privateNetworks"] {
        let at = KeyPath::default().dotted("server.egress").key(key);
        let before = base.find(&at).node.and_then(Node::text);
        if let Some(now) = overlay.find(&at).node.filter(|node| node.text() == Some("allow"))
            && before == Some("deny")
        {
            warn(now.span, at, "an earlier file says `deny`".to_owned());
        }
    }
    ALLOWED.visit(base, &mut |_, path, _, before| {
        let Tree::List(before) = &before.tree else { return };
        if before.is_empty() {
            return;
        }
        match overlay.find(path).node {
            Some(Node { tree: Tree::List(now), span }) if now.is_empty() => {
                let message = "is emptied, so that the server's default action decides; an earlier file lists hosts";
                warn(*span, path.clone(), message.to_owned());
            }
            Some(Node { tree: Tree::List(now), .. }) => {
                for (i, entry) in now.iter().enumerate().filter(|(_, entry)| !covered(entry, before)) {
                    warn(entry.span, path.index(i), "allows a host that an earlier file does not".to_owned());
                }
            }
            Some(Node { tree: Tree::Null, span }) => {
                let message = "is deleted, so that the server's default action decides; an earlier file lists hosts";
                warn(*span, path.clone(), message.to_owned());
            }
            _ => {
                let egress = KeyPath(path.0[..path.0.len() - 1].to_vec());
                if let Some(Node { tree: Tree::Null, span }) = overlay.find(&egress).node {
                    let message =
                        "is deleted, so that the server's default action decides; an earlier file lists hosts";
                    warn(*span, egress, message.to_owned());
                }
            }
        }
    });
    findings
}

/// Whether everything that `entry` allows is allowed by one of `before`. What is no pattern is reported elsewhere.
fn covered(entry: &Node, before: &[Node]) -> bool {
    let Some(Ok(pattern)) = entry.text().map(HostPattern::parse) else { return true };
    let earlier = before.iter().filter_map(|node| HostPattern::parse(node.text()?).ok());
    earlier.into_iter().any(|wide| match (&wide, &pattern) {
        (HostPattern::Below(above), HostPattern::Below(suffix)) => suffix.ends_with(&**above),
        (wide, HostPattern::Exact(host)) => wide.matches(host),
        _ => false,
    })
}
