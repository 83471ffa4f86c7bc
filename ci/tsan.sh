#!/usr/bin/env bash
# Runs the models of tests/loom as ordinary threads under ThreadSanitizer (tests/tsan): the protocols between threads, without
# context switches. Prints what it ran.
#
#   ci/tsan.sh                all models: some minutes
#   ci/tsan.sh idle inbox     those with one of these words in their name
#
# The sanitizer has to see the standard library's code too, so that is built from source with Debian's compiler (12, x86_64);
# the runtime comes with rustup's stable, whose LLVM has the same major version. RUSTLET_TSAN_ROUNDS (2000) is how often each runs.
set -euo pipefail
cd "$(dirname "$0")/.."
target=x86_64-unknown-linux-gnu
want=(rustc-web cargo-web rust-web-src)
if ! dpkg -s "${want[@]}" >/dev/null 2>&1; then
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${want[@]}" >/dev/null
fi
runtime="$(rustup run stable rustc --print target-libdir)/librustc-stable_rt.tsan.a"
[[ -e $runtime ]] || { echo "no runtime of the sanitizer: $runtime" >&2; exit 1; }

export CARGO=/usr/bin/cargo RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 # rustup's come first in PATH
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/tsan"
# crossbeam: fences, which the sanitizer does not know, become orders of the accesses.
export RUSTFLAGS="-Zsanitizer=thread -Zexternal-clangrt --cfg crossbeam_sanitize_thread"
# The runtime goes to the program alone, and stands before libc.
link=()
for argument in -Wl,--export-dynamic -Wl,--whole-archive "$runtime" -Wl,--no-whole-archive; do
    link+=("-Zpre-link-arg=$argument")
done
/usr/bin/cargo rustc --locked --release --quiet -Zbuild-std --target $target --manifest-path tests/tsan/Cargo.toml -- "${link[@]}"
export TSAN_OPTIONS="halt_on_error=1 exitcode=66 ${TSAN_OPTIONS:-}"
exec timeout 3000 "$CARGO_TARGET_DIR/$target/release/rustlet-tsan" "$@"
