//! wasmtime by itself: a fresh instance of the echo component, one call, and the end of it.

use crate::table::Table;
use crate::{Latency, PARAMS, all_at_once, one_by_one};
use bindings::exports::gestalt::provider::app_provider::ExecuteRequest;
use bindings::gestalt::provider::app::{self, GraphqlRequest, InvokeRequest};
use bindings::gestalt::provider::common::{ContextInfo, OperationResult, RpcError};
use bindings::gestalt::provider::request_context::{self, HostContext};
use bindings::{Guest, GuestPre};
use gestalt_core::limits::RuntimeLimits;
use gestalt_tests::examples::manifest;
use std::sync::Arc;
use wasmtime::component::{Component, HasSelf, Linker, Resource, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

mod bindings {
    #![allow(missing_docs, unreachable_pub, unused_qualifications, reason = "generated; wit/ is the documentation")]

    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "
            package gestalt:bench;
            world guest {
                import gestalt:provider/request-context@0.4.0;
                import gestalt:provider/app@0.4.0;
                export gestalt:provider/app-provider@0.4.0;
            }
        ",
        world: "gestalt:bench/guest",
        imports: { default: trappable },
        exports: { default: async },
        with: { "gestalt:provider/request-context.context": super::Context },
    });
}

/// What the bindings make of a function that answers with a result, and may trap.
type AppAnswer = wasmtime::Result<Result<OperationResult, RpcError>>;

/// Stands for a call nobody asks about.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Context;

struct State {
    table: ResourceTable,
    wasi: WasiCtx,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl request_context::Host for State {}

impl app::Host for State {
    fn invoke(&mut self, _: Resource<Context>, _: InvokeRequest) -> AppAnswer {
        Err(wasmtime::Error::msg("echo calls nobody"))
    }

    fn invoke_graphql(&mut self, _: Resource<Context>, _: GraphqlRequest) -> AppAnswer {
        Err(wasmtime::Error::msg("echo calls nobody"))
    }
}

impl HostContext for State {
    fn info(&mut self, _: Resource<Context>) -> wasmtime::Result<ContextInfo> {
        Err(wasmtime::Error::msg("echo asks for no context"))
    }

    fn retain(&mut self, _: Resource<Context>) -> wasmtime::Result<Resource<Context>> {
        Err(wasmtime::Error::msg("echo keeps no context"))
    }

    fn drop(&mut self, context: Resource<Context>) -> wasmtime::Result<()> {
        self.table.delete(context)?;
        Ok(())
    }
}

struct Floor {
    engine: Engine,
    pre: GuestPre<State>,
}

impl Floor {
    fn build() -> Self {
        let engine = Engine::new(&gestalt_runtime_wasm::bench::engine_config(&RuntimeLimits::default())).unwrap();
        let file = manifest("echo").with_file_name(".gestalt/build/echo.wasm");
        let component = Component::from_file(&engine, file).unwrap();
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
        request_context::add_to_linker::<_, HasSelf<_>>(&mut linker, |s| s).unwrap();
        app::add_to_linker::<_, HasSelf<_>>(&mut linker, |s| s).unwrap();
        let pre = GuestPre::new(linker.instantiate_pre(&component).unwrap()).unwrap();
        Self { engine, pre }
    }

    async fn call(&self) {
        let state = State { table: ResourceTable::new(), wasi: WasiCtx::builder().build() };
        let mut store = Store::new(&self.engine, state);
        store.set_epoch_deadline(u64::MAX >> 1);
        let guest: Guest = self.pre.instantiate_async(&mut store).await.unwrap();
        let provider = guest.gestalt_provider_app_provider();
        provider.call_start_provider(&mut store, "echo", None).await.unwrap().unwrap();
        let context = store.data_mut().table.push(Context).unwrap();
        let request = ExecuteRequest {
            operation: "echo".into(),
            params: Some(PARAMS.into()),
            token: String::new(),
            connection_params: Vec::new(),
            invocation_id: "bench".into(),
            idempotency_key: String::new(),
        };
        let result = provider.call_execute(&mut store, context, &request).await.unwrap().unwrap();
        assert_eq!((result.status, result.body.len()), (200, PARAMS.len()));
    }
}

/// Row a.
pub(crate) async fn measure(table: &mut Table) -> Latency {
    let floor = Arc::new(Floor::build());
    let caller = || {
        let floor = floor.clone();
        move || {
            let floor = floor.clone();
            async move { floor.call().await }
        }
    };
    let latency = one_by_one("wasmtime alone", caller()).await;
    let (rate, _) = all_at_once(async || caller()).await;
    table.latency("a. wasmtime alone: fresh instance, start, echo, drop", latency, Some(rate));
    latency
}
