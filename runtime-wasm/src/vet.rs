//! What a component may import and must export, decided before any of its code runs.
//!
//! The list is closed: an import is linked because it is named here, never because some implementation of it exists.

use crate::WasmError;
use wasmtime::Engine;
use wasmtime::component::{Component, types::ComponentItem};

/// The interface that makes a component an app.
pub(crate) const APP_PROVIDER: &str = "gestalt:provider/app-provider";

/// The version of the `gestalt:provider` package this runtime links, and the `major.minor` it accepts.
pub(crate) const PACKAGE_VERSION: &str = "0.4.0";
const PACKAGE_LINE: &str = "0.4";

/// WASI versions that are linked: all of 0.2, which is compatible within itself.
const WASI_LINE: &str = "0.2";

/// How an allowed import is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Does what it says.
    Live,
    /// Is there, and leads nowhere: no files, no arguments, closed input, captured output.
    Inert,
    /// Can be called, and refuses.
    Denied,
    /// One of the package's own services that has no implementation behind it yet: answers `unavailable`.
    Unavailable,
}

/// The packages an app may import from, with their interfaces.
const ALLOWED: &[(&str, &[(&str, Kind)])] = &[
    (
        "gestalt:provider",
        &[
            ("common", Kind::Live),
            ("catalog", Kind::Live),
            ("request-context", Kind::Live),
            ("app", Kind::Live),
            ("runtime-log-host", Kind::Live),
            ("cache", Kind::Unavailable),
            ("indexeddb", Kind::Unavailable),
            ("s3", Kind::Unavailable),
            ("authorization", Kind::Unavailable),
            ("workflow", Kind::Unavailable),
            ("agent-host", Kind::Unavailable),
        ],
    ),
    ("wasi:io", &[("error", Kind::Live), ("poll", Kind::Live), ("streams", Kind::Live)]),
    ("wasi:clocks", &[("monotonic-clock", Kind::Live), ("wall-clock", Kind::Live)]),
    ("wasi:random", &[("random", Kind::Live), ("insecure", Kind::Live), ("insecure-seed", Kind::Live)]),
    ("wasi:http", &[("types", Kind::Live), ("outgoing-handler", Kind::Live)]),
    (
        "wasi:cli",
        &[
            ("environment", Kind::Inert),
            ("exit", Kind::Inert),
            ("stdin", Kind::Inert),
            ("stdout", Kind::Inert),
            ("stderr", Kind::Inert),
            ("terminal-input", Kind::Inert),
            ("terminal-output", Kind::Inert),
            ("terminal-stdin", Kind::Inert),
            ("terminal-stdout", Kind::Inert),
            ("terminal-stderr", Kind::Inert),
        ],
    ),
    ("wasi:filesystem", &[("types", Kind::Inert), ("preopens", Kind::Inert)]),
    (
        "wasi:sockets",
        &[
            ("network", Kind::Denied),
            ("instance-network", Kind::Denied),
            ("ip-name-lookup", Kind::Denied),
            ("tcp", Kind::Denied),
            ("tcp-create-socket", Kind::Denied),
            ("udp", Kind::Denied),
            ("udp-create-socket", Kind::Denied),
        ],
    ),
];

/// Names listed in one error, and bytes of each: enough to see what is wrong, whatever a component has in store.
const LISTED: usize = 100;
const LISTED_BYTES: usize = 128;

/// What an import's name says: `package/interface@version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name<'a> {
    pub(crate) package: &'a str,
    pub(crate) interface: &'a str,
    pub(crate) version: &'a str,
}

impl<'a> Name<'a> {
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (path, version) = text.split_once('@')?;
        let (package, interface) = path.split_once('/')?;
        Some(Self { package, interface, version })
    }

    /// How an import of this name is linked; `None` means not at all.
    pub(crate) fn kind(&self) -> Option<Kind> {
        let (package, interfaces) = ALLOWED.iter().find(|(package, _)| *package == self.package)?;
        let line = if *package == "gestalt:provider" { PACKAGE_LINE } else { WASI_LINE };
        let compatible = self.version.strip_prefix(line)?.strip_prefix('.')?.bytes().all(|b| b.is_ascii_digit());
        let (_, kind) = interfaces.iter().find(|(interface, _)| *interface == self.interface)?;
        compatible.then_some(*kind)
    }
}

/// Checks the imports and the world of a component. Returns whether any import is of a kind that is linked per
/// component.
pub(crate) fn check(engine: &Engine, component: &Component) -> Result<bool, WasmError> {
    let ty = component.component_type();
    let (mut foreign, mut unlisted, mut own_linker) = (Vec::new(), 0_usize, false);
    for (name, item) in ty.imports(engine) {
        let instance = matches!(item.ty, ComponentItem::ComponentInstance(_));
        match Name::parse(name).and_then(|n| n.kind()).filter(|_| instance) {
            Some(kind) => own_linker |= matches!(kind, Kind::Denied | Kind::Unavailable),
            None if foreign.len() < LISTED => foreign.push(listed(name)),
            None => unlisted += 1,
        }
    }
    if unlisted > 0 {
        foreign.push(format!("and {unlisted} more"));
    }
    if !foreign.is_empty() {
        return Err(WasmError::ForeignImports(foreign));
    }
    let exports = || ty.exports(engine).map(|(name, _)| name);
    let is_app = |name: &str| {
        Name::parse(name).is_some_and(|n| {
            n.package == "gestalt:provider"
                && n.interface == "app-provider"
                && n.version.strip_prefix(PACKAGE_LINE).is_some_and(|v| v.starts_with('.'))
        })
    };
    if !exports().any(is_app) {
        return Err(WasmError::WrongWorld {
            expected: format!("{APP_PROVIDER}@{PACKAGE_VERSION}"),
            found: exports().take(LISTED).map(listed).collect(),
        });
    }
    Ok(own_linker)
}

fn listed(name: &str) -> String {
    name[..name.floor_char_boundary(LISTED_BYTES)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(wat: &str) -> String {
        let limits = crate::engine::small();
        let engine = crate::engine::build(&limits).unwrap();
        let component = Component::new(&engine, wat::parse_str(wat).unwrap()).unwrap();
        match check(&engine, &component) {
            Ok(own_linker) => format!("ok {own_linker}"),
            Err(e) => e.to_string(),
        }
    }

    const APP: &str = r#"(instance $app) (export "gestalt:provider/app-provider@0.4.0" (instance $app))"#;

    #[test]
    fn imports_are_allowed_by_name_and_version_line() {
        for (import, expect) in [
            ("wasi:io/streams@0.2.0", Some(Kind::Live)),
            ("wasi:io/streams@0.2.12", Some(Kind::Live)),
            ("wasi:cli/environment@0.2.9", Some(Kind::Inert)),
            ("wasi:sockets/tcp@0.2.6", Some(Kind::Denied)),
            ("gestalt:provider/app@0.4.0", Some(Kind::Live)),
            ("gestalt:provider/app@0.4.7", Some(Kind::Live)),
            ("gestalt:provider/cache@0.4.0", Some(Kind::Unavailable)),
            ("gestalt:provider/app@0.3.0", None),
            ("gestalt:provider/app@0.40.0", None),
            ("gestalt:provider/app-provider@0.4.0", None),
            ("wasi:io/streams@0.3.0", None),
            ("wasi:io/streams@0.2", None),
            ("wasi:io/streams@0.2.0-rc-2023-12-05", None),
            ("wasi:io/streams", None),
            ("wasi:tls/types@0.2.0", None),
            ("wasi:http/incoming-handler@0.2.0", None),
            ("wasi:keyvalue/store@0.2.0", None),
            ("wasi:nn/graph@0.2.0", None),
            ("wasi:filesystem/types/more@0.2.0", None),
            ("env.foo", None),
            ("", None),
        ] {
            assert_eq!(Name::parse(import).and_then(|n| n.kind()), expect, "{import:?}");
        }
    }

    #[test]
    fn every_foreign_import_is_named() {
        let imports = r#"
            (import "wasi:tls/types@0.2.0" (instance))
            (import "wasi:io/poll@0.2.0" (instance))
            (import "wasi:keyvalue/store@0.2.0" (instance))
            (import "foo" (func))"#;
        assert_eq!(
            verdict(&format!("(component {imports} {APP})")),
            "component imports what an app cannot have: wasi:tls/types@0.2.0, wasi:keyvalue/store@0.2.0, foo"
        );
        // Of very many, as many as can be read.
        let many: String = (0..150).map(|i| format!(r#"(import "f{i}" (func))"#)).collect();
        assert!(verdict(&format!("(component {many} {APP})")).ends_with("f98, f99, and 50 more"));
        // A function in the place of an interface is not the interface.
        let function = r#"(import "foo" (func))"#;
        assert!(verdict(&format!("(component {function} {APP})")).contains("foo"));
    }

    #[test]
    fn the_world_is_checked_by_name_and_version() {
        assert_eq!(verdict(&format!("(component {APP})")), "ok false");
        let sockets = r#"(import "wasi:sockets/tcp@0.2.3" (instance))"#;
        assert_eq!(verdict(&format!("(component {sockets} {APP})")), "ok true");
        assert_eq!(
            verdict("(component)"),
            "component exports no gestalt:provider/app-provider@0.4.0; it exports nothing"
        );
        for found in ["gestalt:provider/app-provider@0.3.0", "wasi:cli/run@0.2.0"] {
            let error = verdict(&format!(r#"(component (instance $i) (export "{found}" (instance $i)))"#));
            assert!(error.ends_with(&format!("it exports {found}")), "{error}");
        }
    }
}
