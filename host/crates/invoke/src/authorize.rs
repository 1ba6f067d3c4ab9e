//! Stage 2: may this caller run this operation?

use crate::guard::Admitted;
use crate::{Denial, InvokeError};

/// An invocation the caller is allowed to make.
pub(crate) struct Authorized<'a> {
    admitted: Admitted<'a>,
}

impl<'a> Authorized<'a> {
    pub(crate) fn into_admitted(self) -> Admitted<'a> {
        self.admitted
    }
}

/// Checks the token ceiling. Apps without a policy are open to every authenticated subject.
pub(crate) fn authorize(admitted: Admitted<'_>) -> Result<Authorized<'_>, InvokeError> {
    let invocation = admitted.invocation();
    if !invocation.principal.may_invoke(admitted.app(), &invocation.operation) {
        return Err(InvokeError::Denied(Denial::TokenScope));
    }
    Ok(Authorized { admitted })
}
