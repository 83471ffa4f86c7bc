//! What a trace says: some objects, and greenlets that each do one operation after the other.
//!
//! Everything is named by its number. A number too high is refused by [`Program::check`], so that what runs programs need
//! not think about it.
//!
//! # Time
//! A program's clock has *moments*, numbered from 0. It stands still while any greenlet can run, and then goes on to the
//! next moment at which one of them is due. A duration is a number of moments, and no two deadlines of a program are the same: each
//! gets the next moment that is still free (but for [`Op::Timeout`] of 0). So the order in which they come does not depend on how fast the machine is.

/// How an operation waits, if it would have to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// As long as it takes.
    Wait,
    /// Not at all.
    Now,
    /// So many moments at most.
    Within(u8),
}

/// One of the things of a select.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arm {
    /// An item out of this queue.
    Get(usize),
    /// A new item into this queue.
    Put(usize),
    /// This event.
    Wait(usize),
}

/// One operation. The first number is that of the object or greenlet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// `yield_now`.
    Yield,
    /// `sleep_until`, so many moments from now.
    Sleep(u8),
    /// `park`, or `park_timeout`.
    Park(How),
    /// `Handle::unpark`.
    Unpark(usize),
    /// `Mutex::lock` and its forms. The block that it stands in keeps the guard.
    Lock(usize, How),
    /// Drops the guard that was taken last of this mutex.
    Unlock(usize),
    /// `RwLock::read` and its forms.
    Read(usize, How),
    /// `RwLock::write` and its forms.
    Write(usize, How),
    /// Drops the guard that was taken last of this read-write lock.
    Leave(usize),
    /// `Semaphore::acquire` and its forms.
    Acquire(usize, How),
    /// Drops the permit that was taken last of this semaphore.
    Release(usize),
    /// `Semaphore::add_permits`.
    Add(usize, u8),
    /// `Event::set`.
    Set(usize),
    /// `Event::clear`.
    Clear(usize),
    /// `Event::wait`, `wait_timeout`, `is_set`.
    Wait(usize, How),
    /// `put` of a queue or channel, and its forms.
    Put(usize, How),
    /// `get`, and its forms.
    Get(usize, How),
    /// `shutdown`.
    Shutdown(usize),
    /// `shutdown_now`.
    Discard(usize),
    /// `Condvar::wait` or `wait_timeout`, with the guard of a mutex that was taken last.
    Await(usize, usize, How),
    /// `Condvar::notify_one`.
    Notify(usize),
    /// `Condvar::notify_all`.
    NotifyAll(usize),
    /// Starts a greenlet that has not been.
    Spawn(usize),
    /// `Greenlet::join`, `join_timeout`, `try_join`: the outcome is taken.
    Join(usize, How),
    /// `Handle::wait`, `wait_timeout`, `is_finished`: the outcome stays.
    End(usize, How),
    /// `Handle::kill`, without waiting.
    Kill(usize),
    /// `Handle::throw`.
    Throw(usize, u8),
    /// Unwinds as a panic does. Without the hook, or with it (`true`), which prints.
    Panic(u8, bool),
    /// A select, with the arms in this order.
    Select(Vec<Arm>, How),
    /// `timeout` around the block. 0 is the very moment at which the time of the innermost limit around it is over.
    Timeout(u8, Vec<Op>),
    /// `catch_unwind` around the block: whatever comes stops here.
    Catch(Vec<Op>),
    /// So many nested calls, with values in their frames that must be there again.
    Depth(u8, Vec<Op>),
    /// The block, so many times.
    Repeat(u8, Vec<Op>),
}

impl Op {
    /// The operations of its block, if it has one.
    pub(crate) fn block(&self) -> Option<&[Op]> {
        match self {
            Op::Timeout(_, ops) | Op::Catch(ops) | Op::Depth(_, ops) | Op::Repeat(_, ops) => {
                Some(ops)
            }
            _ => None,
        }
    }

    /// As [`Op::block`].
    pub(crate) fn block_mut(&mut self) -> Option<&mut Vec<Op>> {
        match self {
            Op::Timeout(_, ops) | Op::Catch(ops) | Op::Depth(_, ops) | Op::Repeat(_, ops) => {
                Some(ops)
            }
            _ => None,
        }
    }

    /// How it waits, if it is of those that have forms.
    pub(crate) fn how_mut(&mut self) -> Option<&mut How> {
        match self {
            Op::Park(how)
            | Op::Lock(_, how)
            | Op::Read(_, how)
            | Op::Write(_, how)
            | Op::Acquire(_, how)
            | Op::Wait(_, how)
            | Op::Put(_, how)
            | Op::Get(_, how)
            | Op::Await(_, _, how)
            | Op::Join(_, how)
            | Op::End(_, how)
            | Op::Select(_, how) => Some(how),
            _ => None,
        }
    }

    /// How many lines it is, with those of its block.
    pub(crate) fn lines(&self) -> usize {
        1 + self.block().map_or(0, lines)
    }
}

/// How many lines these are, blocks included.
pub(crate) fn lines(ops: &[Op]) -> usize {
    ops.iter().map(Op::lines).sum()
}

/// What one greenlet does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Body {
    /// It is spawned at the beginning, in the order of numbers; otherwise by a [`Op::Spawn`].
    pub(crate) root: bool,
    /// Its operations.
    pub(crate) ops: Vec<Op>,
}

/// How many objects there are of each kind, and what they are like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Objects {
    /// How many mutexes.
    pub(crate) mutexes: usize,
    /// How many read-write locks.
    pub(crate) rwlocks: usize,
    /// How many condition variables.
    pub(crate) condvars: usize,
    /// How many events.
    pub(crate) events: usize,
    /// The permits of each semaphore.
    pub(crate) semaphores: Vec<u8>,
    /// The room in each queue: `None` for any, 0 for a `Channel`.
    pub(crate) queues: Vec<Option<u8>>,
}

/// A trace. Its text ([`std::fmt::Display`]) parses back to the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Program {
    /// The lines of its head, without the `#`.
    pub(crate) comments: Vec<String>,
    /// What it was generated from, for the record.
    pub(crate) seed: Option<u64>,
    /// What the greenlets share.
    pub(crate) objects: Objects,
    /// The greenlets.
    pub(crate) greenlets: Vec<Body>,
}

/// More operations than this a program does not do, counted with its repetitions.
const MOST: usize = 50_000;
/// Nor has more blocks in each other, or objects of a kind.
const DEEPEST: usize = 16;
const MOST_OBJECTS: usize = 64;

impl Program {
    /// How many lines all greenlets have.
    pub(crate) fn lines(&self) -> usize {
        self.greenlets.iter().map(|body| lines(&body.ops)).sum()
    }

    /// Operation number `line` of a greenlet, counted from 1 through all blocks.
    pub(crate) fn line(&self, greenlet: usize, line: usize) -> Option<&Op> {
        fn find(ops: &[Op], mut left: usize) -> Option<&Op> {
            for op in ops {
                match left {
                    0 => return Some(op),
                    _ if left < op.lines() => return find(op.block()?, left - 1),
                    _ => left -= op.lines(),
                }
            }
            None
        }
        find(&self.greenlets.get(greenlet)?.ops, line.checked_sub(1)?)
    }

    /// Whether any operation has to do with time.
    pub(crate) fn is_timed(&self) -> bool {
        fn timed(op: &Op) -> bool {
            matches!(op, Op::Sleep(_) | Op::Timeout(..))
                || matches!(op.clone().how_mut(), Some(How::Within(_)))
                || op.block().is_some_and(|ops| ops.iter().any(timed))
        }
        self.greenlets.iter().any(|body| body.ops.iter().any(timed))
    }

    /// Whether it can be run.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn check(&self) -> Result<(), String> {
        let objects = &self.objects;
        let counts = [
            objects.mutexes,
            objects.rwlocks,
            objects.condvars,
            objects.events,
            objects.semaphores.len(),
            objects.queues.len(),
            self.greenlets.len(),
        ];
        if counts.iter().any(|&count| count > MOST_OBJECTS) {
            return Err(format!("more than {MOST_OBJECTS} objects of a kind"));
        }
        let mut cost = 0;
        for (number, body) in self.greenlets.iter().enumerate() {
            for op in &body.ops {
                cost += self
                    .check_op(op, 0)
                    .map_err(|error| format!("greenlet {number}: {error}"))?;
            }
        }
        if cost > MOST {
            return Err(format!("{cost} operations; {MOST} are the most"));
        }
        Ok(())
    }

    /// How many operations it comes to.
    fn check_op(&self, op: &Op, depth: usize) -> Result<usize, String> {
        let objects = &self.objects;
        let within = |what: &str, number: usize, count: usize| {
            if number < count {
                Ok(())
            } else {
                Err(format!("there is no {what} {number}"))
            }
        };
        let now_is_possible = !matches!(op, Op::Park(How::Now) | Op::Await(_, _, How::Now));
        if !now_is_possible {
            return Err("this has no form that does not wait".into());
        }
        match *op {
            Op::Lock(n, _) | Op::Unlock(n) => within("mutex", n, objects.mutexes)?,
            Op::Read(n, _) | Op::Write(n, _) | Op::Leave(n) => {
                within("read-write lock", n, objects.rwlocks)?;
            }
            Op::Acquire(n, _) | Op::Release(n) | Op::Add(n, _) => {
                within("semaphore", n, objects.semaphores.len())?;
            }
            Op::Set(n) | Op::Clear(n) | Op::Wait(n, _) => within("event", n, objects.events)?,
            Op::Put(n, _) | Op::Get(n, _) | Op::Shutdown(n) | Op::Discard(n) => {
                within("queue", n, objects.queues.len())?;
            }
            Op::Await(condvar, mutex, _) => {
                within("condition variable", condvar, objects.condvars)?;
                within("mutex", mutex, objects.mutexes)?;
            }
            Op::Notify(n) | Op::NotifyAll(n) => {
                within("condition variable", n, objects.condvars)?;
            }
            Op::Spawn(n)
            | Op::Unpark(n)
            | Op::Join(n, _)
            | Op::End(n, _)
            | Op::Kill(n)
            | Op::Throw(n, _) => within("greenlet", n, self.greenlets.len())?,
            Op::Select(ref arms, _) => {
                if arms.is_empty() {
                    return Err("a select without arms".into());
                }
                for arm in arms {
                    match *arm {
                        Arm::Get(n) | Arm::Put(n) => within("queue", n, objects.queues.len())?,
                        Arm::Wait(n) => within("event", n, objects.events)?,
                    }
                }
            }
            _ => {}
        }
        let Some(block) = op.block() else {
            return Ok(1);
        };
        if depth == DEEPEST {
            return Err(format!("more than {DEEPEST} blocks in each other"));
        }
        let mut cost = 0_usize;
        for inner in block {
            cost = cost.saturating_add(self.check_op(inner, depth + 1)?);
        }
        let times = match *op {
            Op::Repeat(times, _) => usize::from(times),
            _ => 1,
        };
        Ok(cost.saturating_mul(times).saturating_add(1))
    }
}

/// Takes the time out of a program: it waits as long as it takes, and blocks have no limits.
pub(crate) fn without_time(program: &mut Program) {
    fn change(op: &mut Op) {
        if let Some(how @ How::Within(_)) = op.how_mut() {
            *how = How::Wait;
        }
        match op {
            Op::Sleep(_) => *op = Op::Yield,
            Op::Timeout(_, ops) => *op = Op::Catch(std::mem::take(ops)),
            _ => {}
        }
        op.block_mut().into_iter().flatten().for_each(change);
    }
    for body in &mut program.greenlets {
        body.ops.iter_mut().for_each(change);
    }
}
