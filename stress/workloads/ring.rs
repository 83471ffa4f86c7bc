//! A token goes round a ring of parked greenlets.
//!
//! Plan: as many greenlets as asked for stand in a ring, each parked. Some tokens (one to eight) travel: who gets
//! one adds its own number to it, wakes the next and parks again. With workers, every greenlet of the ring was
//! placed on a worker by the seed, so each hop is, more often than not, a wake-up across threads; now and then
//! two tokens come to the same greenlet at once, which is one wake-up for two. Hops are timed.
//!
//! Invariant: after its rounds every token has visited every greenlet equally often, in ring order; nobody slept with
//! a token in hand (the step would hang, and does if a wake-up is lost).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use rustlet::{Handle, park};

use crate::crew::Crew;
use crate::workload::{Context, Failure, Workload, ensure};

pub(crate) struct Ring;

/// Hops in a step, all tokens together.
const HOPS: usize = 100_000;

struct Token {
    /// The sum of the numbers of all that it visited.
    sum: u64,
    hops_left: usize,
    sent: Instant,
}

/// One greenlet's place: what it is to pass on, and how to wake it.
#[derive(Default)]
struct Place {
    tokens: Mutex<VecDeque<Token>>,
    sleeper: OnceLock<Handle>,
}

struct Circle {
    places: Vec<Place>,
    /// Tokens that have gone all their way.
    home: Mutex<Vec<Token>>,
    tokens: usize,
}

impl Workload for Ring {
    fn name(&self) -> &'static str {
        "ring"
    }

    fn about(&self) -> &'static str {
        "tokens travel round parked greenlets, across workers: no wake-up is lost"
    }

    fn unit(&self) -> &'static str {
        "hops"
    }

    fn timed(&self) -> Option<&'static str> {
        Some("hop")
    }

    fn step(&self, context: &Context) -> Result<(), Failure> {
        let mut rng = context.rng(0);
        let greenlets = 2 + rng.usize(..context.greenlets);
        let tokens = rng.usize(1..=8);
        let rounds = (context.scaled(HOPS) / greenlets / tokens).max(1);
        context.phase(&format!("{greenlets} greenlets, {tokens} tokens"));

        let circle = Arc::new(Circle {
            places: Vec::from_iter((0..greenlets).map(|_| Place::default())),
            home: Mutex::new(Vec::new()),
            tokens,
        });
        let crew = Crew::of(context)?;
        let context = *context;
        let ring = Vec::from_iter((0..greenlets).map(|nth| {
            let its = circle.clone();
            let greenlet = crew.spawn_on(rng.usize(..64), move || its.stand(nth, &context));
            circle.places[nth]
                .sleeper
                .set(greenlet.handle())
                .expect("each is spawned once");
            greenlet
        }));
        for _ in 0..tokens {
            let first = rng.usize(..greenlets);
            circle.hand_over(
                first,
                Token {
                    sum: 0,
                    hops_left: rounds * greenlets,
                    sent: Instant::now(),
                },
            );
        }
        for greenlet in ring {
            greenlet.join()?;
        }
        crew.end()?;

        let home = circle.home.lock().unwrap();
        ensure!(
            home.len() == tokens,
            "{} of {tokens} tokens came home",
            home.len()
        );
        let sum = (rounds * greenlets * (greenlets - 1) / 2) as u64;
        for token in &*home {
            ensure!(
                token.sum == sum,
                "a token collected {} and not {sum} in {rounds} rounds of {greenlets}",
                token.sum
            );
        }
        Ok(())
    }
}

impl Circle {
    /// What a greenlet of the ring does until all tokens are home.
    fn stand(&self, nth: usize, context: &Context) {
        let mut rng = context.rng(1 + nth as u64);
        let next = (nth + 1) % self.places.len();
        loop {
            let token = self.places[nth].tokens.lock().unwrap().pop_front();
            match token {
                Some(mut token) => {
                    context.time(token.sent.elapsed());
                    context.count(1);
                    token.sum += nth as u64;
                    token.hops_left -= 1;
                    self.pass_on(next, token);
                }
                None if self.home.lock().unwrap().len() == self.tokens => return,
                None => park().expect("another is at work"),
            }
            context.delay(&mut rng);
        }
    }

    fn pass_on(&self, next: usize, token: Token) {
        if token.hops_left > 0 {
            return self.hand_over(
                next,
                Token {
                    sent: Instant::now(),
                    ..token
                },
            );
        }
        let mut home = self.home.lock().unwrap();
        home.push(token);
        if home.len() == self.tokens {
            drop(home);
            self.places.iter().for_each(Place::wake);
        }
    }

    fn hand_over(&self, to: usize, token: Token) {
        self.places[to].tokens.lock().unwrap().push_back(token);
        self.places[to].wake();
    }
}

impl Place {
    fn wake(&self) {
        if let Some(sleeper) = self.sleeper.get() {
            sleeper.unpark();
        }
    }
}
