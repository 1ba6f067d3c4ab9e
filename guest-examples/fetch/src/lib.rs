//! Fetches a URL: the way out that a component has, and the only one.

use gestalt_guest::{App, Error, Operation, Request, http};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Get {
    /// An absolute http or https URL.
    url: String,
    /// HTTP method; `GET` when absent.
    method: Option<String>,
    /// Request headers.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Sent as `Authorization: Bearer`: `token` is the call's credential, anything else the environment variable of that
    /// name.
    bearer: Option<String>,
    /// Request body.
    body: Option<String>,
    /// Bounds the connect and each wait for bytes.
    timeout_millis: Option<u64>,
}

/// A response, or the reason why there is none.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum Fetched {
    Response {
        status: u16,
        headers: Vec<(String, String)>,
        /// What is not UTF-8 is replaced.
        body: String,
    },
    Failed {
        /// A `wasi:http` error code in lower case, such as `http-request-denied`.
        error: String,
        detail: String,
    },
}

fn get(get: Get, call: &Request) -> Result<Fetched, Error> {
    let mut request = http::Request::new(get.method.unwrap_or_else(|| "GET".into()), get.url);
    for (name, value) in get.headers {
        request = request.header(name, value);
    }
    if let Some(name) = get.bearer {
        let token = if name == "token" { call.token().to_owned() } else { std::env::var(name).unwrap_or_default() };
        request = request.bearer(&token);
    }
    if let Some(body) = get.body {
        request = request.body(body);
    }
    if let Some(millis) = get.timeout_millis {
        request = request.timeout(Duration::from_millis(millis));
    }
    Ok(match request.send() {
        Ok(response) => Fetched::Response {
            status: response.status,
            body: response.text(),
            headers: response
                .headers
                .into_iter()
                .map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned()))
                .collect(),
        },
        Err(error) => Fetched::Failed { error: error.code().into(), detail: error.to_string() },
    })
}

fn app() -> App {
    App::new("fetch")
        .display_name("Fetch")
        .description("Fetches URLs.")
        .operation(Operation::new("get").title("Get").description("Fetches a URL."), get)
}

gestalt_guest::export!(app);
