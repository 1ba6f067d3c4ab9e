//! An app with both declared operations and code of its own, as one executor around the two.

use async_trait::async_trait;
use gestalt_core::{
    Call, Catalog, Credential, ExecError, Executor, HttpSubjectRequest, Metadata, Operation, Reply, SubjectRef,
};
use std::sync::Arc;

/// Sends declared operations to `declared`, all others to `code`.
pub(super) struct Hybrid {
    declared: Arc<dyn Executor>,
    code: Arc<dyn Executor>,
    catalog: Arc<Catalog>,
}

/// The two halves both have an operation of that id.
#[derive(Debug, thiserror::Error)]
#[error("operation {0:?} is both declared in the manifest and offered by the app's code")]
pub(super) struct DuplicateOperation(String);

impl Hybrid {
    /// Joins the two.
    ///
    /// # Errors
    /// When both offer the same operation.
    pub(super) async fn build(declared: Arc<dyn Executor>, code: Arc<dyn Executor>) -> anyhow::Result<Self> {
        let (ours, theirs) = (declared.catalog(None).await?, code.catalog(None).await?);
        if let Some(twice) = ours.operations().iter().find(|op| theirs.find(&op.id).is_some()) {
            return Err(DuplicateOperation(twice.id.clone()).into());
        }
        let catalog = Arc::new(join(&ours, &theirs));
        Ok(Self { declared, code, catalog })
    }

    async fn declares(&self, operation: &str) -> Result<bool, ExecError> {
        Ok(self.declared.catalog(None).await?.find(operation).is_some())
    }
}

fn join(declared: &Catalog, code: &Catalog) -> Catalog {
    let operations: Vec<Operation> =
        declared.operations().iter().chain(code.operations()).map(|op| op.as_ref().clone()).collect();
    let mut joined = Catalog::new(operations);
    joined.display_name.clone_from(&code.display_name);
    joined.description.clone_from(&code.description);
    joined.icon_svg.clone_from(&code.icon_svg);
    joined
}

#[async_trait]
impl Executor for Hybrid {
    async fn catalog(&self, credential: Option<&Credential>) -> Result<Arc<Catalog>, ExecError> {
        match credential {
            None => Ok(self.catalog.clone()),
            Some(_) => {
                let (ours, theirs) = (self.declared.catalog(credential).await?, self.code.catalog(credential).await?);
                Ok(Arc::new(join(&ours, &theirs)))
            }
        }
    }

    async fn execute(&self, call: Call) -> Result<Reply, ExecError> {
        if self.declares(&call.operation).await? {
            self.declared.execute(call).await
        } else {
            self.code.execute(call).await
        }
    }

    async fn post_connect(&self, credential: &Credential) -> Result<Metadata, ExecError> {
        self.code.post_connect(credential).await
    }

    async fn http_subject(&self, request: &HttpSubjectRequest) -> Result<Option<SubjectRef>, ExecError> {
        self.code.http_subject(request).await
    }

    async fn shutdown(&self) {
        tokio::join!(self.declared.shutdown(), self.code.shutdown());
    }
}
