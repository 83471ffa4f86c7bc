#!/usr/bin/env bash
# Runs tests under valgrind's memcheck: memory that is used before it was written, after it was freed, or that lies in a stack which
# has gone back to its pool. Slower than ci/asan.sh, and alone in seeing values that nobody wrote, in all code, libc included.
#
#   ci/valgrind.sh                              the planted errors, then the tests named below
#   ci/valgrind.sh --test queue_model           the planted errors, then only what these `cargo test` arguments name
#   ci/valgrind.sh --stress switch,unwind 60    the planted errors, then the stress tool: these workloads, 60 seconds in all
#
# Needs rustup's stable on Debian 12 x86_64, and root the first time if valgrind is missing. The library is built with
# `--cfg rustlet_valgrind`: it says which memory is a stack, and which stacks are free (src/stack/checked.rs).
#
# First each error of tests/planted.rs has to be found. Not among the tests: those whose subject is time, memory in pages, other processes or ten
# thousand of something. What tests start in processes of their own runs there without valgrind.
# RUSTLET_TEST_SLOWDOWN (20) multiplies the tests' deadlines. Artifacts: `valgrind` below the target directory.
#
# The last line says how much was run; a run of nothing fails.
set -euo pipefail
cd "$(dirname "$0")/.."

tests=(futures_block_on futures_greenlet group_pool group_scope group_task_group life_joinall life_link life_local life_states life_throw
    life_timeout mpmc_basic mpmc_threads net_close_wakes net_cross_thread net_half_close net_partial net_tcp net_wait offload_kill offload_unblock
    pipe_ends queue_cycles queue_gevent queue_model queue_priority queue_shutdown raw_drop raw_families raw_generator raw_greenlet raw_model raw_parent
    raw_shutdown raw_throw raw_weak runtime_across runtime_groups runtime_several runtime_shutdown scheduler_join scheduler_kill
    scheduler_kill_granted scheduler_model scheduler_order scheduler_thread_end select_basic select_model server_life spawn_future sync_async_result
    sync_barrier sync_condvar sync_event sync_mutex sync_once sync_reentrant_mutex sync_rwlock sync_semaphore sync_threads sync_wait_any
    timer_sleep timer_timeout udp_socket unix_fds unix_stream unpark workers)

# It reads the address given to bind as a string that ends in a zero, and one of 108 bytes has none.
left_out=(--skip peers_that_are_bound_are_named)

if ! command -v valgrind >/dev/null; then
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends valgrind >/dev/null
fi

target=x86_64-unknown-linux-gnu
export RUSTFLAGS="--cfg rustlet_valgrind -Clink-arg=-Wl,--compress-debug-sections=zlib"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/valgrind"
export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=line-tables-only
export RUSTLET_TEST_SLOWDOWN="${RUSTLET_TEST_SLOWDOWN:-20}"
export RUST_BACKTRACE=0 # With names it takes a minute here for each panic.
# Fair: threads run one at a time, and one that spins would otherwise keep its turn.
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="valgrind --quiet --error-exitcode=99 --fair-sched=yes --num-callers=30"

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Said at length each time: valgrind 3.19 does not know process_madvise. It answers ENOSYS, and the library gives memory back piece by piece.
test=(cargo test --locked --target "$target")
run() {
    "${test[@]}" --no-run "$@"
    timeout 6000 "${test[@]}" "$@" 2>&1 | sed -u '/^--[0-9]*-- /d' | tee -a "$log"
}

found=0
# planted TEST REPORT: memcheck has to report this, and no test passes under it that has a report.
planted() {
    local output
    if output=$(run --quiet --test planted -- --exact --ignored "$1"); then
        printf '%s\nvalgrind: blind: %s passes\n' "$output" "$1" >&2
        exit 1
    elif ! grep -q "== $2" <<<"$output"; then
        printf '%s\nvalgrind: blind: %s fails without "%s"\n' "$output" "$1" "$2" >&2
        exit 1
    fi
    found=$((found + 1))
    echo "found: $1 ($2)"
}

planted heap_memory_that_was_freed 'Invalid read of size 8'
planted the_stack_of_a_finished_greenlet 'Invalid read of size 8'
planted the_stack_of_a_finished_raw_greenlet 'Invalid read of size 8'
planted a_local_of_a_function_that_has_returned 'Invalid read of size 8'
planted memory_that_was_never_written 'Conditional jump or move depends on uninitialised value'

if [[ ${1-} == --stress ]]; then
    (($# == 3)) || { echo "usage: ci/valgrind.sh --stress WORKLOADS SECONDS" >&2; exit 2; }
    timeout $((1200 + 2 * $3)) cargo run --locked --release --target "$target" --features stress \
        --bin rustlet-stress -- "$2" --seconds "$3" --in-process
    echo "valgrind: $found planted errors found; rustlet-stress $2 clean for $3 s"
    exit
fi

: >"$log"
if (($#)); then
    run "$@"
else
    # shellcheck disable=SC2046 # Two words for each test.
    run --no-fail-fast $(printf -- '--test %s ' "${tests[@]}") -- "${left_out[@]}"
fi

passed=$(awk '/^test result: ok\./ { n += $4 } END { print n + 0 }' "$log")
if ((passed == 0)); then
    echo "valgrind: no test was run" >&2
    exit 1
fi
echo "valgrind: $found planted errors found; $passed tests passed"
