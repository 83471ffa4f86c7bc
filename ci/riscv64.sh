#!/usr/bin/env bash
# Builds the crate for riscv64 Linux and runs its tests under qemu-user.
#
#   ci/riscv64.sh                          unit, integration and documentation tests
#   ci/riscv64.sh --test stack_pool        only what these `cargo test` arguments name
#
# Wants Debian 12 on x86_64, and root the first time, to install what is missing: Debian's own compiler (the `-web` packages) with
# the source of its standard library, which is built here since Debian 12 has no riscv64 archive; a cross linker
# with its libc, and qemu-user.
#
# An extra: `.ci/run` does not call it. What qemu-user does not show is in the head of ci/aarch64.sh.
#
# The last line says what was run; a run without any test fails.
set -euo pipefail
cd "$(dirname "$0")/.."

target=riscv64gc-unknown-linux-gnu
packages=(rustc-web cargo-web rust-web-src gcc-riscv64-linux-gnu libc6-dev-riscv64-cross qemu-user)

if ! dpkg -s "${packages[@]}" >/dev/null 2>&1; then
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive \
        apt-get -qq install -y --no-install-recommends "${packages[@]}" >/dev/null
fi

# By path: rustup's shims come first in PATH, and its standard library has no riscv64. RUSTC_BOOTSTRAP lets a stable
# compiler take -Zbuild-std.
export CARGO=/usr/bin/cargo RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc RUSTC_BOOTSTRAP=1
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target/riscv64}"
export CARGO_TARGET_RISCV64GC_UNKNOWN_LINUX_GNU_LINKER=riscv64-linux-gnu-gcc
# With `-L`, unlike aarch64: loader and libc both come from the cross package.
runner="qemu-riscv64 -L /usr/riscv64-linux-gnu"
export CARGO_TARGET_RISCV64GC_UNKNOWN_LINUX_GNU_RUNNER="$runner"
# For tests that start themselves again as a child: the host cannot execute them.
export RUSTLET_TEST_RUNNER="$runner"
# Deadlines in tests are multiplied by this.
export RUSTLET_TEST_SLOWDOWN="${RUSTLET_TEST_SLOWDOWN:-10}"

log=$(mktemp)
trap 'rm -f "$log"' EXIT

run() {
    # A hang ends here: a documentation test has no time limit of its own.
    timeout 1800 "$CARGO" test --locked -Zbuild-std --target "$target" "$@" 2>&1 | tee -a "$log"
}

if (($#)); then
    run "$@"
else
    run --no-fail-fast --lib --tests
    run --doc
fi

passed=$(awk '/^test result: ok\./ { n += $4 } END { print n + 0 }' "$log")
if ((passed == 0)); then
    echo "riscv64: no test was run" >&2
    exit 1
fi
qemu=$(qemu-riscv64 --version | awk 'NR == 1 { print $3 }')
rustc=$("$RUSTC" --version | awk '{ print $2 }')
echo "riscv64: $passed tests passed under qemu-user $qemu, rustc $rustc"
