//! `wasi:http/types`, where ours is not wasmtime's: what a guest makes the host keep is counted.
//!
//! A collection of fields is bounded by `fieldBytes` and the number of collections by `handles`, but the product of the two
//! is a quarter of a gigabyte for each instance. Path and authority of a request that is never sent come on top, and its
//! method has no bound at all. So all that one call puts into collections and requests comes out of one account.

use crate::host::http::body_error_code;
use crate::state::State;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::p2::IoError;
use wasmtime_wasi_http::p2::HeaderResult;
use wasmtime_wasi_http::p2::bindings::http::types::{
    ErrorCode, Fields, HeaderError, Host, HostFields, HostOutgoingRequest, Method, OutgoingRequest,
};
use wasmtime_wasi_http::{Error, WasiHttpView};

/// What one call may put into collections and requests, in collections filled to `fieldBytes`.
pub(crate) const FULL_COLLECTIONS: usize = 256;

/// What an entry costs beside its bytes.
const ENTRY: usize = 64;

/// Bytes of a method. No registered one is half as long, and the policy knows seven.
const METHOD: usize = 64;

/// The account is used up.
#[derive(Debug, thiserror::Error)]
#[error("too much put into headers and requests")]
pub(crate) struct Overdrawn;

type Store<'a> = StoreContextMut<'a, State>;

/// Replaces the functions that keep what they are given, and `http-error-code`.
pub(crate) fn replace(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut types = linker.instance("wasi:http/types@0.2.12")?;
    types.func_wrap(
        "[method]fields.append",
        |mut store: Store<'_>, (fields, name, value): (Resource<Fields>, String, Vec<u8>)| {
            charge(&mut store, ENTRY + name.len() + value.len())?;
            let appended = store.data_mut().http().append(fields, name, value);
            header(&mut store, appended)
        },
    )?;
    types.func_wrap(
        "[method]fields.set",
        |mut store: Store<'_>, (fields, name, values): (Resource<Fields>, String, Vec<Vec<u8>>)| {
            charge(&mut store, name.len() + values.iter().map(|value| ENTRY + value.len()).sum::<usize>())?;
            let set = store.data_mut().http().set(fields, name, values);
            header(&mut store, set)
        },
    )?;
    types.func_wrap("[static]fields.from-list", |mut store: Store<'_>, (entries,): (Vec<(String, Vec<u8>)>,)| {
        charge(&mut store, entries.iter().map(|(name, value)| ENTRY + name.len() + value.len()).sum())?;
        let made = store.data_mut().http().from_list(entries);
        header(&mut store, made)
    })?;
    types.func_wrap("[method]fields.clone", |mut store: Store<'_>, (fields,): (Resource<Fields>,)| {
        let entries = store.data().table.get(&fields)?.iter();
        // The first change to a clone copies all of it.
        let bytes = entries.map(|(name, value)| ENTRY + name.as_str().len() + value.len()).sum();
        charge(&mut store, bytes)?;
        Ok((HostFields::clone(&mut store.data_mut().http(), fields)?,))
    })?;
    types.func_wrap(
        "[method]outgoing-request.set-method",
        |mut store: Store<'_>, (request, method): (Resource<OutgoingRequest>, Method)| {
            if matches!(&method, Method::Other(name) if name.len() > METHOD) {
                return Ok((Err(()),));
            }
            Ok((store.data_mut().http().set_method(request, method)?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-path-with-query",
        |mut store: Store<'_>, (request, path): (Resource<OutgoingRequest>, Option<String>)| {
            charge(&mut store, path.as_deref().map_or(0, str::len))?;
            Ok((store.data_mut().http().set_path_with_query(request, path)?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-authority",
        |mut store: Store<'_>, (request, authority): (Resource<OutgoingRequest>, Option<String>)| {
            charge(&mut store, authority.as_deref().map_or(0, str::len))?;
            Ok((store.data_mut().http().set_authority(request, authority)?,))
        },
    )?;
    // wasmtime-wasi-http 48.0.8 looks for its wire type in the stream's error, where its body puts its own: a guest would
    // always hear that what broke its body off was no HTTP error.
    types.func_wrap("http-error-code", |store: Store<'_>, (error,): (Resource<IoError>,)| {
        let error = store.data().table.get(&error)?;
        let code = error.downcast_ref::<ErrorCode>().cloned();
        Ok((code.or_else(|| error.downcast_ref::<Error>().map(body_error_code)),))
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

fn charge(store: &mut Store<'_>, bytes: usize) -> wasmtime::Result<()> {
    let held = &mut store.data_mut().held;
    *held = held.checked_sub(bytes).ok_or(Overdrawn)?;
    Ok(())
}

/// A result as the guest gets it; what is not for a guest becomes a trap.
fn header<T>(store: &mut Store<'_>, result: HeaderResult<T>) -> wasmtime::Result<(Result<T, HeaderError>,)> {
    Ok((match result {
        Ok(made) => Ok(made),
        Err(error) => Err(store.data_mut().http().convert_header_error(error)?),
    },))
}
