#!/usr/bin/env bash
# Runs the tests under AddressSanitizer: memory that is used after it was freed or beyond its end, on the heap, on the stacks of
# greenlets and in stacks that have gone back to their pool; and leaks.
#
#   ci/asan.sh                              the planted errors, then unit and integration tests
#   ci/asan.sh --test 'sync_*' --lib        the planted errors, then only what these `cargo test` arguments name
#   ci/asan.sh --stress switch,unwind 60    the planted errors, then the stress tool: these workloads, 60 seconds in all
#
# Needs rustup's stable on x86_64 Linux, no root. The sanitizer is in that toolchain though its flag is called unstable, hence
# RUSTC_BOOTSTRAP; the standard library stays uninstrumented. What is special about greenlets is announced: switches by
# corosensei (its feature `sanitizer`), stacks that are free by the library (`--cfg rustlet_asan`, src/stack/checked.rs), and system calls go
# by way of libc (`--cfg rustix_use_libc`), where the sanitizer sees the buffers.
#
# First each error of tests/planted.rs has to be found. Which tests are left out, and why, is listed below.
# RUSTLET_TEST_SLOWDOWN (5) multiplies the tests' deadlines. Artifacts: `asan` below the target directory, 4 GB with all tests.
#
# The last line says how much was run; a run of nothing fails.
set -euo pipefail
cd "$(dirname "$0")/.."

target=x86_64-unknown-linux-gnu
export RUSTC_BOOTSTRAP=1
# Compressed, the debug information of std alone does not take 20 MB in each of 150 tests.
export RUSTFLAGS="-Zsanitizer=address --cfg rustlet_asan --cfg rustix_use_libc -Clink-arg=-Wl,--compress-debug-sections=zlib"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/asan"
export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=line-tables-only
export RUSTLET_TEST_SLOWDOWN="${RUSTLET_TEST_SLOWDOWN:-5}"
# use_sigaltstack: the alternate signal stacks are std's and the library's; the sanitizer would unmap whichever it finds when a thread ends.
# handle_segv, handle_sigbus: the fault handler is the library's, in front of std's, which stays away if there is another. A wild pointer then ends a
# test by a bare signal; ASAN_OPTIONS=handle_segv=1 has it explained.
# No limit of memory (hard_rss_limit_mb): a thread of the sanitizer's would watch it, and no process would ever be alone, which deadlocks are told by.
options="use_sigaltstack=0 handle_segv=0 handle_sigbus=0 detect_stack_use_after_return=1"
export ASAN_OPTIONS="$options ${ASAN_OPTIONS-}"
export LSAN_OPTIONS="suppressions=$PWD/ci/lsan.supp print_suppressions=0 ${LSAN_OPTIONS-}"

# A test that cannot pass here is left out by its name, with the reason.
left_out=()
leave_out() { # REASON TEST…
    shift
    local test
    for test; do left_out+=(--skip "$test"); done
}
leave_out 'makes a million stacks, for each of which the sanitizer keeps 32 KiB of notes' a_million_stacks_cost_a_handful_of_mappings
leave_out 'wants a small address space; the sanitizer has 16 TiB' \
    a_limited_address_space_gives_smaller_regions_and_then_an_error_that_names_it
leave_out 'counts pages or mappings; the sanitizer has its own, and keeps freed memory for a while' \
    dropping_it_early_leaves_no_memory_behind ten_thousand_idle_connections memory_of_dropped_ones_does_not_grow \
    memory_of_finished_ones_does_not_grow fifty_runtimes_leave_nothing two_hundred_threads_leave_nothing_behind
leave_out 'measures how deep stacks are; the sanitizer puts frames beside them' \
    deeper_code_shows panicked_and_killed_greenlets_are_measured_too
leave_out 'uses memory or descriptors up, which the sanitizer does not outlive' a_worker_that_gets_no_thread_takes_the_others_along \
    want_of_stacks_on_a_worker_is_reported address_space_that_is_used_up_is_an_error_with_a_remedy \
    data_that_is_used_up_is_an_error_with_a_remedy a_stack_without_a_guard_is_not_run_on want_of_descriptors_is_told \
    without_a_thread_jobs_run_on_the_callers a_watch_that_gets_no_thread_leaves_room_for_the_next \
    a_thread_with_room_for_its_stack_only_is_refused
leave_out 'ends a process in the middle, which leaks what the harness holds' \
    exiting_while_a_child_is_waited_for exiting_the_process_from_a_greenlet_works
leave_out 'ends a forked process whose leaks, once told, fill a pipe that nobody reads' the_report_lists_who_waits \
    parked_after_the_last_other_thread_has_ended parked_with_no_other_thread_to_wake_it the_report_names_the_holder_of_a_lock
leave_out "looks at a thread from its signal stack, in which the sanitizer's frames leave no room" \
    a_fault_ends_the_look_and_nothing_else a_deep_stack_is_cut_and_says_so a_greenlet_that_computes_is_named \
    a_threads_own_code_keeps_its_greenlets_too a_greenlet_that_blocks_a_worker_is_named

log=$(mktemp)
trap 'rm -f "$log"' EXIT

test=(cargo test --locked --target "$target" --features corosensei/sanitizer)
run() {
    "${test[@]}" --no-run "$@"
    timeout 3000 "${test[@]}" "$@" 2>&1 | tee -a "$log"
}

found=0
# planted TEST REPORT: the test has to end with this report.
planted() {
    local output
    if output=$(run --quiet --test planted -- --exact --ignored "$1"); then
        printf '%s\nasan: blind: %s passes\n' "$output" "$1" >&2
        exit 1
    elif ! grep -q "ERROR: AddressSanitizer: $2" <<<"$output"; then
        printf '%s\nasan: blind: %s fails without "%s"\n' "$output" "$1" "$2" >&2
        exit 1
    fi
    found=$((found + 1))
    echo "found: $1 ($2)"
}

planted heap_memory_that_was_freed heap-use-after-free
planted past_the_end_of_a_local stack-buffer-overflow
planted the_stack_of_a_finished_greenlet use-after-poison
planted the_stack_of_a_finished_raw_greenlet use-after-poison
planted a_local_on_a_stack_that_was_used_again stack-use-after-return
planted a_local_of_a_function_that_has_returned stack-use-after-return

if [[ ${1-} == --stress ]]; then
    (($# == 3)) || { echo "usage: ci/asan.sh --stress WORKLOADS SECONDS" >&2; exit 2; }
    # Optimized, as users run it; `debug_assertions` stay on.
    CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true timeout $((1200 + 2 * $3)) \
        cargo run --locked --release --target "$target" --features corosensei/sanitizer,stress \
        --bin rustlet-stress -- "$2" --seconds "$3" --in-process
    echo "asan: $found planted errors found; rustlet-stress $2 clean for $3 s"
    exit
fi

: >"$log"
if (($#)); then
    run "$@"
else
    # Some tests start them.
    cargo build --locked --target "$target" --features corosensei/sanitizer --examples
    run --no-fail-fast --lib --tests -- "${left_out[@]}"
fi

passed=$(awk '/^test result: ok\./ { n += $4 } END { print n + 0 }' "$log")
if ((passed == 0)); then
    echo "asan: no test was run" >&2
    exit 1
fi
echo "asan: $found planted errors found; $passed tests passed"
