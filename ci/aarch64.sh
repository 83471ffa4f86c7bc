#!/usr/bin/env bash
# Builds the crate for aarch64 Linux and runs its tests under qemu-user.
#
#   ci/aarch64.sh                          unit, integration and documentation tests, and what follows, ten seconds of it
#   ci/aarch64.sh --stress 120             the stress tool alone, two minutes of the workloads that are about switches
#   ci/aarch64.sh --test stack_pool        only what these `cargo test` arguments name
#   ci/aarch64.sh --binaries               runs nothing: builds the unit and integration tests, and prints their paths
#
# Wants Debian 12 on x86_64, and root the first time, to install what is missing: Debian's own compiler
# (the `-web` packages, kept current for the browser builds), its standard library for arm64, a cross
# linker and qemu-user, about 260 MB from Debian's mirrors.
#
# Beside the tests as they are: those of thread-locals with the optimiser on, as only then would it keep what it must not
# (src/coroutine/wander.rs); a small tour; the stress tool, in release.
#
# Not run here: benches (a time taken under an emulator says nothing) and the other examples (they are built and run natively). All
# dev-dependencies are compiled even so; cargo has no way to leave some out.
#
# What qemu-user does not show: weak memory ordering (the host's, x86_64's, is what the program gets),
# guard pages by madvise (qemu answers "done" and does nothing; the library notices and uses mprotect),
# resident pages beside such guards (mincore fails), io_uring and epoll_pwait2 (ENOSYS), and time.
# arch-notes/aarch64.md has the list.
#
# The last line says what was run; a caller may look for it, so that a script which ran nothing fails.
set -euo pipefail
cd "$(dirname "$0")/.."

target=aarch64-unknown-linux-gnu
packages=(rustc-web cargo-web libstd-rust-web-dev:arm64
    gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user)

if ! dpkg -s "${packages[@]}" >/dev/null 2>&1; then
    dpkg --add-architecture arm64
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive \
        apt-get -qq install -y --no-install-recommends "${packages[@]}" >/dev/null
fi

# By path: rustup's shims come first in PATH and have no arm64 standard library.
export CARGO=/usr/bin/cargo RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc
# A directory of its own: another compiler's artifacts would make both sides build again.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target/aarch64}"
export CARGO_INCREMENTAL=0 # smaller by half
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
# No `-L` and no QEMU_LD_PREFIX: with them the loader comes from the cross package and libc from the arm64
# one, two versions that do not fit, and pthread_create never returns. `pauth-impdef` is the cheap pointer
# authentication; the default one is 20 times slower wherever code uses it.
runner="qemu-aarch64 -cpu max,pauth-impdef=on"
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="$runner"
# For tests that start themselves again as a child: the host cannot execute them.
export RUSTLET_TEST_RUNNER="$runner"
# Deadlines in tests are multiplied by this.
export RUSTLET_TEST_SLOWDOWN="${RUSTLET_TEST_SLOWDOWN:-10}"

if [[ ${1-} == --binaries ]]; then
    "$CARGO" test --locked --target "$target" --lib --tests --no-run 2>&1 | tee /dev/stderr |
        sed -n 's/^ *Executable .*(\(.*\))$/\1/p'
    exit
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT

run() {
    # A hang ends here: a documentation test has no time limit of its own.
    timeout 1800 "$CARGO" test --locked --target "$target" "$@" 2>&1 | tee -a "$log"
}

# The one package optimised, and what the tests need beside it as it is: all in release would be built for minutes.
optimised() {
    local setting settings=()
    for setting in opt-level=3 codegen-units=16 debug-assertions=false; do
        settings+=(--config "profile.dev.package.rustlet.$setting")
    done
    run "${settings[@]}" --lib "$@"
}

tour() {
    timeout 600 "$CARGO" run --locked --target "$target" --example tour -- --clients 100 --requests 3 --no-threads
}

workloads=switch,unwind,greenlet,churn

# stress SECONDS: the workloads share them.
stress() {
    timeout $((1200 + 2 * $1)) "$CARGO" run --locked --release --target "$target" --features stress --bin rustlet-stress -- \
        "$workloads" --seconds "$1"
}

qemu="qemu-user $(qemu-aarch64 --version | awk 'NR == 1 { print $3 }'), rustc $("$RUSTC" --version | awk '{ print $2 }')"

if [[ ${1-} == --stress ]]; then
    stress "${2-60}"
    echo "aarch64: rustlet-stress $workloads passed, ${2-60} s in all, under $qemu"
    exit
fi

also=
if (($#)); then
    run "$@"
else
    run --no-fail-fast --lib --tests
    run --doc
    optimised -- wander present_thread
    tour
    stress 10
    also=", the tour and 10 s of rustlet-stress $workloads"
fi

passed=$(awk '/^test result: ok\./ { n += $4 } END { print n + 0 }' "$log")
if ((passed == 0)); then
    echo "aarch64: no test was run" >&2
    exit 1
fi
echo "aarch64: $passed tests passed$also, under $qemu"
