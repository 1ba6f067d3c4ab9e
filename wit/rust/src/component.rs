use crate::bindings::exports::gestalt::provider::app_provider::{
    ConnectionMode, Context, ExecuteRequest, Guest, HttpSubject, HttpSubjectRequest, Metadata, SessionCatalogRequest,
};
use crate::bindings::gestalt::provider::catalog::Catalog;
use crate::bindings::gestalt::provider::common::{OperationResult, RpcError, StatusCode};
use crate::{Answer, App, Request, Start};
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;

/// Where a component's app comes from; [`export!`](crate::export) implements it.
pub trait Provide {
    /// Builds the app. Called once per instance.
    fn app() -> App;
}

thread_local! {
    static APP: OnceCell<App> = const { OnceCell::new() };
    static START: RefCell<Start> = RefCell::default();
}

fn with_app<T: Provide, R>(use_app: impl FnOnce(&App) -> R) -> R {
    APP.with(|app| use_app(app.get_or_init(T::app)))
}

fn unimplemented() -> RpcError {
    RpcError { code: StatusCode::Unimplemented, message: "not offered by this app".into() }
}

impl<T: Provide> Guest for T {
    fn get_metadata() -> Result<Metadata, RpcError> {
        with_app::<T, _>(|app| {
            if let Some(id) = app.duplicate() {
                let message = format!("operation `{id}` is registered more than once");
                return Err(RpcError { code: StatusCode::FailedPrecondition, message });
            }
            let catalog = app.catalog();
            Ok(Metadata {
                name: catalog.name.clone(),
                display_name: catalog.display_name.clone(),
                description: catalog.description.clone(),
                connection_mode: ConnectionMode::Unspecified,
                auth_types: Vec::new(),
                connection_params: Vec::new(),
                static_catalog: Some(catalog),
                supports_session_catalog: false,
            })
        })
    }

    fn start_provider(name: String, config: Option<String>) -> Result<(), RpcError> {
        let start = Start { name, config };
        let started = with_app::<T, _>(|app| app.start(&start));
        START.replace(start);
        started.map_err(|error| RpcError {
            code: StatusCode::FailedPrecondition,
            message: error.detail().unwrap_or_else(|| error.message()).to_owned(),
        })
    }

    fn execute(ctx: Context, req: ExecuteRequest) -> Result<OperationResult, RpcError> {
        let request = Request::from_host(req, ctx, START.with_borrow(Start::clone));
        Ok(with_app::<T, _>(|app| app.call(&request)).into())
    }

    fn get_session_catalog(_ctx: Context, _req: SessionCatalogRequest) -> Result<Catalog, RpcError> {
        Err(unimplemented())
    }

    fn resolve_http_subject(_ctx: Context, _req: HttpSubjectRequest) -> Result<HttpSubject, RpcError> {
        Err(unimplemented())
    }
}

impl From<Answer> for OperationResult {
    fn from(answer: Answer) -> Self {
        let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in answer.headers {
            headers.entry(name).or_default().push(value);
        }
        Self { status: answer.status.into(), body: answer.body, headers: headers.into_iter().collect() }
    }
}
