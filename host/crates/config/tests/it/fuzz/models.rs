//! What expansion and merging promise, against models of a few lines.

use super::fuzz;
use crate::fixture::Vars;
use gestalt_config::{Mode, load};
use gestalt_core::AppName;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestCaseError;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What `${…}` means (config v6, environment expansion), the slow way. `Err` when it is malformed; a variable that is
/// not set is `None` in the list.
fn expanded(text: &str, var: &dyn Fn(&str) -> Option<&'static str>) -> Result<Vec<Option<String>>, ()> {
    let mut out = Vec::new();
    let chars: Vec<char> = text.chars().collect();
    let mut i = 0;
    while i < chars.len() {
        if chars[i] != '$' {
            out.push(Some(chars[i].to_string()));
            i += 1;
            continue;
        }
        let word = |from: usize| chars[from..].iter().take_while(|c| c.is_ascii_alphanumeric() || **c == '_').count();
        let next = chars.get(i + 1).copied();
        match next {
            Some('{') => {
                let Some(len) = chars[i + 2..].iter().position(|c| *c == '}') else {
                    i += 2;
                    continue;
                };
                let inside: String = chars[i + 2..i + 2 + len].iter().collect();
                i += len + 3;
                match inside.split_once(":-") {
                    _ if inside.is_empty() => {}
                    None => out.push(var(&inside).map(str::to_owned)),
                    Some((name, "")) if !name.is_empty() => out.push(Some(var(name).unwrap_or("").to_owned())),
                    Some(_) => return Err(()),
                }
            }
            Some(c) if c.is_ascii_digit() || "*#$@!?-".contains(c) => {
                out.push(var(&c.to_string()).map(str::to_owned));
                i += 2;
            }
            Some(_) if word(i + 1) > 0 => {
                let len = word(i + 1);
                let name: String = chars[i + 1..i + 1 + len].iter().collect();
                out.push(var(&name).map(str::to_owned));
                i += 1 + len;
            }
            _ => {
                out.push(Some("$".to_owned()));
                i += 1;
            }
        }
    }
    Ok(out)
}

#[test]
fn expansion_does_what_the_model_says() {
    let pieces = [
        "$", "${", "}", "{", "A", "B_1", "_", "1", "*", "#", "?", "-", ":-", ":", " ", "x", "\u{e9}", "${A}", "$A",
        "${B_1}", "${NO:-}", "${A:-}", "$NO", "$1", "$*", "${A B}", ".", ",",
    ];
    let var = |name: &str| match name {
        "A" => Some("one"),
        "B_1" => Some(""),
        "1" => Some("$A ${A}"),
        "A B" => Some("spaced"),
        _ => None,
    };
    let vars = ["A", "B_1", "1", "A B"].map(|name| (name.to_owned(), var(name).unwrap().to_owned()));
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("manifest.yaml"), "").unwrap();
    let env = Vars { vars: HashMap::from(vars), dir: dir.path().to_owned() };
    fuzz((vec(select(pieces.to_vec()), 0..12), any::<bool>()), |(text, strict)| {
        let text = text.concat();
        // A full stop before and after: what a display name begins and ends with would be trimmed.
        let app = format!("apps: {{a: {{source: manifest.yaml, displayName: '.{text}.'}}}}\n");
        let config = format!("apiVersion: gestaltd.config/v6\nserver: {{encryptionKey: k}}\n{app}");
        fs::write(dir.path().join("c.yaml"), &config).unwrap();
        let mode = if strict { Mode::Strict } else { Mode::Lenient };
        // A brace that is open at the end of the text reaches for one behind it, so the model reads on as well.
        let model = expanded(&format!("{config}\u{3}"), &var);
        let loaded = load(&[PathBuf::from("c.yaml")], mode, &env);
        let Ok(parts) = model else {
            prop_assert!(loaded.is_err());
            return Ok(());
        };
        let missing = parts.contains(&None);
        let whole: String = parts.into_iter().flatten().collect();
        // Without its end the text is no YAML any more.
        let wanted = whole.split_once("displayName: '").and_then(|(_, rest)| rest.split_once("'}}"));
        match (wanted, loaded) {
            (None, _) => {}
            (Some(_), Err(problems)) if strict && missing => {
                prop_assert!(problems.to_string().contains("is not set"), "{}", problems);
            }
            (Some((wanted, _)), loaded) => {
                let deployment = loaded.map_err(|problems| TestCaseError::fail(problems.to_string()))?;
                let given = deployment.apps.values().next().and_then(|app| app.display_name.clone());
                prop_assert_eq!(given.as_deref(), Some(wanted), "{}", config);
            }
        }
        Ok(())
    });
}

/// A tree for `apps.a.config`. `m…` are maps always and `s…` never, so that nothing replaces a map.
fn tree(nulls: bool) -> impl Strategy<Value = Value> {
    let null = Just(Value::Null);
    let leaf = prop_oneof![
        any::<i32>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        "[a-z ]{0,6}".prop_map(Value::from),
        vec(0..9_i32, 0..3).prop_map(Value::from),
        if nulls { null.boxed() } else { Just(json!(0.5)).boxed() },
    ];
    let scalars = |leaf: BoxedStrategy<Value>| {
        proptest::collection::btree_map(select(&["s1", "s2", "s3"][..]), leaf, 0..3)
            .prop_map(|map| map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>())
    };
    let flat = scalars(leaf.boxed());
    let level = flat.clone().prop_map(Value::Object);
    level.prop_recursive(3, 24, 3, move |inner| {
        let maps = proptest::collection::btree_map(select(&["m1", "m2"][..]), inner, 0..3);
        (flat.clone(), maps).prop_map(|(mut map, maps)| {
            map.extend(maps.into_iter().map(|(key, value)| (key.to_owned(), value)));
            Value::Object(map)
        })
    })
}

/// What merging means (config v6, merge rules).
fn merged(base: &Value, over: &Value) -> Value {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            let mut out = base.clone();
            for (key, value) in over {
                match (value, base.get(key)) {
                    (Value::Null, _) => drop(out.shift_remove(key)),
                    (value, Some(old)) => drop(out.insert(key.clone(), merged(old, value))),
                    (value, None) => drop(out.insert(key.clone(), value.clone())),
                }
            }
            Value::Object(out)
        }
        (_, over) => over.clone(),
    }
}

/// What the daemon makes of `layers`, left to right.
fn layered(dir: &Path, layers: &[&Value]) -> Result<Value, TestCaseError> {
    let mut files = Vec::new();
    for (i, layer) in layers.iter().enumerate() {
        let app = match i {
            0 => json!({"source": "manifest.yaml", "config": layer}),
            _ => json!({"config": layer}),
        };
        let whole = json!({"apiVersion": "gestaltd.config/v6", "server": {"encryptionKey": "k"}, "apps": {"a": app}});
        files.push(PathBuf::from(format!("{i}.yaml")));
        fs::write(dir.join(&files[i]), whole.to_string()).unwrap();
    }
    let env = Vars { vars: HashMap::new(), dir: dir.to_owned() };
    let deployment = load(&files, Mode::Strict, &env).map_err(|problems| TestCaseError::fail(problems.to_string()))?;
    let name = AppName::parse("a").unwrap();
    Ok(deployment.apps[&name].config.0.clone().unwrap_or_else(|| json!({})))
}

#[test]
fn merging_does_what_the_model_says() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("manifest.yaml"), "").unwrap();
    fuzz((tree(true), tree(true), tree(true)), |(a, b, c)| {
        prop_assert_eq!(layered(dir.path(), &[&a])?, a.clone(), "one layer is left alone, its nulls too");
        prop_assert_eq!(layered(dir.path(), &[&a, &b])?, merged(&a, &b));
        prop_assert_eq!(layered(dir.path(), &[&a, &b, &c])?, merged(&merged(&a, &b), &c));
        prop_assert_eq!(layered(dir.path(), &[&a, &json!({})])?, a.clone(), "an empty layer changes nothing");
        for (key, _) in b.as_object().unwrap() {
            let without = json!({key: null});
            let left = layered(dir.path(), &[&a, &b, &without])?;
            prop_assert!(left.get(key).is_none(), "null deletes `{}`", key);
        }
        Ok(())
    });
}

#[test]
fn merging_is_associative_where_nothing_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("manifest.yaml"), "").unwrap();
    fuzz((tree(false), tree(false), tree(false)), |(a, b, c)| {
        let right_first = layered(dir.path(), &[&b, &c])?;
        prop_assert_eq!(layered(dir.path(), &[&a, &b, &c])?, layered(dir.path(), &[&a, &right_first])?);
        prop_assert_eq!(layered(dir.path(), &[&a, &a])?, a, "and idempotent");
        Ok(())
    });
}
