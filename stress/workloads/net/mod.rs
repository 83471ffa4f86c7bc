//! Sockets: streams and datagrams in which every byte is known, and everything that can happen to a connection.
//!
//! Plan: a listener with one to three greenlets in `accept`, and up to hundreds of clients at once, TCP or Unix by
//! the seed. Each client draws a conversation ([`talk`]), its length and its seed, and says so in a header; every byte
//! follows from seed and place ([`text`]), so both sides check all that they receive, in pieces of any size:
//!
//! | conversation | |
//! |---|---|
//! | Echo, Pipeline | frames back and forth, timed; or all at once, with a greenlet for each direction |
//! | HalfClose | the answer comes after the question's end |
//! | SlowReader | a small buffer and a reader that lets others run |
//! | Reset | one side ends it in the middle: what had come is right, and the other is told |
//! | Timeout | `set_read_timeout` and `timeout` run out, not early, and lose nothing |
//! | CloseWaiting | `close` under a reader that waits |
//!
//! Beside them datagrams ([`datagrams`]): UDP with questions asked again, Unix in order. In one step of four the process
//! may meanwhile open only a few descriptors more ([`shortage`]): then clients begin anew until theirs has gone through, and all
//! must when the limit is back. With workers, accepting, serving and both sides of a connection are anywhere.
//! Chaos delays and panics between pieces, and kills clients and servers; then ends in the middle are allowed, wrong bytes never.
//!
//! Invariant: every byte comes once, in its place, with nothing after the end; a connection that nobody cut comes to its
//! end; whoever waits for a closed socket is woken; no limit is early; want of descriptors is `EMFILE`, and passes.

mod datagrams;
pub(super) mod shortage;
mod socket;
mod talk;
mod text;

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use rustlet::net::TcpStream;
use rustlet::os::unix::net::UnixStream;
use rustlet::{JoinError, spawn, yield_now};

use crate::crew::Crew;
use crate::workload::{Context, Failure, Workload, ensure};
use shortage::Shortage;
use socket::Socket;
use talk::{KINDS, Talk, Trouble, judge};

pub(crate) struct Net;

/// Bytes of a step, each way, about.
const BYTES: usize = 8 << 20;
/// Bytes of one connection, each way, at most.
const LONGEST: usize = 1 << 20;
/// Connections at once, at most.
const CONNECTIONS: usize = 500;
const EBADF: i32 = 9;
const EINVAL: i32 = 22;
/// Descriptors that are not for connections.
const SPARE: usize = 200;

impl Workload for Net {
    fn name(&self) -> &'static str {
        "net"
    }

    fn about(&self) -> &'static str {
        "TCP, Unix, UDP: every byte right through resets, closes, limits, want of descriptors"
    }

    fn unit(&self) -> &'static str {
        "pieces"
    }

    fn timed(&self) -> Option<&'static str> {
        Some("round trip")
    }

    fn step(&self, context: &Context) -> Result<(), Failure> {
        let mut rng = context.rng(0);
        let crew = Crew::of(context)?;
        let room = shortage::allowed().saturating_sub(shortage::open()? + SPARE) / 4;
        let most = context
            .scaled(CONNECTIONS)
            .min(context.greenlets / 2)
            .min(room);
        let clients = 1 + (most.max(1) as f64).powf(rng.f64()) as usize;
        streams_of_any_family(context, &crew, clients, false, rng.fork())?;
        context.phase("datagrams");
        datagrams::udp(context, &crew, rng.fork())?;
        datagrams::unix(context, &crew, rng.fork())?;
        if rng.u8(..4) == 0 {
            // Whoever serves has been at a socket before, and has what its thread needs for that.
            streams_of_any_family(context, &crew, clients.min(50), true, rng.fork())?;
        }
        // What chaos has cut off from its joiner.
        while rustlet::stats().live > 0 {
            rustlet::sleep(Duration::from_micros(100));
        }
        crew.end()
    }
}

fn streams_of_any_family(
    context: &Context,
    crew: &Crew,
    clients: usize,
    short: bool,
    mut rng: Rng,
) -> Result<(), Failure> {
    match rng.bool() {
        true => streams::<TcpStream>(context, crew, clients, short, rng),
        false => streams::<UnixStream>(context, crew, clients, short, rng),
    }
}

/// A listener, its clients, and what becomes of them; with few descriptors for a while if they are to be `short`.
fn streams<S: Socket>(
    context: &Context,
    crew: &Crew,
    clients: usize,
    short: bool,
    mut rng: Rng,
) -> Result<(), Failure> {
    let shortage = if short { ", few descriptors" } else { "" };
    context.phase(&format!("{clients} {} connections{shortage}", S::FAMILY));
    let name = format!("rustlet-stress-{}-{:x}", std::process::id(), rng.u64(..));
    let (door, address) = S::listen(&name)?;
    let door = Arc::new(door);
    let acceptors = Vec::from_iter((0..rng.usize(1..=3)).map(|_| {
        let (door, context, rng) = (door.clone(), *context, rng.fork());
        crew.spawn_on(rng.clone().usize(..64), move || {
            accept::<S>(&door, &context, short, rng)
        })
    }));
    let few = short
        .then(|| Shortage::begin(rng.usize(1..=clients * 2)))
        .transpose()?;
    let longest = (context.scaled(BYTES) / clients).clamp(2, LONGEST) as f64;
    let all = Vec::from_iter((0..clients).map(|_| {
        let kind = KINDS[rng.usize(..KINDS.len())];
        let length = 2 + longest.powf(rng.f64()) as u64;
        let talk = Talk::new::<S>(*context, kind, rng.u64(..), length);
        let (address, rng) = (address.clone(), rng.fork());
        crew.spawn_on(rng.clone().usize(..64), move || {
            client::<S>(talk, &address, short, rng)
        })
    }));
    if let Some(few) = few {
        rustlet::sleep(Duration::from_micros(rng.u64(1..20_000)));
        drop(few);
    }
    for client in &all {
        if context.kills(&mut rng) {
            (0..rng.u8(..8)).for_each(|_| yield_now());
            client.kill_nowait();
        }
    }
    for client in all {
        ended(context, client.join())?;
    }
    S::shut(&door);
    for acceptor in acceptors {
        acceptor.join()??;
    }
    Ok(())
}

/// Connects and does its part; begins anew while descriptors are short.
fn client<S: Socket>(
    mut talk: Talk,
    address: &S::Address,
    short: bool,
    mut rng: Rng,
) -> Result<(), Failure> {
    loop {
        let connected = S::connect(address).map_err(Trouble::Cut);
        match connected.and_then(|socket| talk.client(socket)) {
            Err(Trouble::Cut(_)) if short && !talk.kind.is_cut() => {
                rustlet::sleep(Duration::from_micros(rng.u64(100..3000)));
                talk.seed = rng.u64(..); // or chaos strikes the server at the same place again
            }
            outcome => {
                let outcome = outcome.map_err(|trouble| (talk.kind, trouble));
                return judge(
                    &talk.context,
                    short,
                    &format!("{} client", S::FAMILY),
                    outcome,
                );
            }
        }
    }
}

/// Accepts until the listener is closed; waits for all that it has served.
fn accept<S: Socket>(
    door: &S::Door,
    context: &Context,
    short: bool,
    mut rng: Rng,
) -> Result<(), Failure> {
    let mut serving = Vec::new();
    loop {
        let socket = match S::accept(door) {
            Ok(socket) => socket,
            // Closed; or another thread is about to, and has shut it down.
            Err(error) if [Some(EBADF), Some(EINVAL)].contains(&error.raw_os_error()) => break,
            Err(error) if short && Shortage::is_it(&error) => continue,
            Err(error) => return Err(Failure(format!("{} accept: {error}", S::FAMILY))),
        };
        let inner = *context;
        serving.push(spawn(move || {
            let outcome = Talk::server(inner, socket);
            judge(&inner, short, &format!("{} server", S::FAMILY), outcome)
        }));
        if context.kills(&mut rng) {
            serving[rng.usize(..serving.len())].kill_nowait();
        }
    }
    for greenlet in serving {
        ended(context, greenlet.join())?;
    }
    Ok(())
}

/// A greenlet's outcome, which chaos may have cut off.
fn ended(context: &Context, joined: Result<Result<(), Failure>, JoinError>) -> Result<(), Failure> {
    match joined {
        Ok(outcome) => outcome,
        Err(error) => {
            let chaos = context.chaos;
            let allowed =
                error.is_killed() && chaos.kill > 0.0 || error.is_panic() && chaos.panic > 0.0;
            ensure!(allowed, "{error}");
            Ok(())
        }
    }
}
