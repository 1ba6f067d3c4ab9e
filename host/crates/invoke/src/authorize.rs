//! Stage 2: may this caller run this operation?

use crate::guard::Admitted;
use crate::{Denial, Grants, InvokeError};

/// An invocation the caller is allowed to make.
pub(crate) struct Authorized<'a> {
    admitted: Admitted<'a>,
}

impl<'a> Authorized<'a> {
    pub(crate) fn into_admitted(self) -> Admitted<'a> {
        self.admitted
    }
}

/// Checks the token ceiling, and for a call that an app makes, its grants. Apps without a policy are open to every
/// authenticated subject.
pub(crate) fn authorize<'a>(admitted: Admitted<'a>, grants: &Grants) -> Result<Authorized<'a>, InvokeError> {
    let invocation = admitted.invocation();
    if !invocation.principal.may_invoke(admitted.app(), &invocation.operation) {
        return Err(InvokeError::Denied(Denial::TokenScope));
    }
    if let Some(parent) = &invocation.parent
        && !grants.cover(&parent.app, admitted.app(), &invocation.operation)
    {
        let (caller, app, operation) = (&parent.app, admitted.app(), &invocation.operation);
        let remedy = format!("apps.{caller}.invokes: [{{app: {app}, operation: {operation:?}}}]");
        tracing::warn!(app = %caller, remedy, "an app may not call this operation of another");
        return Err(InvokeError::Denied(Denial::NotGranted));
    }
    Ok(Authorized { admitted })
}
