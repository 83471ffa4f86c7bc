#!/usr/bin/env bash
# That the lower bounds in Cargo.toml are true: compiles the library under all features, and runs the unit tests, with each direct
# dependency at the oldest version that Cargo.toml allows.
#
#   ci/minimal-versions.sh                    the library, the unit tests; five minutes the first time
#   ci/minimal-versions.sh --all              and every other target compiled: the bounds of the dev-dependencies
#   ci/minimal-versions.sh --test net_tcp     only what these `cargo test` arguments name
#
# Works in a copy of the tree with a Cargo.lock of its own; yours is not touched. Needs the crates' registry and no tool.
#
# Direct dependencies alone (`-Zdirect-minimal-versions`, which stable's cargo has behind RUSTC_BOOTSTRAP): the oldest of everything
# below them too (`-Zminimal-versions`) tests bounds that others wrote. Dev-dependencies are at their oldest as well, so that
# tests can be run. Where one of those wants a newer version of one of the library's, cargo says so and the script fails.
#
# The last line says how many packages were older than in Cargo.lock, and how many tests passed.
set -euo pipefail
cd "$(dirname "$0")/.."

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/minimal-versions"
export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=0 # smaller by half
tree="$CARGO_TARGET_DIR/tree"
log="$CARGO_TARGET_DIR/log"

# The times of the files stay, so that a second run compiles what has changed and no more.
rm -rf "$tree"
mkdir -p "$tree"
tar --exclude=./target --exclude=./.git -cf - . | tar -xf - -C "$tree"
cd "$tree"

RUSTC_BOOTSTRAP=1 cargo update -Zdirect-minimal-versions 2>&1 | tee "$log"
older=$(grep -c '^ *Downgrading ' "$log") || true
if ((older == 0)); then
    echo "minimal versions: no package is older than in Cargo.lock" >&2
    exit 1
fi

all=
if [[ ${1-} == --all ]]; then
    all=1
    shift
fi
timeout 3600 cargo check --locked --lib --all-features
[[ -z $all ]] || timeout 3600 cargo check --locked --all-targets --all-features
(($#)) || set -- --lib
timeout 3600 cargo test --locked --all-features "$@" 2>&1 | tee "$log"

passed=$(awk '/^test result: ok\./ { n += $4 } END { print n + 0 }' "$log")
if ((passed == 0)); then
    echo "minimal versions: no test was run" >&2
    exit 1
fi
echo "minimal versions: $older packages older than in Cargo.lock, $passed tests passed"
