use gestalt_tests::TestHost;
use gestalt_tests::examples::{app, manifest};
use serde_json::json;
use std::path::Path;

/// The component on the page is the one that is compiled, and does what its text says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_component_it_shows_runs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let read = |file: &str| std::fs::read_to_string(root.join(file)).unwrap();
    let page = read("README.md");
    let shown = page.split_once("```rust\n").and_then(|(_, rest)| rest.split_once("```")).unwrap().0;
    assert_eq!(shown, read("guest-examples/greeter/src/lib.rs"));

    let host = TestHost::start(&format!("apps:\n{}", app("greeter", &manifest("greeter"), ""))).await;
    let answer = host.call("greeter", "greet", r#"{"name":"Ann"}"#).await;
    assert_eq!((answer.code(), answer.json()), (200, json!({"text": "Hello, Ann!"})));
    assert_eq!(host.call("greeter", "greet", r#"{"name":""}"#).await.code(), 400);
}
