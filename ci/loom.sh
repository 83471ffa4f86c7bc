#!/usr/bin/env bash
# Runs the protocols between threads under loom (tests/loom/src/main.rs says which, and what is not).
#
#   ci/loom.sh                  all models: a minute or two
#   ci/loom.sh permits inbox    those with one of these words in their name
#   ci/loom.sh --mutants        breaks the protocols one by one, in a copy, and sees that loom finds it: ten minutes
#   ci/loom.sh --mutants sync   only in files whose path has this word
#
# LOOM_MAX_PREEMPTIONS (4) is how thorough.
# shellcheck disable=SC2016 # What is in single quotes is for perl.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/loom"

if [[ ${1-} != --mutants ]]; then
    exec timeout 1800 cargo run --locked --release --quiet --manifest-path tests/loom/Cargo.toml -- "$@"
fi

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
missed=0
only=${2-}

# mutant MODEL FILE WHAT PERL: PERL, a substitution over the whole file, has to change it and MODEL has to fail.
mutant() {
    local model=$1 file=$2 what=$3 perl=$4
    [[ $file == *"$only"* ]] || return 0
    rm -rf "${copy:?}"/*
    mkdir "$copy/tests"
    cp -r src "$copy/src"
    cp -r tests/loom "$copy/tests/loom"
    perl -0pi -e "$perl" "$copy/$file"
    if cmp -s "$file" "$copy/$file"; then
        echo "STALE   $file: $what (the substitution finds nothing)"
        missed=1
    elif ! cargo build --locked --release --quiet --manifest-path "$copy/tests/loom/Cargo.toml" 2>"$copy/log"; then
        echo "STALE   $file: $what (does not compile)"
        grep -m3 -A4 '^error' "$copy/log" || true
        missed=1
    elif bash -c '"$@"; exit $?' - timeout 300 "$CARGO_TARGET_DIR/release/rustlet-loom" "$model" >"$copy/log" 2>&1; then
        echo "MISSED  $file: $what ($model passes)"
        missed=1
    else
        echo "found   $file: $what ($(grep -m1 -A1 'panicked at' "$copy/log" | tail -n 1 | cut -c 1-70))"
    fi
}

lock=src/sys/short_lock.rs
mutant 'short_lock two' $lock 'taken without acquiring' 's/swap\(true, Ordering::Acquire\)/swap(true, Ordering::Relaxed)/g'
mutant 'short_lock two' $lock 'given back without releasing' 's/store\(false, Ordering::Release\)/store(false, Ordering::Relaxed)/'
mutant 'short_lock two' $lock 'taken in two steps' \
    's/if self.locked.swap\(true, Ordering::Acquire\) \{\n/let was = self.locked.load(Ordering::Acquire); self.locked.store(true, Ordering::Relaxed); if was {\n/'

inbox=src/scheduler/inbox.rs
mutant inbox $inbox 'looks whether the hub sleeps before it pushes' \
    's/(pub\(super\) fn push.*?\{\n)/$1let asleep = self.asleep.load(Ordering::SeqCst);\n/s; s/if self.asleep.load\(Ordering::SeqCst\) &&/if asleep &&/'
mutant inbox $inbox 'looks whether the hub sleeps without order' 's/if self.asleep.load\(Ordering::SeqCst\) &&/if self.asleep.load(Ordering::Relaxed) &&/; s/Ordering::SeqCst, \/\/ pairs.*?\n/Ordering::AcqRel,\n/'
mutant inbox $inbox 'goes to sleep without looking again' 's/if self.head.load\(Ordering::SeqCst\).is_null\(\)/if true/'
mutant inbox $inbox 'looks into the inbox before it says that it sleeps' \
    's/(self.asleep.store\(true, Ordering::SeqCst\);\n)(\s*if self.head.load\(Ordering::SeqCst\).is_null\(\)) \{/let empty = self.head.load(Ordering::SeqCst).is_null(); $1 if empty {/'
mutant inbox $inbox 'clears the flag after it has acted' 's/task.leave_inbox\(\);\s*each\(task\);/each(task.clone()); task.leave_inbox();/'
mutant inbox $inbox 'takes the list without acquiring' 's/swap\(head, Ordering::Acquire\)/swap(head, Ordering::Relaxed)/'
mutant inbox $inbox 'pushes to a closed inbox' 's/if head == CLOSED/if false/'

waiter=src/sync/waiter.rs
mutant waiter $waiter 'grants before it names whom to wake' \
    's/(let remote = unsafe \{ self.0.sleeper.unpark\(\) \};)(.*?)(self.0.granted.store\(value, Ordering::Release\);)/$3$1/s'
mutant waiter $waiter 'grants without releasing' 's/granted.store\(value, Ordering::Release\)/granted.store(value, Ordering::Relaxed)/'
mutant waiter $waiter 'sees the grant without acquiring' 's/match self.granted.load\(Ordering::Acquire\)/match self.granted.load(Ordering::Relaxed)/'
mutant waiter $waiter 'gives up although it was granted' 's/if cancel\(\) \{ None \} else \{ self.granted\(\) \}/cancel(); None/'
mutant waiter $waiter 'serves waiters that chose something else' 's/if !choice.claim\(first.index\) =>/if { choice.claim(first.index); false } =>/'
mutant waiter $waiter 'forgets to wake' 's/if let Some\(remote\) = self.0 \{\s*remote.unpark\(\);/if let Some(remote) = self.0 { let _ = remote;/'
mutant waiter tests/loom/src/sync/waiter_model.rs 'hands over after granting' \
    's/(\/\/ SAFETY: loom checks it.\n\s*taker\s*\.item\s*\.with_mut\(.place. unsafe \{ \*place = Some\(item\) \}\);)\s*Some\(popped.grant\(1\)\)/let taker = taker as *const Taker; let wake_up = popped.grant(1); let taker = unsafe { &*taker }; $1 Some(wake_up)/'

permits=src/sync/permits.rs
mutant permits $permits 'who gives up tells nobody' 's/(state.next_is_reserved = false;\s*)wake_up = state.tell_next\(\);/$1/'
mutant permits $permits 'who gives up leaves the mark of its wake-up' 's/if was_first \{\s*state.told = false;/if was_first {/'
mutant permits $permits 'who takes a permit does not tell the next' 's/let wake_up = state.tell_next\(\);(\s*drop\(state\);\s*wake_up.send\(\);\s*self.holder)/let wake_up = WakeUp::NONE;$1/'
mutant permits $permits 'who looks in vain leaves the mark of its wake-up' 's/core::mem::take\(&mut state.told\)/state.told/'
mutant permits $permits 'looks into the queue without the lock' \
    's/(fn look_again.*?)let mut state = self.state.lock\(\);\s*if !waiter.is_linked\(\) \{/$1 let linked = waiter.is_linked(); let mut state = self.state.lock(); if !linked {/s'
mutant permits $permits 'releases without telling' 's/(expect\("no more than usize::MAX permits"\);\s*)self.tell_next\(\)/$1WakeUp::NONE/'

state=src/sync/queue/state.rs
mutant channel $state 'grants a getter before its slot is filled' \
    's/unsafe \{ Slot::of\(getter.waiter\(\)\) \}.put\(slot.take\(\)\);\s*Some\(getter.grant\(DONE\)\)/let place = std::ptr::from_ref(unsafe { Slot::<T>::of(getter.waiter()) }); let wake_up = getter.grant(DONE); unsafe { (*place).put(slot.take()) }; Some(wake_up)/'
mutant channel $state 'takes an item without letting a putter in' 's/match \(stored, self.take_from_putter\(\)\)/match (stored, None::<(T, WakeUp)>)/'
mutant channel src/sync/queue/exchange.rs 'closes without telling the putters' 's/state.putters.grant_all\(super::slot::CLOSED\);//'
mutant channel src/sync/queue/state.rs 'closes without telling the getters' 's/self.getters.grant_all\(CLOSED\);//'

exit $missed
