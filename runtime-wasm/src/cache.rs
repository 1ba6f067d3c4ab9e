//! Compiled artifacts on disk.
//!
//! An entry is native code the daemon will jump into, so it is believed only with proof: an HMAC-SHA-256 tag under a
//! random key of this installation, over the artifact, the component it was made from and the engine it was made for.
//! Whatever does not check out (cut off, changed, copied from another machine or another entry) is the same as
//! absent: the component is compiled again and the entry replaced.

use crate::{WasmError, room};
use hmac::{Hmac, KeyInit, Mac};
use rustix::process::geteuid;
use sha2::{Digest as _, Sha256};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;
use wasmtime::Engine;
use wasmtime::component::Component;

/// SHA-256 of a component file.
pub(crate) type Digest = [u8; 32];

/// What a lookup found.
pub(crate) enum Lookup {
    /// The entry checked out and is mapped.
    Hit(Component),
    /// There is no entry to be used; the text says why.
    Miss(String),
}

/// One cache directory, for one engine.
pub(crate) struct Cache {
    dir: PathBuf,
    key: [u8; KEY],
    engine: Engine,
    engine_digest: Digest,
    /// Makes names of unfinished files unique within the process.
    unfinished: AtomicU64,
    /// Bytes all entries may have together.
    room: u64,
}

const KEY: usize = 32;
const TAG: usize = 32;
const KEY_FILE: &str = "key";

impl Cache {
    /// Opens `dir`, making it and the installation's key when they are missing.
    pub(crate) fn open(dir: PathBuf, engine: Engine) -> Result<Self, WasmError> {
        let prepare = || {
            DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
            let meta = fs::metadata(&dir)?;
            if meta.uid() != geteuid().as_raw() {
                // Its owner could read the key, and with that make entries that check out.
                return Err(io::Error::new(ErrorKind::PermissionDenied, "belongs to another user"));
            }
            fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;
            if let Err(error) = room::sweep(&dir) {
                tracing::warn!(dir = %dir.display(), %error, "compile cache not swept");
            }
            let stamp = AtomicU64::new(0);
            let key = key(&dir, &stamp)?;
            Ok((key, stamp))
        };
        let (key, unfinished) =
            prepare().map_err(|source| WasmError::Cache { path: dir.clone(), source: Arc::new(source) })?;
        let mut hasher = EngineHasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self { dir, key, engine, engine_digest: hasher.0.finalize().into(), unfinished, room: room::MOST })
    }

    /// Maps the artifact of the component with this digest, if there is one that can be trusted.
    pub(crate) fn load(&self, component: &Digest) -> Lookup {
        let path = self.path(component);
        match self.authenticate(&path, component) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => return Lookup::Miss("not cached".into()),
            Err(e) => return Lookup::Miss(format!("{}: {e}", path.display())),
        }
        // SAFETY: wasmtime asks that the file was written by `Engine::precompile_component`, unchanged, and stays
        // unchanged while it is mapped.
        //
        // 1. Written by the compiler, unchanged: `authenticate` has just recomputed the tag over every byte of the
        //    artifact, over this component's digest and over this engine's compatibility digest. Only `store` makes
        //    tags, and only over what the `Compiler` returned; the key is 32 random bytes that no one but this user
        //    can read. Bytes from elsewhere, an entry under another name, or one of another engine have another tag.
        // 2. Stays unchanged: nothing in the daemon opens an entry for writing. `store` writes a new file and renames
        //    it, so a mapping keeps the old inode. The directory is 0700 and entries are 0400: whoever changes one between
        //    the check and the mapping, or after it, is this very user, who could as well attach a debugger.
        // 3. The tag at the end of the file is no part of the image: an ELF file is read by the offsets in its headers.
        #[expect(unsafe_code, reason = "the only way to map an artifact; the proof is above")]
        let loaded = unsafe { Component::deserialize_file(&self.engine, &path) };
        match loaded {
            Ok(component) => Lookup::Hit(component),
            Err(e) => Lookup::Miss(format!("{e:#}")),
        }
    }

    /// Keeps an artifact that the compiler has just made of the component with this digest.
    pub(crate) fn store(&self, component: &Digest, artifact: &[u8]) -> Result<(), WasmError> {
        let path = self.path(component);
        let write = || {
            let mut mac = self.mac(component)?;
            mac.update(artifact);
            let (temporary, mut file) = create(&self.dir, &self.unfinished, 0o400)?;
            file.write_all(artifact)
                .and_then(|()| file.write_all(&mac.finalize().into_bytes()))
                .and_then(|()| fs::rename(&temporary, &path))
                .inspect_err(|_| drop(fs::remove_file(&temporary)))
        };
        // What cannot be removed takes room, and keeps no app from its artifact.
        let make_room = |()| {
            if let Err(error) = room::make(&self.dir, &path, self.room) {
                tracing::warn!(dir = %self.dir.display(), %error, "no room made in the compile cache");
            }
        };
        write().map(make_room).map_err(|source| WasmError::Cache { path: path.clone(), source: Arc::new(source) })
    }

    /// Checks the tag at the end of an entry.
    fn authenticate(&self, path: &Path, component: &Digest) -> io::Result<()> {
        if !fs::symlink_metadata(path)?.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidData, "entry is no file"));
        }
        let mut file = File::open(path)?;
        // What is used stays longest.
        let _ = file.set_modified(SystemTime::now());
        let length = file.metadata()?.len();
        let Some(length) = length.checked_sub(TAG as u64).filter(|n| *n > 0) else {
            return Err(io::Error::new(ErrorKind::InvalidData, "entry is cut off"));
        };
        let mut mac = self.mac(component)?;
        let mut artifact = (&mut file).take(length);
        let mut chunk = vec![0; 64 << 10];
        loop {
            match artifact.read(&mut chunk)? {
                0 => break,
                n => mac.update(&chunk[..n]),
            }
        }
        let mut tag = [0; TAG];
        file.read_exact(&mut tag)?;
        mac.verify_slice(&tag).map_err(|_| io::Error::new(ErrorKind::InvalidData, "entry fails its authentication"))
    }

    fn mac(&self, component: &Digest) -> io::Result<Hmac<Sha256>> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).map_err(|e| io::Error::new(ErrorKind::InvalidInput, e))?;
        mac.update(b"gestalt wasm artifact 1\0");
        mac.update(component);
        mac.update(&self.engine_digest);
        Ok(mac)
    }

    fn path(&self, component: &Digest) -> PathBuf {
        self.dir.join(format!("{}-{}.cwasm", hex(component), hex(&self.engine_digest[..8])))
    }
}

/// Reads the installation's key, or makes one. A key that others could read, or of the wrong size, is replaced: then
/// no entry checks out any more, which costs a compilation each.
fn key(dir: &Path, stamp: &AtomicU64) -> io::Result<[u8; KEY]> {
    let path = dir.join(KEY_FILE);
    let read = || -> io::Result<Option<[u8; KEY]>> {
        let meta = fs::symlink_metadata(&path)?;
        let own = meta.is_file() && meta.uid() == geteuid().as_raw();
        let private = own && meta.mode() & 0o077 == 0 && meta.len() == KEY as u64;
        Ok(if private { fs::read(&path)?.try_into().ok() } else { None })
    };
    let usable = match read() {
        Ok(Some(key)) => return Ok(key),
        Ok(None) => false,
        Err(e) if e.kind() == ErrorKind::NotFound => true,
        Err(e) => return Err(e),
    };
    let mut key = [0; KEY];
    getrandom::fill(&mut key).map_err(|e| io::Error::other(e.to_string()))?;
    let (temporary, mut file) = create(dir, stamp, 0o600)?;
    file.write_all(&key)?;
    if !usable {
        fs::rename(&temporary, &path)?;
        return Ok(key);
    }
    // A link, unlike a rename, fails when another daemon was faster: then its key counts for both.
    let linked = fs::hard_link(&temporary, &path);
    fs::remove_file(&temporary)?;
    match linked {
        Ok(()) => Ok(key),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => read()?.ok_or(e),
        Err(e) => Err(e),
    }
}

/// A new private file in `dir`, to be renamed when it is complete.
fn create(dir: &Path, stamp: &AtomicU64, mode: u32) -> io::Result<(PathBuf, File)> {
    loop {
        let name = format!(".{}-{}.part", std::process::id(), stamp.fetch_add(1, Ordering::Relaxed));
        let path = dir.join(name);
        match OpenOptions::new().write(true).create_new(true).mode(mode).open(&path) {
            Ok(file) => return Ok((path, file)),
            // Left over by a daemon that had the same process id.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Collects what the engine hashes about itself in a cryptographic digest, as a 64-bit hash could be made to collide.
struct EngineHasher(Sha256);

impl Hasher for EngineHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixture {
        dir: tempfile::TempDir,
        engine: Engine,
    }

    impl Fixture {
        fn new() -> Self {
            let limits = crate::engine::small();
            Self { dir: tempfile::tempdir().unwrap(), engine: crate::engine::build(&limits).unwrap() }
        }

        fn open(&self) -> Cache {
            Cache::open(self.dir.path().join("cache"), self.engine.clone()).unwrap()
        }

        fn artifact(&self) -> Vec<u8> {
            self.engine.precompile_component(&wat::parse_str("(component)").unwrap()).unwrap()
        }
    }

    /// Puts other bytes in an entry's place.
    fn replace(path: &Path, bytes: &[u8]) {
        drop(fs::remove_file(path));
        fs::write(path, bytes).unwrap();
    }

    fn miss(cache: &Cache, digest: &Digest) -> String {
        match cache.load(digest) {
            Lookup::Hit(_) => panic!("loaded"),
            Lookup::Miss(reason) => reason,
        }
    }

    #[test]
    fn an_entry_survives_a_restart() {
        let fixture = Fixture::new();
        let digest = [7; 32];
        assert_eq!(miss(&fixture.open(), &digest), "not cached");
        fixture.open().store(&digest, &fixture.artifact()).unwrap();
        assert!(matches!(fixture.open().load(&digest), Lookup::Hit(_)));
    }

    #[test]
    fn what_was_tampered_with_is_never_loaded() {
        let fixture = Fixture::new();
        let cache = fixture.open();
        let (digest, other) = ([1; 32], [2; 32]);
        let artifact = fixture.artifact();
        cache.store(&digest, &artifact).unwrap();
        let path = cache.path(&digest);
        let good = fs::read(&path).unwrap();
        assert_eq!(good.len(), artifact.len() + TAG);

        // A byte anywhere, the tag included.
        for at in [0, artifact.len() / 2, artifact.len() - 1, artifact.len(), good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            replace(&path, &bad);
            assert!(miss(&cache, &digest).contains("authentication"), "byte {at}");
        }
        // Any truncation, down to nothing.
        for length in [good.len() - 1, artifact.len(), TAG, 1, 0] {
            replace(&path, &good[..length]);
            miss(&cache, &digest);
        }
        // A valid entry under another component's name.
        replace(&cache.path(&other), &good);
        assert!(miss(&cache, &other).contains("authentication"));
        // An artifact without a tag, as another tool would write it.
        replace(&path, &artifact);
        miss(&cache, &digest);
        // Another installation's entry.
        let foreign = Fixture::new();
        foreign.open().store(&digest, &artifact).unwrap();
        replace(&path, &fs::read(foreign.open().path(&digest)).unwrap());
        assert!(miss(&cache, &digest).contains("authentication"));
        // A valid one somewhere else, by a link that can be turned at any time.
        let elsewhere = fixture.dir.path().join("elsewhere");
        replace(&elsewhere, &good);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(miss(&cache, &digest).contains("no file"));
        // And back.
        replace(&path, &good);
        assert!(matches!(cache.load(&digest), Lookup::Hit(_)));
    }

    #[test]
    fn an_engine_of_other_settings_has_entries_of_its_own() {
        let fixture = Fixture::new();
        let digest = [3; 32];
        fixture.open().store(&digest, &fixture.artifact()).unwrap();
        let mut config = crate::engine::config(&crate::engine::small());
        config.epoch_interruption(false);
        let other = Cache::open(fixture.dir.path().join("cache"), Engine::new(&config).unwrap()).unwrap();
        assert_eq!(miss(&other, &digest), "not cached");
        // Not even when somebody renames the file.
        replace(&other.path(&digest), &fs::read(fixture.open().path(&digest)).unwrap());
        assert!(miss(&other, &digest).contains("authentication"));
    }

    #[test]
    fn entries_take_a_bounded_room_and_the_used_ones_stay() {
        let fixture = Fixture::new();
        let artifact = fixture.artifact();
        let cache = Cache { room: 3 * (artifact.len() + TAG) as u64, ..fixture.open() };
        let digests = [[1; 32], [2; 32], [3; 32], [4; 32]];
        let long_ago = SystemTime::now() - std::time::Duration::from_secs(3600);
        for digest in &digests[..3] {
            cache.store(digest, &artifact).unwrap();
            File::open(cache.path(digest)).unwrap().set_modified(long_ago).unwrap();
        }
        assert!(matches!(cache.load(&digests[0]), Lookup::Hit(_)));
        cache.store(&digests[3], &artifact).unwrap();
        let kept = digests.map(|digest| cache.path(&digest).exists());
        assert!(kept[0] && kept[3] && kept.iter().filter(|kept| **kept).count() == 3, "{kept:?}");
    }

    /// Only root can give a directory away: for everybody else this says nothing.
    #[test]
    fn a_directory_of_another_user_is_not_used() {
        let fixture = Fixture::new();
        let dir = fixture.dir.path().join("cache");
        fs::create_dir(&dir).unwrap();
        if std::os::unix::fs::chown(&dir, Some(65534), None).is_ok() {
            let error = Cache::open(dir, fixture.engine.clone()).err().unwrap();
            assert!(error.to_string().contains("belongs to another user"), "{error}");
        }
    }

    #[test]
    fn directory_and_key_are_private_and_an_exposed_key_is_replaced() {
        let fixture = Fixture::new();
        let dir = fixture.dir.path().join("cache");
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        let cache = fixture.open();
        let digest = [4; 32];
        cache.store(&digest, &fixture.artifact()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&dir), 0o700);
        assert_eq!((mode(&dir.join(KEY_FILE)), mode(&cache.path(&digest))), (0o600, 0o400));
        assert_eq!(fixture.open().key, cache.key);

        fs::set_permissions(dir.join(KEY_FILE), fs::Permissions::from_mode(0o644)).unwrap();
        let replaced = fixture.open();
        assert_ne!(replaced.key, cache.key);
        assert!(miss(&replaced, &digest).contains("authentication"));
        assert_eq!(mode(&dir.join(KEY_FILE)), 0o600);
        // Nothing unfinished is left behind.
        let names = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        assert!(names.into_iter().all(|n| !n.ends_with(".part")));
    }
}
