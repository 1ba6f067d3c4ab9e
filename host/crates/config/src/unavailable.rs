//! Keys of config v6 that are read and checked, and have nothing behind them yet. Each one that is configured is said,
//! so that nobody believes it does something. A feature that becomes available takes its line out of here.

use crate::check::Report;
use crate::check::source::{Text, kind_of_source};
use crate::path::Step;
use crate::source::{Finding, Show};
use crate::tree::{Node, Patterns};
use std::sync::LazyLock;

/// Paths, and what is missing without the feature where that is not plain from the key itself.
const KEYS: [(&str, &str); 54] = [
    ("authorization.policies.*", ""),
    ("authorization.models.*", ""),
    ("authorization.relationships", ""),
    ("connections.*", ""),
    ("providerRepositories.*", ""),
    ("providerSnapshotRepositories.*", ""),
    ("server.admin.authorizationPolicy", "there are no operator pages"),
    ("server.admin.allowedRoles", "there are no operator pages"),
    ("server.admin.ui", "there are no operator pages"),
    ("server.agent.defaultToolNarrowingThreshold", ""),
    ("server.apiTokenTtl", "there are no API tokens"),
    ("server.dev.attachmentState", ""),
    ("server.providers.audit", ""),
    ("server.providers.authentication", ""),
    ("server.providers.authorization", ""),
    ("server.providers.externalCredentials", ""),
    ("server.providers.indexeddb", ""),
    ("server.providers.telemetry", ""),
    ("server.runtime.relayBaseUrl", ""),
    ("runtime.providers.*.source", ""),
    ("providers.agent.*", ""),
    ("providers.audit.*", "audit records go where log lines go"),
    ("providers.authentication.*", "nobody could log in, so `serve` refuses to start"),
    ("providers.authorization.*", ""),
    ("providers.cache.*", ""),
    ("providers.externalCredentials.*", ""),
    ("providers.indexeddb.*", ""),
    ("providers.s3.*", ""),
    ("providers.secrets.*.source", "no secret can be had from it"),
    ("providers.telemetry.*", "log lines go to standard output"),
    ("providers.ui.*", ""),
    ("providers.workflow.*", ""),
    ("workflows.schedules.*", "it never runs"),
    ("workflows.eventTriggers.*", "it never runs"),
    ("apps.*.allowedOperations", UNENFORCED),
    ("apps.*.auth", UNENFORCED),
    ("apps.*.authorizationPolicy", UNENFORCED),
    ("apps.*.cache", ""),
    ("apps.*.connections", ""),
    ("apps.*.dev", ""),
    ("apps.*.http", ""),
    ("apps.*.indexeddb", ""),
    ("apps.*.invokes.*.credentialMode", "calls of other apps use no stored credential"),
    ("apps.*.invokes.*.runAs", "such an app calls on its caller's behalf"),
    ("apps.*.invokes.*.surface", "GraphQL surfaces cannot be called"),
    ("apps.*.mcp", ""),
    ("apps.*.s3", ""),
    ("apps.*.securitySchemes", ""),
    ("apps.*.surfaces", "requests go where the manifest says"),
    ("apps.*.ui", ""),
    ("apps.*.runtime.image", ""),
    ("apps.*.runtime.imagePullAuth", ""),
    ("apps.*.runtime.metadata", ""),
    ("apps.*.source", ""),
];

/// A restriction: running without it would let in whom it keeps out.
const UNENFORCED: &str = "the app is not started without it";

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| Patterns::new(KEYS.iter().map(|(pattern, _)| *pattern)));

/// Says of every configured key with nothing behind it that it is so. Returns those that restrict an app, with its name.
pub(crate) fn warn(report: &mut Report<'_>, root: &Node) -> Vec<(String, Finding)> {
    let (warnings, mut unenforced) = (&mut report.warnings, Vec::new());
    PATTERNS.visit(root, &mut |pattern, path, key, node| {
        let (pattern, missing) = KEYS[pattern];
        let there = match pattern {
            "apps.*.source" => is_local(node),
            "providers.secrets.*.source" => matches!(node.text().map(str::trim), Some("env" | "file")),
            _ => false,
        };
        if there || node.is_empty() {
            return;
        }
        let message = match pattern {
            "apps.*.source" => "names a package that is to be fetched, which is not available yet; the app stays down",
            _ => "is part of config v6, but not available yet",
        };
        let message = if missing.is_empty() { message.to_owned() } else { format!("{message}: {missing}") };
        let finding = Finding { span: key, path: path.clone(), message, hint: None, show: Show::Line };
        if let [_, Step::Key(app), ..] = path.0.as_slice()
            && missing == UNENFORCED
        {
            unenforced.push((app.clone(), finding.clone()));
        }
        warnings.push(finding);
    });
    unenforced
}

/// Whether a source is a manifest on this machine.
fn is_local(source: &Node) -> bool {
    let text = source.text().or_else(|| source.get("path").and_then(Node::text));
    text.is_some_and(|text| kind_of_source(text.trim()) == Text::Manifest)
}
