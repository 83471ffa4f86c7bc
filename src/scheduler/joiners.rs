//! Those who wait for a task's end.

use core::mem;

use super::park;
use super::task::TaskRef;

/// Who waits for the end. Mostly nobody or one, which needs no allocation.
#[derive(Debug, Default)]
pub(super) enum Joiners {
    #[default]
    None,
    One(TaskRef),
    #[expect(clippy::box_collection, reason = "keeps the common task small")]
    Many(Box<Vec<TaskRef>>),
}

impl Joiners {
    pub(super) fn push(&mut self, joiner: TaskRef) {
        *self = match mem::take(self) {
            Joiners::None => Joiners::One(joiner),
            Joiners::One(first) => Joiners::Many(Box::new(vec![first, joiner])),
            Joiners::Many(mut all) => {
                all.push(joiner);
                Joiners::Many(all)
            }
        };
    }

    pub(super) fn remove(&mut self, joiner: &TaskRef) {
        match self {
            Joiners::One(one) if one.is(joiner) => *self = Joiners::None,
            Joiners::Many(all) => {
                if let Some(index) = all.iter().position(|other| other.is(joiner)) {
                    all.remove(index);
                }
            }
            _ => {}
        }
    }

    pub(super) fn wake(self) {
        match self {
            Joiners::None => {}
            Joiners::One(joiner) => park::unpark(&joiner),
            Joiners::Many(all) => all.iter().for_each(park::unpark),
        }
    }
}
