//! The text of a trace, and back.
//!
//! ```text
//! # Two greenlets and a lock.
//! # Comments at the head are kept.
//! seed 17
//! mutexes 1
//! queues 0 2 any
//!
//! greenlet 0
//!   lock m0
//!   timeout 3 {
//!     get q1 within 2
//!   }
//!
//! greenlet 1 later
//!   select get q0 / wait e0 / put q1 now
//! ```
//! One operation a line, and a number that names an object has the letter of its kind before it: `m`utex, `r`ead-write lock,
//! `s`emaphore, `e`vent, `q`ueue, `c`ondition variable, `g`reenlet. `later` is a greenlet that another spawns.
//!
//! Rejected: a format of a library's (serde and JSON), which is no more readable and the only dependency that this would have.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use super::program::{Arm, Body, How, Op, Program};

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for comment in &self.comments {
            writeln!(f, "#{}{comment}", if comment.is_empty() { "" } else { " " })?;
        }
        if let Some(seed) = self.seed {
            writeln!(f, "seed {seed}")?;
        }
        let objects = &self.objects;
        let counts = [
            ("mutexes", objects.mutexes),
            ("rwlocks", objects.rwlocks),
            ("condvars", objects.condvars),
            ("events", objects.events),
        ];
        for (name, count) in counts {
            if count > 0 {
                writeln!(f, "{name} {count}")?;
            }
        }
        if !objects.semaphores.is_empty() {
            f.write_str("semaphores")?;
            objects
                .semaphores
                .iter()
                .try_for_each(|permits| write!(f, " {permits}"))?;
            f.write_char('\n')?;
        }
        if !objects.queues.is_empty() {
            f.write_str("queues")?;
            for room in &objects.queues {
                match room {
                    Some(room) => write!(f, " {room}")?,
                    None => f.write_str(" any")?,
                }
            }
            f.write_char('\n')?;
        }
        for (number, body) in self.greenlets.iter().enumerate() {
            let later = if body.root { "" } else { " later" };
            writeln!(f, "\ngreenlet {number}{later}")?;
            write_block(f, &body.ops, 1)?;
        }
        Ok(())
    }
}

fn write_block(f: &mut fmt::Formatter<'_>, ops: &[Op], depth: usize) -> fmt::Result {
    for op in ops {
        let indent = 2 * depth;
        match op.block() {
            None => writeln!(f, "{:indent$}{op}", "")?,
            Some(inner) => {
                writeln!(f, "{:indent$}{op} {{", "")?;
                write_block(f, inner, depth + 1)?;
                writeln!(f, "{:indent$}}}", "")?;
            }
        }
    }
    Ok(())
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            How::Wait => Ok(()),
            How::Now => f.write_str(" now"),
            How::Within(moments) => write!(f, " within {moments}"),
        }
    }
}

/// Without its block.
impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Op::Yield => f.write_str("yield"),
            Op::Sleep(moments) => write!(f, "sleep {moments}"),
            Op::Park(how) => write!(f, "park{how}"),
            Op::Unpark(n) => write!(f, "unpark g{n}"),
            Op::Lock(n, how) => write!(f, "lock m{n}{how}"),
            Op::Unlock(n) => write!(f, "unlock m{n}"),
            Op::Read(n, how) => write!(f, "read r{n}{how}"),
            Op::Write(n, how) => write!(f, "write r{n}{how}"),
            Op::Leave(n) => write!(f, "leave r{n}"),
            Op::Acquire(n, how) => write!(f, "acquire s{n}{how}"),
            Op::Release(n) => write!(f, "release s{n}"),
            Op::Add(n, count) => write!(f, "add s{n} {count}"),
            Op::Set(n) => write!(f, "set e{n}"),
            Op::Clear(n) => write!(f, "clear e{n}"),
            Op::Wait(n, how) => write!(f, "wait e{n}{how}"),
            Op::Put(n, how) => write!(f, "put q{n}{how}"),
            Op::Get(n, how) => write!(f, "get q{n}{how}"),
            Op::Shutdown(n) => write!(f, "shutdown q{n}"),
            Op::Discard(n) => write!(f, "discard q{n}"),
            Op::Await(condvar, mutex, how) => write!(f, "await c{condvar} m{mutex}{how}"),
            Op::Notify(n) => write!(f, "notify c{n}"),
            Op::NotifyAll(n) => write!(f, "notify_all c{n}"),
            Op::Spawn(n) => write!(f, "spawn g{n}"),
            Op::Join(n, how) => write!(f, "join g{n}{how}"),
            Op::End(n, how) => write!(f, "end g{n}{how}"),
            Op::Kill(n) => write!(f, "kill g{n}"),
            Op::Throw(n, what) => write!(f, "throw g{n} {what}"),
            Op::Panic(what, false) => write!(f, "panic {what}"),
            Op::Panic(what, true) => write!(f, "panic {what} loud"),
            Op::Select(ref arms, how) => {
                f.write_str("select")?;
                for (index, arm) in arms.iter().enumerate() {
                    f.write_str(if index == 0 { " " } else { " / " })?;
                    match arm {
                        Arm::Get(n) => write!(f, "get q{n}")?,
                        Arm::Put(n) => write!(f, "put q{n}")?,
                        Arm::Wait(n) => write!(f, "wait e{n}")?,
                    }
                }
                write!(f, "{how}")
            }
            Op::Timeout(moments, _) => write!(f, "timeout {moments}"),
            Op::Catch(_) => f.write_str("catch"),
            Op::Depth(calls, _) => write!(f, "depth {calls}"),
            Op::Repeat(times, _) => write!(f, "repeat {times}"),
        }
    }
}

/// Why a text is no trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParseError {
    line: usize,
    what: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for ParseError {}

impl FromStr for Program {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut parser = Parser::default();
        let mut line = 0;
        for content in text.lines() {
            line += 1;
            parser
                .line(content)
                .map_err(|what| ParseError { line, what })?;
        }
        parser.finish().map_err(|what| ParseError { line, what })
    }
}

#[derive(Default)]
struct Parser {
    program: Program,
    /// The head is over: comments are dropped from here on.
    in_body: bool,
    /// Blocks that are not closed yet: what they are of, and what was read of the block around.
    open: Vec<(Op, Vec<Op>)>,
}

impl Parser {
    fn line(&mut self, line: &str) -> Result<(), String> {
        let line = line.trim();
        if let Some(comment) = line.strip_prefix('#') {
            if !self.in_body {
                let comment = comment.strip_prefix(' ').unwrap_or(comment);
                self.program.comments.push(comment.to_owned());
            }
            return Ok(());
        }
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let opens = words.last() == Some(&"{");
        if opens {
            words.pop();
        }
        let Some((&first, rest)) = words.split_first() else {
            return Ok(());
        };
        self.in_body = true;
        let objects = &mut self.program.objects;
        match first {
            "seed" => self.program.seed = Some(parse(one(rest)?)?),
            "mutexes" => objects.mutexes = parse(one(rest)?)?,
            "rwlocks" => objects.rwlocks = parse(one(rest)?)?,
            "condvars" => objects.condvars = parse(one(rest)?)?,
            "events" => objects.events = parse(one(rest)?)?,
            "semaphores" => {
                objects.semaphores = rest
                    .iter()
                    .map(|word| parse(word))
                    .collect::<Result<_, _>>()?;
            }
            "queues" => {
                let room = |word: &&str| match *word {
                    "any" => Ok(None),
                    word => parse(word).map(Some),
                };
                objects.queues = rest.iter().map(room).collect::<Result<_, _>>()?;
            }
            "greenlet" => {
                if !self.open.is_empty() {
                    return Err("a block is not closed".into());
                }
                let (number, root) = match *rest {
                    [number] => (number, true),
                    [number, "later"] => (number, false),
                    _ => return Err("`greenlet NUMBER` or `greenlet NUMBER later`".into()),
                };
                if parse::<usize>(number)? != self.program.greenlets.len() {
                    return Err("greenlets are numbered from 0 on".into());
                }
                let ops = Vec::new();
                self.program.greenlets.push(Body { root, ops });
            }
            "}" => {
                let (mut op, around) = self.open.pop().ok_or("`}` without a `{`")?;
                let ops = std::mem::replace(self.ops()?, around);
                if let Some(block) = op.block_mut() {
                    *block = ops;
                }
                self.ops()?.push(op);
            }
            _ => {
                let op = operation(first, rest)?;
                if op.block().is_some() != opens {
                    return Err("`{` belongs behind timeout, catch, depth and repeat".into());
                }
                if opens {
                    let around = std::mem::take(self.ops()?);
                    self.open.push((op, around));
                } else {
                    self.ops()?.push(op);
                }
            }
        }
        Ok(())
    }

    fn ops(&mut self) -> Result<&mut Vec<Op>, String> {
        let body = self.program.greenlets.last_mut();
        Ok(&mut body.ok_or("an operation before the first `greenlet`")?.ops)
    }

    fn finish(self) -> Result<Program, String> {
        if !self.open.is_empty() {
            return Err("a block is not closed".into());
        }
        self.program.check()?;
        Ok(self.program)
    }
}

fn one<'a>(words: &[&'a str]) -> Result<&'a str, String> {
    match words {
        [word] => Ok(word),
        _ => Err("one word is wanted here".into()),
    }
}

fn parse<T: FromStr>(word: &str) -> Result<T, String> {
    word.parse()
        .map_err(|_| format!("`{word}` is not a number that is possible here"))
}

/// The number of an object whose kind has the letter `kind`.
fn object(word: &str, kind: char) -> Result<usize, String> {
    let number = word.strip_prefix(kind);
    parse(number.ok_or_else(|| format!("`{word}`: wanted is {kind} and a number"))?)
}

/// How it waits, as the words at the end say; the others.
fn how<'a, 'b>(words: &'b [&'a str]) -> Result<(How, &'b [&'a str]), String> {
    match words {
        [others @ .., "now"] => Ok((How::Now, others)),
        [others @ .., "within", moments] => Ok((How::Within(parse(moments)?), others)),
        others => Ok((How::Wait, others)),
    }
}

fn operation(name: &str, words: &[&str]) -> Result<Op, String> {
    let number = |kind| one(words).and_then(|word| object(word, kind));
    let waiting = |kind| {
        let (how, words) = how(words)?;
        Ok::<_, String>((object(one(words)?, kind)?, how))
    };
    let count = || one(words).and_then(parse);
    let both = |kind| match *words {
        [first, second] => Ok((object(first, kind)?, parse(second)?)),
        _ => Err("two words are wanted here".to_owned()),
    };
    let block = Vec::new();
    Ok(match name {
        "yield" if words.is_empty() => Op::Yield,
        "sleep" => Op::Sleep(count()?),
        "park" => match how(words)? {
            (how, []) => Op::Park(how),
            _ => return Err("`park` or `park within NUMBER`".into()),
        },
        "unpark" => Op::Unpark(number('g')?),
        "lock" => waiting('m').map(|(n, how)| Op::Lock(n, how))?,
        "unlock" => Op::Unlock(number('m')?),
        "read" => waiting('r').map(|(n, how)| Op::Read(n, how))?,
        "write" => waiting('r').map(|(n, how)| Op::Write(n, how))?,
        "leave" => Op::Leave(number('r')?),
        "acquire" => waiting('s').map(|(n, how)| Op::Acquire(n, how))?,
        "release" => Op::Release(number('s')?),
        "add" => both('s').map(|(n, count)| Op::Add(n, count))?,
        "set" => Op::Set(number('e')?),
        "clear" => Op::Clear(number('e')?),
        "wait" => waiting('e').map(|(n, how)| Op::Wait(n, how))?,
        "put" => waiting('q').map(|(n, how)| Op::Put(n, how))?,
        "get" => waiting('q').map(|(n, how)| Op::Get(n, how))?,
        "shutdown" => Op::Shutdown(number('q')?),
        "discard" => Op::Discard(number('q')?),
        "await" => match how(words)? {
            (how, [condvar, mutex]) => Op::Await(object(condvar, 'c')?, object(mutex, 'm')?, how),
            _ => return Err("`await cNUMBER mNUMBER`".into()),
        },
        "notify" => Op::Notify(number('c')?),
        "notify_all" => Op::NotifyAll(number('c')?),
        "spawn" => Op::Spawn(number('g')?),
        "join" => waiting('g').map(|(n, how)| Op::Join(n, how))?,
        "end" => waiting('g').map(|(n, how)| Op::End(n, how))?,
        "kill" => Op::Kill(number('g')?),
        "throw" => both('g').map(|(n, what)| Op::Throw(n, what))?,
        "panic" => match *words {
            [what] => Op::Panic(parse(what)?, false),
            [what, "loud"] => Op::Panic(parse(what)?, true),
            _ => return Err("`panic NUMBER` or `panic NUMBER loud`".into()),
        },
        "select" => {
            let (how, words) = how(words)?;
            let arm = |words: &[&str]| match *words {
                ["get", queue] => Ok(Arm::Get(object(queue, 'q')?)),
                ["put", queue] => Ok(Arm::Put(object(queue, 'q')?)),
                ["wait", event] => Ok(Arm::Wait(object(event, 'e')?)),
                _ => {
                    Err("the arms of a select are get, put and wait, with a `/` between".to_owned())
                }
            };
            let arms = words.split(|word| *word == "/").map(arm);
            Op::Select(arms.collect::<Result<_, _>>()?, how)
        }
        "timeout" => Op::Timeout(count()?, block),
        "catch" if words.is_empty() => Op::Catch(block),
        "depth" => Op::Depth(count()?, block),
        "repeat" => Op::Repeat(count()?, block),
        _ => return Err(format!("`{name}` is no operation, or not with these words")),
    })
}
