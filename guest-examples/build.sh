#!/bin/sh
# Builds the example apps, or only those named, each into its own .gestalt/build/. Fetches what it needs, and does
# nothing where nothing has changed. Needs rustup, Python 3.11, Node and a C compiler.
set -eu
cd "$(dirname "$0")"

RUST_COMPONENTS="echo caller fetch greeter hostile corpus"
RUST_NATIVE="echo-native-rust echo-native-rust-alpha16"
COMPONENTIZE_PY=0.25.1
PYTHON_SDK=0.0.1a29

# Whether a file is missing or older than any of the rest.
stale() {
    output=$1
    shift
    [ ! -e "$output" ] || [ -n "$(find "$@" -newer "$output" -type f -print -quit)" ]
}

# Puts a file in place at once, as a daemon may be reading the one before. One that is the same only gets younger.
place() {
    mkdir -p "$(dirname "$2")"
    if cmp -s "$1" "$2"; then touch "$2"; else cp "$1" "$2.part" && mv "$2.part" "$2"; fi
}

# A virtual environment with these packages in it, made anew when they change.
venv() {
    dir=$1
    shift
    [ "$(cat "$dir/packages" 2>/dev/null)" = "$*" ] && return
    echo "installing $*"
    rm -rf "$dir"
    "${PYTHON:-python3}" -m venv "$dir"
    "$dir/bin/pip" install --quiet --disable-pip-version-check "$@"
    echo "$*" >"$dir/packages"
}

node_modules() {
    stale "$1/node_modules/.installed" "$1/package-lock.json" || return 0
    echo "installing $1/node_modules"
    # Not `npm ci`: it insists on optional packages for other systems that were never published.
    (cd "$1" && npm install --no-save --loglevel=error --no-audit --no-fund)
    touch "$1/node_modules/.installed"
}

wasm_target() {
    [ -d "$(rustc --print target-libdir --target wasm32-wasip2)" ] || rustup target add wasm32-wasip2
}

rust_component() {
    wasm_target
    # The environment's flags are meant for the machine, not for the component.
    env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS \
        cargo build --quiet --release --locked --target wasm32-wasip2 --target-dir target --package "$1"
    place "target/wasm32-wasip2/release/$(echo "$1" | tr - _).wasm" "$1/.gestalt/build/$1.wasm"
}

rust_native() {
    cargo build --quiet --release --locked --manifest-path "$1/Cargo.toml" --target-dir target/native
    place "target/native/release/$1" "$1/.gestalt/build/$1"
}

python_component() {
    stale "$1/.gestalt/build/$1.wasm" "$1/app.py" ../wit/python ../wit/*.wit ../wit/deps || return 0
    venv .venv-componentize "componentize-py==$COMPONENTIZE_PY"
    echo "componentizing $1"
    mkdir -p "$1/.gestalt/build"
    .venv-componentize/bin/componentize-py -q -d ../wit -w app-component componentize \
        -p "$1" -p ../wit/python -o "$1/.gestalt/build/$1.part" app
    mv "$1/.gestalt/build/$1.part" "$1/.gestalt/build/$1.wasm"
}

typescript_component() {
    stale "$1/.gestalt/build/$1.wasm" "$1/app.ts" "$1/package-lock.json" ../wit/typescript ../wit/*.wit ../wit/deps || return 0
    node_modules "$1"
    echo "componentizing $1"
    mkdir -p "$1/.gestalt/build"
    (
        cd "$1"
        node_modules/.bin/esbuild app.ts --bundle --format=esm --platform=neutral --log-level=warning \
            --external:'gestalt:*' --external:'wasi:*' --outfile=.gestalt/build/app.js
        node_modules/.bin/jco componentize .gestalt/build/app.js --wit ../../wit -n app-component \
            -o ".gestalt/build/$1.part" >/dev/null
    )
    mv "$1/.gestalt/build/$1.part" "$1/.gestalt/build/$1.wasm"
}

# The daemon runs this one from source: all it needs is an interpreter with the SDK.
python_native() {
    venv "$1/.venv" "gestalt-sdk==$PYTHON_SDK"
}

build() {
    case $1 in
    echo-python) python_component "$1" ;;
    echo-typescript) typescript_component "$1" ;;
    echo-native-python) python_native "$1" ;;
    echo-native-rust*) rust_native "$1" ;;
    echo | caller | fetch | greeter | hostile | corpus) rust_component "$1" ;;
    *) echo "build.sh: no example called $1" >&2 && exit 2 ;;
    esac
}

[ $# -gt 0 ] || set -- $RUST_COMPONENTS $RUST_NATIVE echo-python echo-typescript echo-native-python
for example; do build "$example"; done
