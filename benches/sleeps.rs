//! Sleeping: 100,000 at once, each for a random time of up to two seconds.
//!
//! The CPU time of the whole (spawning, arming, waking, ending) and how late each sleeper was, beside tokio's
//! current-thread runtime with one task a sleeper, and the same random numbers. Lateness is of the
//! sleeper's own clock: from the time it had asked for to the time it read after waking. Both sides take
//! turns; the table has the medians over the rounds, but for `early` and `latest`, which are the worst of all.
//!
//! Not a comparison of clocks: tokio's timers have a granularity of a millisecond, and wake less often for it;
//! rustlet's are of 65.5 µs.
//!
//! ```text
//! cargo bench --bench sleeps
//! cargo bench --bench sleeps -- --sleepers 10000 --rounds 9
//! ```

mod support;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use comfy_table::{CellAlignment, Table, presets};

use support::random::Random;
use support::workload::median;
use support::{arguments, clock};

/// What a round saw.
struct Seen {
    cpu: Duration,
    /// How late each sleeper was, sorted; negative for early, in nanoseconds.
    late: Vec<i64>,
}

fn lateness(asked: Instant) -> i64 {
    let now = Instant::now();
    match now.checked_duration_since(asked) {
        Some(late) => late.as_nanos() as i64,
        None => -((asked - now).as_nanos() as i64),
    }
}

fn sleeps(count: usize, longest: f64) -> Vec<Duration> {
    let mut random = Random::new(0x51ee9);
    (0..count).map(|_| random.seconds(0.0..longest)).collect()
}

fn measured(run: impl FnOnce(&Rc<RefCell<Vec<i64>>>)) -> Seen {
    let late = Rc::new(RefCell::new(Vec::new()));
    let start = clock::process_cpu();
    run(&late);
    let cpu = clock::process_cpu() - start;
    let mut late = late.take();
    late.sort_unstable();
    Seen { cpu, late }
}

fn on_rustlet(sleeps: &[Duration]) -> Seen {
    measured(|late| {
        let sleeper = |&duration: &Duration| {
            let late = late.clone();
            rustlet::spawn_local(move || {
                let asked = Instant::now() + duration;
                rustlet::sleep(duration);
                late.borrow_mut().push(lateness(asked));
            })
        };
        let sleepers: Vec<_> = sleeps.iter().map(sleeper).collect();
        for sleeper in sleepers {
            sleeper.join().expect("it sleeps");
        }
    })
}

fn on_tokio(sleeps: &[Duration]) -> Seen {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    measured(|late| {
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async {
            let sleeper = |&duration: &Duration| {
                let late = late.clone();
                tokio::task::spawn_local(async move {
                    let asked = Instant::now() + duration;
                    tokio::time::sleep(duration).await;
                    late.borrow_mut().push(lateness(asked));
                })
            };
            let sleepers: Vec<_> = sleeps.iter().map(sleeper).collect();
            for sleeper in sleepers {
                sleeper.await.expect("it sleeps");
            }
        });
    })
}

fn row(name: &str, rounds: &[Seen]) -> [String; 6] {
    let middle = |of: &dyn Fn(&Seen) -> f64| median(rounds.iter().map(of).collect());
    let quantile = |seen: &Seen, of: f64| seen.late[((seen.late.len() - 1) as f64 * of) as usize];
    let early: usize = rounds
        .iter()
        .map(|seen| seen.late.iter().filter(|&&late| late < 0).count())
        .sum();
    let latest = rounds.iter().filter_map(|seen| seen.late.last()).max();
    let micros = |nanos: f64| format!("{:.0}", nanos / 1e3);
    [
        name.into(),
        format!("{:.3}", middle(&|seen| seen.cpu.as_secs_f64())),
        early.to_string(),
        micros(middle(&|seen| quantile(seen, 0.5) as f64)),
        micros(middle(&|seen| quantile(seen, 0.99) as f64)),
        micros(latest.copied().unwrap_or_default() as f64),
    ]
}

fn main() {
    let smoke = arguments::is_smoke_test();
    let default = if smoke {
        (100, 1, 0.02)
    } else {
        (100_000, 5, 2.0)
    };
    let count = arguments::value("--sleepers").unwrap_or(default.0);
    let rounds = arguments::value("--rounds").unwrap_or(default.1);
    let sleeps = sleeps(count, default.2);
    let (mut rustlet, mut tokio) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        rustlet.push(on_rustlet(&sleeps));
        tokio.push(on_tokio(&sleeps));
    }
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header([
        format!("{count} sleeps of 0–{} s", default.2),
        "CPU s".into(),
        "early".into(),
        "median late µs".into(),
        "99 % late µs".into(),
        "latest µs".into(),
    ]);
    table.add_row(row("rustlet", &rustlet));
    table.add_row(row("tokio, current thread", &tokio));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
}
