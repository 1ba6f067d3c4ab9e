//! What a deployment and its packages must agree on: known when both are read, and before anything is started.

use crate::check::Report;
use crate::deployment::{App, Binding, Deployment, Provider, Source};
use crate::manifest::connections::{AuthKind, ConnectionMode, Exposure};
use crate::manifest::{Kind, Manifest, Spec, UiRoute};
use crate::path::KeyPath;
use crate::problem::{Location, Problem, Problems};
use crate::requires::{missing, start_order};
use crate::shape::{did_you_mean, nearest};
use gestalt_core::{AppName, Catalog};
use std::collections::{BTreeMap, BTreeSet};

/// One app's package, read.
#[derive(Clone, Debug)]
pub struct Package {
    /// What it says about itself.
    pub manifest: Manifest,
    /// Its operations, as far as a file lists them.
    pub catalog: Option<Catalog>,
}

/// What was found wrong, and what is likely not meant.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Nothing of it may be started with these.
    pub errors: Problems,
    /// It may.
    pub warnings: Problems,
}

impl Package {
    /// Reads the package whose manifest this is.
    ///
    /// # Errors
    /// Everything that is wrong with manifest or catalog.
    pub fn load(file: &std::path::Path) -> Result<Self, Problems> {
        let manifest = Manifest::load(file)?;
        let catalog = manifest.catalog()?;
        Ok(Self { manifest, catalog })
    }

    /// The ids of all its operations. `None` when only a running app or its upstream knows.
    fn operations(&self) -> Option<BTreeSet<&str>> {
        let spec = self.manifest.app()?;
        let surfaces = &spec.surfaces;
        if surfaces.openapi.is_some() || surfaces.graphql.is_some() || surfaces.mcp.is_some() {
            return None;
        }
        let manifest = &self.manifest;
        let has_code = manifest.entrypoint.is_some() || manifest.run.is_some() || !manifest.artifacts.is_empty();
        if self.catalog.is_none() && (has_code || surfaces.rest.is_none()) {
            return None;
        }
        let rest = surfaces.rest.iter().flat_map(|rest| rest.operations.iter().map(|op| op.name.as_str()));
        let listed = self.catalog.iter().flat_map(|catalog| catalog.operations().iter().map(|op| op.id.as_str()));
        Some(rest.chain(listed).collect())
    }
}

impl Deployment {
    /// Reads every app's package that lies on this machine, and checks the whole.
    pub fn read_packages(&self) -> (BTreeMap<AppName, Package>, Findings) {
        let (mut packages, mut found) = (BTreeMap::new(), Findings::default());
        for app in self.apps.values() {
            let Some(file) = app.source.manifest() else { continue };
            let read = Package::load(file).and_then(|package| {
                self.check_config(app, &package.manifest)?;
                Ok(package)
            });
            match read {
                Ok(package) => {
                    found.warnings.extend(package.manifest.warnings.clone());
                    packages.insert(app.name.clone(), package);
                }
                Err(problems) => found.errors.extend(problems),
            }
        }
        let Findings { errors, warnings } = self.check_packages(&packages);
        found.errors.extend(errors);
        found.warnings.extend(warnings);
        (packages, found)
    }

    /// Checks these packages against the deployment and against one another.
    pub fn check_packages(&self, packages: &BTreeMap<AppName, Package>) -> Findings {
        let mut report = Report::new(&self.origin.tree, &self.origin.sources);
        for app in self.apps.values() {
            if let Some(package) = packages.get(&app.name) {
                self.agree(&mut report, app, package);
            }
        }
        self.together(report, packages)
    }

    /// Checks what these packages, and the deployment's workflows, ask of one another; not each of them by itself, for
    /// which there is [`check_package`](Self::check_package).
    pub fn check_together(&self, packages: &BTreeMap<AppName, Package>) -> Findings {
        self.together(Report::new(&self.origin.tree, &self.origin.sources), packages)
    }

    fn together(&self, mut report: Report<'_>, packages: &BTreeMap<AppName, Package>) -> Findings {
        let mut others = Problems::default();
        for app in self.apps.values().filter(|app| packages.contains_key(&app.name)) {
            let at = KeyPath::default().key("apps").key(app.name.as_str());
            for (i, invoked) in app.invokes.iter().enumerate() {
                if let (Some(operation), Some(target)) = (&invoked.operation, packages.get(&invoked.app)) {
                    let at = at.key("invokes").index(i).key("operation");
                    must_offer(&mut report, &at, operation, self.apps.get(&invoked.app), target);
                }
            }
        }
        self.workflow_targets(&mut report, packages);
        self.provider_kinds(&mut report, &mut others);
        for app in &start_order(packages).1 {
            if let Some(package) = packages.get(app) {
                let message = format!("app `{app}` needs apps that need it: none of them could start first");
                others.0.push(Problem::new(package.manifest.at(), "spec.requires", message));
            }
        }
        missing(packages, &mut report);
        let (findings, warnings) = (report.findings, report.warnings);
        let mut errors = self.origin.sources.report(findings);
        errors.extend(others);
        Findings { errors, warnings: self.origin.sources.report(warnings) }
    }

    /// Checks one app's package against its entry alone.
    pub fn check_package(&self, app: &App, package: &Package) -> Problems {
        let mut report = Report::new(&self.origin.tree, &self.origin.sources);
        self.agree(&mut report, app, package);
        let findings = report.findings;
        self.origin.sources.report(findings)
    }

    fn agree(&self, report: &mut Report<'_>, app: &App, package: &Package) {
        let at = KeyPath::default().key("apps").key(app.name.as_str());
        expect_kind(report, &at, &package.manifest, Kind::App);
        connections(report, &at, app, &package.manifest, self);
        operations(report, &at, app, package);
        webhooks(report, &at, app, package);
        owned_ui(report, &at, app, &package.manifest);
    }

    fn workflow_targets(&self, report: &mut Report<'_>, packages: &BTreeMap<AppName, Package>) {
        let top = KeyPath::default().key("workflows");
        let schedules = self.workflows.schedules.iter().map(|(name, s)| (top.key("schedules").key(name), &s.workflow));
        let triggers =
            self.workflows.event_triggers.iter().map(|(name, t)| (top.key("eventTriggers").key(name), &t.workflow));
        for (at, workflow) in schedules.chain(triggers) {
            for (i, step) in workflow.steps.iter().enumerate() {
                let crate::deployment::Task::App(call) = &step.task else { continue };
                let Some(package) = packages.get(&call.app) else { continue };
                let app = self.apps.get(&call.app);
                let at = at.dotted("target.steps").index(i).key("app");
                must_offer(report, &at.key("operation"), &call.operation, app, package);
                if let (Some(connection), Some(app)) = (&call.connection, app) {
                    must_have_connection(report, &at.key("connection"), connection, app, &package.manifest);
                }
            }
            for (i, (app, operation)) in workflow.invokes.iter().enumerate() {
                if let Some(package) = packages.get(app) {
                    let at = at.key("invokes").index(i).key("operation");
                    must_offer(report, &at, operation, self.apps.get(app), package);
                }
            }
        }
    }

    /// Every provider whose package lies here is of the kind it is configured as; a bundle of pages that a policy guards
    /// says which roles may load what.
    fn provider_kinds(&self, report: &mut Report<'_>, others: &mut Problems) {
        let providers = &self.providers;
        let top = KeyPath::default().key("providers");
        let mut all: Vec<(KeyPath, &Provider, Kind)> = Vec::new();
        for (kind, entries, expect) in [
            ("authentication", &providers.authentication, Kind::Authentication),
            ("authorization", &providers.authorization, Kind::Authorization),
            ("cache", &providers.cache, Kind::Cache),
            ("externalCredentials", &providers.external_credentials, Kind::ExternalCredentials),
            ("s3", &providers.s3, Kind::S3),
        ] {
            all.extend(entries.iter().map(|(name, entry)| (top.key(kind).key(name), entry, expect)));
        }
        let agents = providers.agent.iter().map(|(name, agent)| (top.key("agent").key(name), &agent.provider));
        all.extend(agents.map(|(at, provider)| (at, provider, Kind::Agent)));
        let schedulers =
            providers.workflow.iter().map(|(name, entry)| (top.key("workflow").key(name), &entry.provider));
        all.extend(schedulers.map(|(at, provider)| (at, provider, Kind::Workflow)));
        for (at, provider, kind) in all {
            if let Some(manifest) = read(&provider.source, others) {
                expect_kind(report, &at, &manifest, kind);
            }
        }
        for (name, bundle) in providers.ui.iter() {
            let at = top.key("ui").key(name);
            let Some(manifest) = read(&bundle.provider.source, others) else { continue };
            expect_kind(report, &at, &manifest, Kind::Ui);
            let bound = self.apps.values().find(|app| app.ui.as_ref().and_then(|ui| ui.bundle.as_ref()) == Some(name));
            let guarded =
                bundle.authorization_policy.is_some() || bound.is_some_and(|app| app.authorization_policy.is_some());
            if let (Spec::Ui(spec), true) = (&manifest.spec, guarded) {
                others.extend(guarded_routes(&spec.routes, manifest.at()));
            }
        }
    }
}

/// The manifest of a source on this machine.
fn read(source: &Source, others: &mut Problems) -> Option<Manifest> {
    match Manifest::load(source.manifest()?) {
        Ok(manifest) => Some(manifest),
        Err(problems) => {
            others.extend(problems);
            None
        }
    }
}

fn expect_kind(report: &mut Report<'_>, at: &KeyPath, manifest: &Manifest, expect: Kind) {
    if manifest.kind() != expect {
        let message = format!("is a package of kind `{}`; here one of kind `{expect}` is needed", manifest.kind());
        let at = match report.tree.find(&at.dotted("source.path")).node {
            Some(_) => at.dotted("source.path"),
            None => at.key("source"),
        };
        report.problem(&at, message);
    }
}

/// With a policy, every route says who may load it, and nothing is left out.
fn guarded_routes(routes: &[UiRoute], at: Location) -> Problems {
    let mut problems = Problems::default();
    let mut wrong = |message: String| problems.0.push(Problem::new(at.clone(), "spec.routes", message));
    for route in routes.iter().filter(|route| route.allowed_roles.is_empty()) {
        wrong(format!(
            "the deployment guards these pages with a policy, and route `{}` has no `allowedRoles`",
            route.path
        ));
    }
    if !routes.iter().any(|route| matches!(route.path.as_str(), "/" | "/*")) {
        wrong("the deployment guards these pages with a policy, and no route covers `/`".to_owned());
    }
    problems
}

fn must_offer(report: &mut Report<'_>, at: &KeyPath, operation: &str, app: Option<&App>, package: &Package) {
    let Some(known) = package.operations() else { return };
    let allowed = app.and_then(|app| app.allowed_operations.as_ref());
    let offered: BTreeSet<&str> = match allowed {
        None => known,
        Some(list) => list.iter().map(|(id, entry)| entry.alias.as_deref().unwrap_or(id)).collect(),
    };
    if !offered.contains(operation) {
        let hint = nearest(operation, offered.iter().copied()).map(did_you_mean);
        report.hinted(at, "is no operation of the app", hint);
    }
}

/// The allow-list names operations by the app's own ids.
fn operations(report: &mut Report<'_>, at: &KeyPath, app: &App, package: &Package) {
    let (Some(list), Some(known)) = (&app.allowed_operations, package.operations()) else { return };
    for id in list.keys().filter(|id| !known.contains(id.as_str())) {
        let hint = nearest(id, known.iter().copied()).map(did_you_mean);
        report.hinted(&at.key("allowedOperations").key(id), "is no operation of the app", hint);
    }
}

/// Overrides laid over the manifest's bindings: what comes out is whole, and everything it names is there.
fn webhooks(report: &mut Report<'_>, at: &KeyPath, app: &App, package: &Package) {
    let Some(spec) = package.manifest.app() else { return };
    let schemes: BTreeSet<&str> = {
        let ours = app.security_schemes.iter().filter(|(_, scheme)| scheme.is_some()).map(|(name, _)| name.as_str());
        let theirs = spec.security_schemes.keys().map(String::as_str);
        theirs.filter(|name| !matches!(app.security_schemes.get(*name), Some(None))).chain(ours).collect()
    };
    for (name, scheme) in &app.security_schemes {
        if scheme.as_ref().is_some_and(|scheme| scheme.kind.is_none()) && !spec.security_schemes.contains_key(name) {
            let at = at.key("securitySchemes").key(name).key("type");
            report.problem(&at, "is required: the manifest has no such scheme to change");
        }
    }
    for (name, binding) in app.http.iter().filter_map(|(name, binding)| Some((name, binding.as_ref()?))) {
        let at = at.key("http").key(name);
        let base = spec.http.get(name);
        for (key, given) in [
            ("path", binding.path.is_some()),
            ("method", binding.method.is_some()),
            ("security", binding.security.is_some()),
            ("target", binding.target.is_some()),
        ] {
            if !given && base.is_none() {
                report.problem(&at.key(key), "is required: the manifest has no such binding to change");
            }
        }
        let security = binding.security.as_deref().or(base.map(|base| base.security.as_str()));
        if let Some(security) = security.filter(|security| !schemes.contains(security)) {
            let hint = nearest(security, schemes.iter().copied()).map(did_you_mean);
            report.hinted(&at.key("security"), "names a security scheme that the app does not have", hint);
        }
        if let Some(target) = &binding.target {
            must_offer(report, &at.key("target"), target, Some(app), package);
        }
    }
}

fn owned_ui(report: &mut Report<'_>, at: &KeyPath, app: &App, manifest: &Manifest) {
    let owns = manifest.app().is_some_and(|spec| spec.ui.is_some());
    if app.ui.as_ref().is_some_and(|ui| ui.bundle.is_none()) && !owns {
        let hint = "name a bundle of `providers.ui` in `bundle`".to_owned();
        report.hinted(&at.key("ui"), "mounts the app's own pages, and its package has none", Some(hint));
    }
}

fn must_have_connection(report: &mut Report<'_>, at: &KeyPath, name: &str, app: &App, manifest: &Manifest) {
    let declared = manifest.app().into_iter().flat_map(|spec| spec.connections.keys());
    let all: BTreeSet<&str> = declared.chain(app.connections.keys()).map(String::as_str).collect();
    if !all.contains(name) {
        let hint = nearest(name, all.iter().copied()).map(did_you_mean);
        report.hinted(at, "is no connection of the app", hint);
    }
}

/// What a binding makes of the manifest's connections: all of one mode, and none that its surfaces cannot serve.
fn connections(report: &mut Report<'_>, at: &KeyPath, app: &App, manifest: &Manifest, deployment: &Deployment) {
    let Some(spec) = manifest.app() else { return };
    let mut modes: BTreeMap<&str, ConnectionMode> = BTreeMap::new();
    for (name, connection) in &spec.connections {
        modes.insert(name, connection.effective_mode());
    }
    for (name, binding) in &app.connections {
        let at = at.key("connections").key(name);
        let base = spec.connections.get(name);
        let connection = match binding {
            Binding::Reference { connection, internal, .. } => {
                let only_internal = base.is_some_and(|base| base.exposure == Exposure::Internal);
                if only_internal && !internal && report.tree.find(&at.key("exposure")).node.is_some() {
                    report.problem(&at.key("exposure"), "cannot be more than the package allows: it says `internal`");
                }
                deployment.connections.get(connection)
            }
            Binding::Inline(connection) => Some(connection.as_ref()),
        };
        let Some(connection) = connection else { continue };
        let kind = connection.auth.kind.map(|kind| kind == AuthKind::McpOAuth);
        if kind == Some(true) && spec.surfaces.mcp.is_none() {
            report.problem(&at, "is of type `mcp_oauth`, and the app has no MCP surface that describes its OAuth");
        }
        let mode = match (connection.given_mode, connection.auth.kind, base) {
            (None, None, Some(base)) => base.effective_mode(),
            _ => connection.mode(),
        };
        modes.insert(name, mode);
    }
    let of = |mode| modes.iter().find(|(_, m)| **m == mode).map(|(name, _)| *name);
    if let (Some(none), Some(subject)) = (of(ConnectionMode::None), of(ConnectionMode::Subject)) {
        let message = format!(
            "has connections of several modes: `{none}` uses nobody's credentials, `{subject}` those of the caller"
        );
        let at = match report.tree.find(&at.key("connections")).node {
            Some(_) => at.key("connections"),
            None => at.clone(),
        };
        report.hinted(&at, message, Some("give all connections of an app the same `mode`".to_owned()));
    }
}
