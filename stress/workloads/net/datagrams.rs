//! Datagrams: UDP, where one may be lost but none may come out of nothing, and Unix, where none may be lost either.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustlet::net::UdpSocket;
use rustlet::os::unix::net::UnixDatagram;
use rustlet::yield_now;

use super::text::Text;
use crate::crew::Crew;
use crate::workload::{Context, Failure, ensure};

/// Bytes of the number that each begins with.
const HEAD: usize = 8;
/// EBADF's number.
const EBADF: Option<i32> = Some(9);

/// The datagram with this number.
fn datagram(seed: u64, number: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; HEAD + length];
    bytes[..HEAD].copy_from_slice(&number.to_ne_bytes());
    Text {
        seed: seed ^ number,
    }
    .write(0, &mut bytes[HEAD..]);
    bytes
}

/// The number of what came, if it is whole.
fn check(seed: u64, came: &mut [u8], who: &str) -> Result<u64, Failure> {
    ensure!(
        came.len() >= HEAD,
        "{who}: a datagram of {} bytes",
        came.len()
    );
    let (head, rest) = came.split_at_mut(HEAD);
    let number = u64::from_ne_bytes((&*head).try_into().expect("eight"));
    Text {
        seed: seed ^ number,
    }
    .check(0, rest, who)?;
    Ok(number)
}

/// Questions and answers over UDP, asked again where one seems to be lost.
pub(super) fn udp(context: &Context, crew: &Crew, mut rng: Rng) -> Result<(), Failure> {
    let (context, seed, rounds) = (*context, rng.u64(..), context.scaled(rng.usize(1..=300)));
    let server = Arc::new(UdpSocket::bind("127.0.0.1:0")?);
    let addr = server.local_addr()?;
    let theirs = server.clone();
    let serving = crew.spawn(move || {
        let mut buf = vec![0; 1 << 16];
        let mut echoed = 0_u64;
        loop {
            let (length, from) = match theirs.recv_from(&mut buf) {
                Ok(came) => came,
                Err(error) if error.raw_os_error() == EBADF => return Ok(echoed),
                Err(error) => return Err(Failure(format!("udp server: {error}"))),
            };
            check(seed, &mut buf[..length], "udp server")?;
            match theirs.send_to(&buf[..length], from) {
                Ok(sent) => ensure!(sent == length, "udp server: {sent} of {length} were sent"),
                Err(error) if error.raw_os_error() == EBADF => return Ok(echoed),
                Err(error) => return Err(error.into()),
            }
            echoed += 1;
        }
    });
    let asking = crew.spawn_on(rng.usize(..64), move || {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let mut buf = vec![0; 1 << 16];
        let mut sent = 0_u64;
        for number in 0..rounds as u64 {
            let most = 1 << rng.u32(..15);
            let question = datagram(seed, number, rng.usize(..=most));
            let mut patience = Duration::from_millis(20) * context.slowdown;
            'again: loop {
                let asked = Instant::now();
                socket.send_to(&question, addr)?;
                sent += 1;
                socket.set_read_timeout(Some(patience))?;
                loop {
                    let (length, from) = match socket.recv_from(&mut buf) {
                        Ok(came) => came,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            let took = asked.elapsed();
                            ensure!(
                                took >= patience,
                                "udp client: {took:?} of {patience:?} had passed"
                            );
                            patience *= 2;
                            continue 'again;
                        }
                        Err(error) => return Err(error.into()),
                    };
                    ensure!(from == addr, "udp client: {from} answered for {addr}");
                    let answer = check(seed, &mut buf[..length], "udp client")?;
                    ensure!(
                        answer <= number,
                        "udp client: answer {answer} before question {number}"
                    );
                    if answer == number {
                        ensure!(
                            length == question.len(),
                            "udp client: {length} bytes came back of {}",
                            question.len()
                        );
                        context.time(asked.elapsed());
                        break 'again;
                    }
                    // To a question that was asked twice.
                }
            }
            context.count(1);
            context.strike(&mut rng);
        }
        Ok(sent)
    });
    let asked = asking.join();
    server.close();
    let echoed = serving.join()??;
    match asked {
        Ok(sent) => {
            let sent = sent?;
            ensure!(
                echoed <= sent,
                "udp: {sent} datagrams were sent and {echoed} came"
            );
        }
        Err(error) => ensure!(error.is_panic() && context.chaos.panic > 0.0, "{error}"),
    }
    Ok(())
}

/// A stream of datagrams to a reader that is slower: all come, whole and in order.
pub(super) fn unix(context: &Context, crew: &Crew, mut rng: Rng) -> Result<(), Failure> {
    let (context, seed, all) = (
        *context,
        rng.u64(..),
        context.scaled(rng.usize(1..=1000)) as u64,
    );
    let (from, to) = UnixDatagram::pair()?;
    let to = Arc::new(to);
    let (theirs, mut fork) = (to.clone(), rng.fork());
    let reading = crew.spawn_on(rng.usize(..64), move || {
        let mut buf = vec![0; 1 << 16];
        for number in 0..all {
            let length = match theirs.recv(&mut buf) {
                Ok(length) => length,
                Err(error) => return Ok::<_, Failure>((number, Some(error))),
            };
            let came = check(seed, &mut buf[..length], "unix receiver")?;
            ensure!(
                came == number,
                "unix receiver: datagram {came} in the place of {number}"
            );
            context.count(1);
            (0..fork.u8(..3)).for_each(|_| yield_now());
            context.delay(&mut fork);
        }
        Ok((all, None))
    });
    let sending = crew.spawn_on(rng.usize(..64), move || {
        for number in 0..all {
            let most = 1 << rng.u32(..13);
            let bytes = datagram(seed, number, rng.usize(..=most));
            let sent = from.send(&bytes)?;
            ensure!(
                sent == bytes.len(),
                "unix sender: {sent} bytes of {}",
                bytes.len()
            );
            context.strike(&mut rng);
        }
        Ok(())
    });
    match sending.join() {
        Ok(sent) => sent?,
        Err(error) => {
            ensure!(error.is_panic() && context.chaos.panic > 0.0, "{error}");
            to.close(); // nothing more comes
            reading.join()??;
            return Ok(());
        }
    }
    let (came, error) = reading.join()??;
    ensure!(
        came == all,
        "unix receiver: {came} datagrams of {all}, then {error:?}"
    );
    Ok(())
}
