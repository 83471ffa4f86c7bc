//! [`run`]: accepts, spawns a greenlet for each connection, and ends in good order.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustlet::Runtime;
use rustlet::net::TcpListener;
use rustlet::signal::{self, SignalKind, signal};
use rustlet::sync::Event;

use super::connection::{self, Service};
use super::limits::Limits;
use super::roster::Roster;

/// How long to wait when there are no descriptors left, which `accept` itself waited for.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves what `listener` accepts until [`Roster::stop`] was called and the listener closed; each connection with a service of its own.
///
/// # Errors
/// The listener cannot accept any more, though nobody stopped it.
pub(crate) fn run<S: Service + Send + 'static>(
    listener: &TcpListener,
    roster: &Arc<Roster>,
    limits: &Arc<Limits>,
    service: impl Fn() -> S,
) -> io::Result<()> {
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(_) if roster.is_stopping() => return Ok(()),
            Err(error) if is_passing(&error) => {
                eprintln!("accept: {error}");
                rustlet::sleep(PAUSE);
                continue;
            }
            Err(error) => return Err(error),
        };
        let member = roster.enter(stream);
        let (limits, mut service) = (limits.clone(), service());
        let spawned = rustlet::Builder::new().spawn(move || {
            // How a connection fails is the client's doing: it vanished, or took too long.
            let _: io::Result<()> = connection::serve(&member, &limits, &mut service);
        });
        if let Err(error) = spawned {
            // The closure is gone, and the connection with it.
            eprintln!("no greenlet for a connection: {error}");
            rustlet::sleep(PAUSE);
        }
    }
}

/// Whether a later accept may succeed.
fn is_passing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    !matches!(
        error.raw_os_error().map(Errno::from_raw_os_error),
        None | Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK | Errno::OPNOTSUPP)
    )
}

/// As [`run`], until SIGTERM or SIGINT; then lets the requests in work be answered, for as long as `grace`.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_until_signal<S: Service + Send + 'static>(
    listener: TcpListener,
    roster: Arc<Roster>,
    limits: Arc<Limits>,
    grace: Duration,
    service: impl Fn() -> S + Send + 'static,
) -> io::Result<()> {
    let listener = Arc::new(listener);
    let over = Arc::new(Event::new());
    let mut waiting = Vec::new();
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let (signals, over) = (signal(kind)?, over.clone());
        waiting.push(rustlet::spawn(move || {
            // Without a descriptor to wait with there is no server either.
            let _: io::Result<u64> = signals.recv();
            over.set();
        }));
    }
    let acceptor = {
        let (listener, roster) = (listener.clone(), roster.clone());
        let over = over.clone();
        rustlet::spawn(move || {
            let result = run(&listener, &roster, &limits, service);
            over.set();
            result
        })
    };

    over.wait();
    // The next of them ends the process at once.
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        signal::restore(kind)?;
    }
    roster.stop();
    listener.close();
    let result = acceptor.join().unwrap_or_else(|error| error.resume());
    let late = roster.drain(grace);
    if late > 0 {
        eprintln!("{late} connections had not ended in time");
    }
    for greenlet in waiting {
        // Whoever waits for a signal that is not caught any more waits for ever.
        let _ = greenlet.kill();
    }
    result
}

/// Runs `f` where its greenlets are run by so many threads: this one, or workers, whose idle ones take what another has accepted
/// and not begun to serve.
///
/// # Errors
/// The threads cannot be had.
pub(crate) fn on_workers<T: Send + 'static>(
    workers: usize,
    f: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    if workers == 1 {
        return Ok(f());
    }
    let runtime = Runtime::builder().workers(workers).build()?;
    Ok(runtime.run(f))
}
