use super::super::plan::{Plan, check_base, check_headers};
use super::{operation, surface};
use crate::DeclarativeError;
use gestalt_core::{ExecError, Params};

const BASE: &str = "https://api.test/v2/";

fn compile(base: &str, headers: &[(&str, &str)], op: &str) -> Result<Plan, DeclarativeError> {
    let surface = surface(base, headers, vec![operation(op)]);
    Plan::compile(&check_base(&surface.base_url)?, &check_headers(&surface)?, &surface.operations[0])
}

/// The request as text: `METHOD uri`, `name: value` for every header but the user agent, and ` <body>` if there is one.
fn request(headers: &[(&str, &str)], op: &str, params: &str) -> String {
    let built = match compile(BASE, headers, op).unwrap().request(&Params::parse(params).unwrap()) {
        Ok(built) => built,
        Err(ExecError::InvalidInput(problem)) => return problem,
        Err(other) => panic!("{other:?}"),
    };
    let uri = built.uri.to_string();
    let mut text = format!("{} {}", built.method, uri.strip_prefix("https://api.test").unwrap());
    for (name, value) in built.headers.iter().filter(|(name, _)| *name != "user-agent") {
        text += &format!(" | {name}: {}", value.to_str().unwrap());
    }
    if let Some(body) = built.body {
        text += &format!(" | {body}");
    }
    text.replace("content-type: application/json; charset=utf-8", "json")
}

fn check(op: &str, params: &str, expect: &str) {
    assert_eq!(request(&[], op, params), expect, "{op} {params}");
}

#[test]
fn each_location_has_its_place() {
    let op = "POST /t/{id} path:id query:page header:X-Team body:note";
    check(
        op,
        r#"{"id":7,"page":2,"X-Team":"a b","note":{"x":1.10}}"#,
        r#"POST /v2/t/7?page=2 | json | x-team: a b | {"note":{"x":1.10}}"#,
    );
    check(op, r#"{"id":"7"}"#, "POST /v2/t/7 | json | {}");
    check("PUT /t", "{}", "PUT /v2/t | json | {}");
    check("PATCH t", r#"{"a":null}"#, r#"PATCH /v2/t | json | {"a":null}"#);
    check("GET /t/{id} body:id", r#"{"id":7}"#, "GET /v2/t/7");
    check("GET /t body:left", r#"{"left":7}"#, "GET /v2/t?left=7");
    check("DELETE /t/{id} path:id path:more", r#"{"id":7,"more":8}"#, "DELETE /v2/t/7?more=8");
    check("GET /t/{id}/{id} path:id", r#"{"id":7}"#, "GET /v2/t/7/7");
    check("get /t?v=1 query:q", r#"{"q":"x"}"#, "GET /v2/t?v=1&q=x");
}

#[test]
fn undeclared_parameters_follow_the_method() {
    check("GET /t query:q", r#"{"q":1,"b":2,"a":[1,"x"]}"#, "GET /v2/t?q=1&a=1&a=x&b=2");
    check("DELETE /t", r#"{"a":1}"#, "DELETE /v2/t?a=1");
    check("POST /t query:q", r#"{"q":1,"b":{"c":[]}}"#, r#"POST /v2/t?q=1 | json | {"b":{"c":[]}}"#);
    check("POST /t", r#"{"b":1,"a":"x"}"#, r#"POST /v2/t | json | {"a":"x","b":1}"#);
    check("GET /t/{ticket_id}", r#"{"ticket_id":"x","a":1}"#, "GET /v2/t/x?a=1");
    check("POST /t/{ticket_id}", r#"{"ticket_id":"x","a":1}"#, r#"POST /v2/t/x | json | {"a":1}"#);
    check("POST /t :q", r#"{"q":1}"#, "POST /v2/t | json | {}");
}

#[test]
fn internal_parameters_are_out_of_reach() {
    check("GET /t internal-query:key=s", r#"{"key":"mine"}"#, "GET /v2/t?key=s");
    check("GET /t internal-query:key", r#"{"key":"mine"}"#, "GET /v2/t");
    check("GET /t internal-query:key@k=s", r#"{"k":"mine"}"#, "GET /v2/t?k=s");
    check("POST /t internal-body:key@k=s", r#"{"k":"mine","x":1}"#, r#"POST /v2/t | json | {"k":"s","x":1}"#);
}

#[test]
fn wire_names_and_defaults() {
    check("GET /t/{tid} path:id@tid query:max@pageSize=50", r#"{"id":1}"#, "GET /v2/t/1?pageSize=50");
    check("GET /t query:max@pageSize=50", r#"{"max":9}"#, "GET /v2/t?pageSize=9");
    check("POST /t body:max@pageSize", r#"{"max":9,"pageSize":1}"#, r#"POST /v2/t | json | {"pageSize":9}"#);
}

#[test]
fn values_as_text() {
    let op = "GET /t query:q";
    check(op, r#"{"q":9007199254740993}"#, "GET /v2/t?q=9007199254740993");
    check(op, r#"{"q":1.10}"#, "GET /v2/t?q=1.10");
    check(op, r#"{"q":true}"#, "GET /v2/t?q=true");
    check(op, r#"{"q":null}"#, "GET /v2/t");
    check(op, r#"{"q":"a&b=c é"}"#, "GET /v2/t?q=a%26b%3Dc+%C3%A9");
    check(op, r#"{"q":[1,null,"b"]}"#, "GET /v2/t?q=1&q=b");
    check(op, r#"{"q":[]}"#, "GET /v2/t");
    check(op, r#"{"q":{"a":1}}"#, "query parameter q must be a value or a flat list");
    check(op, r#"{"q":[[1]]}"#, "query parameter q must be a value or a flat list");
    check(
        "POST /t",
        r#"{"n":9007199254740993,"s":"\u00e9"}"#,
        "POST /v2/t | json | {\"n\":9007199254740993,\"s\":\"\\u00e9\"}",
    );
}

#[test]
fn what_cannot_be_sent_is_refused_by_name() {
    check("GET /t/{id}", "{}", "missing required path parameter: id");
    check("GET /t/{id} path:id*", r#"{"id":null}"#, "missing required path parameter: id");
    check("GET /t/{id} path:id*", "{}", "missing required path parameter: id");
    check("GET /t query:q*", "{}", "missing required parameter: q");
    check("GET /t/{id}", r#"{"id":[1]}"#, "path parameter id must be a single value");
    check("GET /t/{id}", r#"{"id":".."}"#, "path parameter id must not be empty, `.` or `..`");
    check("GET /t/{id}", r#"{"id":"a/../b?c"}"#, "GET /v2/t/a%2F..%2Fb%3Fc");
    let bad = "header parameter X has a character that no header may have";
    check("GET /t header:X", r#"{"X":"a\r\nHost: evil"}"#, bad);
    check("GET /t header:X", r#"{"X":"a\u0000"}"#, bad);
    check("GET /t header:X", r#"{"X":["a"]}"#, "header parameter X must be a single value");
    let long = format!(r#"{{"X":"{}"}}"#, "a".repeat(8193));
    check("GET /t header:X", &long, "header parameter X is longer than 8192 bytes");
    let long = format!(r#"{{"q":"{}"}}"#, "a".repeat(70_000));
    check("GET /t", &long, "the parameters make a URL that is too long");
}

#[test]
fn a_callers_header_replaces_the_static_one() {
    let headers = [("X-Api", "1"), ("Content-Type", "application/vnd.api+json")];
    let expect = "GET /v2/t | x-api: 2 | content-type: application/vnd.api+json";
    assert_eq!(request(&headers, "GET /t header:x-api", r#"{"x-api":2}"#), expect);
    let expect = "POST /v2/t | x-api: 1 | content-type: application/vnd.api+json | {}";
    assert_eq!(request(&headers, "POST /t header:x-api", r#"{}"#), expect);
}

#[test]
fn faults_of_the_manifest_are_found_when_the_app_is_built() {
    for (base, headers, op, expect) in [
        ("ftp://h/", &[][..], "GET /t", "baseUrl must be an http or https URL"),
        ("https://u@h/", &[], "GET /t", "baseUrl must not name a user"),
        ("https://h/?a=b", &[], "GET /t", "baseUrl must end with its path"),
        (
            "https://h/",
            &[],
            "TRACE /t",
            r#"operation "op": method "TRACE" is not one of GET, POST, PUT, PATCH, DELETE"#,
        ),
        ("https://h/", &[], "GET /t/{", r#"operation "op": path has a `{` without a `}`"#),
        ("https://h/", &[], "GET /../t", r#"operation "op": path has a `.` or `..` segment"#),
        ("https://h/", &[], "GET /t query:a body:a", r#"operation "op": parameter "a" is declared twice"#),
        ("https://h/", &[], "GET /t header:A header:b@a", r#"operation "op": parameter "b" is declared twice"#),
        ("https://h/", &[], "GET /t header:Host", r#"header "Host" belongs to the connection and cannot be set"#),
        ("https://h/", &[("TE", "x")], "GET /t", r#"header "TE" belongs to the connection and cannot be set"#),
        ("https://h/", &[("a b", "x")], "GET /t", r#"header "a b" is not a header name"#),
        (
            "https://h/",
            &[("a", "x\ny")],
            "GET /t",
            r#"header "a" has a value with a character that no header may have"#,
        ),
    ] {
        assert_eq!(compile(base, headers, op).unwrap_err().to_string(), expect, "{op}");
    }
}
