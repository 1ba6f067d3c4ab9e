//! `gestalt:provider/request-context`: the authority a guest acts on, as a handle only the host can make.

use crate::bindings::gestalt::provider::common::{
    AccessInfo, ContextInfo, CredentialInfo, InvocationInfo, ProviderRef, RequestMeta, Subject, SubjectPermission,
};
use crate::bindings::gestalt::provider::request_context::{Host, HostContext};
use crate::state::State;
use gestalt_core::{AppName, AppPermission, CallContext};
use std::sync::Arc;
use std::time::Instant;
use wasmtime::component::Resource;

/// What a `context` handle stands for.
///
/// **Invariant:** made only here and in `executor`, from what the host knows. No import takes any of it from the guest.
#[derive(Clone)]
#[expect(unreachable_pub, reason = "the generated bindings name it in public items of a private module")]
pub struct Context {
    /// The call; `None` when the host asks on its own account (catalog of a connection, sender of a webhook), where
    /// there is nobody whose authority could be used.
    pub(crate) call: Option<Arc<CallContext>>,
    /// When the call's answer is due. What is asked later is refused.
    pub(crate) deadline: Instant,
    /// Which call of its instance it was made for. One that a guest keeps beyond that is refused.
    pub(crate) turn: u64,
}

impl Host for State {}

impl HostContext for State {
    fn info(&mut self, context: Resource<Context>) -> wasmtime::Result<ContextInfo> {
        let context = self.table.get(&context)?;
        Ok(match &context.call {
            Some(call) => info(call),
            None => ContextInfo {
                public_base_url: self.app.public_base_url.to_string(),
                caller: Some(caller(&self.app.name)),
                ..nothing()
            },
        })
    }

    fn retain(&mut self, context: Resource<Context>) -> wasmtime::Result<Resource<Context>> {
        let context = self.table.get(&context)?.clone();
        Ok(self.table.push(context)?)
    }

    fn drop(&mut self, context: Resource<Context>) -> wasmtime::Result<()> {
        self.table.delete(context)?;
        Ok(())
    }
}

fn info(call: &CallContext) -> ContextInfo {
    let (principal, credential, request) = (&call.principal, &call.credential, &call.request);
    ContextInfo {
        subject: Some(Subject {
            id: principal.subject.to_string(),
            credential_subject_id: Some(credential.subject_id.clone()).filter(|id| !id.is_empty()),
            email: principal.email.clone(),
            display_name: principal.display_name.clone(),
            scopes: Vec::new(),
            permissions: principal.permissions.iter().flatten().map(permission).collect(),
        }),
        credential: Some(CredentialInfo {
            mode: credential.mode.clone(),
            subject_id: credential.subject_id.clone(),
            connection: credential.connection.clone(),
            instance: credential.instance.clone(),
        }),
        access: Some(AccessInfo { policy: call.policy.clone(), role: call.role.clone() }),
        public_base_url: call.public_base_url.to_string(),
        caller: Some(caller(&call.app)),
        invocation: Some(InvocationInfo {
            request_id: call.invocation_id.to_string(),
            depth: i32::try_from(call.depth()).unwrap_or(i32::MAX),
            call_chain: call.chain.iter().map(|link| format!("{}/{}", link.app, link.operation)).collect(),
            surface: call.origin.as_str().to_owned(),
            internal_connection_access: false,
            connection: credential.connection.clone(),
        }),
        request_meta: Some(RequestMeta {
            client_ip: request.client_ip.clone(),
            remote_addr: request.remote_addr.clone(),
            user_agent: request.user_agent.clone(),
        }),
        ..nothing()
    }
}

fn permission(permission: &AppPermission) -> SubjectPermission {
    SubjectPermission {
        app: permission.app.to_string(),
        operations: permission.operations.clone().unwrap_or_default(),
        all_operations: permission.operations.is_none(),
    }
}

/// The provider a context was made for, in the guest's eyes: itself.
fn caller(app: &AppName) -> ProviderRef {
    ProviderRef { kind: "app".to_owned(), name: app.to_string() }
}

fn nothing() -> ContextInfo {
    ContextInfo {
        subject: None,
        credential: None,
        access: None,
        workflow: None,
        public_base_url: String::new(),
        agent_subject: None,
        caller: None,
        invocation: None,
        tool_refs: None,
        request_meta: None,
        agent: None,
    }
}
