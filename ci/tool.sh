#!/usr/bin/env bash
# Prints the directory of a tool from crates.io that is not part of a toolchain, and installs it there first if it is missing
# or of another version. The other scripts put it into their PATH:
#
#   tools=$(ci/tool.sh cargo-hack)
#   PATH="$tools:$PATH" cargo hack …
#
# The versions are pinned below: a new release of a checker shall not change what a check finds. An installation takes one to three
# minutes on one core (`-j1`, as the machine may have other work), is kept in `tools` below the target directory, and is
# shared by all scripts. It needs the crates' registry and no root.
#
# The last line, on standard error, says what is installed.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1-}" in
    cargo-deny) version=0.20.2 ;;
    cargo-fuzz) version=0.13.2 ;;
    cargo-hack) version=0.6.46 ;;
    cargo-llvm-cov) version=0.9.1 ;;
    cargo-machete) version=0.9.2 ;;
    *)
        echo "usage: ci/tool.sh cargo-deny|cargo-fuzz|cargo-hack|cargo-llvm-cov|cargo-machete" >&2
        exit 2
        ;;
esac

tools="${CARGO_TARGET_DIR:-$PWD/target}/tools"
# Built in a directory that goes afterwards: the artifacts take ten times the program's room. Cargo itself notices that the version is
# there, in a fraction of a second.
build="$tools/build-$1"
CARGO_TARGET_DIR="$build" cargo install --quiet --locked -j1 --root "$tools" --version "=$version" "$1" >&2
rm -rf "$build"
echo "tool: $1 $version" >&2
echo "$tools/bin"
