//! At the limits of memory and descriptors, and back.
//!
//! Plan: each step takes something away from the whole process, goes on until the library says that there is no more, looks at what
//! it says and at those that have what they need, gives it back, and looks again. The greenlets are those of a thread of
//! its own or of a fresh runtime, whose stacks are new, so that they need what is short:
//!
//! | scene | what is short | what must be said |
//! |---|---|---|
//! | addresses | `RLIMIT_AS`, some stacks of 8 to 64 MiB above what is in use | the size, `RLIMIT_AS`, `ulimit -v` |
//! | mappings | `vm.max_map_count`: this uses them up, but for a few; stacks of every size | `vm.max_map_count` |
//! | descriptors | `RLIMIT_NOFILE`: a few; sockets, pipes, files, children, listeners, a new hub | `EMFILE` |
//! | guards | with mprotect's guards, the mappings for them: ordinary stacks until there are no more | `vm.max_map_count`, `sysctl -w` |
//!
//! `RUSTLET_GUARDS=mprotect` decides for a whole process, so one step of eight runs a step in a process of its own. Not
//! under emulators and checkers (a slowdown): mappings and guards, as these keep tables of mappings of their own; nor
//! addresses, where the system does not hold the process to the limit, which is tried. Chaos delays, panics and kills those that have got
//! a stack.
//!
//! Invariant: a spawn is refused with a text that names the limit and the remedy, or what was spawned runs to its end, once, with its
//! own value; a limit that is reached harms nobody who has what he needs; when there is more again, all works again, and the
//! process has no more mappings, threads and descriptors than before.
#![allow(unsafe_code)] // takes mappings away from the process

mod descriptors;
mod mappings;
mod stacks;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustlet::stack::GuardKind;

use crate::workload::{Context, Failure, Workload, ensure};
use mappings::Mappings;
use stacks::Ground;

pub(crate) struct Memory;

/// More mappings than that nobody uses up for a test.
const MOST_MAPPINGS: usize = 300_000;

impl Workload for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn about(&self) -> &'static str {
        "at the limits of addresses, mappings, descriptors: clear errors, no harm, all well after"
    }

    fn unit(&self) -> &'static str {
        "spawns"
    }

    fn timed(&self) -> Option<&'static str> {
        Some("spawn")
    }

    fn step(&self, context: &Context) -> Result<(), Failure> {
        let mut rng = context.rng(0);
        rustlet::spawn(|| ()).join()?;
        let guards = rustlet::stack::stats().guards;
        let has_tables = context.slowdown == 1 && mappings::allowed() <= MOST_MAPPINGS;
        match rng.u8(..8) {
            0 | 1 if has_tables && guards == GuardKind::Mprotect => {
                context.phase("guards by mprotect, until none is left");
                stacks::guards(context)
            }
            0 if has_tables => {
                context.phase("a process with guards by mprotect");
                with_mprotect(context)
            }
            1..4 => {
                context.phase("address space");
                addresses(context, &mut rng)
            }
            4 | 5 if has_tables => {
                context.phase("kernel mappings");
                stacks::every_size(context, rng.usize(4..60), Mappings::use_up)
            }
            _ => {
                context.phase("descriptors");
                descriptors::few(context, &mut rng)
            }
        }
    }
}

/// An address space that is limited, until it is dropped.
struct Addresses(Rlimit);

impl Addresses {
    /// `more` bytes than are in use. `None` if the system does not hold the process to it.
    fn limit(more: usize) -> Result<Option<Addresses>, Failure> {
        let statm = std::fs::read_to_string("/proc/self/statm")?;
        let pages: usize = statm.split(' ').next().unwrap_or_default().parse()?;
        let in_use = pages * rustix::param::page_size();
        let before = getrlimit(Resource::As);
        let now = Rlimit {
            current: Some((in_use + more) as u64),
            maximum: before.maximum,
        };
        setrlimit(Resource::As, now)?;
        let limit = Addresses(before);
        Ok((!mappings::is_to_be_had(more + (1 << 20))).then_some(limit))
    }
}

impl Drop for Addresses {
    fn drop(&mut self) {
        setrlimit(Resource::As, self.0).expect("a limit may be what it was");
    }
}

fn addresses(context: &Context, rng: &mut fastrand::Rng) -> Result<(), Failure> {
    let size = (8 << 20) << rng.u32(..4);
    let room = rng.usize(4..40);
    let ground = Ground::new(context)?;
    let Some(limit) = Addresses::limit(room * size)? else {
        return Ok(());
    };
    let outcome = ground.fill(context, size, room + 16, rng);
    drop(limit);
    let refused = outcome?;
    ensure!(
        !refused.is_empty(),
        "{} stacks of {} MiB were had in an address space that has room for {room}",
        room + 16,
        size >> 20
    );
    let kib = format!("{} KiB", size >> 10);
    for text in &refused {
        for part in [kib.as_str(), "RLIMIT_AS", "ulimit -v"] {
            ensure!(
                text.contains(part),
                "a spawn was refused without a word of {part}: {text}"
            );
        }
    }
    let again = ground.fill(context, size, room, rng)?;
    ensure!(again.is_empty(), "the limit is gone, and yet: {}", again[0]);
    ground.end()
}

/// A step in a process of its own, whose guards are mprotect's.
fn with_mprotect(context: &Context) -> Result<(), Failure> {
    let program = std::env::current_exe()?;
    let mut command = rustlet::process::Command::new(program);
    command
        .args(["memory", "--in-process", "--step", "0", "--steps", "1"])
        .arg("--seed")
        .arg(context.seed.to_string())
        .arg("--workers")
        .arg(context.workers.to_string())
        .arg("--greenlets")
        .arg(context.greenlets.to_string())
        .arg("--chaos")
        .arg(context.chaos.to_string())
        .env("RUSTLET_GUARDS", "mprotect")
        .kill_on_drop(true);
    let output = command.output()?;
    ensure!(
        output.status.success(),
        "with RUSTLET_GUARDS=mprotect, {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    context.count(1);
    Ok(())
}
