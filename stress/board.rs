//! What a workload's process shows to the tool's: counters in a file that both have mapped.
//!
//! A crash cannot take them along, a hang does not stop them, and nobody has to send anything: the process
//! that works adds to atomics, the tool's looks at them ten times a second.
//!
//! Rejected: lines in a pipe, which a full pipe or a crash loses, and which cost the measured process a
//! thread; statistics asked for by a signal, which workloads want for themselves.
#![allow(unsafe_code)] // a view of mapped memory

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};

use crate::histogram::Histogram;

const PHASE_BYTES: usize = 64;
/// The value of [`Board::failed_step`] while nothing has failed.
const NONE: u64 = 0;

/// Zeroed memory is an empty board: a new file's pages.
#[repr(C)]
pub(crate) struct Board {
    /// The number of the step at work.
    pub(crate) step: AtomicU64,
    pub(crate) steps_done: AtomicU64,
    pub(crate) operations: AtomicU64,
    /// Panics, kills and delays that were thrown in.
    pub(crate) chaos: AtomicU64,
    /// The step whose invariant failed, plus one.
    failed_step: AtomicU64,
    pub(crate) times: Histogram,
    phase: [AtomicU8; PHASE_BYTES],
}

impl Board {
    /// The board in `file`, which is made as long as needed. Mapped until the process ends.
    pub(crate) fn open(path: &Path) -> io::Result<&'static Board> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Board::in_file(&file)
    }

    pub(crate) fn in_file(file: &File) -> io::Result<&'static Board> {
        let bytes = size_of::<Board>();
        file.set_len(bytes as u64)?;
        let map: MmapRaw = MmapOptions::new().len(bytes).map_raw(file)?;
        let board = map.as_ptr().cast::<Board>();
        std::mem::forget(map);
        // SAFETY: the mapping starts at a page and is never unmapped, as `forget` sees to. The file is at
        // least as long as a board and only this tool knows it, so no page goes away. A board is atomics
        // alone, for which every pattern of bits is valid; others write to it only through such.
        Ok(unsafe { &*board })
    }

    pub(crate) fn set_phase(&self, phase: &str) {
        let bytes = phase.bytes().chain(std::iter::repeat(0));
        for (cell, byte) in self.phase.iter().zip(bytes) {
            cell.store(byte, Ordering::Relaxed);
        }
    }

    /// What the workload says that it does. May be torn between two texts: it is for people.
    pub(crate) fn phase(&self) -> String {
        let bytes = self.phase.iter().map(|cell| cell.load(Ordering::Relaxed));
        let text = Vec::from_iter(bytes.take_while(|byte| *byte != 0));
        String::from_utf8_lossy(&text).into_owned()
    }

    pub(crate) fn set_failed(&self, step: u64) {
        self.failed_step.store(step + 1, Ordering::Relaxed);
    }

    pub(crate) fn failed_step(&self) -> Option<u64> {
        match self.failed_step.load(Ordering::Relaxed) {
            NONE => None,
            after => Some(after - 1),
        }
    }
}
