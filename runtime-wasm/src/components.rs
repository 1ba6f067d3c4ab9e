//! The components in use, each compiled and mapped once, however many apps are made of it.

use crate::cache::{Cache, Digest, Lookup};
use crate::compile::Compiler;
use crate::{WasmError, compile};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use gestalt_core::limits::ByteSize;
use gestalt_core::metrics::{Event, Meter};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;
use tokio::sync::{AcquireError, Semaphore};
use wasmtime::component::Component;

/// Files read and artifacts mapped at once: work for one thread each, and the size of a component in memory.
const READERS: usize = 4;

/// A compiled component, as long as any app is made of it.
pub(crate) type Loaded = Arc<Component>;

type Loading = BoxFuture<'static, Result<Loaded, WasmError>>;

/// Where a component is on its way to code.
enum Known {
    Loading(WeakShared<Loading>),
    Loaded(Weak<Component>),
}

/// From files to components, through the cache.
pub(crate) struct Components {
    cache: Arc<Cache>,
    compiler: Arc<Compiler>,
    meter: Arc<dyn Meter>,
    most: ByteSize,
    readers: Arc<Semaphore>,
    known: Mutex<HashMap<Digest, Known>>,
}

impl Components {
    pub(crate) fn new(cache: Cache, compiler: Compiler, meter: Arc<dyn Meter>, most: ByteSize) -> Self {
        let (readers, known) = (Arc::new(Semaphore::new(READERS)), Mutex::default());
        Self { cache: Arc::new(cache), compiler: Arc::new(compiler), meter, most, readers, known }
    }

    /// The compiled component of a file.
    ///
    /// Who asks for one that another is waiting for waits with him, and shares what comes of it, a failure included: a
    /// bomb under a hundred names goes off once.
    pub(crate) async fn load(&self, path: PathBuf) -> Result<Loaded, WasmError> {
        let place = self.readers.acquire().await.map_err(closed)?;
        let (file, most) = (path.clone(), self.most);
        let (bytes, digest) = blocking(move || {
            let bytes = read(&path, most.0).map_err(|e| WasmError::Read { path, source: Arc::new(e) })?;
            let bytes = bytes.ok_or(WasmError::TooLarge { max: most })?;
            compile::check_header(&bytes)?;
            let digest: Digest = Sha256::digest(&bytes).into();
            Ok((bytes, digest))
        })
        .await?;
        let loading = match self.join(digest, bytes, file) {
            Ok(loaded) => return Ok(loaded),
            Err(loading) => loading,
        };
        drop(place);
        let outcome = loading.await;
        let mut known = self.known();
        match &outcome {
            Ok(loaded) => drop(known.insert(digest, Known::Loaded(Arc::downgrade(loaded)))),
            // Who asks later tries again.
            Err(_) => drop(known.remove(&digest)),
        }
        outcome
    }

    /// The component if it is there, else the loading of it: the one under way, or one that begins with `bytes`.
    fn join(&self, digest: Digest, bytes: Vec<u8>, file: PathBuf) -> Result<Loaded, Shared<Loading>> {
        let mut known = self.known();
        // What nobody uses any more is forgotten here, the only place where anything is added.
        known.retain(|_, known| match known {
            Known::Loading(loading) => loading.upgrade().is_some(),
            Known::Loaded(loaded) => loaded.strong_count() > 0,
        });
        match known.get(&digest) {
            Some(Known::Loaded(loaded)) => {
                if let Some(loaded) = loaded.upgrade() {
                    return Ok(loaded);
                }
            }
            Some(Known::Loading(loading)) => {
                if let Some(loading) = loading.upgrade() {
                    return Err(loading);
                }
            }
            None => {}
        }
        let making = Making {
            cache: self.cache.clone(),
            compiler: self.compiler.clone(),
            meter: self.meter.clone(),
            readers: self.readers.clone(),
            digest,
        };
        let making = making.run(bytes, file);
        let loading = making.boxed().shared();
        if let Some(weak) = loading.downgrade() {
            known.insert(digest, Known::Loading(weak));
        }
        Err(loading)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Digest, Known>> {
        // Every change of it is one insertion or removal.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One component on its way.
struct Making {
    cache: Arc<Cache>,
    compiler: Arc<Compiler>,
    meter: Arc<dyn Meter>,
    readers: Arc<Semaphore>,
    digest: Digest,
}

impl Making {
    /// Maps the artifact of a component, made first unless the cache has it.
    async fn run(self, bytes: Vec<u8>, file: PathBuf) -> Result<Loaded, WasmError> {
        let begun = Instant::now();
        let reason = match self.lookup().await? {
            Lookup::Hit(component) => {
                self.meter.record(Event::Compile { cached: true, duration: begun.elapsed() });
                return Ok(Arc::new(component));
            }
            Lookup::Miss(reason) => reason,
        };
        tracing::info!(component = %file.display(), %reason, "compiling");
        // No reader's place meanwhile: components with an artifact do not wait for those without.
        let artifact = self.compiler.compile(bytes).await?;
        let (cache, digest) = (self.cache.clone(), self.digest);
        blocking(move || cache.store(&digest, &artifact)).await?;
        // Loaded from where it was stored: the one way in, whoever compiled it and whenever.
        match self.lookup().await? {
            Lookup::Hit(component) => {
                self.meter.record(Event::Compile { cached: false, duration: begun.elapsed() });
                Ok(Arc::new(component))
            }
            Lookup::Miss(reason) => Err(WasmError::Invalid(reason)),
        }
    }

    async fn lookup(&self) -> Result<Lookup, WasmError> {
        let _place = self.readers.acquire().await.map_err(closed)?;
        let (cache, digest) = (self.cache.clone(), self.digest);
        blocking(move || Ok(cache.load(&digest))).await
    }
}

fn closed(error: AcquireError) -> WasmError {
    WasmError::Engine(error.to_string())
}

/// The bytes of a file, `None` if there are more than `max`. Never reads past that, whatever the file is.
fn read(path: &Path, max: u64) -> io::Result<Option<Vec<u8>>> {
    // Before it is opened: opening a pipe waits for whoever writes to it.
    let meta = std::fs::metadata(path)?;
    if !meta.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let file = File::open(path)?;
    if meta.len() > max {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or_default());
    file.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= max).then_some(bytes))
}

/// Runs work on files off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, WasmError> + Send + 'static,
) -> Result<T, WasmError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panic) => Err(WasmError::Invalid(format!("loading failed: {panic}"))),
    }
}
