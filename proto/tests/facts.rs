//! Holds the compiled descriptors against the recorded facts of the protocol, line by line and in both directions.

#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};
use std::collections::BTreeSet;

const PACKAGE: &str = "gestalt.provider.v1";

/// The one intended difference: (recorded, ours). The reason stands at the field.
const INTENDED: [(&str, &str); 1] =
    [("M gestalt.provider.v1.OperationResult 2 string body", "M gestalt.provider.v1.OperationResult 2 bytes body")];

/// `E enum number NAME`, `M message number [label] type name [oneof name]`, `M message -` for an empty one,
/// `S service/method [stream ]input -> [stream ]output`.
fn render(pool: &DescriptorPool) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for item in pool.all_enums().filter(|e| e.package_name() == PACKAGE) {
        lines.extend(item.values().map(|v| format!("E {} {} {}", item.full_name(), v.number(), v.name())));
    }
    for item in pool.all_messages().filter(|m| m.package_name() == PACKAGE) {
        render_message(&item, &mut lines);
    }
    for service in pool.services() {
        lines.extend(service.methods().map(|m| {
            let stream = |on| if on { "stream " } else { "" };
            format!(
                "S {}/{} {}{} -> {}{}",
                service.full_name(),
                m.name(),
                stream(m.is_client_streaming()),
                m.input().full_name(),
                stream(m.is_server_streaming()),
                m.output().full_name()
            )
        }));
    }
    lines
}

fn render_message(message: &MessageDescriptor, lines: &mut BTreeSet<String>) {
    if message.fields().len() == 0 {
        lines.insert(format!("M {} -", message.full_name()));
    }
    lines.extend(message.fields().map(|f| format!("M {} {}", message.full_name(), render_field(&f))));
}

fn render_field(field: &FieldDescriptor) -> String {
    let optional = field.field_descriptor_proto().proto3_optional();
    let label = match () {
        () if field.is_list() || field.is_map() => "repeated ",
        () if optional => "optional ",
        () => "",
    };
    let kind = match field.kind() {
        Kind::Message(m) => m.full_name().to_owned(),
        Kind::Enum(e) => e.full_name().to_owned(),
        scalar => format!("{scalar:?}").to_lowercase(),
    };
    let oneof = field.containing_oneof().filter(|_| !optional).map(|o| format!(" oneof {}", o.name()));
    format!("{} {label}{kind} {}{}", field.number(), field.name(), oneof.unwrap_or_default())
}

/// What protocol 4 added to the messages the two versions share here; a peer of protocol 3 skips or omits it.
const ADDED_TO_3: [&str; 3] = [
    "M gestalt.provider.v1.OperationResult 3 repeated gestalt.provider.v1.OperationResult.HeadersEntry headers",
    "M gestalt.provider.v1.OperationResult.HeadersEntry 1 string key",
    "M gestalt.provider.v1.OperationResult.HeadersEntry 2 gestalt.provider.v1.StringList value",
];

fn check(descriptors: &[u8], recorded: &str, added: &[&str]) {
    let pool = DescriptorPool::decode(descriptors).unwrap();
    let ours = render(&pool);
    let mut recorded: BTreeSet<String> = recorded.lines().map(str::to_owned).collect();
    for (theirs, replacement) in INTENDED {
        assert!(recorded.remove(theirs), "the intended difference is gone from the facts: {theirs}");
        recorded.insert(replacement.to_owned());
    }
    recorded.extend(added.iter().map(|&line| line.to_owned()));
    let missing: Vec<_> = recorded.difference(&ours).collect();
    let surplus: Vec<_> = ours.difference(&recorded).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "missing: {missing:#?}\nnot in the facts: {surplus:#?}");
}

#[test]
fn protocol_4_is_exactly_as_recorded() {
    check(gestalt_proto::DESCRIPTORS_V4, include_str!("protocol-4.txt"), &[]);
}

#[test]
fn the_app_side_of_protocol_3_is_exactly_as_recorded() {
    check(gestalt_proto::DESCRIPTORS_V3, include_str!("protocol-3-app.txt"), &ADDED_TO_3);
}
