//! The pool against a simple model, against the kernel, and against want of everything.
//!
//! Tests that need a kind of guard make their own pool with that kind; the environment variable is
//! not set in this process. Kernel mappings are counted inside the pool's own regions, so that
//! other tests may run at the same time.

use super::*;
use crate::sys::guard::Guards;
use crate::sys::mem;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::process::Command;

/// A pool with guards of the kind that `setting` names; `None` if this system lacks it.
fn pool(setting: &str) -> Option<Pool> {
    let guards = Guards::choose(Some(setting)).ok()?;
    Some(Pool::with_guards(Box::leak(Box::new(guards))))
}

fn best() -> Pool {
    pool("auto").expect("some kind of guard works")
}

fn size(kib: usize) -> StackSize {
    StackSize::new(kib * 1024).expect("a size")
}

fn lease(pool: &Pool, size: StackSize) -> Slot {
    pool.promise(size).expect("a promise");
    pool.take(size).expect("a slot")
}

/// Whether a user-mode emulator runs this: it answers success to any advice. It cannot run this
/// binary again by its name, and its `mincore` fails on ranges that hold inaccessible pages.
fn emulated() -> bool {
    Guards::choose(Some("madvise")).is_err_and(|error| error.to_string().contains("any advice"))
}

/// Writes to the top of a stack, as a coroutine would.
fn touch(slot: &Slot, value: usize) {
    // SAFETY: the word below the top of a slot that the caller leases.
    unsafe { ((slot.top() - 8) as *mut usize).write_volatile(value) };
}

fn touched(slot: &Slot) -> usize {
    // SAFETY: as above.
    unsafe { ((slot.top() - 8) as *const usize).read_volatile() }
}

/// The kernel's mappings that lie in the pool's regions.
fn maps(pool: &Pool) -> usize {
    maps_in(&pool.ranges())
}

fn maps_in(ranges: &[Range<usize>]) -> usize {
    let maps = fs::read_to_string("/proc/self/maps").expect("reads the maps");
    maps.lines()
        .filter(|line| {
            let (start, rest) = line.split_once('-').expect("start-end");
            let (end, _) = rest.split_once(' ').expect("start-end");
            let start = usize::from_str_radix(start, 16).expect("an address");
            let end = usize::from_str_radix(end, 16).expect("an address");
            ranges
                .iter()
                .any(|range| start < range.end && range.start < end)
        })
        .count()
}

#[test]
fn a_slot_is_aligned_coloured_guarded_and_empty() {
    for setting in ["madvise", "poison", "mprotect"] {
        let Some(pool) = pool(setting) else { continue };
        for kib in [16, 64, 256, 8192] {
            let size = size(kib);
            let slots: Vec<Slot> = (0..40).map(|_| lease(&pool, size)).collect();
            for (i, slot) in slots.iter().enumerate() {
                let end = slot.limit() + size.bytes();
                assert_eq!(slot.limit() % size.bytes(), 0);
                assert_eq!(slot.guard_end(), slot.limit() + size.guard_bytes());
                assert_eq!(slot.top() % 64, 0);
                assert!(end - slot.top() < 2048);
                if i > 0 {
                    assert_ne!(
                        slot.top() % 4096,
                        slots[i - 1].top() % 4096,
                        "colours differ"
                    );
                }
                // SAFETY: the slot is leased and empty.
                unsafe {
                    assert!(
                        mem::write_faults(slot.limit()),
                        "{setting}: the guard's start"
                    );
                    assert!(
                        mem::write_faults(slot.guard_end() - 16),
                        "{setting}: its end"
                    );
                    assert!(!mem::write_faults(slot.guard_end()), "{setting}: above it");
                }
                touch(slot, i);
            }
            for (i, slot) in slots.into_iter().enumerate() {
                assert_eq!(touched(&slot), i, "slots do not overlap");
                pool.give_back(slot);
            }
        }
        assert_eq!(pool.stats().guards.to_string(), setting);
    }
}

#[test]
fn the_last_slot_given_back_is_the_first_taken() {
    let pool = best();
    let size = StackSize::DEFAULT;
    let slots: Vec<Slot> = (0..3).map(|_| lease(&pool, size)).collect();
    let order: Vec<usize> = slots.iter().map(Slot::limit).collect();
    slots.into_iter().for_each(|slot| pool.give_back(slot));
    let again: Vec<Slot> = (0..3).map(|_| lease(&pool, size)).collect();
    let reversed: Vec<usize> = again.iter().rev().map(Slot::limit).collect();
    assert_eq!(order, reversed);
}

#[test]
fn a_million_stacks_cost_a_handful_of_mappings() {
    let pool = best();
    if pool.guards_kind() == GuardKind::Mprotect {
        return; // Two mappings each: see the test of its budget.
    }
    const COUNT: usize = 1_000_000;
    let size = StackSize::DEFAULT;
    for _ in 0..COUNT {
        pool.promise(size).expect("a promise");
    }
    assert_eq!(pool.stats().promised, COUNT);
    let first = pool.take(size).expect("a slot");
    for _ in 1..COUNT {
        // Never given back.
        let _ = pool.take(size).expect("a slot");
    }
    let stats = pool.stats();
    assert_eq!((stats.live, stats.promised), (COUNT, 0));
    assert!(stats.committed_bytes >= COUNT * size.bytes());
    let regions = pool.ranges();
    assert!(regions.len() < 20, "{} regions", regions.len());
    // A region is at most two mappings: committed and not yet.
    let maps = maps(&pool);
    assert!(
        maps <= regions.len() + 1,
        "{maps} mappings in {} regions",
        regions.len()
    );
    // SAFETY: the slot is leased and empty.
    assert!(unsafe { mem::write_faults(first.limit()) });
    for range in regions {
        // SAFETY: the regions of this pool, whose slots nobody uses. Given back by hand, for page
        // tables of half a gigabyte are too much to leak.
        unsafe { mem::unmap(range.start, range.len()) }.expect("unmaps");
    }
    // Its regions are gone, and their addresses may be somebody else's by now.
    std::mem::forget(pool);
}

#[test]
fn memory_comes_back_after_a_crowd() {
    for setting in ["madvise", "poison", "mprotect", "none"] {
        let Some(pool) = pool(setting) else { continue };
        let page = crate::sys::mem::page_size();
        let size = size(64);
        if setting == "mprotect" && emulated() {
            continue; // Resident memory cannot be counted there.
        }
        pool.set_hot_limit(100);
        for _ in 0..3 {
            let slots: Vec<Slot> = (0..2000).map(|_| lease(&pool, size)).collect();
            slots.iter().for_each(|slot| touch(slot, 1));
            assert_eq!(
                pool.stats_with_resident().resident_bytes,
                2000 * page,
                "{setting}"
            );
            slots.into_iter().for_each(|slot| pool.give_back(slot));
            let stats = pool.stats_with_resident();
            assert!(stats.hot < 100 + 64, "{setting}: {stats:?}");
            assert_eq!(
                stats.resident_bytes,
                stats.hot * page,
                "{setting}: {stats:?}"
            );
            assert_eq!(
                (stats.live, stats.pooled),
                (0, 2000),
                "{setting}: {stats:?}"
            );
        }
        let committed = pool.stats().committed_bytes;
        assert!(
            committed < 2 * 2048 * size.bytes(),
            "churn does not grow: {committed}"
        );
        pool.trim();
        let stats = pool.stats_with_resident();
        assert_eq!((stats.resident_bytes, stats.hot), (0, 0), "{setting}");
        // The guards are still there.
        let slots: Vec<Slot> = (0..2000).map(|_| lease(&pool, size)).collect();
        for slot in &slots {
            // SAFETY: the slot is leased and empty.
            let faults = unsafe { mem::write_faults(slot.limit()) };
            assert_eq!(faults, setting != "none", "{setting}");
        }
        if setting != "mprotect" {
            assert!(
                maps(&pool) <= pool.ranges().len() + 1,
                "{setting}: {}",
                maps(&pool)
            );
        }
    }
}

#[test]
fn a_lower_hot_limit_applies_at_once() {
    let pool = best();
    let slots: Vec<Slot> = (0..300).map(|_| lease(&pool, StackSize::DEFAULT)).collect();
    slots.into_iter().for_each(|slot| pool.give_back(slot));
    assert_eq!(pool.stats().hot, 300);
    pool.set_hot_limit(10);
    assert_eq!(pool.stats().hot, 10);
    assert_eq!(pool.stats().pooled, 300);
}

#[test]
fn dropping_a_pool_unmaps_regions_without_leases_only() {
    // Alone, lest another test maps something where a region was.
    if !in_child("dropping_a_pool_unmaps_regions_without_leases_only", &[]) {
        return;
    }
    let pool = best();
    let (small, large) = (size(16), size(1024));
    let kept = lease(&pool, small);
    let returned = lease(&pool, large);
    touch(&kept, 42);
    pool.give_back(returned);
    let ranges = pool.ranges();
    drop(pool);
    assert_eq!(touched(&kept), 42, "a leased slot outlives its pool");
    for range in ranges {
        assert_eq!(
            maps_in(std::slice::from_ref(&range)) > 0,
            range.contains(&kept.limit()),
            "{range:x?}"
        );
    }
}

#[test]
fn high_water_is_exact_to_a_word() {
    let pool = best();
    for _ in 0..2 {
        let slot = lease(&pool, size(64));
        let end = slot.limit() + slot.size().bytes();
        // SAFETY: the slot is leased and empty.
        unsafe { slot.paint(slot.top() - 256) };
        assert_eq!(slot.high_water(), end - (slot.top() - 256));
        for depth in [4096, 4104, 20_000, 64 * 1024 - slot.size().guard_bytes()] {
            // SAFETY: a word between the guard and the top.
            unsafe { ((end - depth) as *mut u64).write_volatile(0) };
            assert_eq!(slot.high_water(), depth);
        }
        pool.give_back(slot);
        let stats = pool.stats_with_resident();
        assert_eq!((stats.resident_bytes, stats.hot, stats.pooled), (0, 0, 1));
    }
}

#[test]
fn mprotect_promises_end_with_the_budget_and_start_again_when_memory_is_unmapped() {
    let guards: &'static Guards = Box::leak(Box::new(
        Guards::choose(Some("mprotect")).expect("works everywhere"),
    ));
    let all = guards.reserve(usize::MAX).expect("some");
    guards.release(100);
    let pool = Pool::with_guards(guards);
    let size = size(16);
    for _ in 0..100 {
        pool.promise(size).expect("within the budget");
    }
    let error = pool.promise(size).expect_err("beyond it");
    let text = error.to_string();
    assert!(text.contains("vm.max_map_count="), "{text}");
    assert!(text.contains("sysctl -w vm.max_map_count="), "{text}");
    let slots: Vec<Slot> = (0..100)
        .map(|_| pool.take(size).expect("promised"))
        .collect();
    slots.into_iter().for_each(|slot| pool.give_back(slot));
    let other = Pool::with_guards(guards);
    other
        .promise(size)
        .expect_err("the budget is the process's, not the pool's");
    drop(pool);
    other
        .promise(size)
        .expect("given back by the pool that ended");
    drop(other);
    guards.release(all - 100);
}

#[test]
fn a_thread_has_one_pool_and_the_end_of_it_still_has_one() {
    struct AtEnd;
    impl Drop for AtEnd {
        fn drop(&mut self) {
            // The thread's pool may be gone by now.
            let pool = thread_pool();
            let slot = lease(&pool, StackSize::DEFAULT);
            touch(&slot, 1);
            pool.give_back(slot);
        }
    }
    thread_local!(static AT_END: AtEnd = const { AtEnd });
    std::thread::spawn(|| {
        AT_END.with(|_| ());
        let pool = thread_pool();
        assert!(std::rc::Rc::ptr_eq(&pool, &thread_pool()));
    })
    .join()
    .expect("no panic at the thread's end");
}

/// Runs the test `name` alone in a child process, in which this answers true.
fn in_child(name: &str, extra: &[(&str, &str)]) -> bool {
    if std::env::var_os("RUSTLET_TEST_CHILD").is_some() {
        return true;
    }
    if emulated() {
        println!("not run: the emulator cannot start this binary again");
        return false;
    }
    let name = format!(
        "{}::{name}",
        module_path!().split_once("::").expect("a path").1
    );
    let output = Command::new(std::env::current_exe().expect("this binary"))
        .args([&name, "--exact", "--nocapture", "--test-threads=1"])
        .env("RUSTLET_TEST_CHILD", "1")
        .envs(extra.iter().copied())
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

#[test]
fn a_limited_address_space_gives_smaller_regions_and_then_an_error_that_names_it() {
    if !in_child(
        "a_limited_address_space_gives_smaller_regions_and_then_an_error_that_names_it",
        &[],
    ) {
        return;
    }
    // Chosen before the limit: choosing needs address space too.
    let pool = best();
    let statm = fs::read_to_string("/proc/self/statm").expect("reads statm");
    let pages: usize = statm
        .split(' ')
        .next()
        .and_then(|n| n.parse().ok())
        .expect("a number");
    let used = (pages * crate::sys::mem::page_size()) as u64;
    let limit = rustix::process::Rlimit {
        current: Some(used + (640 << 20)),
        maximum: None,
    };
    rustix::process::setrlimit(rustix::process::Resource::As, limit).expect("lowers the limit");
    let size = size(4096);
    let mut got = 0;
    let error = loop {
        match pool.promise(size) {
            Ok(()) => got += 1,
            Err(error) => break error,
        }
    };
    // The second region (512 MiB) does not fit; halves of it do.
    assert!(
        (140..160).contains(&got),
        "{got} stacks of 4 MiB in 640 MiB"
    );
    let text = error.to_string();
    assert!(
        text.contains("4096 KiB") && text.contains("RLIMIT_AS"),
        "{text}"
    );
    pool.withdraw(size);
    pool.promise(size)
        .expect("what was promised can be promised again");
}

#[test]
fn a_wrong_environment_variable_is_the_first_stack_operations_error() {
    let name = "a_wrong_environment_variable_is_the_first_stack_operations_error";
    if !in_child(name, &[("RUSTLET_GUARDS", "sometimes")]) {
        return;
    }
    for _ in 0..2 {
        let error = Pool::new()
            .promise(StackSize::DEFAULT)
            .expect_err("no such kind");
        assert!(
            error.to_string().contains("RUSTLET_GUARDS=sometimes"),
            "{error}"
        );
    }
}

#[test]
fn the_environment_variable_forces_a_kind() {
    if !in_child(
        "the_environment_variable_forces_a_kind",
        &[("RUSTLET_GUARDS", "mprotect")],
    ) {
        return;
    }
    let pool = thread_pool();
    let _leaked = lease(&pool, StackSize::DEFAULT);
    assert_eq!(pool.stats().guards, GuardKind::Mprotect);
}

/// What a program may do to a pool. Numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    Promise(usize, usize),
    Withdraw(usize),
    Take(usize, usize),
    GiveBack(usize, usize),
    GiveBackPainted(usize),
    Trim,
    HotLimit(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_usize, 1..100_usize).prop_map(|(class, n)| Step::Promise(class, n)),
        1 => (0..3_usize).prop_map(Step::Withdraw),
        6 => (0..3_usize, 1..60_usize).prop_map(|(class, n)| Step::Take(class, n)),
        6 => (any::<usize>(), 1..90_usize).prop_map(|(which, n)| Step::GiveBack(which, n)),
        1 => any::<usize>().prop_map(Step::GiveBackPainted),
        1 => Just(Step::Trim),
        1 => (0..100_usize).prop_map(Step::HotLimit),
    ]
}

/// The model: what is promised, and which slots are out with which number written to their top.
#[derive(Default)]
struct Model {
    promised: [usize; 3],
    live: BTreeMap<usize, (Slot, usize)>,
    written: usize,
}

impl Model {
    fn remove(&mut self, which: usize) -> Option<Slot> {
        let nth = which.checked_rem(self.live.len())?;
        let address = *self.live.keys().nth(nth).expect("within the map");
        let (slot, value) = self.live.remove(&address).expect("a key");
        assert_eq!(touched(&slot), value, "somebody else wrote to this slot");
        Some(slot)
    }

    fn apply(&mut self, pool: &Pool, step: Step) {
        let sizes = [size(16), size(64), size(256)];
        match step {
            Step::Promise(class, n) => {
                for _ in 0..n {
                    pool.promise(sizes[class]).expect("there is room");
                    self.promised[class] += 1;
                }
            }
            Step::Withdraw(class) => {
                if self.promised[class] > 0 {
                    self.promised[class] -= 1;
                    pool.withdraw(sizes[class]);
                }
            }
            Step::Take(class, n) => {
                for _ in 0..n.min(self.promised[class]) {
                    self.promised[class] -= 1;
                    let slot = pool.take(sizes[class]).expect("promised");
                    assert_eq!(slot.size(), sizes[class]);
                    // SAFETY: the slot is leased and empty.
                    let faults = unsafe { mem::write_faults(slot.guard_end() - 16) };
                    assert!(faults, "no guard");
                    self.written += 1;
                    touch(&slot, self.written);
                    let twice = self.live.insert(slot.limit(), (slot, self.written));
                    assert!(twice.is_none(), "handed out twice: {twice:?}");
                }
            }
            Step::GiveBack(which, n) => {
                for i in 0..n {
                    if let Some(slot) = self.remove(which.wrapping_add(i)) {
                        pool.give_back(slot);
                    }
                }
            }
            Step::GiveBackPainted(which) => {
                if let Some(slot) = self.remove(which) {
                    // SAFETY: leased, and nothing on it is used any more.
                    unsafe { slot.paint(slot.top()) };
                    pool.give_back(slot);
                }
            }
            Step::Trim => pool.trim(),
            Step::HotLimit(slots) => pool.set_hot_limit(slots),
        }
    }

    fn check(&self, pool: &Pool) {
        let stats = pool.stats();
        let live: usize = self
            .live
            .values()
            .map(|(slot, _)| slot.size().bytes())
            .sum();
        assert_eq!(stats.live, self.live.len());
        assert_eq!(stats.promised, self.promised.iter().sum::<usize>());
        assert!(stats.hot <= stats.pooled);
        let census = pool.census();
        assert_eq!((census.live(), census.pooled()), (stats.live, stats.pooled));
        let promised = self.promised[0] * (16 << 10)
            + self.promised[1] * (64 << 10)
            + self.promised[2] * (256 << 10);
        assert!(live + promised <= stats.committed_bytes, "{stats:?}");
        assert!(stats.committed_bytes <= stats.reserved_bytes, "{stats:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_pool_does_what_its_model_does(
        kind in prop_oneof![Just("auto"), Just("poison"), Just("mprotect")],
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let Some(pool) = pool(kind) else { return Ok(()) };
        let mut model = Model::default();
        for step in steps {
            model.apply(&pool, step);
            model.check(&pool);
        }
        while let Some(slot) = model.remove(0) {
            pool.give_back(slot);
        }
        pool.trim();
        let stats = pool.stats_with_resident();
        prop_assert_eq!((stats.live, stats.hot, stats.resident_bytes), (0, 0, 0));
        prop_assert_eq!(pool.census().resident_bytes(), 0);
        let census = pool.census().clone();
        drop(pool);
        prop_assert_eq!((census.live(), census.pooled(), census.resident_bytes()), (0, 0, 0));
    }
}
