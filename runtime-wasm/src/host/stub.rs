//! Imports that are there to be refused: `wasi:sockets`, and services of our own that have no implementation yet.
//!
//! They are made from the component's own description of them, under the very name it asks for. No handle of theirs
//! can ever exist, as whatever could make one answers with an error; all their other functions trap.

use crate::state::State;
use crate::vet::{Kind, Name};
use gestalt_core::egress::Sidestep;
use std::sync::Arc;
use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{Component, Linker, LinkerInstance, Resource, ResourceType, Val};

/// Bytes of a name somebody tried to look up, of which no more than 253 are a name.
const NAME: usize = 512;

/// Resources of all stubbed interfaces together. Those of WASI and of our own services have seventeen.
const RESOURCES: usize = 64;

/// The host's side of a resource that is never made.
enum Nothing {}

/// Adds what `component` imports beyond the shared linker.
pub(crate) fn link(linker: &mut Linker<State>, component: &Component) -> wasmtime::Result<()> {
    let engine = linker.engine().clone();
    let ty = component.component_type();
    // A resource that an earlier interface has introduced is an alias here, and not to be defined again.
    let mut known = Vec::new();
    for (name, import) in ty.imports(&engine) {
        let ComponentItem::ComponentInstance(instance) = import.ty else { continue };
        let kind = Name::parse(name).and_then(|n| n.kind());
        let fresh: Vec<String> = instance
            .exports(&engine)
            .filter_map(|(export, item)| match item.ty {
                // One more than there may be is enough to tell.
                ComponentItem::Resource(ty) if known.len() <= RESOURCES && !known.contains(&ty) => {
                    known.push(ty);
                    Some(export.to_owned())
                }
                _ => None,
            })
            .collect();
        if known.len() > RESOURCES {
            return Err(wasmtime::Error::msg(format!("{name} has more resources than there are")));
        }
        let answer = match kind {
            Some(Kind::Denied) => deny,
            Some(Kind::Unavailable) => unavailable,
            _ => continue,
        };
        let mut linked = linker.instance(name)?;
        for resource in fresh {
            linked.resource(&resource, ResourceType::host::<Nothing>(), |_, _| Ok(()))?;
        }
        functions(&mut linked, &engine, &instance, name, answer)?;
    }
    Ok(())
}

/// Defines every function of an interface by what `answer` makes of its name.
fn functions(
    linked: &mut LinkerInstance<'_, State>,
    engine: &wasmtime::Engine,
    instance: &ComponentInstance,
    interface: &str,
    answer: fn(&str) -> Option<Val>,
) -> wasmtime::Result<()> {
    for (function, item) in instance.exports(engine) {
        if !matches!(item.ty, ComponentItem::ComponentFunc(_)) {
            continue;
        }
        if function == "instance-network" {
            // The one handle that exists without leading anywhere: libraries fetch it before they are refused.
            linked.func_wrap(function, |_, (): ()| Ok((Resource::<Nothing>::new_own(0),)))?;
            continue;
        }
        let name: Arc<str> = format!("{interface}#{function}").into();
        let answer = answer(function);
        linked.func_new_async(function, move |mut store, _, arguments, results| {
            let (name, answer) = (name.clone(), answer.clone());
            Box::new(async move {
                if let Some(sidestep) = sidestep(&name, arguments) {
                    let hooks = &store.data().hooks;
                    hooks.outbound.sidestepped(sidestep, hooks.attribution());
                }
                let (Some(answer), [result]) = (answer, results) else {
                    return Err(wasmtime::Error::msg(format!("{name} cannot be called")));
                };
                // What was lent has to be given back before the call returns.
                for argument in arguments {
                    if let Val::Resource(resource) = argument {
                        resource.resource_drop_async(&mut store).await?;
                    }
                }
                *result = answer;
                Ok(())
            })
        })?;
    }
    Ok(())
}

/// Nothing that would make a socket or resolve a name does.
fn deny(function: &str) -> Option<Val> {
    let makes_something = matches!(function, "create-tcp-socket" | "create-udp-socket" | "resolve-addresses");
    makes_something.then(|| error(Val::Enum("access-denied".into())))
}

/// What the operator is told that the guest tried.
fn sidestep(name: &str, arguments: &[Val]) -> Option<Sidestep> {
    match name.rsplit_once('#')?.1 {
        "create-tcp-socket" => Some(Sidestep::Tcp),
        "create-udp-socket" => Some(Sidestep::Udp),
        "resolve-addresses" => {
            let name = arguments.iter().find_map(|argument| match argument {
                Val::String(name) => Some(name[..name.floor_char_boundary(NAME)].to_owned()),
                _ => None,
            });
            Some(Sidestep::Lookup(name.unwrap_or_default()))
        }
        _ => None,
    }
}

/// Every function of our own package answers `result<_, rpc-error>`; for one that does not, this value does not fit
/// and the call traps.
fn unavailable(_function: &str) -> Option<Val> {
    Some(error(Val::Record(vec![
        ("code".into(), Val::Variant("unavailable".into(), None)),
        ("message".into(), Val::String("this host service is not configured".into())),
    ])))
}

fn error(value: Val) -> Val {
    Val::Result(Err(Some(Box::new(value))))
}
