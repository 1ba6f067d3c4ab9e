# What README and CI call. Each target sets up what it needs, and does nothing where nothing has changed.
# Needed beforehand: rustup, Python 3.11, Node with npm, a C compiler.

CONFIG ?= guest-examples/quickstart/gestalt.yaml
# Crates outside of the workspace: they are built for another target, or are what a user would copy.
APART := wit/rust guest-examples $(wildcard guest-examples/echo-native-rust*)

.PHONY: build run test bench fuzz guests corpus python tools
.NOTPARALLEL:
.DEFAULT_GOAL := build

# Leaves gestaltd in the release folder of cargo's target directory.
build:
	cargo build --release --locked --package gestaltd

# Beside the daemon runs the small service that echo-declarative describes.
run: build guests
	@python3 guest-examples/quickstart/upstream.py & service=$$!; trap "kill $$service" EXIT; \
	cargo run --quiet --release --locked --package gestaltd -- serve --config $(CONFIG)

# The last command is the one whose summary counts: everything that can fail before it is cheaper to mend.
test: tools guests python
	cargo fmt --all --check
	@for crate in $(APART); do cargo fmt --manifest-path $$crate/Cargo.toml --all --check || exit 1; done
	cargo clippy --locked --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --locked --workspace --no-deps --document-private-items
	# With the features of the test run: for others, everything below wasmtime would be compiled twice.
	cargo build --locked --workspace --bins --tests
	cargo test --locked --manifest-path wit/rust/Cargo.toml
	cargo test --locked --workspace --no-fail-fast

# Criterion's reports first; then a table, which is also written to target/bench.md.
bench: guests python
	cargo build --release --locked --workspace --bins --bench '*'
	cargo bench --locked --workspace --bench load --bench policy --bench table

# For SECONDS each what `make test` does for a minute: random hosts and rules, random configurations and manifests.
SECONDS ?= 600
fuzz:
	GESTALT_FUZZ_SECONDS=$(SECONDS) cargo test --locked --workspace --test fuzz
	GESTALT_FUZZ_SECONDS=$(SECONDS) cargo test --locked --workspace --test it -- fuzz::

# The example apps, each into its own directory.
guests:
	@sh guest-examples/build.sh

# The hostile component inside of the daemon's binary, anew from its source. The result is committed.
corpus:
	@sh guest-examples/build.sh corpus
	@python3 guest-examples/corpus/embed.py guest-examples/corpus/.gestalt/build/corpus.wasm host/src/verify/corpus.component

# Python environments with the published SDKs, old and new, for native providers in tests.
python:
	@sh tests/setup/python.sh

tools:
	@cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
	@cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
