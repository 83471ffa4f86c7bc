//! A million greenlets at once: what making, parking and ending them takes, and how much memory each.
//!
//! Each keeps a `String` on its stack, parks, and gives the string's length back when it is woken. Every phase's
//! CPU time is divided by the number of greenlets. Memory is what the process has when all of them are
//! parked, less what it had before: resident pages, page tables (which `ulimit` and `top` do not show), and
//! the kernel's mappings, which a stack each would exhaust at some 32,000.
//!
//! The second round runs on the stacks that the first has left in the pool: without page faults.
//! Beside it, a million bare coroutines on the floor's stacks. One shot: a program that runs it again would measure a warm
//! allocator. Needs 5 GB of memory.
//!
//! ```text
//! cargo bench --bench million
//! cargo bench --bench million -- --greenlets 100000
//! ```

mod support;

use std::fs;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};

use support::slab::{Slab, Tops};
use support::{arguments, clock};

/// What the kernel says that this process has.
#[derive(Clone, Copy)]
struct Memory {
    resident: u64,
    page_tables: u64,
    mappings: usize,
}

impl Memory {
    fn now() -> Memory {
        let status = fs::read_to_string("/proc/self/status").expect("procfs is mounted");
        let kib = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name));
            let value = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
            value.expect("a line of /proc/self/status") * 1024
        };
        let maps = fs::read_to_string("/proc/self/maps").expect("procfs is mounted");
        Memory {
            resident: kib("VmRSS:"),
            page_tables: kib("VmPTE:"),
            mappings: maps.lines().count(),
        }
    }
}

/// What `count` of something took.
struct Taken {
    start: Duration,
    end: Duration,
    before: Memory,
    alive: Memory,
}

impl Taken {
    fn cells(&self, what: &str, count: usize) -> [String; 6] {
        let each = |value: f64| format!("{:.0}", value / count as f64);
        let bytes =
            |of: fn(&Memory) -> u64| each(of(&self.alive).saturating_sub(of(&self.before)) as f64);
        [
            what.into(),
            each(self.start.as_nanos() as f64),
            each(self.end.as_nanos() as f64),
            bytes(|memory| memory.resident),
            bytes(|memory| memory.page_tables),
            (self.alive.mappings as i64 - self.before.mappings as i64).to_string(),
        ]
    }
}

fn greenlets(count: usize, before: Memory) -> Taken {
    let start = clock::process_cpu();
    let greenlets: Vec<_> = (0..count)
        .map(|number| {
            rustlet::spawn(move || {
                let text = format!("greenlet {number:07}");
                rustlet::park().expect("greenlets are not told of deadlocks");
                text.len()
            })
        })
        .collect();
    rustlet::yield_now(); // every one has run, and parked
    let parked = clock::process_cpu();
    let alive = Memory::now();
    assert_eq!(rustlet::stats().live, count);

    let resumed = clock::process_cpu();
    for greenlet in &greenlets {
        greenlet.handle().unpark();
    }
    let bytes: usize = greenlets
        .into_iter()
        .map(|greenlet| greenlet.join().expect("it returns a length"))
        .sum();
    let ended = clock::process_cpu();
    assert_eq!(bytes, count * "greenlet 0000000".len());
    Taken {
        start: parked - start,
        end: ended - resumed,
        before,
        alive,
    }
}

fn coroutines(count: usize, before: Memory) -> Taken {
    let start = clock::process_cpu();
    let stacks = Slab::stacks(count, Tops::Coloured).expect("address space for the floor's stacks");
    let mut coroutines: Vec<_> = stacks
        .into_iter()
        .enumerate()
        .map(|(number, stack)| {
            corosensei::Coroutine::<(), (), usize, _>::with_stack(stack, move |yielder, ()| {
                let text = format!("greenlet {number:07}");
                yielder.suspend(());
                text.len()
            })
        })
        .collect();
    for coroutine in &mut coroutines {
        assert!(coroutine.resume(()).as_yield().is_some());
    }
    let parked = clock::process_cpu();
    let alive = Memory::now();

    let resumed = clock::process_cpu();
    for coroutine in &mut coroutines {
        assert!(coroutine.resume(()).as_return().is_some());
    }
    Taken {
        start: parked - start,
        end: clock::process_cpu() - resumed,
        before,
        alive,
    }
}

fn main() {
    let default = if arguments::is_smoke_test() {
        1_000
    } else {
        1_000_000
    };
    let count = arguments::value("--greenlets").unwrap_or(default);
    rustlet::stack::set_hot_limit(count);
    let before = Memory::now();
    let first = greenlets(count, before);
    let again = greenlets(count, before);
    rustlet::stack::trim();
    let floor = coroutines(count, Memory::now());

    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header([
        format!("{count} at once, each"),
        "make and park, ns".into(),
        "wake and end, ns".into(),
        "resident bytes".into(),
        "page table bytes".into(),
        "mappings, all".into(),
    ]);
    table.add_row(floor.cells("bare coroutines", count));
    table.add_row(first.cells("greenlets, new stacks", count));
    table.add_row(again.cells("greenlets, stacks used again", count));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
}
