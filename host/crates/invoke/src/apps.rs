use gestalt_core::{AppName, ExecError, Executor, ResponseHeaders};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::watch;

/// Every configured app and where it is in its life.
///
/// The set is fixed at start-up: an app that failed to start keeps its place and says so.
pub struct Apps {
    slots: BTreeMap<AppName, Slot>,
    info: Mutex<BTreeMap<AppName, AppInfo>>,
}

/// What lists show of an app before its code was ever asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppInfo {
    /// Human name; empty when neither config nor manifest has one.
    pub display_name: String,
    /// One or two sentences; may be empty.
    pub description: String,
    /// SVG document, or empty.
    pub icon_svg: String,
    /// Headers of its answers that callers get.
    pub response_headers: Arc<ResponseHeaders>,
}

/// Where an app is in its life.
#[derive(Clone)]
pub enum AppState {
    /// Its code is being prepared or started. Calls wait.
    Starting,
    /// It answers calls.
    Up(Arc<dyn Executor>),
    /// It could not be started; the reason is for the operator.
    Failed(Arc<str>),
}

/// One app's state, changed by bootstrap and awaited by callers.
pub(crate) struct Slot {
    state: watch::Sender<AppState>,
}

/// Names the apps of a deployment before any of them is started.
#[derive(Default)]
pub struct AppsBuilder {
    apps: BTreeMap<AppName, AppInfo>,
}

impl AppsBuilder {
    /// Adds an app, in state [`AppState::Starting`].
    pub fn app(mut self, name: AppName, info: AppInfo) -> Self {
        self.apps.insert(name, info);
        self
    }

    /// The finished set.
    pub fn build(self) -> Apps {
        let slot = || Slot { state: watch::Sender::new(AppState::Starting) };
        Apps { slots: self.apps.keys().map(|name| (name.clone(), slot())).collect(), info: Mutex::new(self.apps) }
    }
}

impl Apps {
    /// Starts the list of a deployment's apps.
    pub fn builder() -> AppsBuilder {
        AppsBuilder::default()
    }

    /// Ends an app's start, as [`AppState::Up`] or [`AppState::Failed`], and wakes the calls that wait for it. Hands the
    /// state back where nothing is starting under that name: unknown, or [stopped](Self::stop) in the meantime.
    ///
    /// # Errors
    /// The state that was not taken.
    pub fn settle(&self, name: &AppName, state: AppState) -> Result<(), AppState> {
        let mut state = Some(state);
        if let Some(slot) = self.slots.get(name) {
            slot.state.send_if_modified(|current| match (&*current, state.take()) {
                (AppState::Starting, Some(next)) => {
                    *current = next;
                    true
                }
                (_, kept) => {
                    state = kept;
                    false
                }
            });
        }
        state.map_or(Ok(()), Err)
    }

    /// Takes an app out for good, and hands back what there is to shut down. Calls that come later are told `reason`.
    pub fn stop(&self, name: &AppName, reason: &str) -> Option<Arc<dyn Executor>> {
        match self.slots.get(name)?.state.send_replace(AppState::Failed(reason.into())) {
            AppState::Up(executor) => Some(executor),
            AppState::Starting | AppState::Failed(_) => None,
        }
    }

    /// Replaces what lists show of an app, once its manifest or code has told more.
    pub fn describe(&self, name: &AppName, info: AppInfo) {
        if let Some(entry) = self.info.lock().unwrap_or_else(PoisonError::into_inner).get_mut(name) {
            *entry = info;
        }
    }

    /// Headers of its answers that callers of `name` get; the usual ones while it has not told, and for an unknown name.
    pub fn response_headers(&self, name: &str) -> Arc<ResponseHeaders> {
        let info = self.info.lock().unwrap_or_else(PoisonError::into_inner);
        info.get(name).map(|info| info.response_headers.clone()).unwrap_or_default()
    }

    /// Name, display data and state of every app, sorted by name.
    pub fn list(&self) -> Vec<(AppName, AppInfo, AppState)> {
        let info = self.info.lock().unwrap_or_else(PoisonError::into_inner);
        let row = |(name, slot): (&AppName, &Slot)| {
            (name.clone(), info.get(name).cloned().unwrap_or_default(), slot.state.borrow().clone())
        };
        self.slots.iter().map(row).collect()
    }

    /// Whether no app is still starting.
    pub fn settled(&self) -> bool {
        !self.slots.values().any(|slot| matches!(*slot.state.borrow(), AppState::Starting))
    }

    /// Waits until no app is still starting.
    pub async fn wait_settled(&self) {
        for slot in self.slots.values() {
            // The sender lives in the slot itself, so the wait can only end by a state change.
            let _ = slot.state.subscribe().wait_for(|state| !matches!(state, AppState::Starting)).await;
        }
    }

    /// Waits until `name` is not starting any more, and says what became of it; `None` when there is no such app.
    pub async fn wait_for(&self, name: &AppName) -> Option<AppState> {
        let slot = self.slots.get(name)?;
        let mut states = slot.state.subscribe();
        let settled = states.wait_for(|state| !matches!(state, AppState::Starting)).await;
        settled.ok().map(|state| state.clone())
    }

    /// Takes every app out, for shutdown. Calls that come later find the app not up.
    pub fn drain(&self) -> Vec<(AppName, Arc<dyn Executor>)> {
        let stop = |name: &AppName| Some((name.clone(), self.stop(name, "the daemon is shutting down")?));
        self.slots.keys().filter_map(stop).collect()
    }

    pub(crate) fn find(&self, name: &str) -> Option<(&AppName, &Slot)> {
        self.slots.get_key_value(name)
    }
}

impl Slot {
    /// The app's executor; waits while the app is starting, until `deadline`.
    pub(crate) async fn executor(&self, deadline: Instant) -> Result<Arc<dyn Executor>, ExecError> {
        let decided = |state: &AppState| match state {
            AppState::Starting => None,
            AppState::Up(executor) => Some(Ok(executor.clone())),
            AppState::Failed(reason) => Some(Err(ExecError::NotUp(reason.to_string()))),
        };
        if let Some(result) = decided(&self.state.borrow()) {
            return result;
        }
        let mut states = self.state.subscribe();
        let settled = states.wait_for(|state| !matches!(state, AppState::Starting));
        match tokio::time::timeout_at(deadline.into(), settled).await {
            Ok(Ok(state)) => decided(&state).unwrap_or_else(|| Err(still_starting())),
            Ok(Err(_)) | Err(_) => Err(still_starting()),
        }
    }
}

fn still_starting() -> ExecError {
    ExecError::NotUp("still starting".into())
}
