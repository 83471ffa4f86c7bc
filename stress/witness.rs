//! What a step learns of its greenlets: the first thing that one of them saw go wrong, and whether each ended
//! as it may.
//!
//! A greenlet that finds an invariant broken says so and goes on. If it panicked instead, those who wait for it would hang, and
//! the tool would tell of a hang without its cause.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};

use fastrand::Rng;
use rustlet::{Handle, JoinError};

use crate::chaos::ChaosPanic;
use crate::workload::{Context, Failure};

/// The first broken invariant.
#[derive(Default)]
pub(crate) struct Witness(Mutex<Option<String>>);

impl Witness {
    /// Notes `text`, if this `holds` not. Says it on standard error too, for the case that the step never ends.
    pub(crate) fn expect(&self, holds: bool, text: impl FnOnce() -> String) {
        if holds {
            return;
        }
        let mut first = self.0.lock().unwrap();
        if first.is_none() {
            let text = text();
            eprintln!("seen: {text}");
            *first = Some(text);
        }
    }

    /// What was noted, if anything was.
    pub(crate) fn verdict(&self) -> Result<(), Failure> {
        match self.0.lock().unwrap().take() {
            Some(text) => Err(Failure(text)),
            None => Ok(()),
        }
    }
}

/// Greenlets that chaos may kill, and which of them it has.
#[derive(Default)]
pub(crate) struct Victims(OnceLock<Vec<(Handle, AtomicBool)>>);

impl Victims {
    /// Nobody is killed before this.
    pub(crate) fn set(&self, victims: impl IntoIterator<Item = Handle>) {
        let victims = victims
            .into_iter()
            .map(|handle| (handle, AtomicBool::new(false)));
        let set = self.0.set(Vec::from_iter(victims));
        assert!(set.is_ok(), "victims are chosen once");
    }

    /// Perhaps kills one, the caller included, who does not return then.
    pub(crate) fn strike(&self, context: &Context, rng: &mut Rng) {
        if let Some(victims) = self.0.get()
            && !victims.is_empty()
            && context.kills(rng)
        {
            let (handle, killed) = &victims[rng.usize(..victims.len())];
            killed.store(true, Ordering::Relaxed);
            handle.kill();
        }
    }

    /// What victim number `nth` returned; nothing, if chaos ended it.
    pub(crate) fn ended<T>(
        &self,
        nth: usize,
        outcome: Result<T, JoinError>,
    ) -> Result<Option<T>, Failure> {
        let victim = self.0.get().and_then(|victims| victims.get(nth));
        let killed = victim.is_some_and(|(_, killed)| killed.load(Ordering::Relaxed));
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_killed() && killed => Ok(None),
            Err(error) => {
                let text = error.to_string();
                match error.try_into_panic() {
                    Ok(payload) if payload.is::<ChaosPanic>() => Ok(None),
                    _ => Err(Failure(text)),
                }
            }
        }
    }
}
