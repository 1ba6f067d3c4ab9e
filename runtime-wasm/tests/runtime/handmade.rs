//! Apps written by hand: what no compiler would make of any source. A core module in text, wrapped as a component of the
//! world that apps have.

use crate::fixture::Setup;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

/// The functions an app exports: name, signature, and what they do unless a test has them do something else. Zeros where
/// the answer is expected are a good answer, in which everything is empty.
const FUNCTIONS: [(&str, &str, &str); 5] = [
    ("get-metadata", "(result i32)", "(i32.const 64)"),
    ("start-provider", "(param i32 i32 i32 i32 i32) (result i32)", "(i32.const 64)"),
    (
        "execute",
        "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)",
        "(call $answer (i32.const 200))",
    ),
    ("get-session-catalog", "(param i32 i32 i32 i32 i32 i32 i32) (result i32)", "(i32.const 64)"),
    ("resolve-http-subject", "(param i32) (result i32)", "(i32.const 64)"),
];

/// Takes what was asked for from the end of what was given before. Addresses below 65,536 are the module's own.
const REALLOC: &str = "
    (global.set $end (i32.and (i32.add (global.get $end) (i32.sub (local.get 2) (i32.const 1)))
                              (i32.sub (i32.const 0) (local.get 2))))
    (global.set $end (i32.add (global.get $end) (local.get 3)))
    (i32.sub (global.get $end) (local.get 3))";

/// An app of one core module.
#[derive(Default)]
pub(crate) struct Handmade {
    /// What it imports, in the text format.
    pub(crate) imports: &'static str,
    /// What else is in the module.
    pub(crate) fields: &'static str,
    /// Bodies of exported functions, by their names, `cabi_realloc` among them.
    pub(crate) bodies: Vec<(&'static str, &'static str)>,
    /// Pages of memory; 16 if this is 0.
    pub(crate) pages: u32,
    /// How many modules of one memory each stand beside the app's own, which is then to be the only other one.
    pub(crate) beside: u8,
}

impl Handmade {
    pub(crate) fn new(bodies: &[(&'static str, &'static str)]) -> Self {
        Self { bodies: bodies.to_vec(), ..Self::default() }
    }

    pub(crate) fn importing(mut self, imports: &'static str) -> Self {
        self.imports = imports;
        self
    }

    pub(crate) fn with(mut self, fields: &'static str) -> Self {
        self.fields = fields;
        self
    }

    fn module(&self) -> String {
        let body = |name: &str, usual: &'static str| {
            self.bodies.iter().find(|(n, _)| *n == name).map_or(usual, |(_, body)| *body)
        };
        let functions: String = FUNCTIONS
            .iter()
            .map(|(name, signature, usual)| {
                let body = body(name, usual);
                format!(r#"(func (export "gestalt:provider/app-provider@0.4.0#{name}") {signature} {body})"#)
            })
            .collect();
        let after: String = FUNCTIONS
            .iter()
            .filter_map(|(name, ..)| {
                let (_, body) = self.bodies.iter().find(|(n, _)| n.strip_prefix("after ") == Some(name))?;
                Some(format!(
                    r#"(func (export "cabi_post_gestalt:provider/app-provider@0.4.0#{name}") (param i32) {body})"#
                ))
            })
            .collect();
        format!(
            r#"(module {imports}
                (memory (export "memory") {pages})
                (global $end (mut i32) (i32.const 65536))
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {realloc})
                ;; An answer of this status, and without a body.
                (func $answer (param i32) (result i32)
                    (i32.store (i32.const 1028) (local.get 0)) (i32.const 1024))
                {functions} {after} {fields})"#,
            imports = self.imports,
            pages = if self.pages == 0 { 16 } else { self.pages },
            realloc = body("cabi_realloc", REALLOC),
            fields = self.fields,
        )
    }

    fn bytes(&self) -> Vec<u8> {
        static WORLD: LazyLock<(Resolve, WorldId)> = LazyLock::new(|| {
            let mut resolve = Resolve::default();
            resolve.push_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit")).unwrap();
            let world = "
                package gestalt:handmade;
                world handmade {
                    include gestalt:provider/app-component@0.4.0;
                    import wasi:cli/stdout@0.2.12;
                    import wasi:clocks/monotonic-clock@0.2.12;
                    import wasi:random/random@0.2.12;
                    import wasi:random/insecure@0.2.12;
                }";
            let package = resolve.push_str("handmade.wit", world).unwrap();
            let world = resolve.select_world(&[package], None).unwrap();
            (resolve, world)
        });
        let (resolve, world) = &*WORLD;
        let mut module = wat::parse_str(self.module()).unwrap_or_else(|e| panic!("{e}"));
        embed_component_metadata(&mut module, resolve, *world, StringEncoding::UTF8, false).unwrap();
        let mut encoder = ComponentEncoder::default();
        encoder.validate(true).module(&module).unwrap();
        let mut component = encoder.encode().unwrap_or_else(|e| panic!("{e:?}"));
        if self.beside > 0 {
            // A module, and instances of it: sections of a component can go on after its last.
            let module = wat::parse_str("(module (memory 1))").unwrap();
            component.extend([&[1, module.len() as u8], &module[..]].concat());
            let instances = [vec![self.beside], [0, 1, 0].repeat(self.beside.into())].concat();
            component.extend([&[2, instances.len() as u8], &instances[..]].concat());
        }
        component
    }

    pub(crate) fn setup(&self) -> Setup {
        Setup::of(self.file())
    }

    /// The component's file, of its bytes' own name: the same one is compiled once.
    pub(crate) fn file(&self) -> PathBuf {
        static UNFINISHED: AtomicU32 = AtomicU32::new(0);
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("handmade");
        std::fs::create_dir_all(&dir).unwrap();
        let (bytes, mut hasher) = (self.bytes(), DefaultHasher::new());
        bytes.hash(&mut hasher);
        let path = dir.join(format!("{:016x}.wasm", hasher.finish()));
        // Renamed when it is whole: the tests beside may want it as well.
        let number = UNFINISHED.fetch_add(1, Ordering::Relaxed);
        let unfinished = dir.join(format!("{}-{number}.part", std::process::id()));
        std::fs::write(&unfinished, bytes).unwrap();
        std::fs::rename(unfinished, &path).unwrap();
        path
    }
}
