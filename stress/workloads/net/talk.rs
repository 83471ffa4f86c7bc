//! Conversations: what a client and a server do with one connection. The client chooses by its seed, and says in a header
//! what it has chosen; then both know every byte that is to come.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustlet::{spawn, timeout, yield_now};

use super::socket::Socket;
use super::text::Text;
use crate::workload::{Context, Failure, ensure};

/// What a header begins with.
const MAGIC: u32 = 0x5_7E55;
const HEADER: usize = 24;
/// In so many pieces a text may be cut.
const PIECES: usize = 100;
/// EBADF's number.
const EBADF: Option<i32> = Some(9);

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// Frames go there and back, one after the other.
    Echo,
    /// All at once: one greenlet writes while another reads.
    Pipeline,
    /// The client ends its direction; then the server answers.
    HalfClose,
    /// The server writes faster than the client reads, with a small buffer between.
    SlowReader,
    /// One of both ends it with a reset in the middle.
    Reset,
    /// The client waits in vain, twice, before it asks.
    Timeout,
    /// The client closes the socket under its own reader.
    CloseWaiting,
}

pub(super) const KINDS: [Kind; 7] = [
    Kind::Echo,
    Kind::Pipeline,
    Kind::HalfClose,
    Kind::SlowReader,
    Kind::Reset,
    Kind::Timeout,
    Kind::CloseWaiting,
];

/// A socket of several greenlets: whatever ends this one, the others do not wait for it.
struct Closing<S: Socket>(Arc<S>);

impl<S: Socket> Drop for Closing<S> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The same, if it is not an orderly end.
struct AtUnwinding<'a, S: Socket>(&'a S);

impl<S: Socket> Drop for AtUnwinding<'_, S> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.close();
        }
    }
}

/// Why a conversation did not come to its end.
pub(super) enum Trouble {
    /// The other side has gone, or the system refuses something. Whether that may be, the caller knows.
    Cut(io::Error),
    Wrong(Failure),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Cut(error)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Trouble {
        Trouble::Wrong(failure)
    }
}

fn end_of_stream() -> Trouble {
    Trouble::Cut(io::ErrorKind::UnexpectedEof.into())
}

/// One conversation, as its two sides know it.
#[derive(Clone, Copy)]
pub(super) struct Talk {
    pub(super) context: Context,
    pub(super) kind: Kind,
    pub(super) seed: u64,
    /// Bytes of each text.
    pub(super) length: u64,
    /// For what it says.
    family: &'static str,
}

impl Talk {
    pub(super) fn new<S: Socket>(context: Context, kind: Kind, seed: u64, length: u64) -> Talk {
        Talk {
            context,
            kind,
            seed,
            length,
            family: S::FAMILY,
        }
    }

    fn who(&self, side: &str) -> String {
        let Talk {
            family,
            kind,
            seed,
            length,
            ..
        } = self;
        format!("{family} {side} of {kind:?} {seed:#x} ({length} bytes)")
    }

    /// What the client says, and the server's answer.
    fn texts(&self) -> (Text, Text) {
        (Text { seed: self.seed }, Text { seed: !self.seed })
    }

    // -------------------------------------------------------------------- both sides

    /// Room for a piece of any size, but for not too many of them.
    fn piece(&self, rng: &mut Rng) -> Vec<u8> {
        let least = self.length as usize / PIECES;
        vec![0; least.max(1 << rng.u32(..17))]
    }

    /// Writes a piece of `text`, in pieces of any size.
    fn write<S: Socket>(
        &self,
        socket: &S,
        text: Text,
        from: u64,
        to: u64,
        rng: &mut Rng,
    ) -> Result<(), Trouble> {
        let mut buf = self.piece(rng);
        let mut at = from;
        while at < to {
            let piece = buf.len().min((to - at) as usize);
            text.write(at, &mut buf[..piece]);
            socket.put(&buf[..piece])?;
            at += piece as u64;
            self.context.strike(rng);
        }
        Ok(())
    }

    /// Reads from `from` to `to`, in pieces of any size, and checks them.
    fn read<S: Socket>(
        &self,
        socket: &S,
        text: Text,
        from: u64,
        to: u64,
        rng: &mut Rng,
        side: &str,
    ) -> Result<(), Trouble> {
        let mut buf = self.piece(rng);
        let mut at = from;
        while at < to {
            let most = buf.len().min((to - at) as usize);
            match socket.get(&mut buf[..most])? {
                0 => return Err(end_of_stream()),
                got => {
                    text.check(at, &mut buf[..got], &self.who(side))?;
                    self.context.count(1);
                    at += got as u64;
                }
            }
            self.context.strike(rng);
        }
        Ok(())
    }

    /// After all, the end of the stream and nothing more.
    fn end<S: Socket>(&self, socket: &S, side: &str) -> Result<(), Trouble> {
        let more = socket.get(&mut [0; 16])?;
        if more > 0 {
            let who = self.who(side);
            return Err(Failure(format!("{who}: {more} bytes more than were sent")).into());
        }
        Ok(())
    }

    // -------------------------------------------------------------------- the client

    pub(super) fn client<S: Socket>(&self, socket: S) -> Result<(), Trouble> {
        let mut rng = Rng::with_seed(self.seed ^ 1);
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&MAGIC.to_ne_bytes());
        header[4] = KINDS
            .iter()
            .position(|kind| *kind == self.kind)
            .expect("it is one") as u8;
        header[8..16].copy_from_slice(&self.seed.to_ne_bytes());
        header[16..].copy_from_slice(&self.length.to_ne_bytes());
        socket.put(&header)?;
        let (question, answer) = self.texts();
        let (all, side) = (self.length, "client");
        match self.kind {
            Kind::Echo => {
                let mut at = 0;
                while at < all {
                    let sent = Instant::now();
                    let most = (all / PIECES as u64).max(1 << rng.u32(..17));
                    let to = all.min(at + rng.u64(1..=most));
                    self.write(&socket, question, at, to, &mut rng)?;
                    self.read(&socket, question, at, to, &mut rng, side)?;
                    self.context.time(sent.elapsed());
                    at = to;
                }
                socket.finish()?;
                self.end(&socket, side)
            }
            Kind::Pipeline => {
                let socket = Closing(Arc::new(socket));
                let (talk, theirs, mut fork) = (*self, socket.0.clone(), rng.fork());
                let writer = spawn(move || {
                    let _closing = AtUnwinding(&*theirs);
                    talk.write(&*theirs, question, 0, all, &mut fork)?;
                    Ok::<(), Trouble>(theirs.finish()?)
                });
                self.read(&*socket.0, question, 0, all, &mut rng, side)?;
                match writer.join() {
                    Ok(written) => written?,
                    Err(_) => return Err(end_of_stream()), // chaos
                }
                self.end(&*socket.0, side)
            }
            Kind::HalfClose => {
                self.write(&socket, question, 0, all, &mut rng)?;
                socket.finish()?;
                self.read(&socket, answer, 0, all, &mut rng, side)?;
                self.end(&socket, side)
            }
            Kind::SlowReader => {
                let mut at = 0;
                while at < all {
                    let to = all.min(at + rng.u64(1..=1 << 15));
                    self.read(&socket, answer, at, to, &mut rng, side)?;
                    (0..rng.u8(..4)).for_each(|_| yield_now());
                    at = to;
                }
                self.end(&socket, side)
            }
            Kind::Reset if self.client_resets() => {
                self.write(&socket, question, 0, all / 2, &mut rng)?;
                Ok(socket.abort()?)
            }
            Kind::Reset => {
                self.read(&socket, answer, 0, all, &mut rng, side)?;
                Err(Failure(format!("{}: all came, of half", self.who(side))).into())
            }
            Kind::Timeout => {
                self.wait_in_vain(&socket, &mut rng)?;
                socket.put(b"!")?;
                self.read(&socket, answer, 0, all, &mut rng, side)?;
                self.end(&socket, side)
            }
            Kind::CloseWaiting => self.close_waiting(socket, &mut rng),
        }
    }

    fn client_resets(&self) -> bool {
        self.seed.is_multiple_of(2)
    }

    /// Twice nothing comes: never before the limit, and nothing of the stream is lost by it.
    fn wait_in_vain<S: Socket>(&self, socket: &S, rng: &mut Rng) -> Result<(), Trouble> {
        let limit = Duration::from_micros(rng.u64(1..3000));
        socket.limit_reads(Some(limit))?;
        let begun = Instant::now();
        let error = match socket.get(&mut [0; 16]) {
            Err(error) => error,
            Ok(0) => return Err(end_of_stream()),
            Ok(got) => {
                let who = self.who("client");
                return Err(Failure(format!("{who}: {got} bytes that nobody had sent")).into());
            }
        };
        if error.kind() != io::ErrorKind::WouldBlock {
            return Err(error.into());
        }
        let took = begun.elapsed();
        let early = |took| format!("{}: {took:?} of {limit:?} had passed", self.who("client"));
        if took < limit {
            return Err(Failure(early(took)).into());
        }
        socket.limit_reads(None)?;
        let begun = Instant::now();
        match timeout(limit, || socket.get(&mut [0; 16])) {
            Err(_) if begun.elapsed() < limit => Err(Failure(early(begun.elapsed())).into()),
            Err(_) => Ok(()),
            Ok(Ok(0)) => Err(end_of_stream()),
            Ok(Ok(got)) => {
                let who = self.who("client");
                Err(Failure(format!("{who}: {got} bytes that nobody had sent")).into())
            }
            Ok(Err(error)) => Err(error.into()),
        }
    }

    /// The reader waits for what never comes, and is woken by the end that its own side makes.
    fn close_waiting<S: Socket>(&self, socket: S, rng: &mut Rng) -> Result<(), Trouble> {
        let closing = Closing(Arc::new(socket));
        let socket = &closing.0;
        let (talk, theirs, (_, answer), mut fork) =
            (*self, socket.clone(), self.texts(), rng.fork());
        let reader = spawn(move || {
            talk.read(&*theirs, answer, 0, talk.length, &mut fork, "reader")?;
            // Either is right, and neither is a hang.
            match theirs.get(&mut [0; 16]) {
                Ok(0) | Err(_) => Ok(()),
                Ok(more) => Err(Trouble::Wrong(Failure(format!(
                    "{}: {more} bytes more than were sent",
                    talk.who("reader")
                )))),
            }
        });
        (0..rng.u8(..16)).for_each(|_| yield_now());
        socket.close();
        match reader.join() {
            // It was closed before all had come, or it had been struck.
            Ok(Err(Trouble::Cut(_))) | Err(_) | Ok(Ok(())) => {}
            Ok(Err(wrong)) => return Err(wrong),
        }
        let error = socket
            .get(&mut [0; 16])
            .map_err(|error| error.raw_os_error());
        if error != Err(EBADF) {
            let who = self.who("client");
            return Err(Failure(format!("{who}: a read after close gives {error:?}")).into());
        }
        Ok(())
    }

    // -------------------------------------------------------------------- the server

    /// Reads what the client has chosen, and does its part.
    pub(super) fn server<S: Socket>(context: Context, socket: S) -> Result<(), (Kind, Trouble)> {
        let talk = Talk::greeted(context, &socket).map_err(|trouble| (Kind::Reset, trouble))?;
        talk.serve(socket).map_err(|trouble| (talk.kind, trouble))
    }

    fn greeted<S: Socket>(context: Context, socket: &S) -> Result<Talk, Trouble> {
        let mut header = [0; HEADER];
        let mut got = 0;
        while got < HEADER {
            match socket.get(&mut header[got..])? {
                0 => return Err(end_of_stream()),
                more => got += more,
            }
        }
        let word = |at: usize| u64::from_ne_bytes(header[at..at + 8].try_into().expect("eight"));
        let magic = u32::from_ne_bytes(header[..4].try_into().expect("four"));
        let kind = KINDS.get(usize::from(header[4]));
        let Some(kind) = kind.filter(|_| magic == MAGIC) else {
            let family = S::FAMILY;
            return Err(Failure(format!("a {family} header came as {header:?}")).into());
        };
        Ok(Talk::new::<S>(context, *kind, word(8), word(16)))
    }

    fn serve<S: Socket>(&self, socket: S) -> Result<(), Trouble> {
        let mut rng = Rng::with_seed(self.seed ^ 2);
        let (question, answer) = self.texts();
        let (all, side) = (self.length, "server");
        match self.kind {
            Kind::Echo | Kind::Pipeline => {
                let mut buf = self.piece(&mut rng);
                let mut at = 0;
                loop {
                    let got = socket.get(&mut buf)?;
                    if got == 0 {
                        break;
                    }
                    question.check(at, &mut buf[..got], &self.who(side))?;
                    socket.put(&buf[..got])?;
                    at += got as u64;
                    self.context.strike(&mut rng);
                }
                match at == all {
                    true => Ok(()),
                    false => Err(end_of_stream()),
                }
            }
            Kind::HalfClose => {
                self.read(&socket, question, 0, all, &mut rng, side)?;
                self.end(&socket, side)?;
                self.write(&socket, answer, 0, all, &mut rng)
            }
            Kind::SlowReader => {
                socket.squeeze()?;
                self.write(&socket, answer, 0, all, &mut rng)
            }
            Kind::Reset if self.client_resets() => {
                self.read(&socket, question, 0, all, &mut rng, side)?;
                Err(Failure(format!("{}: all came, of half", self.who(side))).into())
            }
            Kind::Reset => {
                self.write(&socket, answer, 0, all / 2, &mut rng)?;
                Ok(socket.abort()?)
            }
            Kind::Timeout => {
                match socket.get(&mut [0])? {
                    0 => return Err(end_of_stream()),
                    _ => self.write(&socket, answer, 0, all, &mut rng)?,
                }
                Ok(())
            }
            Kind::CloseWaiting => {
                self.write(&socket, answer, 0, all, &mut rng)?;
                // Until the client has closed.
                self.end(&socket, side)
            }
        }
    }
}

impl Kind {
    /// Whether one side may see it end in the middle.
    pub(super) fn is_cut(self) -> bool {
        matches!(self, Kind::Reset | Kind::CloseWaiting)
    }
}

/// A greenlet's outcome: an end in the middle is a failure, unless it belongs to the conversation, chaos may have made it,
/// or descriptors are short.
pub(super) fn judge(
    context: &Context,
    short: bool,
    who: &str,
    outcome: Result<(), (Kind, Trouble)>,
) -> Result<(), Failure> {
    let chaos = context.chaos.kill > 0.0 || context.chaos.panic > 0.0;
    match outcome {
        Ok(()) => Ok(()),
        Err((_, Trouble::Wrong(failure))) => Err(failure),
        Err((kind, Trouble::Cut(error))) => {
            ensure!(
                kind.is_cut() || chaos || short,
                "{who} of {kind:?} was cut off: {error} ({error:?})"
            );
            Ok(())
        }
    }
}
