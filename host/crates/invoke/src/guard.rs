//! Stage 1: is there such an app, and may this chain of calls go on?

use crate::apps::{Apps, Slot};
use crate::{Invocation, InvokeError, Settings};
use gestalt_core::{AppName, CallLink};

/// An invocation whose target exists and whose chain of calls is within bounds.
pub(crate) struct Admitted<'a> {
    invocation: Invocation,
    app: AppName,
    slot: &'a Slot,
    chain: Vec<CallLink>,
}

impl<'a> Admitted<'a> {
    pub(crate) fn invocation(&self) -> &Invocation {
        &self.invocation
    }

    pub(crate) fn app(&self) -> &AppName {
        &self.app
    }

    pub(crate) fn into_parts(self) -> (Invocation, AppName, &'a Slot, Vec<CallLink>) {
        (self.invocation, self.app, self.slot, self.chain)
    }
}

/// Looks the target up and extends the chain of calls by it.
pub(crate) fn admit<'a>(
    apps: &'a Apps,
    settings: &Settings,
    mut invocation: Invocation,
) -> Result<Admitted<'a>, InvokeError> {
    let Some((app, slot)) = apps.find(&invocation.app) else {
        return Err(InvokeError::UnknownApp { app: invocation.app });
    };
    let mut chain = invocation.parent.as_mut().map(|p| std::mem::take(&mut p.chain)).unwrap_or_default();
    let link = CallLink {
        app: app.clone(),
        operation: invocation.operation.as_str().into(),
        instance: invocation.instance.clone().unwrap_or_default(),
    };
    if chain.contains(&link) {
        return Err(InvokeError::Recursion { app: invocation.app, operation: invocation.operation });
    }
    if chain.len() > settings.max_depth {
        return Err(InvokeError::TooDeep { max: settings.max_depth });
    }
    chain.push(link);
    Ok(Admitted { app: app.clone(), slot, chain, invocation })
}
