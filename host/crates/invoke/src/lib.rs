//! The request path: every way to call an operation ends in [`Invoker::invoke`].
//!
//! ```text
//! Invocation ── audit scope opens (one record and one metric event, also when the future is dropped)
//!   guard       the app exists, nesting depth, recursion      → Admitted
//!   authorize   token ceiling, policy, role; calling app's grants → Authorized
//!   ready       operation, connection, credential             → Ready
//!   dispatch    context, deadline, span                       → Reply
//! ```
//!
//! [`Apps`] says which apps there are and whether each is starting, up or failed. [`InvokeError`] is everything that can
//! go wrong, and [`Problem`] the one table of what callers are told about it, over HTTP and over RPC.
//! [`NestedInvoker`] is the same path for an app that calls another.
//!
//! **Invariant:** each stage takes the permit of the stage before and only its own module can make one, so no stage can be skipped.
//! **Invariant:** nothing here knows a transport or a way to run code: no axum, rmcp, wasmtime, tonic or reqwest.

mod apps;
mod authorize;
mod dispatch;
mod error;
mod grants;
mod guard;
mod invocation;
mod nested;
mod problem;
mod ready;
mod scope;

pub use apps::{AppInfo, AppState, Apps, AppsBuilder};
pub use error::{Denial, InvokeError};
pub use grants::Grants;
pub use invocation::{Invocation, Parent};
pub use nested::NestedInvoker;
pub use problem::Problem;

use gestalt_core::metrics::Meter;
use gestalt_core::{Catalog, Principal, Reply, audit};
use std::sync::{Arc, PoisonError, RwLock};

/// What the request path needs to know about the deployment.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How deep apps may call each other; an outermost call has depth 0.
    pub max_depth: usize,
    /// `server.baseUrl`, or empty.
    pub public_base_url: Arc<str>,
}

impl Default for Settings {
    fn default() -> Self {
        // Five nested calls are more than any workflow of apps needs; a cycle of two apps is stopped after milliseconds.
        Self { max_depth: 5, public_base_url: "".into() }
    }
}

/// The request path of one deployment. Cheap to clone.
#[derive(Clone)]
pub struct Invoker {
    inner: Arc<Inner>,
}

struct Inner {
    apps: Arc<Apps>,
    observers: scope::Observers,
    settings: Settings,
    grants: RwLock<Arc<Grants>>,
}

impl Invoker {
    /// A request path over `apps` that tells `audit` and `meter` of every invocation. Without [grants](Self::grant), no app
    /// may call another.
    pub fn new(apps: Arc<Apps>, audit: Arc<dyn audit::Sink>, meter: Arc<dyn Meter>, settings: Settings) -> Self {
        Self {
            inner: Arc::new(Inner {
                apps,
                observers: scope::Observers { audit, meter },
                settings,
                grants: RwLock::default(),
            }),
        }
    }

    /// Says which apps may call which, from the next call on.
    pub fn grant(&self, grants: Grants) {
        *self.inner.grants.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(grants);
    }

    /// The apps it serves.
    pub fn apps(&self) -> &Apps {
        &self.inner.apps
    }

    /// Runs one operation.
    ///
    /// Writes exactly one audit record, also when the returned future is dropped half-way.
    ///
    /// # Errors
    /// See [`InvokeError`]. An answer of the app with status 400 or above is `Ok`.
    pub async fn invoke(&self, invocation: Invocation) -> Result<Reply, InvokeError> {
        let mut scope = scope::Scope::open(self.inner.observers.clone(), &invocation);
        let result = self.run(invocation, &mut scope).await;
        scope.close(&result);
        result
    }

    async fn run(&self, invocation: Invocation, scope: &mut scope::Scope) -> Result<Reply, InvokeError> {
        let admitted = guard::admit(&self.inner.apps, &self.inner.settings, invocation)?;
        scope.app(admitted.app());
        let grants = self.inner.grants.read().unwrap_or_else(PoisonError::into_inner).clone();
        let authorized = authorize::authorize(admitted, &grants)?;
        let ready = ready::resolve(authorized).await?;
        scope.operation(ready.operation(), ready.transport());
        scope.credential(ready.credential());
        dispatch::dispatch(ready, scope.request_id(), &self.inner.settings).await
    }

    /// The operations of `app` that `principal` may see and call.
    ///
    /// # Errors
    /// [`InvokeError::UnknownApp`], [`InvokeError::Denied`], or whatever keeps the app from telling.
    pub async fn operations(&self, principal: &Principal, app: &str) -> Result<Arc<Catalog>, InvokeError> {
        let (name, slot) = self.inner.apps.find(app).ok_or_else(|| InvokeError::UnknownApp { app: app.to_owned() })?;
        let deadline = std::time::Instant::now() + READ_TIMEOUT;
        let failed = |source| InvokeError::Exec { app: app.to_owned(), source };
        let executor = slot.executor(deadline).await.map_err(failed)?;
        let catalog = executor.catalog(None).await.map_err(failed)?;
        if principal.permissions.is_none() && catalog.operations().iter().all(|op| op.is_visible()) {
            return Ok(catalog);
        }
        let shown = |op: &&Arc<gestalt_core::Operation>| op.is_visible() && principal.may_invoke(name, &op.id);
        let operations = catalog.operations().iter().filter(shown).map(|op| op.as_ref().clone()).collect();
        Ok(Arc::new(Catalog::new(operations)))
    }
}

/// How long a list waits for an app that is still starting: a list is for people and must come back while they look.
const READ_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
