//! The live display, and the end of waiting.
//!
//! A bar if standard error is a terminal, a plain line each second if it is not. It is updated by
//! whoever calls [`watch`], a greenlet or a thread like the others: the bar gets no thread of its own.

use std::fmt::Write;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use crate::measure::Stats;
use crate::plan::Plan;
use crate::table::count;

const REFRESH: Duration = Duration::from_millis(100);
/// If no response comes for this long, none will.
const PATIENCE: Duration = Duration::from_secs(10);

/// Shows progress until all clients are done, or nothing happens any more.
pub(crate) fn watch(
    what: &str,
    plan: &Plan,
    stats: &Stats,
    sleep: fn(Duration),
    tasks: impl Fn() -> usize,
) {
    let bar = std::io::stderr().is_terminal().then(|| bar(what, plan));
    let mut last_line = Duration::ZERO;
    let mut last_progress = (stats.requests(), stats.elapsed());
    while stats.clients_done() < plan.clients as u64 {
        sleep(REFRESH);
        stats.sample(tasks());
        let (requests, now) = (stats.requests(), stats.elapsed());
        let words = format!("{} connections", count(stats.open()));
        match &bar {
            Some(bar) => {
                bar.set_message(words);
                bar.set_position(requests);
            }
            None if now - last_line >= Duration::from_secs(1) => {
                last_line = now;
                let (requests, total) = (count(requests), count(plan.total()));
                eprintln!(
                    "{what}: {:.0} s, {words}, {requests} of {total} requests",
                    now.as_secs_f64()
                );
            }
            None => {}
        }
        if requests > last_progress.0 {
            last_progress = (requests, now);
        } else if now - last_progress.1 > PATIENCE + plan.pause * 2 {
            stats.failed("no response for ten seconds; gave up");
            break;
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}

fn bar(what: &str, plan: &Plan) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{prefix:9} [{bar:30}] {human_pos}/{human_len} requests, {rate}/s, {msg}",
    )
    .expect("the template is valid")
    .progress_chars("=> ")
    .with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
        // The display has nobody to report to if it fails.
        let _ = out.write_str(&count(state.per_sec() as u64));
    });
    ProgressBar::new(plan.total())
        .with_style(style)
        .with_prefix(what.to_owned())
}
