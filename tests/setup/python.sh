#!/bin/sh
# Makes one Python environment per published SDK release the tests run against, under <cargo target dir>/python.
# Does nothing for those that are there already.
set -eu

target=${CARGO_TARGET_DIR:-$(cd "$(dirname "$0")/../.." && pwd)/target}

# One release per protocol version: 3, 4, 5.
for release in a18 a22 a29; do
  venv=$target/python/$release
  [ -e "$venv/complete" ] && continue
  rm -rf "$venv"
  python3.11 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "gestalt-sdk==0.0.1$release"
  : > "$venv/complete"
done
