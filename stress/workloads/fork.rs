//! Children while greenlets and workers are at work.
//!
//! Plan: greenlets, on this thread or on workers, make children, each of a kind that the seed says, while others switch:
//!
//! | child | made by | checked |
//! |---|---|---|
//! | output | `Command::output` of a shell | what it says on both streams, its status; timed |
//! | cat | `Command::spawn` with pipes, written and read at once | every byte |
//! | killed | a long sleep: waited for in vain, by several, then killed | never early; all see signal 9 |
//! | orphan | dropped unwaited, or with `kill_on_drop` | reaped by somebody |
//! | forked by std | `pre_exec`, so fork(2) and exec | its status |
//! | bare | fork(2) on a greenlet's stack; `_exit` at once, with a word through a pipe | the word, the status |
//! | exec | fork(2), then exec | its output, its status |
//! | told | fork(2), then a use of rustlet, which is against the contract | it says "child of a fork", and dies of SIGABRT |
//! | told in main | the same on the step's own stack | a panic with that text |
//!
//! Everything that a forked child does before `_exit` was made before the fork: it allocates nothing, and takes no lock.
//! Only those that are told do more, since telling is what is tested; nothing else in this process writes to standard error
//! meanwhile. Chaos delays, and kills greenlets that wait for commands; panics come between children.
//!
//! Invariant: each child says and does what its kind says, none hangs, no greenlet of the parent's runs in a child, and in the end
//! there is neither a child nor a zombie.
#![allow(unsafe_code)] // fork(2), exec, and what a child may do

use std::ffi::CStr;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::panic::catch_unwind;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions, WaitStatus};
use rustlet::io::{PipeReader, PipeWriter, pipe};
use rustlet::process::Command;
use rustlet::{sleep, spawn, yield_now};

use crate::crew::Crew;
use crate::workload::{Context, Failure, Workload, ensure};

pub(crate) struct Fork;

/// Children of a step.
const CHILDREN: usize = 60;
/// Greenlets that only switch, at most: fork copies the page tables of all their stacks.
const OTHERS: usize = 2000;
/// How long a child may take that has nothing to do.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a bare child returns.
const STATUS: i32 = 77;
const SIGKILL: i32 = 9;
const SIGABRT: i32 = 6;

type Kind = fn(&Context, &mut Rng) -> Result<(), Failure>;

const KINDS: [Kind; 8] = [
    output,
    output,
    cat,
    killed,
    orphan,
    forked_by_std,
    bare,
    exec,
];

impl Workload for Fork {
    fn name(&self) -> &'static str {
        "fork"
    }

    fn about(&self) -> &'static str {
        "commands, fork and exec while all is at work: children behave, none is left"
    }

    fn unit(&self) -> &'static str {
        "children"
    }

    fn timed(&self) -> Option<&'static str> {
        Some("output")
    }

    fn step(&self, context: &Context) -> Result<(), Failure> {
        let mut rng = context.rng(0);
        let others = rng.usize(1..=context.scaled(OTHERS).min(context.greenlets));
        let makers = rng.usize(1..=8.min(context.greenlets));
        let children = (context.scaled(CHILDREN) / makers).max(1);
        context.phase(&format!(
            "{makers} make {children} children each, {others} switch"
        ));
        let crew = Crew::of(context)?;
        let over = Arc::new(AtomicBool::new(false));
        let at_work = Vec::from_iter((0..others).map(|_| {
            let over = over.clone();
            crew.spawn_on(rng.usize(..64), move || switch(&over))
        }));
        let made = Vec::from_iter((0..makers).map(|nth| {
            let (context, mut rng) = (*context, context.rng(1 + nth as u64));
            crew.spawn_on(rng.usize(..64), move || {
                for _ in 0..children {
                    match rng.u8(..16) {
                        0 => told(&context, &mut rng)?,
                        _ => KINDS[rng.usize(..KINDS.len())](&context, &mut rng)?,
                    }
                    context.count(1);
                    context.strike(&mut rng);
                }
                Ok::<(), Failure>(())
            })
        }));
        told_in_main(context)?;
        for maker in &made {
            if context.kills(&mut rng) {
                sleep(Duration::from_micros(rng.u64(..20_000)));
                maker.kill_nowait();
            }
        }
        for maker in made {
            let chaos = context.chaos;
            match maker.join() {
                Ok(ended) => ended?,
                Err(error) if error.is_killed() && chaos.kill > 0.0 => {}
                Err(error) if error.is_panic() && chaos.panic > 0.0 => {}
                Err(error) => return Err(error.into()),
            }
        }
        over.store(true, Ordering::Relaxed);
        for greenlet in at_work {
            greenlet.join()??;
        }
        // What chaos has cut off from its joiner.
        while rustlet::stats().live > 0 {
            sleep(Duration::from_micros(100));
        }
        crew.end()?;
        no_children(context)
    }
}

/// Switches, now and then after a pause, and looks in which process it does.
fn switch(over: &AtomicBool) -> Result<(), Failure> {
    let home = std::process::id();
    while !over.load(Ordering::Relaxed) {
        (0..4).for_each(|_| yield_now());
        let here = std::process::id();
        ensure!(
            here == home,
            "a greenlet of process {home} runs in its child {here}"
        );
        sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Waits until every child is gone. Those that were dropped unwaited are reaped by the next that is spawned.
fn no_children(context: &Context) -> Result<(), Failure> {
    let patience = Instant::now() + PATIENCE * context.slowdown;
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    loop {
        let left = match rustix::process::waitid(WaitId::All, options) {
            Err(rustix::io::Errno::CHILD) => return Ok(()),
            Err(error) => return Err(error.into()),
            Ok(None) => "a child that lives",
            Ok(Some(_)) => "a zombie",
        };
        ensure!(
            Instant::now() < patience,
            "all is over, and there is {left}"
        );
        Command::new("true").status()?;
    }
}

// ------------------------------------------------------------------------ commands

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    command
}

fn output(context: &Context, rng: &mut Rng) -> Result<(), Failure> {
    let (word, status, begun) = (rng.u64(..).to_string(), rng.u8(..), Instant::now());
    let script = format!("echo {word}; echo {word} >&2; exit {status}");
    let output = shell(&script).output()?;
    context.time(begun.elapsed());
    let line = format!("{word}\n").into_bytes();
    ensure!(
        (&output.stdout, &output.stderr) == (&line, &line)
            && output.status.code() == Some(status.into()),
        "`{script}` gave {output:?}"
    );
    Ok(())
}

fn cat(_: &Context, rng: &mut Rng) -> Result<(), Failure> {
    let mut child = Command::new("cat");
    child
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let mut child = child.spawn()?;
    let (mut stdin, mut stdout) = (child.stdin.take(), child.stdout.take());
    let mut bytes = vec![0; rng.usize(..300_000)];
    rng.fill(&mut bytes);
    let theirs = bytes.clone();
    // Its end is the end of the child's input.
    let writer = spawn(move || stdin.take().map(|mut stdin| stdin.write_all(&theirs)));
    let mut got = Vec::new();
    if let Some(stdout) = &mut stdout {
        stdout.read_to_end(&mut got)?;
    }
    writer.join()?.transpose()?;
    let status = child.wait()?;
    let (came, sent) = (got.len(), bytes.len());
    ensure!(
        status.success() && got == bytes,
        "`cat` was given {sent} bytes and gave {came}, the same: {}; {status}",
        got == bytes
    );
    Ok(())
}

/// Never by itself; then by a signal, which all who wait see.
fn killed(_: &Context, rng: &mut Rng) -> Result<(), Failure> {
    let mut child = Command::new("sleep")
        .arg("1000")
        .kill_on_drop(true)
        .spawn()?;
    let (limit, begun) = (Duration::from_micros(rng.u64(1..5000)), Instant::now());
    let ended = child.wait_timeout(limit)?;
    let took = begun.elapsed();
    ensure!(
        ended.is_none(),
        "`sleep 1000` ended after {took:?}: {ended:?}"
    );
    ensure!(
        took >= limit,
        "a wait of {limit:?} for a child ended after {took:?}"
    );
    let waiting = Vec::from_iter((0..rng.usize(..3)).map(|_| {
        let process = child.process();
        spawn(move || process.wait())
    }));
    (0..rng.u8(..4)).for_each(|_| yield_now());
    child.kill()?;
    let mut seen = vec![child.wait()?];
    for waiter in waiting {
        seen.push(waiter.join()??);
    }
    let right = seen.iter().all(|status| status.signal() == Some(SIGKILL));
    ensure!(right, "a child that was killed ended with {seen:?}");
    Ok(())
}

fn orphan(_: &Context, rng: &mut Rng) -> Result<(), Failure> {
    let child = match rng.u8(..3) {
        0 => Command::new("true").spawn()?,
        1 => Command::new("sleep").arg("0.01").spawn()?,
        _ => Command::new("sleep")
            .arg("1000")
            .kill_on_drop(true)
            .spawn()?,
    };
    (0..rng.u8(..4)).for_each(|_| yield_now());
    drop(child);
    Ok(())
}

fn forked_by_std(_: &Context, rng: &mut Rng) -> Result<(), Failure> {
    let status = rng.u8(..);
    let mut command = shell(&format!("exit {status}"));
    // SAFETY: does nothing.
    unsafe { command.pre_exec(|| Ok(())) };
    let got = command.status()?;
    ensure!(
        got.code() == Some(status.into()),
        "`exit {status}` after pre_exec gave {got}"
    );
    Ok(())
}

// ------------------------------------------------------------------------ fork

/// A child that nobody else knows of, and its end of a pipe.
struct Child {
    pid: Pid,
    reaped: bool,
    says: PipeReader,
}

impl Child {
    /// Forks; `f` is the child, which ends with what it returns. Its standard output and error are the pipe.
    fn fork(f: impl FnOnce() -> i32) -> Result<Child, Failure> {
        let (says, theirs): (PipeReader, PipeWriter) = pipe()?;
        // The child's is to block, as ordinary programs expect.
        let theirs: OwnedFd = theirs.into();
        rustix::io::ioctl_fionbio(&theirs, false)?;
        // SAFETY: the child calls what may be called after a fork of many threads (dup2, setrlimit, `f`, _exit); `f` is
        // one of those below, which the head of this file speaks of.
        match unsafe { libc::fork() } {
            -1 => Err(std::io::Error::last_os_error().into()),
            0 => {
                // SAFETY: as above.
                unsafe {
                    libc::dup2(theirs.as_raw_fd(), 1);
                    libc::dup2(theirs.as_raw_fd(), 2);
                    let none = libc::rlimit {
                        rlim_cur: 0,
                        rlim_max: 0,
                    };
                    libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
                    libc::_exit(f())
                }
            }
            pid => {
                let pid = Pid::from_raw(pid).expect("a child has a number");
                Ok(Child {
                    pid,
                    reaped: false,
                    says,
                })
            }
        }
    }

    /// What it has said, and how it has ended.
    fn end(mut self, context: &Context, what: &str) -> Result<(String, WaitStatus), Failure> {
        let patience = PATIENCE * context.slowdown;
        let begun = Instant::now();
        let status = loop {
            if let Some((_, status)) =
                rustix::process::waitpid(Some(self.pid), WaitOptions::NOHANG)?
            {
                self.reaped = true;
                break status;
            }
            ensure!(
                begun.elapsed() < patience,
                "{what}: process {} hangs",
                self.pid
            );
            sleep(Duration::from_micros(200));
        };
        // Siblings may have inherited the other end; none of them says anything or lives long.
        let mut text = Vec::new();
        self.says.read_to_end(&mut text)?;
        Ok((String::from_utf8_lossy(&text).into_owned(), status))
    }
}

impl Drop for Child {
    /// Chaos has killed whoever waited.
    fn drop(&mut self) {
        if !self.reaped {
            let _ = rustix::process::kill_process(self.pid, rustix::process::Signal::KILL);
            let _ = rustix::process::waitpid(Some(self.pid), WaitOptions::empty());
        }
    }
}

fn bare(context: &Context, rng: &mut Rng) -> Result<(), Failure> {
    let word = rng.u64(..).to_string();
    let child = Child::fork(|| {
        // SAFETY: writes bytes that live to a descriptor that is open.
        unsafe { libc::write(1, word.as_ptr().cast(), word.len()) };
        STATUS
    })?;
    yield_now();
    let (said, status) = child.end(context, "a bare child")?;
    ensure!(
        said == word && status.exit_status() == Some(STATUS),
        "a bare child was to say {word:?}, and said {said:?}; {status:?}"
    );
    Ok(())
}

fn exec(context: &Context, _: &mut Rng) -> Result<(), Failure> {
    const WORDS: [&CStr; 3] = [c"sh", c"-c", c"echo executed; exit 7"];
    let words = [
        WORDS[0].as_ptr(),
        WORDS[1].as_ptr(),
        WORDS[2].as_ptr(),
        std::ptr::null(),
    ];
    let child = Child::fork(|| {
        // SAFETY: a path and a list of words that end as they must.
        unsafe { libc::execv(c"/bin/sh".as_ptr(), words.as_ptr()) };
        1
    })?;
    let (said, status) = child.end(context, "a child that executes")?;
    ensure!(
        said == "executed\n" && status.exit_status() == Some(7),
        "a child that executes a shell said {said:?}; {status:?}"
    );
    Ok(())
}

/// Against the contract, on a greenlet's stack.
fn told(context: &Context, rng: &mut Rng) -> Result<(), Failure> {
    let which = rng.u8(..3);
    let child = Child::fork(|| {
        match which {
            0 => sleep(Duration::from_millis(1)),
            1 => yield_now(),
            _ => drop(spawn(|| ())),
        }
        0
    })?;
    let (said, status) = child.end(context, "a child that uses rustlet")?;
    ensure!(
        said.contains("child of a fork") && status.terminating_signal() == Some(SIGABRT),
        "a greenlet that goes on in a child (way {which}) is to be told; it said {said:?}; {status:?}"
    );
    Ok(())
}

/// Against the contract, on the thread's own stack.
fn told_in_main(context: &Context) -> Result<(), Failure> {
    let child = Child::fork(|| {
        let payload = match catch_unwind(|| drop(spawn(|| ()))) {
            Ok(()) => return 1,
            Err(payload) => payload,
        };
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        match text {
            Some(text) if text.contains("child of a fork") => STATUS,
            _ => 2,
        }
    })?;
    let (said, status) = child.end(context, "a child that spawns")?;
    ensure!(
        status.exit_status() == Some(STATUS),
        "a spawn in a child is to panic and say why (exit {STATUS}); {status:?}, it said {said:?}"
    );
    Ok(())
}
