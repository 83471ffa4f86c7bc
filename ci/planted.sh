#!/usr/bin/env bash
# Breaks the library, or corosensei below it, in a copy, one fault at a time, and sees that rustlet-stress finds each within a minute.
#
#   ci/planted.sh             all faults: some ten minutes, most of it compiling
#   ci/planted.sh timer wake  those with one of these words in their name
#
# A fault is a substitution over one file; one that finds nothing any more fails too, and is to be mended with the change
# that made it stale. What the tool said of each fault is printed. Needs nothing but the toolchain.
# shellcheck disable=SC2016 # What is in single quotes is for perl.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/planted"

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
words=("$@")
found=0
missed=0

# Where cargo keeps the source of corosensei; it is fetched first if need be.
cargo fetch --locked --quiet
corosensei=$(cargo metadata --locked --format-version 1 |
    grep -o '"manifest_path":"[^"]*/corosensei-[^"]*/Cargo.toml"' | head -n 1 | cut -d '"' -f 4)
corosensei=${corosensei%/Cargo.toml}

# planted NAME WORKLOADS FILE PERL: PERL, a substitution over the whole of FILE, has to change it, and one of WORKLOADS has to fail.
planted() {
    local name=$1 workloads=$2 file=$3 perl=$4 word wanted=0 config=() start
    for word in "${words[@]-}"; do
        [[ $name == *"$word"* ]] && wanted=1
    done
    ((wanted)) || return 0

    rm -rf "${copy:?}"/*
    mkdir "$copy/rustlet"
    tar -c --exclude ./target --exclude ./.git --exclude ./fuzz . | tar -x -C "$copy/rustlet"
    cp -r "$corosensei" "$copy/corosensei"
    case $file in
        corosensei/*) config=(--config "patch.crates-io.corosensei.path=\"$copy/corosensei\"") ;;
        *) file=rustlet/$file ;;
    esac
    cp "$copy/$file" "$copy/before"
    perl -0pi -e "$perl" "$copy/$file"
    if cmp -s "$copy/before" "$copy/$file"; then
        echo "STALE   $name: the substitution finds nothing in $file"
        missed=$((missed + 1))
        return
    fi
    # A patched dependency changes the lock file, in the copy alone.
    if ! (cd "$copy/rustlet" && cargo "${config[@]}" build --release --quiet --features stress --bin rustlet-stress) 2>"$copy/log"; then
        echo "STALE   $name: does not compile"
        grep -m3 -A4 '^error' "$copy/log" || true
        missed=$((missed + 1))
        return
    fi
    start=$SECONDS
    # A hang is a finding too: ten seconds without progress are enough here.
    if "$CARGO_TARGET_DIR/release/rustlet-stress" "$workloads" --seconds 50 --hang 10 --seed 0x1 >"$copy/out" 2>&1; then
        echo "MISSED  $name: $workloads, 50 s"
        missed=$((missed + 1))
    else
        echo "found   $name, in $((SECONDS - start)) s:"
        grep -A3 -E ' (FAILED|CRASHED|HUNG) in step ' "$copy/out" | cut -c 1-200 | sed 's/^/        /'
        found=$((found + 1))
    fi
}

# Code that keeps a value in rbx across a switch finds another's there.
if [[ $(uname -m) == x86_64 ]]; then
    planted 'switch: a callee-saved register is not restored' switch corosensei/src/arch/x86_64.rs \
        's/(\/\/ Restore RBP and RBX\.\n\s*)"pop rbx",/$1"add rsp, 8",/'
fi
planted 'wake-up: the next in line is told nothing, now and then' locks src/sync/permits.rs \
    's/(let wake_up = )first\.nudge\(\);/static N: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0); $1if N.fetch_add(1, core::sync::atomic::Ordering::Relaxed) % 5000 == 4999 { WakeUp::NONE } else { first.nudge() };/'
planted 'timer: a fifth of a millisecond early' timers src/timer/mod.rs \
    's/wheel\.advance\(clock::now\(\),/wheel.advance(clock::now() + 200_000,/'
planted 'stack: a slot is used while its greenlet lives' churn src/stack/class.rs \
    's/(        self\.hot\.push\(start\);\n        self\.hot\.len\(\))/        if start % 7 == 0 { self.hot.push(start); self.spare.set(self.spare.get() + 1); }\n$1/'
planted 'stack: trimming takes the memory of a neighbour' churn src/stack/class.rs \
    's/let len = row\.len\(\) \* self\.size\.bytes\(\)/let len = (row.len() + 1) * self.size.bytes()/'

if ((found + missed == 0)); then
    echo "planted: no fault is called like that" >&2
    exit 1
fi
echo "planted: $found of $((found + missed)) faults found"
((missed == 0))
