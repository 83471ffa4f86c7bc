#!/usr/bin/env bash
# How much of `src` the tests reach: builds with LLVM's counters, runs the tests, and prints the files that are reached least and the
# total, by line.
#
#   ci/coverage.sh                          unit and integration tests: fifteen minutes, and two gigabytes below the target directory
#   ci/coverage.sh --test net_tcp           only what these `cargo test` arguments name
#   ci/coverage.sh --missing                the lines that the last run did not reach
#   ci/coverage.sh --missing src/io/net     those of files whose path has this word
#
# Wants Debian 12 and root the first time, to install what is missing: LLVM's tools of the compiler's own major version, cargo-llvm-cov
# (ci/tool.sh). RUSTLET_COVERAGE_FILES (25) is how long the table is.
#
# Counted: code of the library, without its unit tests (`tests.rs`, `tests/`). A process that aborts counts too, which
# the tests of overflow and of `panic in a destructor` live on: the counters are a mapping of the file (`%c`), not written at exit. Not
# counted: documentation tests (that needs nightly), what only another kernel or architecture reaches, and what ci/loom.sh
# runs, which is a copy.
#
# The figure is no aim: a line that was run is not a line that was checked. What it finds is code that no test has ever run.
#
# The last line is the total; it fails if a test failed, if none was run and if no line was counted.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$(ci/tool.sh cargo-llvm-cov)
base="${CARGO_TARGET_DIR:-$PWD/target}"
export CARGO_TARGET_DIR="$base/coverage"
lcov="$CARGO_TARGET_DIR/lcov.info"
log="$CARGO_TARGET_DIR/log"

# Lines "path line count" for what is counted of `src`. A module of tests inside a file goes to the file's end.
lines() {
    awk -v root="$PWD/" '
        function tests_begin(path,    line, number, attribute) {
            while ((getline line < path) > 0) {
                number++
                if (attribute && line ~ /^mod .*[{]$/) break
                attribute = line == "#[cfg(test)]"
                line = ""
            }
            close(path)
            return line == "" ? number + 1 : number
        }
        sub(/^SF:/, "") {
            file = $0
            counted = index(file, root "src/") == 1 && file !~ /\/(loom_)?tests(\.rs$|\/)/
            if (counted) end = tests_begin(file)
            sub(root, "", file)
        }
        counted && sub(/^DA:/, "") { split($0, field, ","); if (field[1] < end) print file, field[1], field[2] }
    ' "$lcov"
}

if [[ ${1-} == --missing ]]; then
    [[ -e $lcov ]] || { echo "no run to tell of: $lcov" >&2; exit 1; }
    # Ranges: a line without code, as a comment, does not end one.
    lines | awk -v word="${2-}" '
        function flush() { if (first) print file ":" first (last > first ? "-" last : "") }
        index($1, word) == 0 { next }
        $1 != file { flush(); file = $1; first = 0 }
        $3 == 0 { missing++; if (!first) first = $2; last = $2 }
        $3 != 0 { flush(); first = 0 }
        END { flush(); printf "coverage: %d lines were not reached\n", missing }
    '
    exit
fi

llvm=$(rustc --version --verbose | awk '/^LLVM version/ { sub(/\..*/, "", $3); print $3 }')
if ! dpkg -s "llvm-$llvm" >/dev/null 2>&1; then
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "llvm-$llvm" >/dev/null
fi
export PATH="$tools:$PATH" LLVM_COV="llvm-cov-$llvm" LLVM_PROFDATA="llvm-profdata-$llvm"

# Without what nobody reads here: debug information is most of the size of a hundred test binaries.
export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=0
export RUSTFLAGS="-Cllvm-args=-runtime-counter-relocation ${RUSTFLAGS-}" # what `%c` needs
# Counters cost little; two cores that also compile cost more.
export RUSTLET_TEST_SLOWDOWN="${RUSTLET_TEST_SLOWDOWN:-3}"
mkdir -p "$CARGO_TARGET_DIR"
# The variables alone, and then cargo's own commands: some tests run examples, which `cargo llvm-cov` does not build.
environment=$(cargo llvm-cov show-env --sh --no-cfg-coverage)
eval "$environment"
export LLVM_PROFILE_FILE="$CARGO_TARGET_DIR/rustlet-%4m%c.profraw"
cargo llvm-cov clean --profraw-only

(($#)) || set -- --lib --tests
status=0
{ timeout 7200 cargo build --locked --examples && timeout 7200 cargo test --locked --no-fail-fast "$@"; } 2>&1 | tee "$log" || status=$?

# A process that is killed while it maps its file leaves one without counters.
cargo llvm-cov report --failure-mode all --lcov --output-path "$lcov"
passed=$(awk '/^test result:/ { passed += $4 } END { print passed + 0 }' "$log")
lines | awk '
    { all[$1]++; reached[$1] += $3 > 0 }
    END { for (file in all) printf "%6.1f %% %6d of %5d  %s\n", 100 * reached[file] / all[file], reached[file], all[file], file }
' | sort -n | awk -v rows="${RUSTLET_COVERAGE_FILES:-25}" 'NR <= rows'
((status == 0)) || echo "coverage: tests failed; see $log" >&2
lines | awk -v passed="$passed" -v status="$status" '
    { all++; reached += $3 > 0 }
    END {
        if (!all || !passed) { print "coverage: nothing was run" > "/dev/stderr"; exit 1 }
        printf "coverage: %.1f %% of %d lines of src, by %d tests\n", 100 * reached / all, all, passed
        exit status
    }
'
