//! What raw greenlets do, without stacks: phases, parents, references.
//!
//! A greenlet is kept alive by the world's table, by its children (as their parent), by the frame of whoever switched to it
//! and is still away, and by running. When the last of these goes, it is unwound if it is suspended, and
//! what it held goes too.

/// Number 0 is main, which always lives.
pub(super) const MAIN: usize = 0;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Phase {
    Created,
    Running,
    Suspended,
    Dead,
}

/// What control carries.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Parcel {
    Value(i64),
    Thrown(i64),
    /// Ends the destination, which does not catch it; then this is its value.
    Exit(i64),
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Operation {
    /// To somebody, by a handle that stays in the frame meanwhile.
    Send(usize, Parcel),
    Parent(i64),
    /// The end, by returning or by a panic.
    End(Parcel),
    Adopt {
        child: usize,
        parent: usize,
    },
    /// A new one with this parent; its number is the next.
    New {
        parent: usize,
    },
    Forget(usize),
}

#[derive(Debug)]
struct Node {
    phase: Phase,
    parent: usize,
    /// The destination of the switch that it is away in, whose handle is in its frame.
    holds: Option<usize>,
    references: usize,
    in_table: bool,
}

#[derive(Debug)]
pub(super) struct Model {
    nodes: Vec<Node>,
    at: usize,
    live: usize,
}

impl Model {
    pub(super) fn new() -> Model {
        let main = Node {
            phase: Phase::Running,
            parent: MAIN,
            holds: None,
            references: 1,
            in_table: true,
        };
        Model {
            nodes: vec![main],
            at: MAIN,
            live: 0,
        }
    }

    /// Who runs.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// How many closures there are.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// How many greenlets there ever were, main included.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is a handle to use.
    pub(super) fn in_table(&self, n: usize) -> bool {
        self.nodes[n].in_table
    }

    /// The running greenlet does `operation`. What arrives at [`Model::at`] then; for what is no switch, a 1 if it was allowed.
    pub(super) fn apply(&mut self, operation: Operation) -> Parcel {
        let me = self.at;
        match operation {
            Operation::Send(to, parcel) => {
                if to != MAIN {
                    self.nodes[me].holds = Some(to);
                    self.hold(to);
                }
                self.leave(Phase::Suspended);
                self.go(to, parcel)
            }
            Operation::Parent(value) => {
                self.leave(Phase::Suspended);
                self.go(self.nodes[me].parent, Parcel::Value(value))
            }
            Operation::End(parcel) => {
                self.leave(Phase::Dead);
                let parcel = match parcel {
                    Parcel::Exit(value) => Parcel::Value(value),
                    other => other,
                };
                self.go(self.nodes[me].parent, parcel)
            }
            Operation::Adopt { child, parent } => {
                let may = self.may_adopt(child, parent);
                if may {
                    self.hold(parent);
                    let before = std::mem::replace(&mut self.nodes[child].parent, parent);
                    self.release(before);
                }
                Parcel::Value(may.into())
            }
            Operation::New { parent } => {
                self.hold(parent);
                self.nodes.push(Node {
                    phase: Phase::Created,
                    parent,
                    holds: None,
                    references: 1,
                    in_table: true,
                });
                self.live += 1;
                Parcel::Value(1)
            }
            Operation::Forget(n) => {
                self.nodes[n].in_table = false;
                self.release(n);
                Parcel::Value(1)
            }
        }
    }

    fn may_adopt(&self, child: usize, parent: usize) -> bool {
        let mut ancestor = parent;
        while ancestor != MAIN && ancestor != child {
            ancestor = self.nodes[ancestor].parent;
        }
        child != MAIN && ancestor != child
    }

    fn leave(&mut self, phase: Phase) {
        if phase == Phase::Dead {
            self.live -= 1;
        }
        self.nodes[self.at].phase = phase;
    }

    /// Control goes from `at`, which has left, to `target` or who stands in for it.
    fn go(&mut self, target: usize, parcel: Parcel) -> Parcel {
        let mut from = self.at;
        let (mut to, mut parcel) = self.settle(target, parcel);
        loop {
            self.hold(to);
            self.release(from);
            if let Some(held) = self.nodes[to].holds.take() {
                self.release(held);
            }
            match parcel {
                Parcel::Exit(value) if to != MAIN => {
                    self.nodes[to].phase = Phase::Dead;
                    self.live -= 1;
                    from = to;
                    (to, parcel) = self.settle(self.nodes[to].parent, Parcel::Value(value));
                }
                _ => {
                    self.nodes[to].phase = Phase::Running;
                    self.at = to;
                    return parcel;
                }
            }
        }
    }

    /// Passes over the dead, and ends those that are to be unwound before they began.
    fn settle(&mut self, mut to: usize, mut parcel: Parcel) -> (usize, Parcel) {
        while to != MAIN {
            match (self.nodes[to].phase, parcel) {
                (Phase::Dead, _) => {}
                (Phase::Created, Parcel::Thrown(_) | Parcel::Exit(_)) => {
                    self.nodes[to].phase = Phase::Dead;
                    self.live -= 1;
                }
                _ => break,
            }
            if let Parcel::Exit(value) = parcel {
                parcel = Parcel::Value(value);
            }
            to = self.nodes[to].parent;
        }
        (to, parcel)
    }

    fn hold(&mut self, n: usize) {
        self.nodes[n].references += 1;
    }

    fn release(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        node.references -= 1;
        if n == MAIN || node.references > 0 {
            return;
        }
        if node.phase != Phase::Dead {
            node.phase = Phase::Dead;
            self.live -= 1;
        }
        let (held, parent) = (node.holds.take(), node.parent);
        held.into_iter().for_each(|held| self.release(held));
        self.release(parent);
    }
}
