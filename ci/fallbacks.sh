#!/usr/bin/env bash
# Runs the tests of what has a second way for older kernels, on this one, with the first way forbidden.
#
#   ci/fallbacks.sh                all of them: some five minutes, with the tests built
#   ci/fallbacks.sh guards epoll   only these: guards, pidfd, nowait, epoll
#
# Each way is demanded by name, so that one which cannot be had fails here, instead of another being taken in silence. The variables are
# described where they are read: `grep -rn RUSTLET_ src`.
#
# Guards by userfaultfd want Linux 6.6 and the right to use it (root, or vm.unprivileged_userfaultfd=1). Nothing else
# is needed but the toolchain.
#
# The last line says what was run; a set without any test fails.
set -euo pipefail
cd "$(dirname "$0")/.."

log=$(mktemp)
trap 'rm -f "$log"' EXIT
total=0
sets=0

# under VARIABLE=VALUE ARGUMENTS: `cargo test` with these arguments, and the variable set.
under() {
    local setting=$1 passed
    shift
    echo "$setting: $*"
    # A hang ends here, if it gets past the tests' own time limits.
    env "$setting" timeout 1200 cargo test --locked "$@" -- --quiet 2>&1 | tee "$log"
    passed=$(awk '/^test result: ok\./ { n += $4 } END { print n + 0 }' "$log")
    if ((passed == 0)); then
        echo "fallbacks: no test was run under $setting" >&2
        exit 1
    fi
    total=$((total + passed))
    sets=$((sets + 1))
}

guards() {
    local kind
    for kind in mprotect poison; do
        under RUSTLET_GUARDS=$kind --lib stack::
        under RUSTLET_GUARDS=$kind --test 'stack_*' --test overflow
    done
    # Without guards there is nothing for the tests of overflow to see.
    under RUSTLET_GUARDS=none --lib stack::
    under RUSTLET_GUARDS=none --test 'stack_*' --test 'scheduler_*' --test 'raw_*'
}

pidfd() {
    under RUSTLET_PIDFD=none --test 'process_*'
}

nowait() {
    under RUSTLET_NOWAIT=none --test 'fs_*'
}

epoll() {
    under RUSTLET_EPOLL_PWAIT2=none --test 'timer_*' --test 'net_*' --test 'udp_*' --test 'unix_*'
}

all=(guards pidfd nowait epoll)

(($#)) || set -- "${all[@]}"
for what; do
    if [[ " ${all[*]} " != *" $what "* ]]; then
        echo "no fallback called $what; there are: ${all[*]}" >&2
        exit 2
    fi
    "$what"
done
echo "fallbacks: $total tests passed in $sets runs: $*"
