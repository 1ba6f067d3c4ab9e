//! The static part: what a component imports, and what that gives it.

use gestalt_runtime_wasm::{Inspection, Reach};
use serde::Serialize;
use std::path::Path;

/// A component, as an operator reads it.
#[derive(Clone, Debug, Serialize)]
pub struct Component {
    /// The file.
    pub file: String,
    /// `sha256:` and the digest of its bytes.
    pub digest: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// Everything it imports.
    pub imports: Vec<Given>,
}

/// One import, and what it gives.
#[derive(Clone, Debug, Serialize)]
pub struct Given {
    /// `package/interface@version`.
    pub interface: String,
    /// `live`, `inert`, `denied`, `unavailable` or `refused`.
    pub kind: &'static str,
    /// In words.
    pub gives: &'static str,
}

/// What each package, or interface of one, gives a component that imports it.
const GIVES: &[(&str, &str)] = &[
    ("wasi:http/outgoing-handler", "HTTP to what egress.allowedHosts allows: the only network there is"),
    ("wasi:http/types", "requests and answers as values"),
    ("wasi:sockets/ip-name-lookup", "no names: every lookup is denied, and nobody is asked"),
    ("wasi:sockets/", "no sockets: every attempt to make one is denied"),
    ("wasi:filesystem/", "no files: there is no directory to start from"),
    ("wasi:cli/environment", "the entry's env, and no arguments"),
    ("wasi:cli/stdin", "an input that is at its end"),
    ("wasi:cli/stdout", "lines in the log, up to logs.perCall"),
    ("wasi:cli/stderr", "lines in the log, up to logs.perCall"),
    ("wasi:cli/exit", "the end of its own call"),
    ("wasi:cli/", "no terminal"),
    ("wasi:clocks/", "the time"),
    ("wasi:random/", "random numbers"),
    ("wasi:io/", "waiting, for what else it may have"),
    ("gestalt:provider/app", "calls of other apps, on its caller's authority"),
    ("gestalt:provider/request-context", "what its caller is called"),
    ("gestalt:provider/runtime-log-host", "lines in the log, up to logs.perCall"),
    ("gestalt:provider/common", "types"),
    ("gestalt:provider/catalog", "types"),
    ("gestalt:provider/", "the daemon's own service of that name, where the entry binds one"),
];

/// What an inspection means.
pub fn describe(file: &Path, inspection: Inspection) -> Component {
    let imports = inspection.imports.into_iter().map(|import| {
        let (kind, gives) = match import.reach {
            Reach::Live => ("live", gives(&import.name)),
            Reach::Inert => ("inert", gives(&import.name)),
            Reach::Denied => ("denied", gives(&import.name)),
            Reach::Unavailable => ("unavailable", gives(&import.name)),
            Reach::Refused => ("refused", "nothing: no app may have it, and this component is not started"),
        };
        Given { interface: import.name, kind, gives }
    });
    Component {
        file: file.display().to_string(),
        digest: format!("sha256:{}", inspection.digest),
        bytes: inspection.bytes,
        imports: imports.collect(),
    }
}

fn gives(name: &str) -> &'static str {
    let path = name.split('@').next().unwrap_or(name);
    let fits = |prefix: &str| if prefix.ends_with('/') { path.starts_with(prefix) } else { path == prefix };
    GIVES.iter().find(|(prefix, _)| fits(prefix)).map_or("", |(_, gives)| gives)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_is_told() {
        for (name, expect) in [
            ("wasi:http/outgoing-handler@0.2.12", "HTTP to what"),
            ("wasi:sockets/tcp@0.2.6", "no sockets"),
            ("wasi:sockets/ip-name-lookup@0.2.6", "no names"),
            ("gestalt:provider/app@0.4.0", "calls of other apps"),
            ("gestalt:provider/cache@0.4.0", "the daemon's own service"),
        ] {
            assert!(gives(name).starts_with(expect), "{name}");
        }
    }
}
