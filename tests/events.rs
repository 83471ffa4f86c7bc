//! What the library tells `tracing`: the events of a greenlet's life and the limits that are met,
//! and nothing between them.

mod support;

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustlet::net::{TcpListener, TcpStream};
use rustlet::{Builder, sleep, spawn, yield_now};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// Collects each event of the library as `LEVEL message field=value …`.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => write!(self.0, " {value:?}").unwrap(),
            name => write!(self.0, " {name}={value:?}").unwrap(),
        }
    }
}

impl<S: Subscriber> Layer<S> for Collector {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "rustlet" {
            let mut line = Line(event.metadata().level().to_string());
            event.record(&mut line);
            self.0.lock().unwrap().push(line.0);
        }
    }
}

impl Collector {
    /// The events since the last call.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    #[track_caller]
    fn expect(&self, level: Level, parts: &[&str]) {
        let lines = self.take();
        let hit = |line: &&String| {
            line.starts_with(level.as_str()) && parts.iter().all(|part| line.contains(part))
        };
        assert!(
            lines.iter().any(|line| hit(&line)),
            "{level} {parts:?}: {lines:#?}"
        );
    }
}

/// Runs `f` with the events of this thread collected.
fn collecting(f: impl FnOnce(&Collector)) {
    let _watchdog = support::watchdog();
    let collector = Collector::default();
    let subscriber = Registry::default().with(collector.clone());
    tracing::subscriber::with_default(subscriber, || f(&collector));
}

#[test]
fn a_life_is_a_spawn_and_a_finish() {
    collecting(|events| {
        let greenlet = Builder::new().name("worker").spawn(yield_now).unwrap();
        let id = format!("id={}", greenlet.id());
        events.expect(Level::TRACE, &["spawn", &id, "name=\"worker\""]);
        yield_now();
        assert_eq!(events.take(), [""; 0]);
        yield_now();
        events.expect(Level::TRACE, &["finish", &id]);
        drop(greenlet);
        assert_eq!(events.take(), [""; 0]);
    });
}

#[test]
fn nothing_is_said_on_the_way() {
    collecting(|events| {
        let (ours, theirs) = support::tcp_pair::<TcpStream>();
        let greenlet = spawn(move || {
            use std::io::{Read, Write};
            for _ in 0..100 {
                yield_now();
                sleep(Duration::from_micros(10));
                (&ours).write_all(b"x").unwrap();
                (&theirs).read_exact(&mut [0]).unwrap();
                let _ = rustlet::timeout(Duration::from_micros(1), rustlet::park);
            }
        });
        events.take();
        while !greenlet.is_finished() {
            yield_now();
        }
        let lines = events.take();
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert!(lines[0].contains("finish"), "{lines:#?}");
    });
}

#[test]
fn kills_are_told() {
    collecting(|events| {
        let greenlet = Builder::new()
            .name("victim")
            .spawn(|| sleep(Duration::from_secs(3600)))
            .unwrap();
        yield_now();
        greenlet.kill().unwrap();
        events.expect(Level::DEBUG, &["kill", "name=\"victim\""]);
        greenlet.kill().unwrap(); // it has ended
        assert_eq!(events.take(), [""; 0]);
    });
}

#[test]
fn panics_are_told_with_place_and_text() {
    collecting(|events| {
        let greenlet = Builder::new()
            .name("clumsy")
            .spawn(|| panic!("dropped it"))
            .unwrap();
        greenlet.join().unwrap_err();
        events.expect(
            Level::ERROR,
            &["panic", "name=\"clumsy\"", "tests/events.rs:", "dropped it"],
        );
    });
}

#[test]
fn deadlocks_are_told() {
    collecting(|events| {
        let stuck = spawn(|| sleep(Duration::MAX));
        assert!(stuck.join().unwrap_err().is_deadlock());
        events.expect(Level::ERROR, &["deadlock", "the end of greenlet #"]);
    });
}

#[test]
fn a_refused_spawn_is_told() {
    if !support::is_child() {
        return support::child("a_refused_spawn_is_told")
            .env("RUSTLET_GUARDS", "nonsense")
            .run()
            .assert_passed();
    }
    collecting(|events| {
        Builder::new().spawn(|| ()).unwrap_err();
        events.expect(Level::WARN, &["spawn refused", "RUSTLET_GUARDS=nonsense"]);
    });
}

#[test]
fn want_of_descriptors_is_told() {
    if !support::is_child() {
        return support::child("want_of_descriptors_is_told")
            .run()
            .assert_passed();
    }
    collecting(|events| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let acceptor = spawn(move || drop(listener.accept()));
        yield_now();
        let client = std::net::TcpStream::connect(addr).unwrap();
        let limit = rustix::process::Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
        let warned = || {
            let lines = events.0.lock().unwrap();
            lines.iter().any(|line| line.starts_with("WARN"))
        };
        while !warned() {
            sleep(Duration::from_millis(1));
        }
        events.expect(Level::WARN, &["accept", "RLIMIT_NOFILE"]);
        acceptor.kill().unwrap();
        drop(client);
    });
}

#[test]
fn an_abandoned_greenlet_is_told() {
    if !support::is_child() {
        return support::child("an_abandoned_greenlet_is_told")
            .run()
            .assert_passed();
    }
    let collector = Collector::default();
    // Said at the end of the thread, so not within any scope of it.
    tracing::subscriber::set_global_default(Registry::default().with(collector.clone())).unwrap();
    std::thread::spawn(|| {
        spawn(|| {
            loop {
                let _ = std::panic::catch_unwind(yield_now);
            }
        });
        yield_now();
    })
    .join()
    .unwrap();
    collector.expect(Level::WARN, &["abandoned at the end of its thread"]);
}
