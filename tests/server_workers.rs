//! A server whose connections are spread over the workers of a runtime.

mod support;

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use rustlet::net::{TcpStream, UdpSocket};
use rustlet::server::{Builder, DatagramServer, StreamServer};
use rustlet::{Pool, Runtime, RuntimeHandle, worker_index};

const WHILE: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

/// With one listener, and with one for each worker.
fn both(runtime: &RuntimeHandle) -> [Builder; 2] {
    [
        StreamServer::builder().bind("127.0.0.1:0").unwrap(),
        StreamServer::builder()
            .bind_per_worker("127.0.0.1:0", runtime)
            .unwrap(),
    ]
}

fn echo(mut stream: TcpStream, _: SocketAddr) -> io::Result<()> {
    let mut byte = [0];
    while stream.read(&mut byte)? > 0 {
        stream.write_all(&byte)?;
    }
    Ok(())
}

/// A client of this plain thread.
fn client(addr: SocketAddr) -> std::net::TcpStream {
    let client = std::net::TcpStream::connect(addr).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    client
}

fn assert_echo(mut client: &std::net::TcpStream) {
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
}

fn assert_not_answered(mut client: &std::net::TcpStream) {
    client.set_read_timeout(Some(WHILE)).unwrap();
    let error = client.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    client.set_read_timeout(Some(LONG)).unwrap();
}

/// An end of file, or a reset.
fn assert_ended(mut client: &std::net::TcpStream) {
    match client.read(&mut [0; 16]) {
        Ok(bytes) => assert_eq!(bytes, 0),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
}

/// So many threads meet, each of which it blocks; false if they do not come.
#[derive(Default)]
struct Meeting {
    here: Mutex<HashSet<thread::ThreadId>>,
    all: Condvar,
}

impl Meeting {
    fn of(&self, threads: usize) -> bool {
        let mut here = self.here.lock().unwrap();
        here.insert(thread::current().id());
        self.all.notify_all();
        let missing = |here: &mut HashSet<_>| here.len() < threads;
        let (here, _) = self.all.wait_timeout_while(here, LONG, missing).unwrap();
        here.len() >= threads
    }
}

/// Each keeps its worker until all of them run.
#[test]
fn connections_are_served_by_all_workers() {
    const WORKERS: usize = 3;
    let _watchdog = support::watchdog();
    let runtime = runtime(WORKERS);
    let server = StreamServer::bind("127.0.0.1:0").unwrap();
    // They are there when it begins to accept.
    let clients = [(); WORKERS].map(|()| client(server.local_addr()));
    let meeting = Meeting::default();
    server
        .start_in(&runtime.handle(), move |mut stream: TcpStream, _| {
            stream.write_all(if meeting.of(WORKERS) { b"+" } else { b"-" })
        })
        .unwrap();
    for mut client in clients {
        let mut answer = [0];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"+");
    }
    assert_eq!(server.stop(LONG).killed, 0);
}

/// They come one by one, when the worker that accepts has nothing else to do, and stay.
#[test]
fn connections_that_last_are_shared_out() {
    const CLIENTS: usize = 200;
    let _watchdog = support::watchdog();
    let runtime = runtime(2);
    let server = StreamServer::bind("127.0.0.1:0").unwrap();
    let served = Arc::new([const { AtomicUsize::new(0) }; 2]);
    let count = served.clone();
    server
        .start_in(&runtime.handle(), move |stream: TcpStream, peer| {
            count[worker_index().unwrap()].fetch_add(1, Ordering::SeqCst);
            echo(stream, peer)
        })
        .unwrap();
    let clients = Vec::from_iter((0..CLIENTS).map(|_| {
        let client = client(server.local_addr());
        assert_echo(&client);
        client
    }));
    // Half of them each, but for the times when one has not yet gone to sleep.
    let [one, other] = [0, 1].map(|worker: usize| served[worker].load(Ordering::SeqCst));
    assert_eq!(one + other, CLIENTS);
    assert!(one.min(other) >= CLIENTS * 2 / 5, "{one} and {other}");
    drop(clients);
    assert_eq!(server.stop(LONG).killed, 0);
}

#[test]
fn datagrams_are_served_by_all_workers() {
    let _watchdog = support::watchdog();
    let runtime = runtime(2);
    let server = DatagramServer::bind("127.0.0.1:0").unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..2 {
        socket.send_to(b"?", server.local_addr()).unwrap();
    }
    let meeting = Meeting::default();
    server
        .start_in(&runtime.handle(), move |socket, _, peer| {
            socket.send_to(if meeting.of(2) { b"+" } else { b"-" }, peer)
        })
        .unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    for _ in 0..2 {
        let mut answer = [0];
        socket.recv(&mut answer).unwrap();
        assert_eq!(&answer, b"+");
    }
    assert_eq!(server.stop(LONG).killed, 0);
}

/// What the kernel gave to the listener of a worker that is stuck waits for that worker, and no other takes it.
#[test]
fn each_worker_accepts_from_its_own_listener() {
    const CLIENTS: usize = 64;
    let _watchdog = support::watchdog();
    let runtime = runtime(2);
    let [_, builder] = both(&runtime.handle());
    let server = builder.build().unwrap();
    server.start_in(&runtime.handle(), echo).unwrap();
    for _ in 0..CLIENTS {
        assert_echo(&client(server.local_addr())); // both accept
    }
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (begun, has_begun) = std::sync::mpsc::channel();
    let stuck = runtime.handle().spawn_on(1, move || {
        begun.send(()).unwrap();
        released.recv_timeout(LONG) // blocks the thread
    });
    has_begun.recv().unwrap();
    let clients = Vec::from_iter((0..CLIENTS).map(|_| client(server.local_addr())));
    for mut client in &clients {
        client.write_all(b"x").unwrap();
        client.set_nonblocking(true).unwrap();
    }
    // Until all that worker 0 has accepted are answered: then nothing changes any more.
    let is_answered = |client: &&std::net::TcpStream| client.peek(&mut [0]).is_ok();
    let mut answered = 0;
    let mut quiet = 0;
    while quiet < 5 {
        thread::sleep(WHILE);
        let now = clients.iter().filter(is_answered).count();
        quiet = if now == answered && now > 0 {
            quiet + 1
        } else {
            0
        };
        answered = now;
    }
    assert!((1..CLIENTS).contains(&answered), "{answered} of {CLIENTS}");
    release.send(()).unwrap();
    for mut client in &clients {
        client.set_nonblocking(false).unwrap();
        client.read_exact(&mut [0]).unwrap();
    }
    stuck.join().unwrap().unwrap();
    drop(clients);
    assert_eq!(server.stop(LONG).killed, 0);
}

/// By one of its handlers, by another worker's greenlet, by a plain thread: all are served, or refused and killed.
#[test]
fn anybody_may_stop_it() {
    let _watchdog = support::watchdog();
    let runtime = runtime(2);
    for from in ["worker 0", "worker 1", "thread", "main"] {
        for builder in both(&runtime.handle()) {
            let server = builder.build().unwrap();
            let unwound = support::Counter::default();
            let counter = unwound.clone();
            server
                .start_in(&runtime.handle(), move |mut stream: TcpStream, _| {
                    let _on_drop = counter.on_drop();
                    stream.write_all(b"!").unwrap();
                    rustlet::sleep(HOUR);
                })
                .unwrap();
            let clients = [(); 20].map(|()| client(server.local_addr()));
            for mut client in &clients {
                client.read_exact(&mut [0]).unwrap();
            }
            let itself = server.clone();
            let stop = move || itself.stop(WHILE);
            let stopped = match from {
                "worker 0" => runtime.handle().spawn_on(0, stop).join().unwrap(),
                "worker 1" => runtime.handle().spawn_on(1, stop).join().unwrap(),
                "thread" => thread::spawn(stop).join().unwrap(),
                _ => stop(),
            };
            assert_eq!((stopped.killed, stopped.left), (20, 0), "by {from}");
            assert_eq!((unwound.get(), server.connections()), (20, 0));
            assert!(std::net::TcpStream::connect(server.local_addr()).is_err());
            clients.iter().for_each(assert_ended);
            server.wait().unwrap();
        }
    }
}

/// Before its spawner has noted whose it is, maybe: it must not wait for itself, nor kill itself.
#[test]
fn a_handler_may_stop_it_at_once() {
    let _watchdog = support::watchdog();
    let runtime = runtime(2);
    for _ in 0..50 {
        let server = StreamServer::bind("127.0.0.1:0").unwrap();
        let itself = server.clone();
        server
            .start_in(&runtime.handle(), move |mut stream: TcpStream, _| {
                let stopped = itself.stop(HOUR);
                stream.write_all(&[stopped.killed as u8])
            })
            .unwrap();
        let mut answer = [1];
        client(server.local_addr()).read_exact(&mut answer).unwrap();
        assert_eq!(answer, [0]);
        server.wait().unwrap();
    }
}

/// Never more handlers at a time than there may be, and at some time as many.
#[test]
fn limits_hold_for_all_workers_together() {
    const MOST: usize = 3;
    const CLIENTS: usize = 60;
    let _watchdog = support::watchdog();
    let runtime = runtime(2);
    for with_pool in [false, true] {
        for builder in both(&runtime.handle()) {
            let pool = Arc::new(Pool::new(MOST));
            let server = match with_pool {
                true => builder.pool(pool.clone()),
                false => builder.max_connections(MOST),
            };
            let server = server.build().unwrap();
            let (now, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
            let seen = most.clone();
            server
                .start_in(&runtime.handle(), move |mut stream: TcpStream, _| {
                    let here = now.fetch_add(1, Ordering::SeqCst) + 1;
                    seen.fetch_max(here, Ordering::SeqCst);
                    let read = stream.read_exact(&mut [0]);
                    now.fetch_sub(1, Ordering::SeqCst);
                    read
                })
                .unwrap();
            let clients = Vec::from_iter((0..CLIENTS).map(|_| client(server.local_addr())));
            while server.connections() < MOST || most.load(Ordering::SeqCst) < MOST {
                thread::yield_now();
            }
            thread::sleep(WHILE);
            assert_eq!((server.connections(), server.is_full()), (MOST, true));
            if with_pool {
                assert_eq!(pool.len(), MOST);
            }
            for mut client in &clients {
                client.write_all(b"x").unwrap();
            }
            clients.iter().for_each(assert_ended);
            assert_eq!(most.load(Ordering::SeqCst), MOST);
            assert_eq!(server.stop(LONG).killed, 0);
            assert!(!server.is_full() && pool.is_empty());
        }
    }
}

/// The pool's kill finds them, wherever they run.
#[test]
fn a_pool_kills_handlers_of_other_workers() {
    let _watchdog = support::watchdog();
    let runtime = runtime(2);
    for builder in both(&runtime.handle()) {
        let pool = Arc::new(Pool::new(10));
        let server = builder.pool(pool.clone()).build().unwrap();
        server.start_in(&runtime.handle(), echo).unwrap();
        let clients = [(); 10].map(|()| client(server.local_addr()));
        clients.iter().for_each(assert_echo);
        pool.kill();
        clients.iter().for_each(assert_ended);
        let next = client(server.local_addr());
        assert_echo(&next);
        drop(next);
        assert_eq!(server.stop(LONG).killed, 0);
    }
}

#[test]
fn a_panic_concerns_its_connection_alone() {
    const CLIENTS: usize = 40;
    let _watchdog = support::watchdog();
    let runtime = runtime(2);
    for builder in both(&runtime.handle()) {
        let incidents = support::Counter::default();
        let counter = incidents.clone();
        let server = builder
            .max_connections(4)
            .on_error(move |_| {
                counter.add();
            })
            .build()
            .unwrap();
        server
            .start_in(&runtime.handle(), |mut stream: TcpStream, _| {
                let mut byte = [0];
                stream.read_exact(&mut byte)?;
                match byte[0] % 3 {
                    0 => std::panic::resume_unwind(Box::new("of this test")),
                    1 => stream.write_all(&byte),
                    _ => Err(io::Error::other("of this test")),
                }
            })
            .unwrap();
        let clients = Vec::from_iter((0..CLIENTS).map(|_| client(server.local_addr())));
        for (n, mut client) in clients.iter().enumerate() {
            client.write_all(&[n as u8]).unwrap();
        }
        let mut served = 0;
        for mut client in clients {
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).unwrap();
            served += answer.len();
        }
        assert_eq!(served, CLIENTS / 3);
        assert_eq!(server.stop(LONG).killed, 0);
        assert_eq!(incidents.get(), CLIENTS - served);
        assert!(!server.is_full());
    }
}

#[test]
fn a_plain_thread_may_make_it_pause_and_go_on() {
    let _watchdog = support::watchdog();
    let runtime = runtime(2);
    for builder in both(&runtime.handle()) {
        let server = builder.build().unwrap();
        server.start_in(&runtime.handle(), echo).unwrap();
        let before = client(server.local_addr());
        assert_echo(&before);
        server.stop_accepting();
        for worker in 0..2 {
            // It has heard of it after that.
            runtime
                .handle()
                .spawn_on(worker, rustlet::yield_now)
                .join()
                .unwrap();
        }
        let meanwhile = [(); 8].map(|()| client(server.local_addr()));
        for mut client in &meanwhile {
            client.write_all(b"x").unwrap();
        }
        meanwhile.iter().for_each(assert_not_answered);
        assert_echo(&before);
        server.start_accepting();
        for mut client in &meanwhile {
            client.read_exact(&mut [0]).unwrap();
        }
        drop((before, meanwhile));
        assert_eq!(server.stop(LONG).killed, 0);
    }
}

#[test]
fn it_closes_with_its_runtime() {
    let _watchdog = support::watchdog();
    for per_worker in [0, 1] {
        for gently in [false, true] {
            let runtime = runtime(2);
            let server = both(&runtime.handle()).into_iter().nth(per_worker).unwrap();
            let server = server.build().unwrap();
            let dropped = support::Counter::default();
            let captured = dropped.on_drop();
            server
                .start_in(&runtime.handle(), move |stream: TcpStream, peer| {
                    let _captured = &captured;
                    echo(stream, peer)
                })
                .unwrap();
            let clients = [(); 10].map(|()| client(server.local_addr()));
            clients.iter().for_each(assert_echo);
            let handle = runtime.handle();
            match gently {
                true => assert!(runtime.shutdown(WHILE).unwrap_err().killed >= 10),
                false => drop(runtime),
            }
            assert!(server.is_closed());
            assert_eq!((server.connections(), dropped.get()), (0, 1));
            server.wait().unwrap();
            assert!(std::net::TcpStream::connect(server.local_addr()).is_err());
            clients.iter().for_each(assert_ended);

            // Nor does it start there; and it can be started elsewhere.
            let next = StreamServer::bind("127.0.0.1:0").unwrap();
            next.start_in(&handle, echo).unwrap_err();
            assert!(!next.is_started());
            next.start(echo).unwrap();
            next.close();
            next.wait().unwrap();
        }
    }
}

#[test]
fn a_runtime_drains_when_its_server_was_closed() {
    let _watchdog = support::watchdog();
    let runtime = runtime(2);
    let [_, builder] = both(&runtime.handle());
    let server = builder.build().unwrap();
    let itself = server.clone();
    let handle = runtime.handle();
    let serving = thread::spawn(move || itself.serve_forever_in(&handle, echo));
    let last = client(server.local_addr());
    assert_echo(&last);
    server.close();
    assert_echo(&last);
    drop(last);
    serving.join().unwrap().unwrap();
    runtime.shutdown(LONG).unwrap();
}

/// Its listeners were bound for a larger runtime, or it has a single thread: all of them are accepted from.
#[test]
fn it_runs_where_the_listeners_do_not_fit() {
    let _watchdog = support::watchdog();
    let (large, small) = (runtime(4), runtime(1));
    let [_, builder] = both(&large.handle());
    let server = builder.build().unwrap();
    server
        .start_in(&small.handle(), |mut stream: TcpStream, _| {
            stream.write_all(&[worker_index().unwrap() as u8])
        })
        .unwrap();
    for _ in 0..50 {
        let mut answer = [9];
        client(server.local_addr()).read_exact(&mut answer).unwrap();
        assert_eq!(answer, [0]);
    }
    assert_eq!(server.stop(LONG).killed, 0);

    let [_, builder] = both(&large.handle());
    let server = builder.build().unwrap();
    server.start(echo).unwrap();
    let there = server.local_addr();
    let clients = thread::spawn(move || (0..50).for_each(|_| assert_echo(&client(there))));
    while !clients.is_finished() {
        rustlet::sleep(Duration::from_millis(1));
    }
    clients.join().unwrap();
    assert_eq!(server.stop(LONG).killed, 0);
}
