//! Stage 4, for one app: its package, made into an executor.

use super::apps::Stage;
use super::blind::{self, Blind};
use super::confine;
use super::hybrid::Hybrid;
use super::package::{self, Code};
use crate::sandboxes::Sandbox;
use anyhow::{Context, anyhow, bail};
use gestalt_config::manifest::app;
use gestalt_config::{App, Manifest, Package, Runtime, WasmRuntime};
use gestalt_core::egress::{self, Outbound};
use gestalt_core::limits::EgressLimits;
use gestalt_core::{Catalog, Executor, Parameter};
use gestalt_declarative::{RestExecutor, RestLimits, RestOperation, RestSurface};
use gestalt_invoke::{AppInfo, AppState, Apps};
use gestalt_runtime_process::source::Prepared;
use gestalt_runtime_process::{Confine, ProcessSpec, Timeouts, source};
use gestalt_runtime_wasm::AppSpec;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Prepares, builds if need be, and starts one app.
pub(super) async fn app(stage: &Stage, apps: &Apps, app: &App) -> anyhow::Result<Arc<dyn Executor>> {
    let Some(file) = app.source.manifest().map(Path::to_owned) else {
        bail!("{}: a package that is to be fetched is not available yet", app.source.at);
    };
    if !app.unenforced.is_empty() {
        bail!("not started without what its entry asks for\n{}", app.unenforced);
    }
    let package = tokio::task::spawn_blocking(move || Package::load(&file)).await?;
    let package = package.map_err(|problems| anyhow!("package refused\n{problems}"))?;
    let disagreements = stage.deployment.check_package(app, &package);
    if !disagreements.is_empty() {
        bail!("entry and package do not agree\n{disagreements}");
    }
    let Package { manifest, catalog } = package;
    for warning in manifest.warnings.iter() {
        tracing::warn!(app = %app.name, "{warning}");
    }
    let spec = startable(&manifest)?;
    stage.deployment.check_config(app, &manifest).map_err(|problems| anyhow!("config refused\n{problems}"))?;
    let mut info = describe(app, &manifest)?;
    apps.describe(&app.name, info.clone());
    if !spec.requires.is_empty() {
        wait_for_required(stage, apps, app).await?;
    }

    let code = match package::choose(stage, app, &manifest).await? {
        Code::None => None,
        Code::Component { runtime, file } => Some(component(stage, app, &runtime, file).await?),
        Code::Native(prepared) => Some(native(stage, app, catalog, prepared).await?),
    };
    let declared = spec.surfaces.rest.as_ref().map(|rest| declared(stage, app, &manifest, rest)).transpose()?;
    let executor: Arc<dyn Executor> = match (declared, code) {
        (Some(declared), Some(code)) => Arc::new(Hybrid::build(declared, code).await?),
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) if spec.surfaces.is_empty() => {
            bail!("the package has neither code nor surfaces: there is nothing to run")
        }
        (None, None) => bail!("all operations come from surfaces that are not available yet"),
    };
    complete(&mut info, executor.catalog(None).await?.as_ref());
    apps.describe(&app.name, info);
    Ok(Blind::around(executor, &stage.egress, app))
}

/// Waits until every app is up that this one's package requires.
async fn wait_for_required(stage: &Stage, apps: &Apps, app: &App) -> anyhow::Result<()> {
    let deployment = stage.deployment.clone();
    let (packages, _) = tokio::task::spawn_blocking(move || deployment.read_packages()).await?;
    if gestalt_config::start_order(&packages).1.contains(&app.name) {
        bail!("its package requires packages that require it: none of them could start first");
    }
    for required in gestalt_config::required(&app.name, &packages) {
        if !matches!(apps.wait_for(required).await, Some(AppState::Up(_))) {
            bail!("app `{required}`, which its package requires, did not come up");
        }
    }
    Ok(())
}

/// The app a package is, unless it asks for a restriction that nothing would enforce.
fn startable(manifest: &Manifest) -> anyhow::Result<&app::AppSpec> {
    let Some(spec) = manifest.app() else {
        bail!("{} is a package of kind `{}`, and no app", manifest.file.display(), manifest.kind());
    };
    if !manifest.unenforced.is_empty() {
        bail!("not started without what it asks for\n{}", manifest.unenforced);
    }
    Ok(spec)
}

async fn component(stage: &Stage, app: &App, name: &str, file: PathBuf) -> anyhow::Result<Arc<dyn Executor>> {
    let Some(Runtime::Wasm(config)) = stage.deployment.runtimes.get(name) else {
        bail!("there is no wasm runtime {name:?}");
    };
    let template = app.placement.as_ref().and_then(|placement| placement.template.as_deref());
    let limits = config.limits_for(template).clone();
    let (runtimes, name, config): (_, _, WasmRuntime) = (stage.runtimes.clone(), name.to_owned(), (**config).clone());
    let runtime = tokio::task::spawn_blocking(move || runtimes.wasm(&name, &config)).await??;
    let spec = AppSpec {
        app: app.name.clone(),
        component: file,
        config: app.config.0.clone(),
        env: blind::env(&stage.egress, app, package::environment(app)),
        outbound: outbound(stage, app, limits.egress.clone()),
        limits,
        services: stage.services.clone(),
        public_base_url: stage.base_url.clone(),
    };
    Ok(runtime.launch(spec).await?)
}

async fn native(
    stage: &Stage,
    app: &App,
    catalog: Option<Catalog>,
    prepared: Prepared,
) -> anyhow::Result<Arc<dyn Executor>> {
    if !app.egress.credentials.is_empty() {
        // What a process sends is encrypted before the daemon gets it: there is nobody to put a credential into it.
        bail!("{}: apps.{}.egress.credentials: only for components and declared surfaces", app.egress.at, app.name);
    }
    let env = package::environment(app);
    let Prepared { command, root } = prepared;
    let confine = confine::check(stage, app, &root).await?;
    note(stage, app, confine.as_ref());
    let catalog = match catalog {
        Some(catalog) => catalog,
        None => {
            let cache = stage.cache(app)?;
            let file = cache.join("catalog.yaml");
            let text = source::export_catalog(&command, &app.name, &env, &cache, confine.as_ref()).await;
            let read = gestalt_config::read_catalog(&text.context("asking the app for its catalog")?, &file);
            read.map_err(|problems| anyhow!("catalog refused\n{problems}"))?
        }
    };
    let spec = ProcessSpec {
        app: app.name.clone(),
        command,
        env,
        config: app.config.0.clone(),
        catalog: Arc::new(catalog),
        public_base_url: stage.base_url.clone(),
        timeouts: Timeouts::default(),
        confine,
    };
    Ok(gestalt_runtime_process::launch(spec, stage.services.clone()).await?)
}

/// Tells operators how the app is confined, unless it is not to run that way.
fn note(stage: &Stage, app: &App, confine: Option<&Confine>) {
    let sandbox = match confine {
        Some(confine) => Sandbox::of(confine.confiner.means()),
        None => Sandbox::without(app.egress.sandbox == egress::Sandbox::Off),
    };
    if sandbox.missing.is_empty() || !confine.is_some_and(|confine| confine.required) {
        stage.sandboxes.note(&app.name, sandbox);
    }
}

/// A way out under the app's own policy.
fn outbound(stage: &Stage, app: &App, limits: EgressLimits) -> Arc<dyn Outbound> {
    stage.egress.client(app.name.clone(), app.egress.clone(), limits)
}

fn declared(
    stage: &Stage,
    app: &App,
    manifest: &Manifest,
    rest: &app::RestSurface,
) -> anyhow::Result<Arc<dyn Executor>> {
    let surface = RestSurface {
        base_url: rest.base_url.parse().with_context(|| format!("surfaces.rest.baseUrl {:?}", rest.base_url))?,
        headers: manifest.app().map(|spec| spec.headers.clone()).unwrap_or_default().into_iter().collect(),
        operations: rest.operations.iter().map(operation).collect(),
    };
    let outbound = outbound(stage, app, EgressLimits::default());
    let executor = RestExecutor::build(app.name.clone(), &surface, outbound, RestLimits::default());
    Ok(Arc::new(executor.with_context(|| format!("surfaces.rest of {}", manifest.file.display()))?))
}

fn operation(declared: &app::RestOperation) -> RestOperation {
    let parameter = |p: &app::RestParameter| Parameter {
        name: p.name.clone(),
        wire_name: (p.wire_name != p.name).then(|| p.wire_name.clone()),
        kind: p.kind.clone(),
        location: p.location,
        description: p.description.clone(),
        required: p.required,
        internal: p.internal,
        default: p.default.clone(),
    };
    RestOperation {
        name: declared.name.clone(),
        method: declared.method.clone(),
        path: declared.path.clone(),
        description: declared.description.clone(),
        parameters: declared.parameters.iter().map(parameter).collect(),
        allowed_roles: declared.allowed_roles.clone(),
        tags: declared.tags.clone(),
    }
}

/// What lists show, as far as config and manifest say.
fn describe(app: &App, manifest: &Manifest) -> anyhow::Result<AppInfo> {
    let icon_svg = match (&app.icon_file, &manifest.icon_file) {
        (Some(file), _) => std::fs::read_to_string(file).with_context(|| format!("iconFile {}", file.display()))?,
        (None, Some(file)) => manifest.read(file).with_context(|| format!("iconFile {}", file.display()))?,
        (None, None) => String::new(),
    };
    let first = |ours: &Option<String>, theirs: &Option<String>| ours.clone().or_else(|| theirs.clone());
    Ok(AppInfo {
        display_name: first(&app.display_name, &manifest.display_name).unwrap_or_default(),
        description: first(&app.description, &manifest.description).unwrap_or_default(),
        icon_svg,
        response_headers: manifest.app().map(|spec| spec.response_headers.clone()).unwrap_or_default().into(),
    })
}

/// Fills in what only the app's own catalog says.
fn complete(info: &mut AppInfo, catalog: &Catalog) {
    for (ours, theirs) in [
        (&mut info.display_name, &catalog.display_name),
        (&mut info.description, &catalog.description),
        (&mut info.icon_svg, &catalog.icon_svg),
    ] {
        if ours.is_empty() {
            ours.clone_from(theirs);
        }
    }
}
