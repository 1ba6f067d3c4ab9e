//! `mapping`: parameters in, request text out. `exchange`: against a real server on loopback. `redirects`: against two.

mod exchange;
mod mapping;
mod redirects;

use super::{RestOperation, RestSurface};
use gestalt_core::{Parameter, ParameterLocation};

/// `GET /tickets/{id} path:id query:page* header:X-Team body:note internal-query:key=v :dropped`, in words of a test:
/// method, path, then parameters as `[internal-]<location>:<name>[@wire][*][=default]`, `*` for required.
fn operation(text: &str) -> RestOperation {
    let mut words = text.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    RestOperation { name: "op".into(), method, path, parameters: words.map(parameter).collect(), ..Default::default() }
}

fn parameter(word: String) -> Parameter {
    let (location, name) = word.split_once(':').unwrap();
    let (name, default) = match name.split_once('=') {
        Some((name, default)) => (name, Some(default.into())),
        None => (name, None),
    };
    let (name, required) = match name.strip_suffix('*') {
        Some(name) => (name, true),
        None => (name, false),
    };
    let (name, wire_name) = match name.split_once('@') {
        Some((name, wire)) => (name, Some(wire.to_owned())),
        None => (name, None),
    };
    let internal = location.starts_with("internal-");
    let location = match location.trim_start_matches("internal-") {
        "path" => Some(ParameterLocation::Path),
        "query" => Some(ParameterLocation::Query),
        "header" => Some(ParameterLocation::Header),
        "body" => Some(ParameterLocation::Body),
        _ => None,
    };
    let kind = "string".into();
    Parameter { name: name.into(), wire_name, kind, location, required, internal, default, ..Parameter::default() }
}

fn surface(base_url: &str, headers: &[(&str, &str)], operations: Vec<RestOperation>) -> RestSurface {
    RestSurface {
        base_url: base_url.parse().unwrap(),
        headers: headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        operations,
    }
}
