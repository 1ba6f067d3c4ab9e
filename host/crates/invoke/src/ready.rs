//! Stages 3 and 4: which operation, which connection, which credential?

use crate::authorize::Authorized;
use crate::{Denial, Invocation, InvokeError};
use gestalt_core::{AppName, CallLink, Credential, CredentialChoice, Executor, Transport};
use std::sync::Arc;

/// An allowed invocation of an operation that exists, with the credential it will use.
pub(crate) struct Ready {
    invocation: Invocation,
    app: AppName,
    operation: Arc<str>,
    transport: Transport,
    chain: Vec<CallLink>,
    executor: Arc<dyn Executor>,
    choice: CredentialChoice,
    credential: Option<Credential>,
}

/// What dispatch takes out of a [`Ready`].
pub(crate) struct Parts {
    pub(crate) invocation: Invocation,
    pub(crate) app: AppName,
    pub(crate) operation: Arc<str>,
    pub(crate) chain: Vec<CallLink>,
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) choice: CredentialChoice,
    pub(crate) credential: Option<Credential>,
}

impl Ready {
    pub(crate) fn operation(&self) -> &Arc<str> {
        &self.operation
    }

    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    pub(crate) fn credential(&self) -> &CredentialChoice {
        &self.choice
    }

    pub(crate) fn into_parts(self) -> Parts {
        let Self { invocation, app, operation, chain, executor, choice, credential, .. } = self;
        Parts { invocation, app, operation, chain, executor, choice, credential }
    }
}

/// Waits for the app to be up, finds the operation in its catalog, and settles the credential.
///
/// Apps of this version declare no connection, so the only valid selector is none at all. An app that names one of
/// another is denied: nobody has granted it one, and it does not learn which there are.
pub(crate) async fn resolve(authorized: Authorized<'_>) -> Result<Ready, InvokeError> {
    let (invocation, app, slot, chain) = authorized.into_admitted().into_parts();
    if let Some(connection) = invocation.connection.as_ref().or(invocation.instance.as_ref()) {
        if invocation.parent.is_some() {
            return Err(InvokeError::Denied(Denial::ConnectionNotGranted));
        }
        return Err(InvokeError::UnknownConnection { app: invocation.app, connection: connection.clone() });
    }
    let failed = |source| InvokeError::Exec { app: app.to_string(), source };
    let executor = slot.executor(invocation.deadline).await.map_err(failed)?;
    let catalog = executor.catalog(None).await.map_err(failed)?;
    let (operation, transport): (Arc<str>, _) = match catalog.find(&invocation.operation) {
        Some(operation) if operation.is_visible() => (operation.id.as_str().into(), operation.transport),
        _ => return Err(InvokeError::UnknownOperation { app: invocation.app, operation: invocation.operation }),
    };
    let choice = CredentialChoice { mode: "none".into(), ..CredentialChoice::default() };
    Ok(Ready { invocation, app, operation, transport, chain, executor, choice, credential: None })
}
