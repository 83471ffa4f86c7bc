//! Skynet: a tree of a million leaves, ten children a node, each node a greenlet that adds up what its children say.
//!
//! Who says it how is the variant: *join* (a node joins its children), *channel* (a node makes a channel with room for ten,
//! which its children send to: the usual form). Leaves are greenlets too. An operation is a leaf; a tree of 1,000,000 has
//! 111,111 more nodes. Everything runs on one thread, breadth first, since first runs are first in, first out: when the
//! first leaf runs, 111,111 nodes are parked, and a million leaves are closures in a queue. That is the peak of
//! memory, so each variant runs in a process of its own, which says what it took: CPU time, the peak of resident
//! memory (`VmHWM`), and the page tables, which are not part of that. The processes take turns.
//!
//! - *kept*: with `stack::set_hot_limit`, so that the stacks are kept, and not given back to the kernel as they become free.
//! - *small*: with stacks of 16 KiB instead of 256 KiB of address space: a tenth of the page tables.
//! - tokio: its current thread, a task a node.
//!
//! The column *again* is the same tree once more in the same process.
//!
//! Not for many cores, and not for how fast greenlets switch: most of the time goes into the first touch of
//! memory by those 111,111 stacks, at 1 to 4 µs a page on virtual machines.
//!
//! ```text
//! cargo bench --bench skynet
//! cargo bench --bench skynet -- --levels 5 --rounds 9        # 100,000 leaves
//! cargo bench --bench skynet -- --variant join               # one variant, in this process: for a profiler
//! ```

mod support;

use std::fs;
use std::future::Future;
use std::pin::Pin;
use std::process::Command;

use comfy_table::{CellAlignment, Table, presets};
use rustlet::sync::mpmc;

use support::workload::median;
use support::{arguments, clock};

const CHILDREN: u64 = 10;
/// What rustlet is held to: nanoseconds a leaf, MiB of resident memory.
const BOUND: (f64, f64) = (400.0, 700.0);

type Tree = fn(u32) -> u64;

/// How a tree of so many levels is added up.
const VARIANTS: [(&str, Tree); 8] = [
    ("join", joined),
    ("join, kept", joined),
    ("join, kept, small", joined_small),
    ("channel", sent),
    ("channel, kept", sent),
    ("channel, kept, small", sent_small),
    ("tokio join", |levels| on_tokio(tokio_join(levels, 0))),
    ("tokio channel", |levels| {
        on_tokio(async move {
            let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
            tokio::spawn(tokio_channel(levels, 0, sender));
            receiver.recv().await.expect("the root says its sum")
        })
    }),
];

/// More than there are nodes above the leaves.
const KEPT: usize = 120_000;

fn joined(levels: u32) -> u64 {
    rustlet::spawn(move || join(levels, 0))
        .join()
        .expect("it adds")
}

fn joined_small(levels: u32) -> u64 {
    rustlet::spawn(move || join_small(levels, 0))
        .join()
        .expect("it adds")
}

fn sent(levels: u32) -> u64 {
    let (sender, receiver) = mpmc::bounded(1);
    rustlet::spawn(move || channel(levels, 0, sender));
    receiver.recv().expect("the root says its sum")
}

fn sent_small(levels: u32) -> u64 {
    let (sender, receiver) = mpmc::bounded(1);
    rustlet::spawn(move || channel_small(levels, 0, sender));
    receiver.recv().expect("the root says its sum")
}

// ---------------------------------------------------------------------------- the trees

/// The first number below each child of the node that begins at `first`, `levels` above the leaves.
fn children(levels: u32, first: u64) -> impl Iterator<Item = u64> {
    let step = CHILDREN.pow(levels - 1);
    (0..CHILDREN).map(move |child| first + child * step)
}

fn join(levels: u32, first: u64) -> u64 {
    if levels == 0 {
        return first;
    }
    let spawn = |first| rustlet::spawn(move || join(levels - 1, first));
    let children: [_; CHILDREN as usize] = array(children(levels, first).map(spawn));
    children
        .into_iter()
        .map(|child| child.join().expect("it adds"))
        .sum()
}

fn join_small(levels: u32, first: u64) -> u64 {
    if levels == 0 {
        return first;
    }
    let spawn = |first| small(move || join_small(levels - 1, first));
    let children: [_; CHILDREN as usize] = array(children(levels, first).map(spawn));
    children
        .into_iter()
        .map(|child| child.join().expect("it adds"))
        .sum()
}

fn channel(levels: u32, first: u64, result: mpmc::Sender<u64>) {
    let sum = if levels == 0 {
        first
    } else {
        let (sender, receiver) = mpmc::bounded(CHILDREN as usize);
        for first in children(levels, first) {
            let sender = sender.clone();
            rustlet::spawn(move || channel(levels - 1, first, sender));
        }
        (0..CHILDREN)
            .map(|_| receiver.recv().expect("a child says its sum"))
            .sum()
    };
    result.send(sum).expect("the parent waits");
}

fn channel_small(levels: u32, first: u64, result: mpmc::Sender<u64>) {
    let sum = if levels == 0 {
        first
    } else {
        let (sender, receiver) = mpmc::bounded(CHILDREN as usize);
        for first in children(levels, first) {
            let sender = sender.clone();
            small(move || channel_small(levels - 1, first, sender));
        }
        (0..CHILDREN)
            .map(|_| receiver.recv().expect("a child says its sum"))
            .sum()
    };
    result.send(sum).expect("the parent waits");
}

fn small<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> rustlet::Greenlet<T> {
    rustlet::Builder::new()
        .stack_size(16 * 1024)
        .spawn(f)
        .expect("address space")
}

/// On the stack, so that a node allocates nothing but its children.
fn array<T, const N: usize>(mut from: impl Iterator<Item = T>) -> [T; N] {
    std::array::from_fn(|_| from.next().expect("as many as that"))
}

type BoxedSum = Pin<Box<dyn Future<Output = u64> + Send>>;

fn tokio_join(levels: u32, first: u64) -> BoxedSum {
    Box::pin(async move {
        if levels == 0 {
            return first;
        }
        let spawn = |first| tokio::spawn(tokio_join(levels - 1, first));
        let children: [_; CHILDREN as usize] = array(children(levels, first).map(spawn));
        let mut sum = 0;
        for child in children {
            sum += child.await.expect("it adds");
        }
        sum
    })
}

fn tokio_channel(
    levels: u32,
    first: u64,
    result: tokio::sync::mpsc::Sender<u64>,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let mut sum = first;
        if levels > 0 {
            let (sender, mut receiver) = tokio::sync::mpsc::channel(CHILDREN as usize);
            for first in children(levels, first) {
                tokio::spawn(tokio_channel(levels - 1, first, sender.clone()));
            }
            sum = 0;
            for _ in 0..CHILDREN {
                sum += receiver.recv().await.expect("a child says its sum");
            }
        }
        result.send(sum).await.expect("the parent waits");
    })
}

fn on_tokio(root: impl Future<Output = u64> + Send + 'static) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("tokio's runtime");
    runtime.block_on(async { tokio::spawn(root).await.expect("it adds") })
}

// ---------------------------------------------------------------------------- measuring

/// What one process saw: nanoseconds a leaf the first time and the second, MiB of memory and of page tables.
struct Seen {
    first: f64,
    again: f64,
    resident: f64,
    tables: f64,
}

fn kib(line: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("procfs is mounted");
    let rest = status
        .lines()
        .find_map(|text| text.strip_prefix(line))
        .expect("the line is there");
    let number = rest.split_whitespace().next().expect("a number behind it");
    number.parse().expect("a number behind it")
}

fn run(variant: &str, levels: u32) -> Seen {
    let (_, tree) = VARIANTS
        .iter()
        .find(|(name, _)| *name == variant)
        .expect("a variant of the table");
    let leaves = CHILDREN.pow(levels);
    let time = || {
        let start = clock::process_cpu();
        assert_eq!(tree(levels), leaves * (leaves - 1) / 2);
        (clock::process_cpu() - start).as_nanos() as f64 / leaves as f64
    };
    if variant.contains("kept") {
        rustlet::stack::set_hot_limit(KEPT);
    }
    let first = time();
    let (resident, tables) = (kib("VmHWM:") / 1024.0, kib("VmPTE:") / 1024.0);
    Seen {
        first,
        again: time(),
        resident,
        tables,
    }
}

impl Seen {
    fn print(&self) {
        println!(
            "{} {} {} {}",
            self.first, self.again, self.resident, self.tables
        );
    }

    fn by_a_child(variant: &str, levels: u32) -> Seen {
        let output = Command::new(std::env::current_exe().expect("this program's path"))
            .args(["--variant", variant, "--levels", &levels.to_string()])
            .output()
            .expect("run this program again");
        let text = String::from_utf8_lossy(&output.stdout);
        let figures: Vec<f64> = text
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        let [first, again, resident, tables] = figures[..] else {
            panic!(
                "{variant}: {text}{}",
                String::from_utf8_lossy(&output.stderr)
            );
        };
        Seen {
            first,
            again,
            resident,
            tables,
        }
    }
}

fn main() {
    let smoke = arguments::is_smoke_test();
    let levels = arguments::value("--levels").unwrap_or(if smoke { 3 } else { 6 });
    if let Some(variant) = arguments::value::<String>("--variant") {
        run(&variant, levels).print();
        return;
    }
    let rounds = if smoke {
        1
    } else {
        arguments::value("--rounds").unwrap_or(5)
    };
    let mut seen: Vec<Vec<Seen>> = VARIANTS.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (seen, (variant, _)) in seen.iter_mut().zip(VARIANTS) {
            seen.push(Seen::by_a_child(variant, levels));
        }
    }
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header([
        format!("{} leaves", CHILDREN.pow(levels)),
        "CPU ns a leaf".into(),
        "best".into(),
        "again".into(),
        "peak MiB".into(),
        "page tables MiB".into(),
    ]);
    for (seen, (variant, _)) in seen.iter().zip(VARIANTS) {
        let middle = |of: fn(&Seen) -> f64| median(seen.iter().map(of).collect());
        let best = seen
            .iter()
            .map(|seen| seen.first)
            .fold(f64::INFINITY, f64::min);
        let (time, peak) = (middle(|seen| seen.first), middle(|seen| seen.resident));
        let missed = |bound, value| {
            if value > bound && !variant.starts_with("tokio") {
                ", missed"
            } else {
                ""
            }
        };
        table.add_row([
            variant.to_owned(),
            format!("{time:.0}{}", missed(BOUND.0, time)),
            format!("{best:.0}"),
            format!("{:.0}", middle(|seen| seen.again)),
            format!("{peak:.0}{}", missed(BOUND.1, peak)),
            format!("{:.0}", middle(|seen| seen.tables)),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
    println!("bounds: {} ns a leaf, {} MiB", BOUND.0, BOUND.1);
}
