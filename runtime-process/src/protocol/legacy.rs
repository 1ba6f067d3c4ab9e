//! Messages to an app of protocol 3.
//!
//! Such an app calls back with a token that the host signs into the request. This host issues none, so it cannot.

use super::{current, json};
use gestalt_core::{AppName, Call, CallContext, Credential, HttpSubjectRequest};
use gestalt_proto::v3::{
    AccessContext, CredentialContext, ExecuteRequest, HttpSubjectRequest as WireHttpSubject, PostConnectCredential,
    RequestContext, SubjectContext,
};

pub(super) fn execute(call: &Call) -> ExecuteRequest {
    let (token, connection_params) = current::credential(call.credential.as_ref());
    ExecuteRequest {
        operation: call.operation.as_ref().to_owned(),
        params: (!call.params.is_empty()).then(|| json::to_struct(call.params.to_map())),
        token,
        connection_params,
        invocation_id: call.context.invocation_id.as_ref().to_owned(),
        context: Some(context(&call.context)),
        invocation_token: String::new(),
        idempotency_key: call.idempotency_key.clone(),
    }
}

fn context(call: &CallContext) -> RequestContext {
    RequestContext {
        subject: Some(SubjectContext {
            id: call.principal.subject.as_str().to_owned(),
            kind: call.principal.subject.kind().to_owned(),
            display_name: call.principal.display_name.clone(),
            auth_source: call.principal.auth_source.to_owned(),
        }),
        credential: Some(CredentialContext {
            mode: call.credential.mode.clone(),
            subject_id: call.credential.subject_id.clone(),
            connection: call.credential.connection.clone(),
            instance: call.credential.instance.clone(),
        }),
        access: Some(AccessContext { policy: call.policy.clone(), role: call.role.clone() }),
        workflow: None,
    }
}

pub(super) fn outside(credential: Option<&Credential>) -> RequestContext {
    RequestContext {
        credential: credential.map(|c| CredentialContext {
            mode: "subject".into(),
            subject_id: String::new(),
            connection: c.connection.clone(),
            instance: c.instance.clone(),
        }),
        ..RequestContext::default()
    }
}

pub(super) fn http_subject(request: &HttpSubjectRequest) -> WireHttpSubject {
    WireHttpSubject {
        binding: request.binding.clone(),
        method: request.method.clone(),
        path: request.path.clone(),
        content_type: request.content_type.clone(),
        headers: current::multimap(&request.headers),
        query: current::multimap(&request.query),
        params: None,
        raw_body: request.raw_body.clone(),
        security_scheme: request.security_scheme.clone(),
        verified_subject: request.verified_subject.clone(),
        verified_claims: request.verified_claims.clone().into_iter().collect(),
    }
}

pub(super) fn connected(credential: &Credential, app: &AppName) -> PostConnectCredential {
    PostConnectCredential {
        integration: app.as_str().to_owned(),
        connection: credential.connection.clone(),
        instance: credential.instance.clone(),
        access_token: credential.token.expose().clone(),
        ..PostConnectCredential::default()
    }
}
