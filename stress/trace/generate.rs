//! Random programs.
//!
//! Uniformly random operations would mostly do nothing to each other. So a program has a few *themes* (locks, queues, ends of
//! greenlets, …) and few objects, which its greenlets then meet at again and again; half of the programs have nothing
//! to do with time, which is the half that runs fastest; and waits without end are about as frequent as what ends them, so that
//! most greenlets end and some do not.

use super::choices::{Bytes, Choices, Rng};
use super::program::{Arm, Body, How, Objects, Op, Program, lines};

/// A program of about `size` operations, always the same for the same seed.
pub(crate) fn generate(seed: u64, size: usize) -> Program {
    let mut program = Generator::new(Rng::new(seed), size).program();
    program.seed = Some(seed);
    program
}

/// The program that a fuzzer's input means. Every input means one.
pub(crate) fn decode(bytes: &[u8]) -> Program {
    Generator::new(Bytes::new(bytes), 120).program()
}

/// What the greenlets of a program have to do with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Theme {
    Turns,
    Mutexes,
    RwLocks,
    Semaphores,
    Events,
    Queues,
    Condvars,
    Lives,
    Selects,
}

const THEMES: [Theme; 9] = [
    Theme::Lives,
    Theme::Queues,
    Theme::Mutexes,
    Theme::Events,
    Theme::Selects,
    Theme::Condvars,
    Theme::Semaphores,
    Theme::RwLocks,
    Theme::Turns,
];

/// Blocks in each other, at most.
const DEEPEST: usize = 3;

struct Generator<C> {
    choices: C,
    size: usize,
    themes: Vec<Theme>,
    timed: bool,
    objects: Objects,
    greenlets: usize,
}

impl<C: Choices> Generator<C> {
    fn new(choices: C, size: usize) -> Self {
        Generator {
            choices,
            size: size.max(4),
            themes: Vec::new(),
            timed: false,
            objects: Objects::default(),
            greenlets: 0,
        }
    }

    fn below(&mut self, end: usize) -> usize {
        self.choices.below(end)
    }

    fn program(mut self) -> Program {
        self.timed = self.below(2) == 1;
        let first = self.below(THEMES.len());
        self.themes = vec![THEMES[first]];
        for _ in 0..self.below(4) {
            let another = self.below(THEMES.len());
            self.themes.push(THEMES[another]);
        }
        self.objects = self.make_objects();
        let most = (self.size / 6).clamp(2, 12);
        self.greenlets = 2 + self.below(most - 1);
        let each = (self.size / self.greenlets).max(2);
        let mut greenlets = Vec::new();
        for number in 0..self.greenlets {
            let root = number == 0 || !self.choices.one_in(4);
            let ops = self.block(each, 0);
            greenlets.push(Body { root, ops });
        }
        // Whoever is spawned later is spawned by somebody.
        for number in 1..greenlets.len() {
            if !greenlets[number].root {
                let spawner = self.below(number);
                let ops = &mut greenlets[spawner].ops;
                let place = self.choices.below(ops.len() + 1);
                ops.insert(place, Op::Spawn(number));
            }
        }
        Program {
            comments: Vec::new(),
            seed: None,
            objects: self.objects,
            greenlets,
        }
    }

    fn make_objects(&mut self) -> Objects {
        let has = |themes: &[Theme], theme| themes.contains(&theme);
        let themes = self.themes.clone();
        let mut objects = Objects::default();
        if has(&themes, Theme::Mutexes) || has(&themes, Theme::Condvars) {
            objects.mutexes = 1 + self.below(2);
        }
        if has(&themes, Theme::RwLocks) {
            objects.rwlocks = 1 + self.below(2);
        }
        if has(&themes, Theme::Condvars) {
            objects.condvars = 1 + self.below(2);
        }
        if has(&themes, Theme::Events) || has(&themes, Theme::Selects) {
            objects.events = 1 + self.below(2);
        }
        if has(&themes, Theme::Semaphores) {
            for _ in 0..1 + self.below(2) {
                objects.semaphores.push(self.choices.below(3) as u8);
            }
        }
        if has(&themes, Theme::Queues) || has(&themes, Theme::Selects) {
            for _ in 0..1 + self.below(2) {
                let room = [Some(1), Some(0), None, Some(2), Some(5)][self.choices.below(5)];
                objects.queues.push(room);
            }
        }
        objects
    }

    /// Operations of about `size` lines.
    fn block(&mut self, size: usize, depth: usize) -> Vec<Op> {
        let mut ops = Vec::new();
        while lines(&ops) < size && !self.choices.exhausted() {
            let left = size - lines(&ops);
            let op = match self.below(12) {
                0 => Op::Yield,
                1 if depth < DEEPEST && left > 1 => self.nested(left - 1, depth),
                2 => self.of(Theme::Turns),
                3 if self.choices.one_in(3) => match self.below(4) {
                    0 => Op::Kill(self.greenlet()),
                    1 => Op::Throw(self.greenlet(), self.number()),
                    _ => Op::Panic(self.number(), false),
                },
                _ => {
                    let theme = self.choices.below(self.themes.len());
                    self.of(self.themes[theme])
                }
            };
            if let Op::Await(_, mutex, _) = op
                && !self.choices.one_in(4)
            {
                // Without its guard there is nothing to wait with.
                ops.push(Op::Lock(mutex, How::Wait));
            }
            ops.push(op);
        }
        ops
    }

    fn nested(&mut self, size: usize, depth: usize) -> Op {
        let size = 1 + self.below(size);
        match self.below(8) {
            0..=2 => Op::Catch(self.block(size, depth + 1)),
            3..=5 if self.timed => {
                let moments = self.moments();
                let mut ops = self.block(size, depth + 1);
                if self.choices.one_in(4) {
                    // Both limits pass at once. Nothing comes between, so that both alarms are set alike.
                    ops = vec![Op::Timeout(0, ops), Op::Yield];
                }
                Op::Timeout(moments, ops)
            }
            6 => self.repetition(),
            _ => {
                let calls = 1 + self.below(6) as u8;
                Op::Depth(calls, self.block(size, depth + 1))
            }
        }
    }

    /// Short, and without anything that takes time: it is done often.
    fn repetition(&mut self) -> Op {
        if !self.objects.queues.is_empty() && self.choices.one_in(3) {
            // Enough of what need not wait for the others to be let run.
            let queue = self.queue();
            let times = 60 + self.below(20) as u8;
            return Op::Repeat(
                times,
                vec![Op::Put(queue, How::Wait), Op::Get(queue, How::Wait)],
            );
        }
        let timed = std::mem::replace(&mut self.timed, false);
        let times = 2 + self.below(4) as u8;
        let size = 1 + self.below(3);
        let op = Op::Repeat(times, self.block(size, DEEPEST));
        self.timed = timed;
        op
    }

    fn number(&mut self) -> u8 {
        self.below(100) as u8
    }

    fn moments(&mut self) -> u8 {
        1 + self.below(5) as u8
    }

    fn greenlet(&mut self) -> usize {
        self.choices.below(self.greenlets)
    }

    fn mutex(&mut self) -> usize {
        self.choices.below(self.objects.mutexes)
    }

    fn event(&mut self) -> usize {
        self.choices.below(self.objects.events)
    }

    fn queue(&mut self) -> usize {
        self.choices.below(self.objects.queues.len())
    }

    fn how(&mut self) -> How {
        match self.below(6) {
            4 => How::Now,
            5 if self.timed => How::Within(self.moments()),
            _ => How::Wait,
        }
    }

    /// As [`Generator::how`], for what has no form that does not wait.
    fn patience(&mut self) -> How {
        match self.how() {
            How::Now => How::Wait,
            how => how,
        }
    }

    fn of(&mut self, theme: Theme) -> Op {
        match theme {
            Theme::Turns => match self.below(6) {
                0 => Op::Yield,
                1 => Op::Park(self.patience()),
                2 | 3 => Op::Unpark(self.greenlet()),
                _ if self.timed => Op::Sleep(self.moments()),
                _ => Op::Yield,
            },
            Theme::Mutexes => match self.below(5) {
                0..=2 => Op::Lock(self.mutex(), self.how()),
                _ => Op::Unlock(self.mutex()),
            },
            Theme::RwLocks => {
                let number = self.choices.below(self.objects.rwlocks);
                match self.below(7) {
                    0..=2 => Op::Read(number, self.how()),
                    3 | 4 => Op::Write(number, self.how()),
                    _ => Op::Leave(number),
                }
            }
            Theme::Semaphores => {
                let number = self.choices.below(self.objects.semaphores.len());
                match self.below(8) {
                    0..=3 => Op::Acquire(number, self.how()),
                    4..=6 => Op::Release(number),
                    _ => Op::Add(number, self.below(3) as u8),
                }
            }
            Theme::Events => match self.below(6) {
                0..=2 => Op::Wait(self.event(), self.how()),
                3 | 4 => Op::Set(self.event()),
                _ => Op::Clear(self.event()),
            },
            Theme::Queues => match self.below(16) {
                0..=6 => Op::Put(self.queue(), self.how()),
                7..=13 => Op::Get(self.queue(), self.how()),
                14 => Op::Shutdown(self.queue()),
                _ if self.choices.one_in(3) => Op::Discard(self.queue()),
                _ => Op::Put(self.queue(), How::Now),
            },
            Theme::Condvars => {
                let number = self.choices.below(self.objects.condvars);
                match self.below(9) {
                    0..=2 => Op::Await(number, self.mutex(), self.patience()),
                    3 | 4 => Op::Notify(number),
                    5 => Op::NotifyAll(number),
                    6 | 7 => Op::Lock(self.mutex(), self.how()),
                    _ => Op::Unlock(self.mutex()),
                }
            }
            Theme::Lives => match self.below(12) {
                0..=2 => Op::Join(self.greenlet(), self.how()),
                3 | 4 => Op::End(self.greenlet(), self.how()),
                5 | 6 => Op::Kill(self.greenlet()),
                7 | 8 => Op::Throw(self.greenlet(), self.number()),
                9 => Op::Spawn(self.greenlet()),
                10 => Op::Unpark(self.greenlet()),
                _ => Op::Park(self.patience()),
            },
            Theme::Selects => match self.below(4) {
                0 | 1 => {
                    let mut arms = Vec::new();
                    for _ in 0..1 + self.below(3) {
                        arms.push(match self.below(5) {
                            0 | 1 => Arm::Get(self.queue()),
                            2 | 3 => Arm::Put(self.queue()),
                            _ => Arm::Wait(self.event()),
                        });
                    }
                    Op::Select(arms, self.how())
                }
                2 => Op::Put(self.queue(), self.how()),
                _ => match self.below(3) {
                    0 => Op::Set(self.event()),
                    1 => Op::Clear(self.event()),
                    _ => Op::Get(self.queue(), self.how()),
                },
            },
        }
    }
}
