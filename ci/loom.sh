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

task=tests/loom/src/scheduler/task.rs
mutant 'settle wake' $task 'says that it has a hub before it has' \
    's/(self.0.home.store\(home, Ordering::Release\);)(\s*)(self.0.state.fetch_or\(PLACED, Ordering::AcqRel\);)/$3$2$1/'
mutant 'settle wake' $task 'settles without releasing' 's/home.store\(home, Ordering::Release\)/home.store(home, Ordering::Relaxed)/; s/fetch_or\(PLACED, Ordering::AcqRel\)/fetch_or(PLACED, Ordering::Relaxed)/'
mutant 'settle wake' $task 'settles without acquiring' 's/fetch_or\(PLACED, Ordering::AcqRel\)/fetch_or(PLACED, Ordering::Release)/; s/(fn begins.*?load\()Ordering::Acquire/$1Ordering::Relaxed/s'
mutant 'settle wake' $task 'leaves a token and does not look whether there is a hub by now' \
    's/self.0.state.fetch_or\(EARLY_TOKEN, Ordering::AcqRel\) & PLACED == 0/{ self.0.state.fetch_or(EARLY_TOKEN, Ordering::AcqRel); true }/'
mutant 'settle wake' $task 'looks for a hub and leaves no token' 's/self.0.state.fetch_or\(EARLY_TOKEN, Ordering::AcqRel\) & PLACED == 0/true/'
mutant 'settle kill' $task 'looks whether it is killed before it settles' \
    's/(pub\(crate\) fn settle\(&self, shared: &.static Shared\) \{)/$1 EARLIER.with(|state| state.set(self.0.state.load(Ordering::Acquire)));/; s/(fn begins.*?let state = )self.0.state.load\(Ordering::Acquire\);/$1EARLIER.with(|state| state.get());/s; s/(const PLACED)/std::thread_local! { static EARLIER: std::cell::Cell<u32> = const { std::cell::Cell::new(0) } }\n$1/'

idle=src/scheduler/workers/idle.rs
mutant 'idle push' $idle 'picks without a fence after the push' 's/fence\(Ordering::SeqCst\);(\s*if nobody)/$1/'
mutant 'idle push' $idle 'forgets that it was picked' 's/else \{\s*return true;/else { return false;/'
mutant 'idle woken' $idle 'stays in the list when it gets up' 's/sleepers.remove\(place\);\s*self.state.fetch_sub\(SLEEPER, Ordering::SeqCst\);/let _ = place;/'
mutant 'idle push' $idle 'counts as searching while it sleeps' 's/SLEEPER - usize::from\(searched\)/{ let _ = searched; SLEEPER }/'
mutant 'idle burst' $idle 'does not say who was the last to search' 's/searchers\(self.state.fetch_sub\(1, Ordering::SeqCst\)\) == 1/{ self.state.fetch_sub(1, Ordering::SeqCst); false }/'
mutant 'idle inject two' $idle 'does not count whom it picks as searching' 's/fetch_sub\(SLEEPER - 1, Ordering::SeqCst\)/fetch_sub(SLEEPER, Ordering::SeqCst)/'
mutant 'idle' $idle 'changes state without order' 's/(fetch_add\([^;]*?)Ordering::SeqCst/$1Ordering::Relaxed/sg; s/(fetch_sub\([^;]*?)Ordering::SeqCst/$1Ordering::Relaxed/sg'

worker=src/scheduler/workers/worker.rs
mutant 'idle push' $worker 'lies down before its bell is armed' \
    's/(if !shared.prepare_sleep\(\) \{)(.*?)self.lie_down\(\);/self.lie_down(); $1 let _ = self.get_up();$2/s'
mutant 'idle push' $worker 'does not look once more' 's/self.team.has_fresh\(self.index, 0, trusted\)\s*&&/false \&\&/'
mutant 'idle push' $worker 'looks before it lies down' 's/self.lie_down\(\);(.*?)self.team.has_fresh\(self.index, 0, trusted\)/let early = self.team.has_fresh(self.index, 0, trusted); self.lie_down();$1early/s'
mutant 'idle push' $worker 'asks who searches before it lies down' 's/self.lie_down\(\);(.*?)!self.team.idle.somebody_searches\(\)/let nobody = !self.team.idle.somebody_searches(); self.lie_down();$1nobody/s'
mutant 'idle' $worker 'does not sleep although others search' 's/&& !self.team.idle.somebody_searches\(\)//'
mutant 'idle woken' $worker 'leaves what came too late' 's/if picked \|\| too_late/if picked/'
mutant 'idle burst' $worker 'ends searching and looks for no more' 's/&& self.team.has_fresh\(self.index, keeps, None\)/\&\& false/'
mutant 'idle push to two' $worker 'wakes another for what it keeps' 's/self.team.has_fresh\(self.index, keeps, None\)/self.team.has_fresh(self.index, 0, None)/'
mutant 'idle woken' $worker 'keeps one although it does something else first' 's/&& self.len\(\) > keeps/\&\& self.len() > 1/; s/self.team.has_fresh\(self.index, keeps, None\)/self.team.has_fresh(self.index, 1, None)/'
mutant 'idle woken' $worker 'takes from outside and tells nobody' 's/(if self.take_injected\(\) > 0 && self.len\(\) > keeps \{)\s*self.team.announce\(\);/$1/'

mutant 'idle trust' $worker 'does not search after it has trusted' 's/ \|\| trusted.is_some\(\)//'

trust=src/scheduler/workers/trust.rs
mutant 'idle trust' $trust 'trusts for ever' 's/trust.0.store\(false, Ordering::Relaxed\)/trust.0.load(Ordering::Relaxed)/'

announce=src/scheduler/workers/announce.rs
mutant 'idle trust burst' $announce 'trusts with two' 's/&& len\(\) <= 1/\&\& len() <= 2/'
mutant 'idle trust burst' $announce 'trusts with any number when it lies down' 's/member.stealer.len\(\) > 1/false/'
mutant 'idle trust' $announce 'looks whether it is trusted before the fence' \
    's/(let is_left_to_it = )\|\| (\{.*?\});/$1$2;/s; s/self.idle.pick\(is_left_to_it\)/self.idle.pick(|| is_left_to_it)/'
mutant 'idle inject' $announce 'looks into the queues without a fence' 's/fence\(Ordering::SeqCst\); .. pairs.*?\n//'
mutant 'idle inject' $announce 'does not look at what came from outside' 's/!self.injector.is_empty\(\)\s*\|\|//'
mutant 'idle push' $announce 'wakes nobody' 's/place.shared.ring_if_asleep\(\);/let _ = place;/'
mutant 'idle inject' $announce 'announces before it pushes' 's/(self.injector.push\(item, greenlets\)\?;)\s*(self.announce\(\);)/$2 $1/'

injector=src/scheduler/workers/injector.rs
mutant 'injector close' $injector 'looks whether it is closed, and then takes the lock' \
    's/let mut queue = self.queue.lock\(\);\s*if queue.takes < needs/let takes = self.queue.lock().takes; let mut queue = self.queue.lock(); if takes < needs/'
mutant 'injector close' $injector 'closes without the lock being asked' 's/if queue.takes < needs/if false/'
mutant 'injector shares' $injector 'says its length after the lock' 's/(self.len.store\(queue.items.len\(\), Ordering::Release\);)(\s*)drop\(queue\);/let len = queue.items.len();$2drop(queue);$2self.len.store(len, Ordering::Release);/'
mutant 'idle inject' $injector 'does not say its length' 's/(queue.items.push_back\(item\);\s*)self.len.store\(queue.items.len\(\), Ordering::Release\);/$1/'

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

slot=src/io/offload/slot.rs
mutant 'offload wait' $slot 'wakes nobody' 's/Waiter::Parked\(task\) => Some\(task\)/Waiter::Parked(task) => { let _ = task; None }/'
mutant 'offload kill' $slot 'keeps what nobody wants' 's/drop\(outcome\); .. whoever/core::mem::forget(outcome); \/\/ whoever/'
mutant 'offload wait' $slot 'looks, and then says in a second step that it waits' \
    's/let mut state = self.lock\(\);(\s*match &mut \*state \{\s*State::Pending\(place\) => \{)/let pending = matches!(*self.lock(), State::Pending(_)); let mut state = self.lock(); if pending { *state = State::Pending(waiter()); return None; }$1/'

pool=src/io/offload/pool.rs
mutant 'offload room' $pool 'lets nobody in' 's/let admitted = state.admit\(\);/let admitted = None::<TaskRef>;/'
mutant 'offload room' $pool 'lets in and tells nobody' 's/(self.queue.push_back\(job\);\s*)caller/$1let _ = caller; None/'
mutant 'offload idle' $pool 'ends without a look at the queue' 's/waited.timed_out\(\) && state.queue.is_empty\(\)/waited.timed_out()/'
mutant 'offload idle' $pool 'is about to look for ever' 's/self.lock\(\).about_to_look -= 1;//'
mutant 'offload idle' $pool 'waits without being counted' 's/state.idle [+-]= 1;//g'
mutant 'offload idle' $pool 'sees the queue, and then waits under a second lock' \
    's/state.idle \+= 1;/state.idle += 1; drop(state); state = self.lock();/'
mutant 'offload room kill' $pool 'takes back another' 's/(fn take_back.*?)state.held_back.remove\(index\)/$1 { let _ = index; state.held_back.pop_front(); state.queue.pop_front() }.map(|job| HeldBack { number, job, caller: None })/s'

exit $missed
