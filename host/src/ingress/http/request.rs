//! What every handler reads from a request: who calls, from where, and with which selectors.

use super::answer;
use super::client::Client;
use super::door::{Door, Request};
use axum::extract::FromRequestParts;
use axum::http::{HeaderMap, StatusCode, header, request::Parts};
use axum::response::Response;
use gestalt_core::{Principal, RequestMeta};
use serde_json::Value;
use std::sync::Arc;

/// The caller and the network side of its request.
pub(super) struct Caller {
    pub(super) principal: Arc<Principal>,
    pub(super) meta: Arc<RequestMeta>,
    pub(super) idempotency_key: String,
    /// Counts for the client as long as what it asked for is under way, whether or not it still waits.
    pub(super) counted: Request,
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Response;

    /// Without configured authentication everybody is the anonymous user, and presented credentials are ignored.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let (client, door) = (parts.extensions.get::<Client>(), parts.extensions.get::<Arc<Door>>());
        let (Some(client), Some(door)) = (client, door) else {
            return Err(answer::error(StatusCode::INTERNAL_SERVER_ERROR, "internal error"));
        };
        let Some(counted) = door.request(*client) else {
            return Err(answer::later(StatusCode::TOO_MANY_REQUESTS, "too many requests of one address under way"));
        };
        let meta = RequestMeta {
            client_ip: client.believed.to_string(),
            remote_addr: client.peer.to_string(),
            user_agent: text(&parts.headers, header::USER_AGENT.as_str(), 256),
        };
        Ok(Self {
            principal: Arc::new(Principal::anonymous()),
            meta: Arc::new(meta),
            idempotency_key: text(&parts.headers, "idempotency-key", 256).trim().to_owned(),
            counted,
        })
    }
}

/// A header's text, at most `max` bytes of it: it ends up in logs and in every nested call.
fn text(headers: &HeaderMap, name: &str, max: usize) -> String {
    let value = headers.get(name).map(|v| String::from_utf8_lossy(v.as_bytes())).unwrap_or_default();
    value[..value.floor_char_boundary(max)].to_owned()
}

/// `_connection` and `_instance`: which of the caller's credentials a call uses.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Selectors {
    pub(super) connection: Option<String>,
    pub(super) instance: Option<String>,
}

/// The member and query names of the selectors.
pub(super) const SELECTORS: [&str; 2] = ["_connection", "_instance"];

impl Selectors {
    /// Joins what the query says with what the body says.
    pub(super) fn merge(query: [Option<String>; 2], body: [Option<Value>; 2]) -> Result<Self, String> {
        let mut merged = [const { None }; 2];
        for (i, (query, body)) in query.into_iter().zip(body).enumerate() {
            let (name, word) = (SELECTORS[i], SELECTORS[i].trim_start_matches('_'));
            let body = match body {
                None | Some(Value::Null) => None,
                Some(Value::String(text)) => Some(text),
                Some(_) => return Err(format!("{word} parameter {name:?} must be a string")),
            };
            let given = |text: Option<String>| text.filter(|t| !t.is_empty());
            merged[i] = match (given(query), given(body)) {
                (Some(query), Some(body)) if query != body => {
                    return Err(format!("conflicting {word} parameter {name:?} in query string and JSON body"));
                }
                (query, body) => body.or(query),
            };
            let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c) || (i == 1 && c == ' ');
            if merged[i].as_ref().is_some_and(|text| !text.chars().all(allowed)) {
                return Err(format!("{word} name contains invalid characters"));
            }
        }
        let [connection, instance] = merged;
        Ok(Self { connection, instance })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(query: [Option<&str>; 2], body: [Option<Value>; 2], expect: Result<[Option<&str>; 2], &str>) {
        let got = Selectors::merge(query.map(|q| q.map(str::to_owned)), body);
        let expect = expect.map_err(str::to_owned).map(|[connection, instance]| Selectors {
            connection: connection.map(str::to_owned),
            instance: instance.map(str::to_owned),
        });
        assert_eq!(got, expect);
    }

    #[test]
    fn selectors_come_from_query_and_body() {
        check([None, None], [None, None], Ok([None, None]));
        check([Some("a"), None], [None, Some(json!("b c"))], Ok([Some("a"), Some("b c")]));
        check([Some("a"), None], [Some(json!("a")), None], Ok([Some("a"), None]));
        check([None, Some("x")], [None, Some(json!(""))], Ok([None, Some("x")]));
        check(
            [None, Some("x")],
            [None, Some(json!("y"))],
            Err("conflicting instance parameter \"_instance\" in query string and JSON body"),
        );
        check([Some("a b"), None], [None, None], Err("connection name contains invalid characters"));
        check([None, Some("a/b")], [None, None], Err("instance name contains invalid characters"));
        check([None, None], [Some(json!(1)), None], Err("connection parameter \"_connection\" must be a string"));
    }
}
