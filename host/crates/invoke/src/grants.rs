use gestalt_core::AppName;
use std::collections::{BTreeMap, BTreeSet};

/// Which operations of other apps each app may call: `apps.<caller>.invokes` (seed 004).
///
/// Going out through another app means going out under that app's egress rules and with its credentials, so nobody may
/// unless it is said. An app's own operations are its own to call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants(BTreeMap<AppName, BTreeMap<AppName, BTreeSet<String>>>);

impl Grants {
    /// Lets `caller` call `operation` of `app`.
    pub fn add(&mut self, caller: AppName, app: AppName, operation: String) {
        self.0.entry(caller).or_default().entry(app).or_default().insert(operation);
    }

    pub(crate) fn cover(&self, caller: &AppName, app: &AppName, operation: &str) -> bool {
        let granted = || self.0.get(caller)?.get(app)?.get(operation);
        caller == app || granted().is_some()
    }
}
