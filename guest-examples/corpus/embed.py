"""Puts the built corpus where the daemon's binary takes it from: `embed.py BUILT EMBEDDED`.

The file is committed: `cargo build` of the daemon must not need a second toolchain. So that it cannot silently differ
from its source, it carries the source's digest in a custom section, which a test compares with the files beside this
script. Names of functions are left out; they are a quarter of the component.
"""

import hashlib
import pathlib
import sys

HEADER = 8
NAMES = {"name", "component-name", "producers"}
SOURCES = "gestalt:sources"


def read_leb(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def leb(value):
    out = bytearray()
    while True:
        value, byte = value >> 7, value & 0x7F
        out.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(out)


def text(string):
    return leb(len(string)) + string.encode()


def section(kind, body):
    return bytes([kind]) + leb(len(body)) + body


def without_names(data):
    """A module or component without the custom sections in NAMES, at any depth."""
    out, at = bytearray(data[:HEADER]), HEADER
    while at < len(data):
        kind = data[at]
        size, start = read_leb(data, at + 1)
        at = start + size
        body = data[start:at]
        if kind == 0:
            length, after = read_leb(body, 0)
            if body[after : after + length].decode() in NAMES:
                continue
        elif body[:4] == b"\0asm":
            body = without_names(body)
        out += section(kind, body)
    return bytes(out)


def digest(directory):
    """sha256 over the sources in the order of their names: tests/tidy/corpus.rs does the same."""
    files = [directory / "Cargo.toml", *sorted((directory / "src").glob("*.rs"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def main():
    built, embedded = map(pathlib.Path, sys.argv[1:])
    component = without_names(built.read_bytes())
    component += section(0, text(SOURCES) + digest(pathlib.Path(__file__).parent).encode())
    if not embedded.exists() or embedded.read_bytes() != component:
        embedded.parent.mkdir(parents=True, exist_ok=True)
        embedded.write_bytes(component)
    print(f"{embedded}: {len(component)} bytes")


main()
