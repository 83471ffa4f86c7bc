#!/usr/bin/env bash
# That the library compiles without a warning under every set of its features, and tests, examples and benches under all of them.
#
#   ci/features.sh
#
# `cargo check` alone would not do: with fewer features an import is unused or a function is dead, which is clippy's word.
# Wants cargo-hack (ci/tool.sh), which reads the features out of Cargo.toml, so that a new one is not forgotten here.
#
# Tests are compiled once, under all features: Cargo.toml's dev-dependency of the crate on itself gives them these anyway. `stress` is left
# out of the sets, which it would double: it makes a binary and adds nothing to the library.
#
# The last line says how many sets there were.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$(ci/tool.sh cargo-hack)
export PATH="$tools:$PATH"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/features"
export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=0 # smaller by half

log=$(mktemp)
trap 'rm -f "$log"' EXIT

timeout 3600 cargo hack clippy --locked --lib --feature-powerset --exclude-features stress -- -D warnings 2>&1 | tee "$log"
sets=$(grep -c '^info: running `cargo clippy' "$log") || true
if ((sets < 2)); then
    echo "features: no sets were checked" >&2
    exit 1
fi
timeout 3600 cargo clippy --locked --all-targets --all-features -- -D warnings
echo "features: $sets sets of features for the library, all of them for tests, examples and benches: no warning"
