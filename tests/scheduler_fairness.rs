//! Nobody starves: yield loops leave time for sockets and timers, and what is always ready leaves
//! time for its neighbours.

mod support;

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustlet::net::{TcpListener, TcpStream, UnixStream};
use rustlet::{Greenlet, sleep, spawn, spawn_local, yield_now};

/// An echo round trip between two greenlets, and sleeps, all of which must come to an end.
fn sockets_and_timers() -> Vec<Greenlet<()>> {
    let (ours, theirs) = support::tcp_pair::<TcpStream>();
    let echo = spawn(move || {
        let mut byte = [0];
        while (&theirs).read(&mut byte).unwrap() > 0 {
            (&theirs).write_all(&byte).unwrap();
        }
    });
    let client = spawn(move || {
        for n in 0..50 {
            let mut byte = [0];
            (&ours).write_all(&[n]).unwrap();
            (&ours).read_exact(&mut byte).unwrap();
            assert_eq!(byte, [n]);
        }
    });
    let sleeper = spawn(|| {
        for _ in 0..10 {
            sleep(Duration::from_millis(1));
        }
    });
    vec![echo, client, sleeper]
}

#[test]
fn yielding_greenlets_starve_neither_sockets_nor_timers() {
    let _watchdog = support::watchdog();
    let spinners = [(); 10].map(|()| {
        spawn(|| {
            loop {
                yield_now();
            }
        })
    });
    for greenlet in sockets_and_timers() {
        greenlet.join().unwrap();
    }
    for spinner in spinners {
        spinner.kill().unwrap();
    }
}

#[test]
fn nor_does_the_threads_own_code() {
    let _watchdog = support::watchdog();
    let working = sockets_and_timers();
    while !working.iter().all(Greenlet::is_finished) {
        yield_now();
    }
}

/// Runs `operation`, which never has to wait, beside a counter; the most operations between two
/// turns of the counter.
fn longest_run(operation: impl Fn() + 'static) -> usize {
    let (turns, longest) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (seen, out) = (turns.clone(), longest.clone());
    let hog = spawn_local(move || {
        let (mut last, mut run) = (seen.get(), 0);
        for _ in 0..1_000_000 {
            operation();
            run += 1;
            if seen.get() != last {
                out.set(run.max(out.get()));
                (last, run) = (seen.get(), 0);
            }
        }
        panic!("a million operations in a row did not let the counter finish");
    });
    let counter = spawn_local(move || {
        while turns.get() < 20 {
            turns.set(turns.get() + 1);
            yield_now();
        }
    });
    counter.join().unwrap();
    hog.kill().unwrap();
    longest.get()
}

#[test]
fn a_socket_that_is_always_ready_does_not_starve_its_neighbours() {
    let _watchdog = support::watchdog();
    let (ours, mut theirs) = support::tcp_pair::<TcpStream>();
    theirs.write_all(b"always").unwrap();
    ours.peek(&mut [0]).unwrap();
    let run = longest_run(move || {
        ours.peek(&mut [0]).unwrap();
    });
    assert!((100..=130).contains(&run), "{run} peeks in a row");

    // Reads and writes that both find what they want, in one greenlet.
    let (ours, theirs) = support::tcp_pair::<TcpStream>();
    let run = longest_run(move || {
        (&theirs).write_all(&[0; 16]).unwrap();
        (&ours).read_exact(&mut [0; 16]).unwrap();
    });
    assert!(run <= 130, "{run} round trips in a row");
}

#[test]
fn a_flood_of_data_starves_neither_timers_nor_other_sockets() {
    let _watchdog = support::watchdog();
    let (source, sink) = support::tcp_pair::<TcpStream>();
    let flood = spawn(move || {
        let block = [0; 4096];
        while (&source).write_all(&block).is_ok() {}
    });
    let drain = spawn(move || {
        let mut block = [0; 4096];
        while (&sink).read(&mut block).unwrap() > 0 {}
    });
    for greenlet in sockets_and_timers() {
        greenlet.join().unwrap();
    }
    flood.kill().unwrap();
    drain.join().unwrap();
}

#[test]
fn a_listener_with_a_queue_does_not_starve_its_neighbours() {
    let _watchdog = support::watchdog();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    // Plain threads keep connecting, so that accept need never wait.
    let stop = support::Counter::default();
    let clients = [(); 2].map(|()| {
        let stop = stop.clone();
        std::thread::spawn(move || {
            while stop.get() == 0 {
                let _ = std::net::TcpStream::connect(addr);
            }
        })
    });
    let acceptor = spawn(move || {
        loop {
            listener.accept().unwrap();
        }
    });
    let start = Instant::now();
    for greenlet in sockets_and_timers() {
        greenlet.join().unwrap();
    }
    assert!(start.elapsed() < Duration::from_secs(20) * support::slowdown());
    stop.add();
    acceptor.kill().unwrap();
    for client in clients {
        client.join().unwrap();
    }
}

/// A read that ends a budget of operations yields. If it was a short one, and more data comes during
/// that yield, the next read must not wait for news that has been fetched already.
#[test]
fn data_that_arrives_while_a_busy_reader_yields_is_not_lost() {
    const BLOCK: usize = 64;
    let _watchdog = support::watchdog();
    // The hub looks at descriptors only while somebody waits for one.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let waiter = spawn(move || drop(listener.accept()));
    // How many full reads come before the short one.
    for full in 120..136 {
        let (ours, theirs) = support::tcp_pair::<TcpStream>();
        let (go, gone) = support::tcp_pair::<TcpStream>();
        let expected = full * BLOCK + 2;
        let reader = spawn(move || {
            let (mut block, mut total) = ([0; BLOCK], 0);
            while total < expected {
                total += (&ours).read(&mut block).unwrap();
            }
        });
        let (first, late) = (theirs.try_clone().unwrap(), theirs);
        // Woken together with the reader, and right after it: writes while the reader yields, and
        // takes so long that the hub looks at its descriptors before the reader goes on.
        let writer = spawn(move || {
            (&gone).read_exact(&mut [0]).unwrap();
            (&late).write_all(&[0]).unwrap();
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(1) {}
            late // stays open: the end of the connection would be news, too
        });
        yield_now(); // both are registered, and wait
        sleep(Duration::from_millis(1));
        (&first).write_all(&vec![0; full * BLOCK + 1]).unwrap();
        (&go).write_all(&[0]).unwrap();
        let late = writer.join().unwrap();
        let ended = reader.join_timeout(Duration::from_secs(5) * support::slowdown());
        assert!(ended.is_ok(), "after {full} full reads the reader hangs");
        drop(late);
    }
    waiter.kill().unwrap();
}

/// Greenlets that answer after 50 µs each, until there are so many answers; and a thread whose clients ask again as soon as they have theirs, and
/// which returns how often each had one.
fn busy_connections(
    connections: usize,
    answers: usize,
) -> (Vec<Greenlet<()>>, JoinHandle<Vec<usize>>) {
    let pairs = Vec::from_iter((0..connections).map(|_| StdStream::pair().unwrap()));
    let (servers, clients): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let served = support::Counter::default();
    let servers = servers.into_iter().map(|server| {
        let server = UnixStream::from(OwnedFd::from(server));
        let served = served.clone();
        spawn(move || {
            while served.get() < answers && (&server).read_exact(&mut [0]).is_ok() {
                let start = Instant::now();
                while start.elapsed() < Duration::from_micros(50) {}
                served.add();
                let _ = (&server).write_all(b"!"); // the client may have gone at the end
            }
        })
    });
    let servers = Vec::from_iter(servers);
    yield_now(); // all wait
    let clients = std::thread::spawn(move || {
        let mut rounds = vec![0; connections];
        for client in &clients {
            client.set_nonblocking(true).unwrap();
            (&*client).write_all(b"?").unwrap();
        }
        for index in (0..connections).cycle() {
            match (&clients[index]).read(&mut [0]) {
                Ok(1) if (&clients[index]).write_all(b"?").is_ok() => rounds[index] += 1,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                _ => break, // the servers have had enough
            }
        }
        rounds
    });
    (servers, clients)
}

#[test]
fn connections_whose_clients_are_quick_do_not_overtake_the_others() {
    let _watchdog = support::watchdog();
    // A round takes 15 ms.
    let (servers, clients) = busy_connections(300, 6_000);
    rustlet::joinall(servers);
    let rounds = clients.join().unwrap();
    let (least, most) = (rounds.iter().min().unwrap(), rounds.iter().max().unwrap());
    assert!(2 * least >= *most, "between {least} and {most} answers");
}

#[test]
fn connections_do_not_keep_those_who_yield_waiting_for_ever() {
    let _watchdog = support::watchdog();
    const YIELDING: usize = 3_000;
    // As many as there are run in less time than the connections need for theirs.
    let over = Rc::new(Cell::new(false));
    let yields = Rc::new(Cell::new(0));
    let yielding = (0..YIELDING).map(|_| {
        let (over, yields) = (over.clone(), yields.clone());
        spawn_local(move || {
            while !over.get() {
                yields.set(yields.get() + 1);
                yield_now();
            }
        })
    });
    let yielding = Vec::from_iter(yielding);
    let (servers, clients) = busy_connections(100, 3_000);
    yields.set(0);
    rustlet::joinall(servers);
    over.set(true);
    rustlet::joinall(yielding);
    clients.join().unwrap();
    let turns = yields.get() / YIELDING;
    assert!(
        turns >= 3,
        "{turns} turns of those who yield in 3,000 answers"
    );
}

#[test]
fn a_long_turn_does_not_hold_up_timers_and_sockets() {
    let _watchdog = support::watchdog();
    let (near, far) = support::tcp_pair::<TcpStream>();
    let started = support::Counter::default();
    let (at_alarm, at_input) = (started.clone(), started.clone());
    let sleeper = spawn(move || {
        sleep(Duration::from_millis(5));
        at_alarm.get()
    });
    let reader = spawn(move || {
        (&near).read_exact(&mut [0]).unwrap();
        at_input.get()
    });
    // One turn of 200 first runs that take 2 ms each.
    let busy = Vec::from_iter((0..200).map(|n| {
        let (started, far) = (started.clone(), far.try_clone().unwrap());
        spawn(move || {
            started.add();
            if n == 10 {
                (&far).write_all(b"x").unwrap();
            }
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(2) {}
        })
    }));
    let (alarm, input) = (sleeper.join().unwrap(), reader.join().unwrap());
    assert!(alarm < 150, "the timer waited for {alarm} first runs");
    assert!(input < 150, "the reader waited for {input} first runs");
    busy.into_iter()
        .for_each(|greenlet| greenlet.join().unwrap());
}
