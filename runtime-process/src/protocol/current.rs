//! Messages to an app of protocol 4 or 5.

use super::{About, json};
use gestalt_core::{AppPermission, Call, CallContext, Credential, HttpSubjectRequest, Principal};
use gestalt_proto::v1::{
    AccessContext, CredentialContext, ExecuteRequest, HostContext, HttpSubjectRequest as WireHttpSubject,
    InvocationContext, ProviderContext, RequestContext, RequestMetaContext, StringList, SubjectContext,
    SubjectPermissionContext,
};
use std::collections::HashMap;

pub(super) fn execute(call: &Call, version: i32) -> ExecuteRequest {
    let (token, connection_params) = credential(call.credential.as_ref());
    ExecuteRequest {
        operation: call.operation.as_ref().to_owned(),
        params: (!call.params.is_empty()).then(|| json::to_struct(call.params.to_map())),
        token,
        connection_params,
        invocation_id: call.context.invocation_id.as_ref().to_owned(),
        context: Some(context(&call.context, version)),
        idempotency_key: call.idempotency_key.clone(),
    }
}

/// The token and parameters of a credential, empty without one.
pub(super) fn credential(credential: Option<&Credential>) -> (String, HashMap<String, String>) {
    credential
        .map(|c| (c.token.expose().clone(), c.params.iter().map(|(k, v)| (k.clone(), v.clone())).collect()))
        .unwrap_or_default()
}

fn context(call: &CallContext, version: i32) -> RequestContext {
    let depth = i32::try_from(call.depth()).unwrap_or(i32::MAX);
    RequestContext {
        subject: Some(subject(&call.principal, &call.credential.subject_id, version)),
        credential: Some(CredentialContext {
            mode: call.credential.mode.clone(),
            subject_id: call.credential.subject_id.clone(),
            connection: call.credential.connection.clone(),
            instance: call.credential.instance.clone(),
        }),
        access: Some(AccessContext { policy: call.policy.clone(), role: call.role.clone() }),
        workflow: None,
        host: Some(HostContext { public_base_url: call.public_base_url.as_ref().to_owned() }),
        agent_subject: None,
        caller: Some(caller(call.app.as_str())),
        invocation: Some(InvocationContext {
            request_id: call.invocation_id.as_ref().to_owned(),
            depth,
            call_chain: call.chain.iter().map(|link| format!("{}/{}", link.app, link.operation)).collect(),
            surface: call.origin.as_str().to_owned(),
            internal_connection_access: false,
            connection: call.credential.connection.clone(),
        }),
        tool_refs: vec![],
        tool_refs_set: false,
        request_meta: Some(RequestMetaContext {
            client_ip: call.request.client_ip.clone(),
            remote_addr: call.request.remote_addr.clone(),
            user_agent: call.request.user_agent.clone(),
        }),
    }
}

/// The context of a call that no invocation stands behind: it names the app and its host, and gives no authority.
pub(super) fn outside(about: &About<'_>, credential: Option<&Credential>) -> RequestContext {
    RequestContext {
        credential: credential.map(|c| CredentialContext {
            mode: "subject".into(),
            subject_id: String::new(),
            connection: c.connection.clone(),
            instance: c.instance.clone(),
        }),
        host: Some(HostContext { public_base_url: about.public_base_url.to_owned() }),
        caller: Some(caller(about.app.as_str())),
        ..RequestContext::default()
    }
}

fn caller(app: &str) -> ProviderContext {
    ProviderContext { kind: "app".into(), name: app.to_owned() }
}

/// `credential_subject_id` went with protocol 4: a later decoder would skip it, so it is only sent to those who know it.
fn subject(principal: &Principal, credential_subject: &str, version: i32) -> SubjectContext {
    SubjectContext {
        id: principal.subject.as_str().to_owned(),
        credential_subject_id: if version == 4 { credential_subject.to_owned() } else { String::new() },
        email: principal.email.clone(),
        display_name: principal.display_name.clone(),
        scopes: vec![],
        permissions: principal.permissions.iter().flatten().map(permission).collect(),
    }
}

fn permission(permission: &AppPermission) -> SubjectPermissionContext {
    SubjectPermissionContext {
        app: permission.app.as_str().to_owned(),
        operations: permission.operations.clone().unwrap_or_default(),
        all_operations: permission.operations.is_none(),
    }
}

pub(super) fn http_subject(request: &HttpSubjectRequest) -> WireHttpSubject {
    WireHttpSubject {
        binding: request.binding.clone(),
        method: request.method.clone(),
        path: request.path.clone(),
        content_type: request.content_type.clone(),
        headers: multimap(&request.headers),
        query: multimap(&request.query),
        params: None,
        raw_body: request.raw_body.clone(),
        security_scheme: request.security_scheme.clone(),
        verified_subject: request.verified_subject.clone(),
        verified_claims: request.verified_claims.clone().into_iter().collect(),
    }
}

/// Pairs as the wire has them: one entry per name, the values in order.
pub(super) fn multimap(pairs: &[(String, String)]) -> HashMap<String, StringList> {
    let mut map: HashMap<String, StringList> = HashMap::new();
    for (name, value) in pairs {
        map.entry(name.clone()).or_default().values.push(value.clone());
    }
    map
}
