//! Compiles `proto/` with protox, so that no protoc has to be installed.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

/// What the third protocol's file shares with the fourth's: taken from there instead of generated twice.
const SHARED: [&str; 6] =
    ["Catalog", "CatalogOperation", "CatalogParameter", "OperationAnnotations", "OperationResult", "StringList"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let out = env::var("OUT_DIR")?;

    let mut files = Vec::new();
    for entry in fs::read_dir("proto/gestalt/provider/v1")? {
        files.push(entry?.path());
    }
    files.sort();
    let current = protox::compile(&files, ["proto"])?;
    fs::write(Path::new(&out).join("v4.bin"), prost::Message::encode_to_vec(&current))?;
    tonic_prost_build::configure().bytes(".").include_file("protocol.rs").compile_fds(current)?;

    let legacy = protox::compile(["proto/gestalt/provider/v3/integration.proto"], ["proto"])?;
    fs::write(Path::new(&out).join("v3.bin"), prost::Message::encode_to_vec(&legacy))?;
    let legacy_out = Path::new(&out).join("v3");
    fs::create_dir_all(&legacy_out)?;
    let mut builder = tonic_prost_build::configure().bytes(".").out_dir(legacy_out);
    for name in SHARED {
        builder = builder.extern_path(format!(".gestalt.provider.v1.{name}"), format!("crate::v1::{name}"));
    }
    builder.compile_fds(legacy)?;
    Ok(())
}
