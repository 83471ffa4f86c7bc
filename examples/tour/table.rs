//! The table at the end, and numbers for people.

use comfy_table::{CellAlignment, Table, presets};
use indicatif::HumanCount;

use crate::measure::Summary;

/// 10000 as 10,000.
pub(crate) fn count(n: impl TryInto<u64>) -> String {
    n.try_into()
        .map_or("?".to_owned(), |n| HumanCount(n).to_string())
}

/// One line of the table: what, and how to say it of either side.
type Row = (&'static str, fn(&Summary) -> String);

const ROWS: [Row; 15] = [
    ("connections at once", |s| count(s.open)),
    ("requests", |s| count(s.requests)),
    ("errors", |s| count(s.errors)),
    ("throughput", |s| {
        format!("{} /s", count((s.requests as f64 / s.seconds) as u64))
    }),
    ("latency p50", |s| latency(s.p50_us)),
    ("latency p99", |s| latency(s.p99_us)),
    ("latency p99.9", |s| latency(s.p999_us)),
    ("switches between greenlets", |s| switches(s)),
    ("processor time", |s| format!("{:.1} s", s.cpu_seconds)),
    ("greenlets or threads", |s| count(s.tasks)),
    ("OS threads", |s| count(s.os_threads)),
    ("peak RSS", |s| {
        format!("{:.0} MiB", s.peak_rss_kib as f64 / 1024.0)
    }),
    ("  RSS of each", |s| kib(s.rss_kib_each)),
    ("  page tables of each", |s| kib(s.page_table_kib_each)),
    ("  kernel stack of each", |s| kib(s.kernel_stack_kib_each)),
];

pub(crate) fn print(greenlets: &Summary, threads: Option<&Summary>) {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    let mut header = vec![
        String::new(),
        format!("rustlet ({} clients)", count(greenlets.clients)),
    ];
    header.extend(threads.map(|s| format!("std::thread ({} clients)", count(s.clients))));
    table.set_header(header);
    for (what, say) in ROWS {
        let mut row = vec![what.to_owned(), say(greenlets)];
        row.extend(threads.map(say));
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
    println!(
        "RSS of each: what the process's RSS rose by, over the greenlets (threads) alive: stacks, buffers, socket handles."
    );
    if let Some(threads) = threads {
        println!("{}", verdict(greenlets, threads));
    }
}

fn verdict(greenlets: &Summary, threads: &Summary) -> String {
    let cpu = |s: &Summary| s.cpu_seconds * 1e6 / s.requests.max(1) as f64;
    format!(
        "The same code, {} times the memory on threads, and {:.0} instead of {:.0} µs of processor time a request.",
        (threads.memory_kib_each() / greenlets.memory_kib_each()).round(),
        cpu(threads),
        cpu(greenlets),
    )
}

fn kib(kib: f64) -> String {
    format!("{kib:.1} KiB")
}

fn latency(us: f64) -> String {
    match us {
        ..1000.0 => format!("{us:.0} µs"),
        _ => format!("{:.1} ms", us / 1e3),
    }
}

fn switches(summary: &Summary) -> String {
    match summary.switches {
        0 => "–".to_owned(),
        n => count(n),
    }
}
