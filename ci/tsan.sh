#!/usr/bin/env bash
# Looks for data races with ThreadSanitizer: in the protocols between threads alone, and in the library as it is, switches included.
#
#   ci/tsan.sh                              all of what follows
#   ci/tsan.sh models [idle inbox …]        the models of tests/loom as ordinary threads (tests/tsan); those with one of these words in their name
#   ci/tsan.sh tests [--test workers …]     the planted errors, then the tests named below, or those that these `cargo test` arguments name
#   ci/tsan.sh stress steal,locks 60        the planted errors, then the stress tool: these workloads, 60 seconds in all
#
# Wants Debian 12 on x86_64, rustup's stable, and root the first time: the sanitizer has to see the standard library's code too, so that is built
# from source with Debian's compiler; the runtime comes with rustup's stable, whose LLVM has the same major version.
#
# The library announces its switches (`--cfg rustlet_tsan`, src/coroutine/fiber/tsan.rs), and its system calls go by way of libc
# (`--cfg rustix_use_libc`), where the sanitizer sees what they order. First each race of tests/planted.rs has to be found, and nothing in the test
# there that has none. The tests are those in which threads meet; what only one thread does cannot race.
#
# RUSTLET_TSAN_ROUNDS (2000): how often each model runs. RUSTLET_TEST_SLOWDOWN (10) multiplies the tests' deadlines.
# RUSTLET_SOAK_SECONDS (20): of everything at once. Artifacts: `tsan` below the target directory.
#
# The last line says how much was run; a run of nothing fails.
set -euo pipefail
cd "$(dirname "$0")/.."

tests=(futures_block_on futures_greenlet idle_workers mpmc_threads net_cross_thread offload_kill offload_limits offload_unblock
    queue_model runtime_across runtime_fairness runtime_groups runtime_metrics runtime_several runtime_shutdown scheduler_thread_end
    select_basic server_workers soak spawn_future sync_threads sync_once timer_timeout unpark workers)

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
export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=line-tables-only
export RUSTLET_TEST_SLOWDOWN="${RUSTLET_TEST_SLOWDOWN:-10}"
export RUSTLET_SOAK_SECONDS="${RUSTLET_SOAK_SECONDS:-20}"

# The runtime goes into programs, before libc, and not into the shared library that std is built as too.
linker="$CARGO_TARGET_DIR/linker/cc"
mkdir -p "${linker%/*}"
cat >"$linker" <<END
#!/bin/sh
case " \$* " in *" -shared "*) exec cc "\$@" ;; esac
exec cc -Wl,--export-dynamic -Wl,--whole-archive '$runtime' -Wl,--no-whole-archive "\$@"
END
chmod +x "$linker"

# No events of function entry and exit: a switch leaves one function and comes back in another.
# crossbeam: fences, which the sanitizer does not know, become orders of the accesses.
RUSTFLAGS="-Zsanitizer=thread -Zexternal-clangrt -Clinker=$linker -Cllvm-args=-tsan-instrument-func-entry-exit=0"
RUSTFLAGS+=" -Clink-arg=-Wl,--compress-debug-sections=zlib"
RUSTFLAGS+=" --cfg crossbeam_sanitize_thread --cfg rustlet_tsan --cfg rustix_use_libc"
export RUSTFLAGS
export TSAN_OPTIONS="halt_on_error=1 exitcode=66 hard_rss_limit_mb=4096 suppressions=$PWD/ci/tsan.supp ${TSAN_OPTIONS-}"

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# shellcheck disable=SC2120 # `"$@"` below passes some.
models() {
    "$CARGO" build --locked --release --quiet -Zbuild-std --target "$target" --manifest-path tests/tsan/Cargo.toml
    timeout 3000 "$CARGO_TARGET_DIR/$target/release/rustlet-tsan" "$@" | tee "$log"
    told+=("$(tail -n 1 "$log")")
}

test=("$CARGO" test --locked -Zbuild-std --target "$target")
run() {
    "${test[@]}" --no-run "$@"
    timeout 3000 "${test[@]}" "$@" 2>&1 | tee -a "$log"
}

# planted TEST: the test has to end with the report of a race.
planted() {
    local output
    if output=$(run --quiet --test planted -- --exact --ignored "$1"); then
        printf '%s\ntsan: blind: %s passes\n' "$output" "$1" >&2
        exit 1
    elif ! grep -q 'WARNING: ThreadSanitizer: data race' <<<"$output"; then
        printf '%s\ntsan: blind: %s fails without a data race\n' "$output" "$1" >&2
        exit 1
    fi
    echo "found: $1"
}

self_check() {
    planted a_race_between_greenlets_of_two_workers
    planted a_pointer_handed_over_without_order
    run --quiet --test planted -- --exact --ignored greenlets_of_one_thread_do_not_race
    told+=("2 planted races found")
}

tests() {
    self_check
    if (($# == 0)); then
        # shellcheck disable=SC2046 # Two words for each test.
        set -- --no-fail-fast $(printf -- '--test %s ' "${tests[@]}")
    fi
    : >"$log"
    run "$@"
    local passed
    passed=$(awk '/^test result: ok\./ { n += $4 } END { print n + 0 }' "$log")
    ((passed > 0)) || { echo "tsan: no test was run" >&2; exit 1; }
    told+=("$passed tests passed")
}

stress() {
    (($# == 2)) || { echo "usage: ci/tsan.sh stress WORKLOADS SECONDS" >&2; exit 2; }
    self_check
    timeout $((1200 + 2 * $2)) "$CARGO" run --locked --release -Zbuild-std --target "$target" --features stress \
        --bin rustlet-stress -- "$1" --seconds "$2" --in-process
    told+=("rustlet-stress $1 clean for $2 s")
}

told=()
case "${1-all}" in
    all)
        models # all
        tests
        ;;
    models | tests | stress) "$@" ;;
    *)
        echo "usage: ci/tsan.sh [models|tests|stress …]" >&2
        exit 2
        ;;
esac
(IFS=';'; echo "tsan: ${told[*]}")
