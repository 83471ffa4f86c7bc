#!/usr/bin/env bash
# Fuzzes with libFuzzer, under AddressSanitizer: operation traces against their model, the timing wheel and the stores of
# queues against std's collections (fuzz/fuzz_targets says more).
#
#   ci/fuzz.sh                                  all targets, 60 seconds each
#   ci/fuzz.sh trace 600                        one target for ten minutes
#   ci/fuzz.sh --show trace FILE                runs one input, and prints it as a trace, shrunk
#
# Begins with the inputs in fuzz/corpus/TARGET and those of earlier runs, which stay below the target directory. An input that fails is kept
# in fuzz/artifacts/TARGET; `--show` says what it is.
#
# Needs rustup's stable on x86_64 Linux, and a C++ compiler for libFuzzer; no root. cargo-fuzz is installed if it is missing (ci/tool.sh).
# Flags that are called unstable are in that toolchain: RUSTC_BOOTSTRAP. Artifacts: `fuzz` below the target directory, 0.5 GB.
#
# The last line says how many inputs were run; a target that runs none fails.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$(ci/tool.sh cargo-fuzz)
export PATH="$tools:$PATH"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/fuzz"
export RUSTC_BOOTSTRAP=1
# As in ci/asan.sh, which tells why; cargo-fuzz adds its own.
export RUSTFLAGS="--cfg rustlet_asan --cfg rustix_use_libc ${RUSTFLAGS-}"
# No fake stacks: corosensei never frees a finished coroutine's, and there are thousands a second.
export ASAN_OPTIONS="use_sigaltstack=0:detect_stack_use_after_return=0:${ASAN_OPTIONS-}"

# fuzz TARGET ARGUMENTS...: the corpus, then what libFuzzer is told.
fuzz() {
    local target=$1
    shift
    cargo fuzz run --fuzz-dir fuzz --target-dir "$CARGO_TARGET_DIR" "$target" "$@"
}

if [[ ${1-} == --show ]]; then
    if (($# != 3)); then
        echo "usage: ci/fuzz.sh --show TARGET FILE" >&2
        exit 2
    fi
    export RUSTLET_FUZZ_SHOW=1
    fuzz "$2" "$3"
    echo "fuzz: 1 input of $2 passes"
    exit
fi

targets=(trace wheel blocks)
if (($#)); then
    targets=("$1")
fi
seconds=${2:-60}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
ran=0
said=()
for target in "${targets[@]}"; do
    found="$CARGO_TARGET_DIR/corpus/$target"
    mkdir -p "$found"
    # An input has 60 seconds: a difference is believed when it is there with long moments too.
    fuzz "$target" "$found" "fuzz/corpus/$target" -- "-max_total_time=$seconds" -timeout=60 -max_len=1024 \
        -rss_limit_mb=4096 -print_final_stats=1 2>&1 | tee "$log" | grep --line-buffered -v '^#[0-9]*[[:space:]]*\(NEW\|REDUCE\)'
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    if ((${runs:-0} == 0)); then
        echo "fuzz: $target ran nothing" >&2
        exit 1
    fi
    ran=$((ran + runs))
    said+=("$target $runs")
done
printf -v each '%s, ' "${said[@]}"
echo "fuzz: $ran inputs passed (${each%, })"
