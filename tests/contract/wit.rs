//! The guest contract in `wit/` offers every operation of the provider protocol it mirrors.

use std::collections::{BTreeMap, BTreeSet};
use wit_parser::{Docs, Function, IndexMap, Interface, Resolve, Type, TypeDefKind, WorldItem, WorldKey};

const WIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../wit");
const FACTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto/tests/protocol-4.txt");

/// Service and RPC, the interface, and the functions that carry it out. A stream of frames becomes a resource, so one
/// RPC may need several functions.
const MIRROR: &[(&str, &str, &str, &[&str])] = &[
    ("AgentHost", "ExecuteTool", "agent-host", &["execute-tool"]),
    ("AgentHost", "ListTools", "agent-host", &["list-tools"]),
    ("AgentHost", "ResolveConnection", "agent-host", &["resolve-connection"]),
    ("App", "Invoke", "app", &["invoke"]),
    ("App", "InvokeGraphQL", "app", &["invoke-graphql"]),
    ("AppProvider", "Execute", "app-provider", &["execute"]),
    ("AppProvider", "GetMetadata", "app-provider", &["get-metadata"]),
    ("AppProvider", "GetSessionCatalog", "app-provider", &["get-session-catalog"]),
    ("AppProvider", "ResolveHTTPSubject", "app-provider", &["resolve-http-subject"]),
    ("AppProvider", "StartProvider", "app-provider", &["start-provider"]),
    ("AuthorizationProvider", "AddRelationship", "authorization", &["add-relationship"]),
    ("AuthorizationProvider", "CheckAccess", "authorization", &["check-access"]),
    ("AuthorizationProvider", "CheckAccessMany", "authorization", &["check-access-many"]),
    ("AuthorizationProvider", "DeleteRelationship", "authorization", &["delete-relationship"]),
    ("AuthorizationProvider", "GetActiveModelRef", "authorization", &["get-active-model-ref"]),
    ("AuthorizationProvider", "ListActiveModelResourceTypes", "authorization", &["list-active-model-resource-types"]),
    ("AuthorizationProvider", "ListRelationships", "authorization", &["list-relationships"]),
    ("Cache", "Delete", "cache", &["handle.delete"]),
    ("Cache", "DeleteMany", "cache", &["handle.delete-many"]),
    ("Cache", "Get", "cache", &["handle.get"]),
    ("Cache", "GetMany", "cache", &["handle.get-many"]),
    ("Cache", "Set", "cache", &["handle.set"]),
    ("Cache", "SetMany", "cache", &["handle.set-many"]),
    ("Cache", "Touch", "cache", &["handle.touch"]),
    ("IndexedDB", "Add", "indexeddb", &["object-store.add"]),
    ("IndexedDB", "Clear", "indexeddb", &["object-store.clear"]),
    ("IndexedDB", "Count", "indexeddb", &["object-store.count"]),
    ("IndexedDB", "CreateObjectStore", "indexeddb", &["database.create-object-store"]),
    ("IndexedDB", "Delete", "indexeddb", &["object-store.delete"]),
    ("IndexedDB", "DeleteObjectStore", "indexeddb", &["database.delete-object-store"]),
    ("IndexedDB", "DeleteRange", "indexeddb", &["object-store.delete-range"]),
    ("IndexedDB", "Get", "indexeddb", &["object-store.get"]),
    ("IndexedDB", "GetAll", "indexeddb", &["object-store.get-all"]),
    ("IndexedDB", "GetAllKeys", "indexeddb", &["object-store.get-all-keys"]),
    ("IndexedDB", "GetKey", "indexeddb", &["object-store.get-key"]),
    ("IndexedDB", "IndexCount", "indexeddb", &["object-store.index-count"]),
    ("IndexedDB", "IndexDelete", "indexeddb", &["object-store.index-delete"]),
    ("IndexedDB", "IndexGet", "indexeddb", &["object-store.index-get"]),
    ("IndexedDB", "IndexGetAll", "indexeddb", &["object-store.index-get-all"]),
    ("IndexedDB", "IndexGetAllKeys", "indexeddb", &["object-store.index-get-all-keys"]),
    ("IndexedDB", "IndexGetKey", "indexeddb", &["object-store.index-get-key"]),
    (
        "IndexedDB",
        "OpenCursor",
        "indexeddb",
        &[
            "object-store.open-cursor",
            "cursor.next",
            "cursor.continue-to-key",
            "cursor.advance",
            "cursor.update",
            "cursor.delete",
        ],
    ),
    ("IndexedDB", "Put", "indexeddb", &["object-store.put"]),
    (
        "IndexedDB",
        "Transaction",
        "indexeddb",
        &["database.begin", "transaction.store", "transaction.commit", "transaction.abort"],
    ),
    ("ProviderLifecycle", "ConfigureProvider", "provider-lifecycle", &["configure-provider"]),
    ("ProviderLifecycle", "GetProviderIdentity", "provider-lifecycle", &["get-provider-identity"]),
    ("ProviderLifecycle", "HealthCheck", "provider-lifecycle", &["health-check"]),
    ("ProviderLifecycle", "StartProvider", "provider-lifecycle", &["start-provider"]),
    ("RuntimeLogHost", "AppendLogs", "runtime-log-host", &["append-logs"]),
    ("S3", "CopyObject", "s3", &["handle.copy-object"]),
    ("S3", "DeleteObject", "s3", &["handle.delete-object"]),
    ("S3", "HeadObject", "s3", &["handle.head-object"]),
    ("S3", "ListObjects", "s3", &["handle.list-objects"]),
    ("S3", "PresignObject", "s3", &["handle.presign-object"]),
    ("S3", "ReadObject", "s3", &["handle.read-object", "object-reader.meta", "object-reader.read"]),
    ("S3", "WriteObject", "s3", &["handle.write-object", "object-writer.write", "object-writer.finish"]),
    ("S3ObjectAccess", "CreateObjectAccessURL", "s3", &["handle.create-object-access-url"]),
    ("WorkflowProvider", "ApplyDefinition", "workflow", &["apply-definition"]),
    ("WorkflowProvider", "CancelRun", "workflow", &["cancel-run"]),
    ("WorkflowProvider", "DeleteDefinition", "workflow", &["delete-definition"]),
    ("WorkflowProvider", "DeliverEvent", "workflow", &["deliver-event"]),
    ("WorkflowProvider", "GetDefinition", "workflow", &["get-definition"]),
    ("WorkflowProvider", "GetRun", "workflow", &["get-run"]),
    ("WorkflowProvider", "GetRunEvents", "workflow", &["get-run-events"]),
    ("WorkflowProvider", "GetRunOutput", "workflow", &["get-run-output"]),
    ("WorkflowProvider", "ListDefinitions", "workflow", &["list-definitions"]),
    ("WorkflowProvider", "ListRuns", "workflow", &["list-runs"]),
    ("WorkflowProvider", "SetActivationPaused", "workflow", &["set-activation-paused"]),
    ("WorkflowProvider", "SetDefinitionPaused", "workflow", &["set-definition-paused"]),
    ("WorkflowProvider", "SignalOrStartRun", "workflow", &["signal-or-start-run"]),
    ("WorkflowProvider", "SignalRun", "workflow", &["signal-run"]),
    ("WorkflowProvider", "StartRun", "workflow", &["start-run"]),
];

/// RPCs of mirrored services that no guest may call: they replace the whole authorization model, which follows from
/// the daemon's configuration.
const WITHHELD: &[(&str, &str)] =
    &[("AuthorizationProvider", "SetActiveModel"), ("AuthorizationProvider", "SetAuthorizationState")];

/// Functions without an RPC of protocol 4: what is a request header there (the binding), what is message content (the
/// context), what only names a store, and what came with protocol 5.
const ADDED: &[(&str, &str)] = &[
    ("cache", "handle.open"),
    ("indexeddb", "database.create-index"),
    ("indexeddb", "database.delete-index"),
    ("indexeddb", "database.open"),
    ("indexeddb", "database.store"),
    ("request-context", "context.info"),
    ("request-context", "context.retain"),
    ("s3", "handle.open"),
];

fn contract() -> Resolve {
    let mut resolve = Resolve::default();
    resolve.push_dir(WIT).unwrap_or_else(|error| panic!("wit/ does not parse: {error:#}"));
    resolve
}

/// Interfaces of our own package by name.
fn interfaces(resolve: &Resolve) -> BTreeMap<&str, &Interface> {
    let own = resolve.packages.iter().find(|(_, p)| p.name.namespace == "gestalt").map(|(_, p)| p).unwrap();
    assert_eq!(own.name.to_string(), "gestalt:provider@0.4.0");
    own.interfaces.iter().map(|(name, id)| (name.as_str(), &resolve.interfaces[*id])).collect()
}

/// `[method]object-store.get` → `object-store.get`.
fn plain(function: &Function) -> &str {
    function.name.rsplit(']').next().unwrap_or(&function.name)
}

/// `(service, rpc)` of every service of the protocol.
fn protocol() -> BTreeSet<(String, String)> {
    let facts = std::fs::read_to_string(FACTS).unwrap_or_else(|error| panic!("{FACTS}: {error}"));
    let rpcs: BTreeSet<_> = facts
        .lines()
        .filter_map(|line| line.strip_prefix("S gestalt.provider.v1."))
        .filter_map(|line| line.split(' ').next()?.split_once('/'))
        .map(|(service, rpc)| (service.to_owned(), rpc.to_owned()))
        .collect();
    assert!(rpcs.len() > 100, "the fact file lists only {} RPCs", rpcs.len());
    rpcs
}

#[test]
fn every_rpc_of_a_mirrored_service_is_mapped_or_withheld() {
    let services: BTreeSet<&str> = MIRROR.iter().map(|row| row.0).collect();
    let mirrored: BTreeSet<_> = protocol().into_iter().filter(|(s, _)| services.contains(s.as_str())).collect();
    let listed: Vec<_> = MIRROR.iter().map(|row| (row.0, row.1)).chain(WITHHELD.iter().copied()).collect();
    let unique: BTreeSet<_> = listed.iter().map(|(s, r)| ((*s).to_owned(), (*r).to_owned())).collect();
    assert_eq!(unique.len(), listed.len(), "an RPC is listed twice");
    assert_eq!(mirrored.difference(&unique).collect::<Vec<_>>(), [] as [&(String, String); 0], "not mapped");
    assert_eq!(unique.difference(&mirrored).collect::<Vec<_>>(), [] as [&(String, String); 0], "not in the protocol");
}

#[test]
fn every_mapping_names_a_function_and_every_function_has_one() {
    let resolve = contract();
    let offered: BTreeSet<(&str, &str)> = interfaces(&resolve)
        .into_iter()
        .flat_map(|(name, interface)| interface.functions.values().map(move |f| (name, plain(f))))
        .collect();
    let mapped: BTreeSet<(&str, &str)> = MIRROR
        .iter()
        .flat_map(|(_, _, interface, functions)| functions.iter().map(move |f| (*interface, *f)))
        .chain(ADDED.iter().copied())
        .collect();
    assert_eq!(mapped.difference(&offered).collect::<Vec<_>>(), [] as [&(&str, &str); 0], "no such function");
    assert_eq!(offered.difference(&mapped).collect::<Vec<_>>(), [] as [&(&str, &str); 0], "mirrors nothing");
}

#[test]
fn every_function_can_fail_with_an_rpc_error() {
    let resolve = contract();
    // Reading what the host already handed over cannot fail.
    let infallible = [
        ("indexeddb", "database.store"),
        ("request-context", "context.info"),
        ("request-context", "context.retain"),
        ("s3", "object-reader.meta"),
    ];
    for (name, interface) in interfaces(&resolve) {
        for function in interface.functions.values() {
            let error = match &function.result {
                Some(Type::Id(id)) => match &resolve.types[*id].kind {
                    TypeDefKind::Result(result) => result.err,
                    _ => None,
                },
                _ => None,
            };
            let error = error.and_then(|error| match error {
                Type::Id(id) => resolve.types[id].name.as_deref(),
                _ => None,
            });
            let expect = (!infallible.contains(&(name, plain(function)))).then_some("rpc-error");
            assert_eq!(error, expect, "{name}.{}", plain(function));
        }
    }
}

#[test]
fn everything_is_documented() {
    let resolve = contract();
    let mut silent = Vec::new();
    let mut check = |what: String, docs: &Docs| {
        if docs.contents.as_deref().is_none_or(|text| text.trim().is_empty()) {
            silent.push(what);
        }
    };
    for (name, interface) in interfaces(&resolve) {
        check(format!("interface {name}"), &interface.docs);
        for (ty, id) in &interface.types {
            // A name that `use` brought in is documented where it is defined.
            let used = matches!(&resolve.types[*id].kind, TypeDefKind::Type(Type::Id(definition))
                if resolve.types[*definition].owner != resolve.types[*id].owner);
            if !used {
                check(format!("{name}.{ty}"), &resolve.types[*id].docs);
            }
        }
        for function in interface.functions.values() {
            check(format!("{name}.{}", plain(function)), &function.docs);
        }
    }
    for (_, package) in resolve.packages.iter().filter(|(_, p)| p.name.namespace == "gestalt") {
        check("package".into(), &package.docs);
        for (name, id) in &package.worlds {
            check(format!("world {name}"), &resolve.worlds[*id].docs);
        }
    }
    assert_eq!(silent, [] as [String; 0], "without a doc comment");
}

#[test]
fn worlds_ask_for_what_their_kind_must_export_and_offer_no_more_of_wasi_than_http() {
    let resolve = contract();
    for (world, export) in [("app-component", "app-provider"), ("agent-component", "provider-lifecycle")] {
        let (_, world) = resolve.worlds.iter().find(|(_, w)| w.name == world).unwrap();
        let names = |items: &IndexMap<WorldKey, WorldItem>| -> Vec<String> {
            items.keys().map(|key| resolve.name_world_key(key)).collect()
        };
        assert_eq!(names(&world.exports), [format!("gestalt:provider/{export}@0.4.0")]);
        for import in names(&world.imports) {
            let wasi = ["wasi:http/types", "wasi:http/outgoing-handler", "wasi:io/", "wasi:clocks/monotonic-clock"];
            assert!(
                import.starts_with("gestalt:provider/") || wasi.iter().any(|prefix| import.starts_with(prefix)),
                "{import}"
            );
        }
    }
}
