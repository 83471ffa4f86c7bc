//! Is the scheduler as close to the bare context switch as it should be? The table of bounds.
//!
//! Each row runs rustlet and its floors in turns, in one process, on one thread, and compares medians of CPU
//! time; so a row holds on a noisy machine where two of criterion's figures, taken a minute apart, do
//! not. There are two floors where there is more than one stack ([`support::slab`]): `floor` is corosensei as one
//! would use it, and is what the bounds are multiples of; `coloured` is corosensei with the stack
//! layout that rustlet has, and says how much of the rest is ours. A bound that is missed is marked, and the
//! exit status says so with `--strict`.
//!
//! Not for finding out by how much a change of three per cent helped: that is criterion's (`switch`,
//! `spawn`, `park`). Not for more than one thread.
//!
//! ```text
//! cargo bench --bench bounds
//! cargo bench --bench bounds -- --strict --samples 41
//! ```

mod support;

use comfy_table::{CellAlignment, Table, presets};

use support::arguments;
use support::green::{PingPong, SpawnJoin, Yield};
use support::raw::{RoundRobin, Spawn};
use support::slab::Tops;
use support::workload::compare;

/// What a row must not exceed.
#[derive(Clone, Copy)]
enum Bound {
    /// Of the time of the floor whose stacks are laid out plainly.
    Ratio(f64),
    Nanoseconds(f64),
    None,
}

struct Row {
    what: String,
    /// Nanoseconds for one operation: of the floor whose stacks are laid out plainly, of the one
    /// whose stacks are coloured, of rustlet.
    plain: f64,
    coloured: Option<f64>,
    rustlet: f64,
    bound: Bound,
}

impl Row {
    fn is_kept(&self) -> bool {
        match self.bound {
            Bound::Ratio(limit) => self.rustlet <= limit * self.plain,
            Bound::Nanoseconds(limit) => self.rustlet <= limit,
            Bound::None => true,
        }
    }

    fn cells(&self) -> [String; 7] {
        let kept = if self.is_kept() { "" } else { " MISSED" };
        [
            self.what.clone(),
            format!("{:.1}", self.plain),
            self.coloured.map_or("–".into(), |ns| format!("{ns:.1}")),
            format!("{:.1}", self.rustlet),
            format!("{:.2}", self.rustlet / self.plain),
            self.coloured
                .map_or("–".into(), |ns| format!("{:.2}", self.rustlet / ns)),
            match self.bound {
                Bound::Ratio(limit) => format!("× {limit}{kept}"),
                Bound::Nanoseconds(limit) => format!("{limit} ns{kept}"),
                Bound::None => String::new(),
            },
        ]
    }
}

fn yielding(count: usize, limit: f64, samples: usize) -> Row {
    let mut plain = RoundRobin::new(count, Tops::Plain);
    let mut coloured = RoundRobin::new(count, Tops::Coloured);
    let mut green = Yield::new(count);
    let medians = compare(&mut [&mut plain, &mut coloured, &mut green], samples);
    Row {
        what: format!("yield, {count} greenlets"),
        plain: medians[0],
        coloured: Some(medians[1]),
        rustlet: medians[2],
        bound: Bound::Ratio(limit),
    }
}

fn spawning(batch: usize, limit: f64, samples: usize) -> Row {
    let medians = compare(
        &mut [&mut Spawn::new(batch), &mut SpawnJoin::new(batch)],
        samples,
    );
    Row {
        what: format!("spawn and join, {batch} at once"),
        plain: medians[0],
        coloured: None,
        rustlet: medians[1],
        bound: Bound::Nanoseconds(limit),
    }
}

fn waking(samples: usize) -> Row {
    let mut plain = RoundRobin::new(2, Tops::Plain);
    let mut coloured = RoundRobin::new(2, Tops::Coloured);
    let medians = compare(
        &mut [&mut plain, &mut coloured, &mut PingPong::new()],
        samples,
    );
    Row {
        what: "unpark the other, park".into(),
        plain: medians[0],
        coloured: Some(medians[1]),
        rustlet: medians[2],
        bound: Bound::None,
    }
}

fn main() {
    let (samples, most) = if arguments::is_smoke_test() {
        (1, 1_000)
    } else {
        (arguments::value("--samples").unwrap_or(21), 100_000)
    };
    let rows = [
        yielding(10, 1.6, samples),
        yielding(1_000, 1.2, samples),
        yielding(most, 1.2, samples),
        spawning(1_000, 60.0, samples),
        spawning(most, 250.0, samples),
        waking(samples),
    ];
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header([
        "CPU ns for one",
        "floor",
        "coloured",
        "rustlet",
        "× floor",
        "× coloured",
        "at most",
    ]);
    for row in &rows {
        table.add_row(row.cells());
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
    let one = compare(&mut [&mut RoundRobin::new(1, Tops::Plain)], samples);
    println!(
        "one bare coroutine, resumed again and again: {:.1} ns",
        one[0]
    );
    if arguments::has("--strict") && !rows.iter().all(Row::is_kept) {
        std::process::exit(1);
    }
}
