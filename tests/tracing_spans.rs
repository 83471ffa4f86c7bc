//! Spans of `tracing` follow greenlets, with an ordinary Registry: what one has entered is not current in another.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustlet::sync::mpmc;
use rustlet::{Builder, Runtime, sleep, spawn, yield_now};
use support::watchdog;
use tracing::{Span, info_span};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

/// Counts how often spans are entered and exited.
#[derive(Clone, Default)]
struct Balance(Arc<AtomicUsize>, Arc<AtomicUsize>);

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> tracing_subscriber::Layer<S> for Balance {
    fn on_enter(&self, _: &tracing::span::Id, _: tracing_subscriber::layer::Context<'_, S>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
    fn on_exit(&self, _: &tracing::span::Id, _: tracing_subscriber::layer::Context<'_, S>) {
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

/// The subscriber of this process, set once.
fn balance() -> &'static Balance {
    static BALANCE: std::sync::OnceLock<Balance> = std::sync::OnceLock::new();
    BALANCE.get_or_init(|| {
        let balance = Balance::default();
        let subscriber = tracing_subscriber::registry().with(balance.clone());
        tracing::subscriber::set_global_default(subscriber).unwrap();
        balance
    })
}

fn current() -> Option<tracing::span::Id> {
    Span::current().id()
}

/// Suspends in every way there is, and looks at the current span after each.
fn suspend_in_every_way(tx: &mpmc::Sender<()>, rx: &mpmc::Receiver<()>) {
    let here = current();
    for round in 0..20 {
        yield_now();
        assert_eq!(current(), here, "after a yield");
        sleep(Duration::from_micros(10));
        assert_eq!(current(), here, "after a sleep");
        tx.send(()).unwrap();
        rx.recv().unwrap();
        assert_eq!(current(), here, "after a channel");
        if round % 5 == 0 {
            spawn(|| assert_eq!(current(), None)).join().unwrap();
            assert_eq!(current(), here, "after a join");
        }
        let ran_out = rustlet::timeout(Duration::from_micros(1), || sleep(Duration::MAX));
        assert!(ran_out.is_err());
        assert_eq!(current(), here, "after a timeout");
    }
}

fn many() {
    let (tx, rx) = mpmc::bounded(2);
    let greenlets: Vec<_> = (0..20)
        .map(|n| {
            let (tx, rx) = (tx.clone(), rx.clone());
            spawn(move || {
                assert_eq!(current(), None);
                let outer = info_span!("outer", n);
                let _outer = outer.enter();
                suspend_in_every_way(&tx, &rx);
                let inner = info_span!("inner", n);
                inner.in_scope(|| suspend_in_every_way(&tx, &rx));
                // The same span twice.
                outer.in_scope(|| suspend_in_every_way(&tx, &rx));
                assert_eq!(current(), outer.id());
            })
        })
        .collect();
    for greenlet in greenlets {
        greenlet.join().unwrap();
    }
}

#[test]
fn spans_of_a_hub_do_not_mix() {
    let _watchdog = watchdog();
    balance();
    let main = info_span!("main");
    let _main = main.enter();
    many();
    assert_eq!(current(), main.id());
}

#[test]
fn spans_of_workers_do_not_mix() {
    let _watchdog = watchdog();
    balance();
    Runtime::builder().workers(3).build().unwrap().run(many);
    assert_eq!(current(), None);
}

#[test]
fn a_greenlet_carries_its_span() {
    let _watchdog = watchdog();
    balance();
    let span = info_span!("carried");
    let id = span.id();
    let greenlet = Builder::new().span(span).spawn(move || {
        assert_eq!(current(), id);
        yield_now();
        assert_eq!(current(), id);
    });
    greenlet.unwrap().join().unwrap();
    assert_eq!(current(), None);
}

#[test]
fn kills_and_panics_leave_nothing_entered() {
    let _watchdog = watchdog();
    balance();
    let victim = spawn(|| {
        let span = info_span!("victim");
        let _entered = span.enter();
        sleep(Duration::MAX);
    });
    let leaker = spawn(|| {
        let span = info_span!("leaked").entered();
        std::mem::forget(span);
    });
    yield_now();
    assert_eq!(current(), None);
    victim.kill().unwrap();
    leaker.join().unwrap();
    assert_eq!(current(), None);
    spawn(|| assert_eq!(current(), None)).join().unwrap();
}

#[test]
fn what_is_exited_is_entered_again() {
    let _watchdog = watchdog();
    // Alone in its process: the counts are of all threads.
    if !support::is_child() {
        support::child("what_is_exited_is_entered_again")
            .run()
            .assert_passed();
        return;
    }
    let balance = balance();
    many();
    let [entered, exited] = [&balance.0, &balance.1].map(|count| count.load(Ordering::SeqCst));
    assert_eq!(entered, exited);
    assert!(entered > 20 * 60, "{entered}");
}
