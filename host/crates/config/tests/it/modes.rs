//! What a variable that is not set makes of a whole load.

use crate::fixture::Vars;
use gestalt_config::{Mode, load};
use serde_json::json;
use std::collections::HashMap;

#[test]
fn a_variable_that_is_not_set() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("gestalt.yaml");
    std::fs::write(dir.path().join("manifest.yaml"), "").unwrap();
    let config = "apiVersion: gestaltd.config/v6\nserver: {encryptionKey: k}\napps:\n  a:\n    source: ./manifest.yaml\n    \
                  config:\n      token: \"${TOKEN}\"\n      home: ${HOME}\n";
    std::fs::write(&file, config).unwrap();
    let env = Vars { vars: HashMap::from([("HOME".to_owned(), "/home".to_owned())]), dir: dir.path().to_owned() };
    let read = |mode| {
        let deployment = load(std::slice::from_ref(&file), mode, &env).map_err(|problems| problems.to_string())?;
        Ok(deployment.apps.values().next().unwrap().config.0.clone().unwrap())
    };
    assert_eq!(read(Mode::Lenient), Ok(json!({"token": "", "home": "/home"})));
    assert_eq!(read(Mode::Preserve), Ok(json!({"token": "${TOKEN}", "home": "/home"})));
    let refused: Result<_, String> = read(Mode::Strict);
    assert!(refused.unwrap_err().contains("environment variable `TOKEN` is not set"));
}
