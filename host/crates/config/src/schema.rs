//! JSON Schemas of the formats, for editors: they complete and check while somebody types. They come from the very types
//! the daemon reads with, so they know the same keys.
//!
//! They are laxer than the daemon, never stricter: what only `check` knows they do not know, and what the daemon reads
//! in several ways (`8080` as text, `${PORT}` as a number, a secret reference as text) they allow.

use crate::manifest::Kind;
use crate::raw::config::RawConfig;
use crate::raw::manifest::RawManifest;
use crate::raw::manifest::app::RawAppSpec;
use crate::raw::manifest::spec::{RawProviderSpec, RawUiSpec};
use crate::raw::wasm::RawWasm;
use crate::vocabulary;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};
use std::fmt;

/// A format that has a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `gestaltd.config/v6`.
    Config,
    /// `manifest.yaml`, of one kind or of any.
    Manifest(Option<Kind>),
}

impl Format {
    /// Every format.
    pub fn all() -> impl Iterator<Item = Self> {
        let manifests = std::iter::once(None).chain(Kind::ALL.into_iter().map(Some)).map(Self::Manifest);
        std::iter::once(Self::Config).chain(manifests)
    }

    /// The format called `text`: `config`, `manifest`, or `manifest:<kind>`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            Some(("manifest", kind)) => Kind::parse(kind).map(|kind| Self::Manifest(Some(kind))),
            Some(_) => None,
            None if text == "config" => Some(Self::Config),
            None => (text == "manifest").then_some(Self::Manifest(None)),
        }
    }

    /// Its JSON Schema (2020-12).
    pub fn schema(self) -> Value {
        match self {
            Self::Config => config(),
            Self::Manifest(Some(kind)) => manifest(kind),
            Self::Manifest(None) => any_manifest(),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config => f.write_str("config"),
            Self::Manifest(None) => f.write_str("manifest"),
            Self::Manifest(Some(kind)) => write!(f, "manifest:{kind}"),
        }
    }
}

fn config() -> Value {
    let mut generator = SchemaGenerator::default();
    let wasm = generator.subschema_for::<RawWasm>().to_value();
    let mut root = generator.into_root_schema_for::<RawConfig>().to_value();
    admit_later(&mut root, &wasm);
    // What a runtime's `config` is depends on its driver.
    if let Some(runtime) = resolve(&mut root, "runtime.providers.*") {
        runtime["if"] = json!({"properties": {"driver": {"const": "wasm"}}, "required": ["driver"]});
        runtime["then"] = json!({"properties": {"config": wasm}});
    }
    loosen(&mut root, true);
    let placeholder = json!({"$ref": "#/$defs/Placeholder"});
    let description = root["properties"]["apiVersion"]["description"].take();
    let version = json!([{"const": "gestaltd.config/v6"}, placeholder]);
    root["properties"]["apiVersion"] = json!({"description": description, "anyOf": version});
    root["required"] = json!(["apiVersion"]);
    root["$defs"]["Placeholder"] = json!({
        "description": "Taken from the environment.", "type": "string", "pattern": "\\$",
    });
    root["$defs"]["SecretReference"] = json!({
        "description": "Taken from a secrets provider.",
        "type": "object",
        "properties": {"secret": {
            "type": "object",
            "properties": {"provider": {"type": "string"}, "name": {"type": "string"}},
            // A layered file may change one of the two.
            "minProperties": 1,
            "additionalProperties": false,
        }},
        "required": ["secret"],
        "additionalProperties": false,
    });
    named(root, "gestaltd.config/v6")
}

/// Keys of the format that the types do not have yet.
fn admit_later(root: &mut Value, wasm: &Value) {
    for pattern in vocabulary::CONFIG.later() {
        let (above, key) = pattern.rsplit_once('.').unwrap_or(("", pattern));
        let inside_wasm = above.strip_prefix("runtime.providers.*.config").map(|rest| rest.trim_start_matches('.'));
        let schema = match (inside_wasm, wasm.get("$ref").and_then(Value::as_str)) {
            (Some(rest), Some(reference)) => resolve_from(root, reference.trim_start_matches('#').to_owned(), rest),
            _ => resolve(root, above),
        };
        if let Some(Value::Object(properties)) = schema.and_then(|schema| schema.get_mut("properties")) {
            properties.insert(key.to_owned(), json!({"description": "Not available yet."}));
        }
    }
}

fn manifest(kind: Kind) -> Value {
    let mut root = match kind {
        Kind::App => derived::<RawManifest<RawAppSpec>>(),
        Kind::Ui => derived::<RawManifest<RawUiSpec>>(),
        _ => derived::<RawManifest<RawProviderSpec>>(),
    };
    of_kinds(&mut root, &[kind]);
    loosen(&mut root, false);
    named(root, &format!("Manifest of kind {kind}"))
}

/// Says of a manifest's schema which kinds it is for.
fn of_kinds(schema: &mut Value, kinds: &[Kind]) {
    let description = schema["properties"]["kind"]["description"].take();
    schema["properties"]["kind"] = json!({"description": description, "enum": spellings(kinds)});
    schema["required"] = match kinds {
        [Kind::App | Kind::Ui] => json!(["kind", "source", "version", "spec"]),
        _ => json!(["kind", "source", "version"]),
    };
}

fn spellings(kinds: &[Kind]) -> Vec<&'static str> {
    kinds.iter().flat_map(|kind| kind.spellings()).copied().collect()
}

/// The kind decides which of three schemas holds.
fn any_manifest() -> Value {
    let mut generator = SchemaGenerator::default();
    let others: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| !matches!(kind, Kind::App | Kind::Ui)).collect();
    let cases = [
        (vec![Kind::App], "App", generator.subschema_for::<RawManifest<RawAppSpec>>()),
        (vec![Kind::Ui], "Ui", generator.subschema_for::<RawManifest<RawUiSpec>>()),
        (others, "Provider", generator.subschema_for::<RawManifest<RawProviderSpec>>()),
    ];
    let mut root = json!({
        "type": "object",
        "properties": {"kind": {"description": "What the package is.", "enum": spellings(&Kind::ALL)}},
        "required": ["kind"],
        "allOf": [],
        "$defs": generator.take_definitions(true),
    });
    let mut all = Vec::new();
    for (kinds, name, reference) in cases {
        let old = reference.get("$ref").and_then(Value::as_str).and_then(|reference| reference.rsplit('/').next());
        let Some(mut schema) = old.and_then(|old| root["$defs"].as_object_mut()?.remove(old)) else { continue };
        of_kinds(&mut schema, &kinds);
        root["$defs"][name] = schema;
        let is_it = json!({"properties": {"kind": {"enum": spellings(&kinds)}}, "required": ["kind"]});
        all.push(json!({"if": is_it, "then": {"$ref": format!("#/$defs/{name}")}}));
    }
    root["allOf"] = Value::Array(all);
    loosen(&mut root, false);
    named(root, "Manifest")
}

fn derived<T: JsonSchema>() -> Value {
    SchemaGenerator::default().into_root_schema_for::<T>().to_value()
}

/// Puts what a schema is called first, and calls the definitions by the names of the formats.
fn named(mut root: Value, title: &str) -> Value {
    rename(&mut root, &|reference| reference.trim_start_matches("Raw").to_owned());
    if let Some(Value::Object(definitions)) = root.get_mut("$defs") {
        let old = std::mem::take(definitions);
        definitions.extend(old.into_iter().map(|(name, schema)| (name.trim_start_matches("Raw").to_owned(), schema)));
        definitions.sort_keys();
    }
    let mut whole = Map::new();
    whole.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    whole.insert("title".to_owned(), json!(title));
    whole.extend(root.as_object().cloned().into_iter().flatten().filter(|(key, _)| key != "$schema" && key != "title"));
    Value::Object(whole)
}

/// Gives every reference another name.
fn rename(schema: &mut Value, name: &dyn Fn(&str) -> String) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get_mut("$ref")
                && let Some(old) = reference.strip_prefix("#/$defs/")
            {
                *reference = format!("#/$defs/{}", name(old));
            }
            map.values_mut().for_each(|inner| rename(inner, name));
        }
        Value::Array(list) => list.iter_mut().for_each(|inner| rename(inner, name)),
        _ => {}
    }
}

/// The schema of the keys at a dotted path; `*` is any key. References and "or nothing" are looked through.
fn resolve<'a>(root: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    resolve_from(root, String::new(), path)
}

fn resolve_from<'a>(root: &'a mut Value, mut pointer: String, path: &str) -> Option<&'a mut Value> {
    for key in path.split('.').filter(|key| !key.is_empty()) {
        pointer = match key {
            "*" => format!("{pointer}/additionalProperties"),
            key => format!("{pointer}/properties/{key}"),
        };
        pointer = target(root, pointer)?;
    }
    root.pointer_mut(&pointer)
}

fn target(root: &Value, pointer: String) -> Option<String> {
    let schema = root.pointer(&pointer)?;
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        return target(root, reference.strip_prefix('#')?.to_owned());
    }
    match schema.get("anyOf").and_then(Value::as_array) {
        Some(branches) if branches.iter().any(|branch| branch.get("type") == Some(&json!("null"))) => {
            let real = branches.iter().position(|branch| branch.get("type") != Some(&json!("null")))?;
            target(root, format!("{pointer}/anyOf/{real}"))
        }
        _ => Some(pointer),
    }
}

/// Allows what the daemon allows beyond the types: any scalar where text is wanted; and where `expands`, placeholders
/// for every scalar, and secret references for text.
fn loosen(schema: &mut Value, expands: bool) {
    match schema {
        Value::Object(map) => {
            // A map of keys is no schema itself.
            for (key, inner) in map.iter_mut() {
                match key.as_str() {
                    "properties" | "$defs" => {
                        inner.as_object_mut().into_iter().flatten().for_each(|(_, inner)| loosen(inner, expands));
                    }
                    "if" | "const" | "enum" | "required" => {}
                    _ => loosen(inner, expands),
                }
            }
            map.remove("format");
            loosen_type(map, expands);
        }
        Value::Array(list) => list.iter_mut().for_each(|inner| loosen(inner, expands)),
        _ => {}
    }
}

fn loosen_type(map: &mut Map<String, Value>, expands: bool) {
    let types: Vec<String> = match map.get("type") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => return,
    };
    let has = |name: &str| types.iter().any(|one| one == name);
    let chosen = map.contains_key("enum") || map.contains_key("const");
    let is_text = has("string") && !chosen;
    let is_scalar = has("string") || has("integer") || has("number") || has("boolean");
    let is_opaque = has("array") || (has("object") && !map.contains_key("properties"));
    let is_open = map.get("additionalProperties") != Some(&Value::Bool(false));
    let may_be_injected = expands && is_opaque && is_open;
    if !is_scalar && !may_be_injected {
        return;
    }
    if is_text {
        let null = has("null").then_some("null");
        let wide: Vec<&str> = ["string", "number", "boolean"].into_iter().chain(null).collect();
        map.insert("type".to_owned(), json!(wide));
    }
    if expands {
        let also = if is_text { "#/$defs/SecretReference" } else { "#/$defs/Placeholder" };
        let mut own = Map::new();
        for key in ["type", "enum", "items", "additionalProperties"] {
            own.extend(map.shift_remove(key).map(|value| (key.to_owned(), value)));
        }
        map.insert("anyOf".to_owned(), json!([own, {"$ref": also}]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Span;
    use crate::yaml;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn crate_root() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
    }

    fn file(format: Format) -> PathBuf {
        crate_root().join("schema").join(format!("{}.json", format.to_string().replace(':', "-")))
    }

    #[test]
    fn the_committed_schemas_are_current() {
        let mut stale = Vec::new();
        for format in Format::all() {
            let text = format!("{}\n", serde_json::to_string_pretty(&format.schema()).unwrap());
            if std::env::var_os("UPDATE").is_some() {
                fs::create_dir_all(crate_root().join("schema")).unwrap();
                fs::write(file(format), &text).unwrap();
            } else if fs::read_to_string(file(format)).ok().as_ref() != Some(&text) {
                stale.push(format.to_string());
            }
        }
        assert!(stale.is_empty(), "UPDATE=1 rewrites schema/: {stale:?}");
    }

    #[test]
    fn names_of_formats() {
        for format in Format::all() {
            assert_eq!(Format::parse(&format.to_string()), Some(format));
        }
        assert_eq!(Format::parse("manifest:plugin"), Some(Format::Manifest(Some(Kind::App))));
        for text in ["", "manifest:", "manifest:x", "config:app", "catalog"] {
            assert_eq!(Format::parse(text), None, "{text}");
        }
    }

    /// The files of a fixture that are in the format itself, as the daemon reads them.
    fn documents(fixture: &Path, is_one: impl Fn(&str) -> bool) -> Vec<Value> {
        let mut parts = vec![("main.yaml".to_owned(), String::new())];
        for line in fs::read_to_string(fixture).unwrap().split_inclusive('\n') {
            match line.strip_prefix("#--- ").map(str::trim_end) {
                Some(name) => parts.push((name.to_owned(), String::new())),
                None => parts.last_mut().unwrap().1.push_str(line),
            }
        }
        let ours = parts.into_iter().filter(|(name, text)| is_one(name) && !text.trim().is_empty());
        let read = |(_, text): (String, String)| yaml::parse(&text, &|_, _| Span::default()).ok()??.to_value().into();
        ours.filter_map(read).collect()
    }

    fn fixtures(kind: &str) -> Vec<PathBuf> {
        let dir = crate_root().join("tests/fixtures").join(kind);
        let mut all: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        all.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
        all.sort();
        all
    }

    /// What the schema says about a document, without values.
    fn judge(format: Format, document: &Value) -> Vec<String> {
        let validator = jsonschema::validator_for(&format.schema()).unwrap();
        validator.iter_errors(document).map(|error| format!("{}: {}", error.instance_path(), error.masked())).collect()
    }

    #[test]
    fn every_accepted_fixture_fits() {
        let mut wrong = Vec::new();
        for fixture in fixtures("manifest").into_iter().filter(|path| path.with_extension("snap").exists()) {
            for document in documents(&fixture, |name| name == "main.yaml" || name.starts_with("manifest.")) {
                let kind = document["kind"].as_str().and_then(Kind::parse).unwrap();
                for format in [Format::Manifest(None), Format::Manifest(Some(kind))] {
                    let found = judge(format, &document);
                    wrong.extend(found.into_iter().map(|what| format!("{}: {format}: {what}", fixture.display())));
                }
            }
        }
        for fixture in fixtures("config").into_iter().filter(|path| path.with_extension("snap").exists()) {
            for document in documents(&fixture, |name| name == "main.yaml" || name.ends_with(".config.yaml")) {
                let found = judge(Format::Config, &document);
                wrong.extend(found.into_iter().map(|what| format!("{}: {what}", fixture.display())));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn mistakes_of_form_do_not_fit() {
        for name in ["unknown_keys", "unknown_keys_deep", "wrong_types", "kind_missing", "spec_of_another_kind"] {
            let fixture = crate_root().join(format!("tests/fixtures/manifest/{name}.yaml"));
            for document in documents(&fixture, |name| name == "main.yaml") {
                assert!(!judge(Format::Manifest(None), &document).is_empty(), "{name}");
            }
        }
        for name in ["unknown_keys", "wrong_types", "api_version_missing"] {
            let fixture = crate_root().join(format!("tests/fixtures/config/{name}.yaml"));
            for document in documents(&fixture, |name| name == "main.yaml" || name.ends_with(".config.yaml")) {
                assert!(!judge(Format::Config, &document).is_empty(), "{name}");
            }
        }
    }
}
