//! What is thrown in while a workload works: kills, delays and panics, each with a probability.
//!
//! `--chaos kill=0.01,delay=0.05,panic=0.001`: at each point that a workload marks in its greenlets, a delay (a
//! few yields, or a sleep of up to a millisecond) with 5 %, a panic with 0.1 %; and of the greenlets that it
//! keeps a handle of, each operation kills one with 1 %. A workload's invariant holds all the same: what a victim
//! had not yet done is allowed to be missing, nothing else.
//!
//! A panic of chaos unwinds with a payload of its own and does not reach the panic hook, so that standard
//! error stays for real ones.

use std::fmt;
use std::panic::resume_unwind;
use std::str::FromStr;
use std::time::Duration;

use fastrand::Rng;

/// Probabilities from 0 to 1.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Chaos {
    pub(crate) kill: f64,
    pub(crate) delay: f64,
    pub(crate) panic: f64,
}

/// The payload of a panic that chaos threw.
#[derive(Debug)]
pub(crate) struct ChaosPanic;

impl Chaos {
    pub(crate) fn any(&self) -> bool {
        *self != Chaos::default()
    }

    /// Perhaps waits, perhaps panics. Counts what it did.
    pub(crate) fn strike(&self, rng: &mut Rng, struck: impl Fn()) {
        if self.delay > 0.0 && rng.f64() < self.delay {
            struck();
            match rng.u8(..4) {
                0 => rustlet::sleep(Duration::from_micros(rng.u64(..1000))),
                yields => (0..=yields).for_each(|_| rustlet::yield_now()),
            }
        }
        if self.panic > 0.0 && rng.f64() < self.panic {
            struck();
            resume_unwind(Box::new(ChaosPanic));
        }
    }

    /// Whether somebody is to be killed now.
    pub(crate) fn kills(&self, rng: &mut Rng) -> bool {
        self.kill > 0.0 && rng.f64() < self.kill
    }
}

impl FromStr for Chaos {
    type Err = String;

    fn from_str(text: &str) -> Result<Chaos, String> {
        let mut chaos = Chaos::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (what, share) = part
                .split_once('=')
                .ok_or_else(|| format!("{part:?}: say how often, as in kill=0.01"))?;
            let share: f64 = match share.parse() {
                Ok(share) if (0.0..=1.0).contains(&share) => share,
                _ => return Err(format!("{part:?}: a probability from 0 to 1 is wanted")),
            };
            match what {
                "kill" => chaos.kill = share,
                "delay" => chaos.delay = share,
                "panic" => chaos.panic = share,
                _ => return Err(format!("{what:?} is none of kill, delay, panic")),
            }
        }
        Ok(chaos)
    }
}

impl fmt::Display for Chaos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            ("kill", self.kill),
            ("delay", self.delay),
            ("panic", self.panic),
        ];
        let said = all.iter().filter(|(_, share)| *share > 0.0);
        let words = Vec::from_iter(said.map(|(what, share)| format!("{what}={share}")));
        f.write_str(&words.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["", "kill=0.01", "kill=0.01,delay=0.05,panic=1"] {
            assert_eq!(text.parse::<Chaos>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (text, named) in [
            ("kill", "kill=0.01"),
            ("kill=2", "from 0 to 1"),
            ("nap=0.1", "\"nap\""),
        ] {
            let error = text.parse::<Chaos>().unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
