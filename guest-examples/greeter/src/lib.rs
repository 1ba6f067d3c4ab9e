use gestalt_guest::{App, Error, Operation, Request};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
struct Greet {
    /// Whom.
    name: String,
}

#[derive(Serialize, JsonSchema)]
struct Greeting {
    text: String,
}

fn greet(greet: Greet, _request: &Request) -> Result<Greeting, Error> {
    if greet.name.is_empty() {
        return Err(Error::new(400, "name must not be empty"));
    }
    Ok(Greeting { text: format!("Hello, {}!", greet.name) })
}

fn app() -> App {
    App::new("greeter").operation(Operation::new("greet").description("Greets somebody."), greet)
}

gestalt_guest::export!(app);
