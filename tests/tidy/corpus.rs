use super::root;
use sha2::{Digest, Sha256};
use std::fs;

/// The custom section that says what the embedded corpus was built from; `guest-examples/corpus/embed.py` writes it.
const SECTION: &[u8] = b"\x0fgestalt:sources";

/// The component inside of the daemon's binary is committed as it is built, so it could differ from the source beside it.
#[test]
fn the_embedded_corpus_is_built_from_its_source() {
    let source = root().join("guest-examples/corpus");
    let mut files: Vec<_> = fs::read_dir(source.join("src")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.insert(0, source.join("Cargo.toml"));
    let text: Vec<u8> = files.iter().flat_map(|file| fs::read(file).unwrap()).collect();
    let expect: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();

    let embedded = fs::read(root().join("host/src/verify/corpus.component")).unwrap();
    let at = embedded.windows(SECTION.len()).rposition(|window| window == SECTION).expect("the section is there");
    let found = std::str::from_utf8(&embedded[at + SECTION.len()..]).unwrap();
    assert_eq!(found, expect, "its source has changed; `make corpus` builds it anew");
    assert!(embedded.len() < 300 << 10, "{} bytes in every installation", embedded.len());
}
