//! Keys of the formats that the types here do not have: to come, or gone. So that each gets its own answer, and none
//! is silently ignored. A key that becomes available moves from here into `raw`.

use crate::path::{KeyPath, Step};
use crate::source::{Finding, Show};
use crate::tree::{Map, Node, Tree};

/// The keys a format has beyond its types.
pub(crate) struct Keys {
    /// What the format is called in a message.
    pub(crate) format: &'static str,
    /// Part of the format, not available yet.
    later: &'static [&'static str],
    /// Part of the format and read, but with nothing behind them yet.
    pending: &'static [&'static str],
    /// Those of `later` that only part the file: empty keys in them say nothing.
    sections: &'static [&'static str],
    /// Once part of the format or its predecessor, and what to write instead.
    gone: &'static [(&'static str, &'static str)],
    /// Part of the format, but of something else, and what to know about it.
    misplaced: &'static [(&'static str, &'static str)],
}

/// What a format says about a key.
pub(crate) enum Standing {
    Later,
    Gone(&'static str),
    Misplaced(&'static str),
    Unknown,
}

impl Keys {
    pub(crate) fn standing(&self, path: &KeyPath) -> Standing {
        if self.later.iter().any(|pattern| path.matches(pattern)) {
            return Standing::Later;
        }
        let hint = |table: &[(&str, &'static str)]| {
            table.iter().find(|(pattern, _)| path.matches(pattern)).map(|(_, hint)| *hint)
        };
        if let Some(hint) = hint(self.gone) {
            return Standing::Gone(hint);
        }
        hint(self.misplaced).map_or(Standing::Unknown, Standing::Misplaced)
    }

    /// Whether a key to come asks for nothing, so that nothing is lost without it.
    pub(crate) fn says_nothing(&self, path: &KeyPath, node: &Node) -> bool {
        let is_section = self.sections.iter().any(|section| path.matches(section));
        let hollow = |map: &Map| map.values().all(|entry| entry.node.is_empty());
        node.is_empty() || (is_section && node.map().is_some_and(hollow))
    }

    /// Every key that is not available yet, as patterns.
    pub(crate) fn later(&self) -> &'static [&'static str] {
        self.later
    }

    /// A warning for each key below `root` that has no effect yet, where it asks for something.
    pub(crate) fn pending(&self, root: &Node) -> Vec<Finding> {
        let mut findings = Vec::new();
        root.walk(&mut KeyPath::default(), &mut |path, node| {
            let no = matches!(&node.tree, Tree::Bool(false, _)) || node.text() == Some("none");
            if no || node.is_empty() || !self.pending.iter().any(|pattern| path.matches(pattern)) {
                return;
            }
            let span = root.find(path).span;
            let message = "is not available yet, and has no effect".to_owned();
            findings.push(Finding { span, path: path.clone(), message, hint: None, show: Show::Line });
        });
        findings
    }

    /// Every key to come that could stand where the last key of `path` stands.
    pub(crate) fn later_below(&self, path: &KeyPath) -> impl Iterator<Item = &'static str> {
        let parent = KeyPath(path.0.iter().rev().skip(1).rev().cloned().collect::<Vec<Step>>());
        self.later.iter().filter_map(move |pattern| match pattern.rsplit_once('.') {
            Some((above, last)) => parent.matches(above).then_some(last),
            None => parent.0.is_empty().then_some(*pattern),
        })
    }
}

/// `gestaltd.config/v6`.
pub(crate) static CONFIG: Keys = Keys {
    format: "config v6",
    later: &[],
    pending: &[],
    sections: &[],
    gone: &[
        ("plugins", "apps stand under `apps`"),
        ("server.runtime.defaultHostedProvider", "use `server.runtime.defaultProvider`"),
        ("apps.*.allowedHosts", "use `egress.allowedHosts`"),
        ("apps.*.execution", "use `runtime`"),
        ("apps.*.mountPath", "use `ui.path`"),
        ("providers.*.*.allowedHosts", "use `egress.allowedHosts`"),
        ("providers.*.*.execution", "use `runtime`"),
        ("providers.*.*.mountPath", "use `path`"),
        ("providers.agent.*.lifecycle", "use `harnesses`"),
        ("providers.agent.*.localHarness", "use `harnesses`"),
        ("connections.*.auth.grantType", "store credentials for a subject through the external credentials provider"),
        (
            "connections.*.auth.refreshToken",
            "store credentials for a subject through the external credentials provider",
        ),
        ("connections.*.auth.token", "store credentials for a subject through the external credentials provider"),
        ("connections.*.auth.tokenExchangeDrivers", "let the provider mint its tokens, and bind it with `mode: none`"),
        ("apps.*.invokes.*.plugin", "use `app`"),
        ("workflows.*.*.permissions", "use `invokes`"),
        ("workflows.*.*.target.plugin", "use `target.steps` with an `app` in each"),
        ("workflows.*.*.target.app", "use `target.steps` with an `app` in each"),
        ("workflows.*.*.target.agent", "use `target.steps` with an `agent` in each"),
    ],
    misplaced: &[
        ("apps.*.default", "an app cannot be a default"),
        ("providers.cache.*.default", "apps name the caches they use; none of them is a default"),
        ("providers.*.*.auth", "credentials for a download stand under `source.auth`"),
        ("runtime.providers.*.auth", "credentials for a download stand under `source.auth`"),
        ("providers.*.*.authorizationPolicy", "it belongs to apps and to `providers.ui`"),
        ("providers.*.*.cache", "it belongs to apps"),
        ("providers.*.*.connections", "it belongs to apps and to `providers.agent`"),
        ("providers.*.*.defaultHarness", "it belongs to `providers.agent`"),
        ("providers.*.*.harnesses", "it belongs to `providers.agent`"),
        ("providers.*.*.indexeddb", "it belongs to apps, `providers.agent` and `providers.workflow`"),
        ("providers.*.*.invokes", "it belongs to apps"),
        ("providers.*.*.lifecycle", "it belonged to `providers.agent`; use `harnesses` there"),
        ("providers.*.*.path", "it belongs to `providers.ui`"),
        ("providers.*.*.runtime", "it belongs to apps, `providers.agent` and `providers.workflow`"),
        ("providers.*.*.s3", "it belongs to apps"),
        ("providers.*.*.surfaces", "it belongs to apps"),
        ("providers.*.*.ui", "it belongs to apps"),
        ("server.providers.agent", "sessions name their agent, or use the default of `providers.agent`"),
        ("server.providers.cache", "apps name the caches they use"),
        ("server.providers.s3", "apps name the object stores they use"),
        ("server.providers.workflow", "workflows name their provider, or use the default of `providers.workflow`"),
    ],
};

/// `manifest.yaml`.
pub(crate) static MANIFEST: Keys = Keys {
    format: "the manifest format",
    later: &[],
    pending: &[
        "run.role",
        "spec.allowedOperations",
        "spec.auth",
        "spec.connections.*.auth.type",
        "spec.connections.*.credentialRefresh",
        "spec.connections.*.discovery",
        "spec.connections.*.exposure",
        "spec.connections.*.params",
        "spec.connections.*.postConnect",
        "spec.http",
        "spec.managedParameters",
        "spec.mcp",
        "spec.pagination",
        "spec.responseMapping",
        "spec.surfaces.graphql",
        "spec.surfaces.mcp",
        "spec.surfaces.openapi",
        "spec.surfaces.rest.operations.*.connectionSelector",
        "spec.surfaces.rest.operations.*.paginate",
        "spec.surfaces.rest.operations.*.pagination",
        "spec.ui",
    ],
    sections: &[],
    gone: &[],
    misplaced: &[],
};

/// `catalog.yaml`.
pub(crate) static CATALOG: Keys =
    Keys { format: "the catalog format", later: &[], pending: &[], sections: &[], gone: &[], misplaced: &[] };
