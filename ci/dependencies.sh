#!/usr/bin/env bash
# What the crate depends on: every dependency of Cargo.toml is used somewhere (cargo-machete), licences, duplicates and
# sources are those that deny.toml allows (cargo-deny).
#
#   ci/dependencies.sh
#
# Wants the two tools (ci/tool.sh), five minutes the first time; seconds afterwards. Not asked: advisories, whose database is a
# repository to be cloned, and whose answer changes without a change here.
#
# The last line says how many dependencies and packages were looked at.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$(ci/tool.sh cargo-machete)
ci/tool.sh cargo-deny >/dev/null
export PATH="$tools:$PATH"

# By cargo's own names: a dependency may be called otherwise in the code. The crates of tests/ are their own.
for manifest in Cargo.toml tests/*/Cargo.toml tests/*/*/Cargo.toml; do
    [[ -e $manifest ]] || continue
    cargo machete --with-metadata "$(dirname "$manifest")"
done
cargo deny --locked --all-features check bans licenses sources

direct=$(awk '/^\[(dev-)?dependencies\]/ { on = 1; next } /^\[/ { on = 0 } on && /^[a-z]/ { n++ } END { print n + 0 }' Cargo.toml)
packages=$(grep -c '^\[\[package\]\]' Cargo.lock)
echo "dependencies: $direct direct ones are used, $packages packages have allowed licences and sources"
