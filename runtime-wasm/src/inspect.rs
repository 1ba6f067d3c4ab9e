//! What a component asks for, told to a person before any of its code runs.

use crate::vet::{Kind, Name};
use crate::{Runtime, WasmError};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// A component, from outside.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// sha256 of its bytes, in hexadecimal.
    pub digest: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// Everything it imports, in its own order.
    pub imports: Vec<Import>,
}

/// One interface that a component imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Its name: `package/interface@version`.
    pub name: String,
    /// What stands behind it.
    pub reach: Reach,
}

/// What stands behind an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It does what it says.
    Live,
    /// It is there, and leads nowhere.
    Inert,
    /// It can be called, and refuses.
    Denied,
    /// It will do what it says, but answers `unavailable` for now.
    Unavailable,
    /// Nothing: a component that imports it is not started.
    Refused,
}

impl From<Option<Kind>> for Reach {
    fn from(kind: Option<Kind>) -> Self {
        match kind {
            Some(Kind::Live) => Self::Live,
            Some(Kind::Inert) => Self::Inert,
            Some(Kind::Denied) => Self::Denied,
            Some(Kind::Unavailable) => Self::Unavailable,
            None => Self::Refused,
        }
    }
}

impl Runtime {
    /// Reads and compiles a component, as for a launch, and tells what it imports. None of its code runs.
    ///
    /// # Errors
    /// When the file cannot be read, is no component, or cannot be compiled within the runtime's bounds.
    pub async fn inspect(&self, file: &Path) -> Result<Inspection, WasmError> {
        let imports = match self.components.load(file.to_owned()).await {
            Ok(component) => {
                let ty = component.component_type();
                let import = |name: &str| Import {
                    name: name.to_owned(),
                    reach: Name::parse(name).and_then(|name| name.kind()).into(),
                };
                ty.imports(&self.engine).map(|(name, _)| import(name)).collect()
            }
            // Of such a component nothing else matters.
            Err(WasmError::ForeignImports(names)) => {
                names.into_iter().map(|name| Import { name, reach: Reach::Refused }).collect()
            }
            Err(error) => return Err(error),
        };
        let (digest, bytes) = digest(file.to_owned()).await?;
        Ok(Inspection { digest, bytes, imports })
    }
}

/// The file has been read once, and was not too large.
async fn digest(path: PathBuf) -> Result<(String, u64), WasmError> {
    let read = tokio::task::spawn_blocking(move || {
        std::fs::read(&path).map_err(|source| WasmError::Read { path, source: source.into() })
    });
    let bytes = read.await.map_err(|error| WasmError::Engine(error.to_string()))??;
    let digest = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((digest, bytes.len() as u64))
}
