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
}

/// What a format says about a key.
pub(crate) enum Standing {
    Later,
    Gone(&'static str),
    Unknown,
}

impl Keys {
    pub(crate) fn standing(&self, path: &KeyPath) -> Standing {
        if self.later.iter().any(|pattern| path.matches(pattern)) {
            return Standing::Later;
        }
        match self.gone.iter().find(|(pattern, _)| path.matches(pattern)) {
            Some((_, hint)) => Standing::Gone(hint),
            None => Standing::Unknown,
        }
    }

    /// Whether a key to come asks for nothing, so that nothing is lost without it.
    pub(crate) fn says_nothing(&self, path: &KeyPath, node: &Node) -> bool {
        let is_section = self.sections.iter().any(|section| path.matches(section));
        let hollow = |map: &Map| map.values().all(|entry| entry.node.is_empty());
        node.is_empty() || (is_section && node.map().is_some_and(hollow))
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
    later: &[
        "authorization",
        "connections",
        "providerRepositories",
        "providerSnapshotRepositories",
        "providers",
        "workflows",
        "server.admin",
        "server.agent",
        "server.apiTokenTtl",
        "server.dev",
        "server.providers",
        "server.runtime.relayBaseUrl",
        "runtime.providers.*.description",
        "runtime.providers.*.displayName",
        "runtime.providers.*.egress",
        "runtime.providers.*.env",
        "runtime.providers.*.iconFile",
        "runtime.providers.*.source",
        "apps.*.allowedOperations",
        "apps.*.auth",
        "apps.*.authorizationPolicy",
        "apps.*.cache",
        "apps.*.connections",
        "apps.*.dev",
        "apps.*.http",
        "apps.*.indexeddb",
        "apps.*.invokes",
        "apps.*.mcp",
        "apps.*.s3",
        "apps.*.securitySchemes",
        "apps.*.surfaces",
        "apps.*.ui",
        "apps.*.runtime.image",
        "apps.*.runtime.imagePullAuth",
        "apps.*.runtime.metadata",
        "apps.*.source.auth",
        "apps.*.source.git",
        "apps.*.source.githubRelease",
        "apps.*.source.package",
        "apps.*.source.repo",
        "apps.*.source.url",
        "apps.*.source.version",
    ],
    pending: &[],
    sections: &["authorization", "providers", "workflows"],
    gone: &[
        ("plugins", "apps stand under `apps`"),
        ("server.runtime.defaultHostedProvider", "use `server.runtime.defaultProvider`"),
        ("apps.*.allowedHosts", "use `egress.allowedHosts`"),
        ("apps.*.default", "an app cannot be a default"),
        ("apps.*.execution", "use `runtime`"),
        ("apps.*.mountPath", "use `ui.path`"),
        ("apps.*.runtime.pool", "an app has no pool; agents and workflows do"),
        ("apps.*.runtime.workspace", "an app has no workspace; agents do"),
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
        "spec.requires",
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
};

/// `catalog.yaml`.
pub(crate) static CATALOG: Keys =
    Keys { format: "the catalog format", later: &[], pending: &[], sections: &[], gone: &[] };
