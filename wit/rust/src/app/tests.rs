use super::*;
use crate::{Binary, Empty, Json, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Deserialize, JsonSchema)]
struct Input {
    /// What to say.
    text: String,
    times: Option<u64>,
    #[serde(default)]
    tags: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct Said {
    text: String,
}

fn app() -> App {
    App::new("test")
        .operation(Operation::new("say").title("Say").read_only(), |input: Input, _: &Request| {
            let text = input.text.repeat(input.times.unwrap_or(1) as usize) + &input.tags.concat();
            Ok::<_, Error>(Said { text })
        })
        .operation(Operation::new("echo"), |json: Json, _: &Request| Ok::<_, Error>(json))
        .operation(Operation::new("fail"), |_: Empty, _: &Request| Err::<Empty, _>(Error::new(403, "nope")))
        .operation(Operation::new("break"), |_: Empty, _: &Request| Err::<Empty, _>("x".parse::<u8>().unwrap_err()))
        .operation(Operation::new("teapot").hidden(), |_: Empty, _: &Request| {
            Ok::<_, Error>(Response::new(418, "short").header("x-a", "1").header("x-a", "2"))
        })
        .operation(Operation::new("raw"), |_: Empty, _: &Request| Ok::<_, Error>(Binary::new("image/png", [1, 2])))
}

fn check(operation: &str, params: &str, status: u16, body: &str) {
    let answer = app().call(&Request::new(operation, params));
    assert_eq!((answer.status, String::from_utf8_lossy(&answer.body).as_ref()), (status, body), "{operation} {params}");
}

#[test]
fn what_a_handler_returns_decides_the_answer() {
    check("say", r#"{"text":"a","times":2,"tags":["!"]}"#, 200, r#"{"text":"aa!"}"#);
    check("fail", "{}", 403, r#"{"error":"nope"}"#);
    check("break", "{}", 500, r#"{"error":"internal error"}"#);
    check("teapot", "{}", 418, r#""short""#);
    check("nothing", "{}", 404, r#"{"error":"unknown operation"}"#);
    let missing = "invalid parameters: missing field `text` at line 1 column 2";
    check("say", "{}", 400, &json!({ "error": missing }).to_string());
}

#[test]
fn json_stays_as_it_came() {
    let text = r#"{"n":9007199254740993,"x":1.10,"big":123456789012345678901234567890}"#;
    check("echo", text, 200, text);
}

#[test]
fn a_content_type_is_added_unless_there_is_one() {
    let headers = |operation: &str| app().call(&Request::new(operation, "{}")).headers;
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let json = pair("Content-Type", "application/json");
    assert_eq!(headers("teapot"), [pair("x-a", "1"), pair("x-a", "2"), json.clone()]);
    assert_eq!(headers("fail"), [json]);
    assert_eq!(headers("raw"), [pair("Content-Type", "image/png")]);
}

#[test]
fn the_catalog_follows_from_the_types() {
    let catalog = app().catalog();
    let say = &catalog.operations[0];
    assert_eq!((say.id.as_str(), say.method.as_str(), say.read_only, say.visible), ("say", "POST", true, None));
    let schema: Value = serde_json::from_str(&say.input_schema).unwrap();
    assert_eq!(schema["type"], "object");
    assert_eq!(schema["required"], json!(["text"]));
    assert_eq!(schema["properties"]["times"]["type"], json!(["integer", "null"]));
    let listed: Vec<_> = say
        .parameters
        .iter()
        .map(|p| (p.name.as_str(), p.type_.as_str(), p.required, p.description.as_str()))
        .collect();
    assert_eq!(
        listed,
        [("text", "string", true, "What to say."), ("times", "integer", false, ""), ("tags", "array", false, "")]
    );
    assert_eq!(say.parameters[2].default.as_deref(), Some("[]"));
    assert_eq!(catalog.operations[1].input_schema, r#"{"type":"object"}"#);
    assert_eq!(catalog.operations[4].visible, Some(false));
}

#[test]
fn an_operation_registered_twice_is_found() {
    assert_eq!(app().duplicate(), None);
    let twice = app().operation(Operation::new("fail"), |_: Empty, _: &Request| Ok::<_, Error>(Empty {}));
    assert_eq!(twice.duplicate(), Some("fail"));
}

#[test]
fn the_start_hook_sees_the_config() {
    #[derive(Deserialize)]
    struct Config {
        region: String,
    }
    let app = app().on_start(|start| {
        let config: Config = start.config()?;
        if config.region.is_empty() { Err(Error::new(400, "no region")) } else { Ok(()) }
    });
    let start = |config: &str| app.start(&Start { name: "x".into(), config: Some(config.into()) });
    assert!(start(r#"{"region":"eu"}"#).is_ok());
    assert_eq!(start(r#"{"region":""}"#).unwrap_err().message(), "no region");
    assert!(start("{}").unwrap_err().detail().unwrap().contains("region"));
}
