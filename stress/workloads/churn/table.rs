//! The stacks that living greenlets have, by address.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;

use fastrand::Rng;
use rustlet::Handle;

use crate::witness::Witness;
use crate::workload::{Failure, ensure};

/// Who has which addresses. A plain lock: nobody suspends with it.
#[derive(Default)]
pub(super) struct Table(Mutex<BTreeMap<usize, Owner>>);

struct Owner {
    end: usize,
    greenlet: Handle,
}

/// An entry, taken back when the frame that made it is left, by whatever way.
pub(super) struct Lease<'a> {
    table: &'a Table,
    start: usize,
}

impl Table {
    /// Enters the running greenlet as owner of `stack`.
    pub(super) fn enter(&self, stack: &Range<usize>, witness: &Witness) -> Lease<'_> {
        let greenlet = rustlet::current();
        let id = greenlet.id();
        let owner = Owner {
            end: stack.end,
            greenlet,
        };
        let mut owners = self.0.lock().unwrap();
        if let Some((start, other)) = owners.range(..stack.end).next_back() {
            witness.expect(other.end <= stack.start, || {
                format!(
                    "greenlet {id} has the stack {:#x}..{:#x}, of which {start:#x}..{:#x} is that of greenlet {}, \
                     which lives",
                    stack.start,
                    stack.end,
                    other.end,
                    other.greenlet.id()
                )
            });
        }
        owners.insert(stack.start, owner);
        Lease {
            table: self,
            start: stack.start,
        }
    }

    /// Any of those who live now, but not each as likely as the others.
    pub(super) fn any(&self, rng: &mut Rng) -> Option<Handle> {
        let owners = self.0.lock().unwrap();
        let (first, last) = (owners.keys().next()?, owners.keys().next_back()?);
        let from = rng.usize(*first..=*last);
        owners
            .range(from..)
            .next()
            .map(|(_, owner)| owner.greenlet.clone())
    }

    pub(super) fn settle(&self) -> Result<(), Failure> {
        let left = self.0.lock().unwrap().len();
        ensure!(
            left == 0,
            "all have ended, and {left} stacks are in the table"
        );
        Ok(())
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let owner = self.table.0.lock().unwrap().remove(&self.start);
        drop(owner);
    }
}
