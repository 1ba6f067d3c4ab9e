//! Which host functions stand behind the imports an app may have. What [`crate::vet`] allows and nothing else.

use crate::bindings::gestalt::provider::{app, request_context, runtime_log_host};
use crate::host::{held, stub};
use crate::state::State;
use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, InstancePre, Linker};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::{cli, filesystem, random};
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi::random::WasiRandomView;

/// The linker all apps share.
pub(crate) fn shared(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    let l = &mut linker;

    request_context::add_to_linker::<_, HasSelf<State>>(l, |state| state)?;
    app::add_to_linker::<_, HasSelf<State>>(l, |state| state)?;
    runtime_log_host::add_to_linker::<_, HasSelf<State>>(l, |state| state)?;

    // io, clocks, secure random, and the three standard streams.
    wasmtime_wasi::p2::add_to_linker_proxy_interfaces_async(l)?;
    random::insecure::add_to_linker::<_, WasiRandom>(l, State::random)?;
    random::insecure_seed::add_to_linker::<_, WasiRandom>(l, State::random)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(l)?;
    held::replace(l)?;

    cli::environment::add_to_linker::<_, HasSelf<State>>(l, |state| state)?;
    cli::exit::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(l, State::cli)?;
    // Without a preopened directory there is no descriptor to start from, so none of its functions reaches the disk.
    filesystem::types::add_to_linker::<_, WasiFilesystem>(l, State::filesystem)?;
    filesystem::preopens::add_to_linker::<_, WasiFilesystem>(l, State::filesystem)?;
    Ok(linker)
}

/// Resolves a vetted component's imports, once for all its instances.
pub(crate) fn resolve(
    shared: &Linker<State>,
    component: &Component,
    has_stubs: bool,
) -> wasmtime::Result<InstancePre<State>> {
    if !has_stubs {
        return shared.instantiate_pre(component);
    }
    let mut linker = shared.clone();
    stub::link(&mut linker, component)?;
    linker.instantiate_pre(component)
}
