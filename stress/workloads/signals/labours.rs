//! What greenlets do in the storm: each labour has a result that is known beforehand.

use std::hint::black_box;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustlet::os::unix::net::UnixStream;
use rustlet::{sleep, spawn, yield_now};

use super::storm::{Storm, own_tid};
use crate::workload::{Failure, ensure};

/// Those with a lower number have a socket.
const SOCKETS: usize = 50;

/// One greenlet's work.
pub(super) struct Labour {
    storm: Arc<Storm>,
    rng: Rng,
    nth: usize,
    times: usize,
}

impl Labour {
    pub(super) fn new(storm: Arc<Storm>, seed: u64, nth: usize, times: usize) -> Labour {
        Labour {
            storm,
            rng: Rng::with_seed(seed),
            nth,
            times,
        }
    }

    pub(super) fn work(mut self) -> Result<(), Failure> {
        let mut echo = match self.nth < SOCKETS {
            true => Some(echoing()?),
            false => None,
        };
        let context = self.storm.context;
        for _ in 0..self.times {
            match self.rng.u8(..8) {
                0 | 1 => self.keep()?,
                2 => self.descend()?,
                3 => self.unwind()?,
                4 => self.doze()?,
                5 => self.storm.strike(&[own_tid()], &mut self.rng),
                _ => match &mut echo {
                    Some(echo) => self.echo(echo)?,
                    None => self.keep()?,
                },
            }
            context.count(1);
            context.strike(&mut self.rng);
        }
        Ok(())
    }

    fn fail(&self, what: &str, got: impl std::fmt::Debug, right: impl std::fmt::Debug) -> Failure {
        let (nth, tid) = (self.nth, own_tid());
        Failure(format!(
            "greenlet {nth} on thread {tid}: {what} is {got:?} and not {right:?}"
        ))
    }

    /// More values than there are registers, whole and broken, live across switches.
    #[inline(never)]
    fn keep(&mut self) -> Result<(), Failure> {
        let seed = self.rng.u64(..1 << 40);
        let whole: [u64; 20] = std::array::from_fn(|nth| black_box(seed + nth as u64));
        let broken: [f64; 20] =
            std::array::from_fn(|nth| black_box((seed + nth as u64) as f64 / 3.0));
        let (mut sum, mut product) = (0_u64, 0.0_f64);
        for round in 1..=8_u64 {
            yield_now();
            for nth in 0..20 {
                sum = sum.wrapping_add(whole[nth].wrapping_mul(round));
                product += broken[nth] * round as f64;
            }
        }
        // The same without a switch, and in the same order, as floats have it.
        let (mut sum_again, mut product_again) = (0_u64, 0.0_f64);
        for round in 1..=8_u64 {
            for nth in 0..20 {
                let value = seed + nth;
                sum_again = sum_again.wrapping_add(value.wrapping_mul(round));
                product_again += value as f64 / 3.0 * round as f64;
            }
        }
        if sum != sum_again {
            return Err(self.fail("a sum of values that live across switches", sum, sum_again));
        }
        if product.to_bits() != product_again.to_bits() {
            return Err(self.fail("a sum of floats", product, product_again));
        }
        Ok(())
    }

    /// Calls nested deeply, each with something on its frame, and a switch at the bottom.
    fn descend(&mut self) -> Result<(), Failure> {
        #[inline(never)]
        fn level(left: u64, seed: u64) -> Result<u64, (u64, [u64; 8])> {
            let frame = black_box([seed ^ left; 8]);
            let below = match left {
                0 => {
                    yield_now();
                    0
                }
                _ => level(left - 1, seed)?,
            };
            match black_box(frame).iter().all(|word| *word == seed ^ left) {
                true => Ok(below + 1),
                false => Err((left, frame)),
            }
        }
        let (levels, seed) = (self.rng.u64(..200), self.rng.u64(..));
        match level(levels, seed) {
            Ok(found) if found == levels + 1 => Ok(()),
            Ok(found) => Err(self.fail("the number of frames", found, levels + 1)),
            Err((left, frame)) => Err(self.fail("a frame", frame, [seed ^ left; 8])),
        }
    }

    /// Unwinds through frames with destructors.
    fn unwind(&mut self) -> Result<(), Failure> {
        struct Count<'a>(&'a std::cell::Cell<u64>);
        impl Drop for Count<'_> {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
            }
        }
        #[inline(never)]
        fn level(left: u64, dropped: &std::cell::Cell<u64>) {
            let _count = Count(dropped);
            if left == 0 {
                resume_unwind(Box::new(0x5717_u64));
            }
            level(left - 1, dropped);
        }
        let (levels, dropped) = (self.rng.u64(..20), std::cell::Cell::new(0));
        let payload =
            catch_unwind(AssertUnwindSafe(|| level(levels, &dropped))).expect_err("it unwinds");
        let payload = payload.downcast_ref::<u64>().copied();
        if payload != Some(0x5717) {
            return Err(self.fail("what was thrown", payload, 0x5717));
        }
        match dropped.get() == levels + 1 {
            true => Ok(()),
            false => Err(self.fail("the number of destructors", dropped.get(), levels + 1)),
        }
    }

    /// Sleeps, which no signal makes shorter.
    fn doze(&mut self) -> Result<(), Failure> {
        let (time, begun) = (Duration::from_micros(self.rng.u64(..500)), Instant::now());
        sleep(time);
        let took = begun.elapsed();
        match took >= time {
            true => Ok(()),
            false => Err(self.fail("a sleep", took, time)),
        }
    }

    /// Says something to the other end, which says it again.
    fn echo(&mut self, stream: &mut UnixStream) -> Result<(), Failure> {
        let (sent, begun) = ([self.rng.u8(..); 512], Instant::now());
        let mut got = [0; 512];
        stream.write_all(&sent)?;
        stream.read_exact(&mut got)?;
        ensure!(
            sent == got,
            "greenlet {}: {:#04x} came back as {got:02x?}",
            self.nth,
            sent[0]
        );
        self.storm.context.time(begun.elapsed());
        Ok(())
    }
}

/// A socket with an echo at the other end, which ends when it is dropped.
fn echoing() -> std::io::Result<UnixStream> {
    let (here, mut there) = UnixStream::pair()?;
    drop(spawn(move || {
        let mut buf = [0; 300];
        loop {
            match there.read(&mut buf) {
                Ok(0) => return,
                Ok(got) => {
                    if there.write_all(&buf[..got]).is_err() {
                        return; // chaos has taken the other end
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return,
                Err(error) => panic!("an echo: {error}"),
            }
        }
    }));
    Ok(here)
}
