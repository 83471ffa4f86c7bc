//! What goes wrong while serving: in a handler, for want of descriptors or greenlets, in the listener itself.

mod support;

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, setrlimit};
use rustlet::net::{TcpListener, TcpStream};
use rustlet::server::{Builder, Incident, StreamServer};
use rustlet::{sleep, yield_now};

const WHILE: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(30);

type Log = Arc<Mutex<Vec<String>>>;

/// A server's builder, and what its hook is told.
fn logged() -> (Builder, Log) {
    let log = Log::default();
    let writer = log.clone();
    let builder = StreamServer::builder()
        .bind("127.0.0.1:0")
        .unwrap()
        .on_error(move |incident| writer.lock().unwrap().push(incident.to_string()));
    (builder, log)
}

/// Fails as the client's byte says, or echoes it.
fn handler(mut stream: TcpStream, _: SocketAddr) -> io::Result<()> {
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    match byte[0] {
        b'e' => Err(io::Error::other("of this test")),
        b'p' => std::panic::resume_unwind(Box::new("at the request of this test")),
        _ => stream.write_all(&byte),
    }
}

fn ask(addr: SocketAddr, byte: u8) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.write_all(&[byte]).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn an_error_or_a_panic_concerns_its_connection_alone() {
    let _watchdog = support::watchdog();
    let (builder, log) = logged();
    let server = builder.build().unwrap();
    server.start(handler).unwrap();
    let addr = server.local_addr();
    let mut other = TcpStream::connect(addr).unwrap();
    yield_now();
    assert_eq!(ask(addr, b'e'), "");
    assert_eq!(ask(addr, b'p'), "");
    assert_eq!(ask(addr, b'x'), "x");
    other.write_all(b"y").unwrap();
    let mut answer = [0];
    other.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"y");
    let log = log.lock().unwrap();
    let [failed, panicked] = &log[..] else {
        panic!("{log:?}")
    };
    assert!(failed.starts_with("serving 127.0.0.1:"), "{failed}");
    assert!(failed.ends_with(" failed: of this test"), "{failed}");
    let end = " panicked: at the request of this test";
    assert!(panicked.ends_with(end), "{panicked}");
    server.stop(LONG);
}

/// A kill is no panic, and nothing to report.
#[test]
fn a_kill_is_not_reported() {
    let _watchdog = support::watchdog();
    let (builder, log) = logged();
    let server = builder.build().unwrap();
    server.start(handler).unwrap();
    let client = TcpStream::connect(server.local_addr()).unwrap();
    while server.connections() == 0 {
        yield_now();
    }
    yield_now();
    assert_eq!(server.stop(Duration::ZERO).killed, 1);
    assert!(log.lock().unwrap().is_empty());
    drop(client);
}

/// Both the handler's `()` and any `Result` are fine.
#[test]
fn handlers_may_return_results_of_many_kinds() {
    let _watchdog = support::watchdog();
    let (builder, log) = logged();
    let server = builder.build().unwrap();
    server
        .start(|_, _| -> Result<u8, &str> { Err("a plain text") })
        .unwrap();
    let mut client = TcpStream::connect(server.local_addr()).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    server.stop(LONG);
    assert!(log.lock().unwrap()[0].ends_with("failed: a plain text"));
}

/// The socket stops listening behind the server's back.
#[test]
fn a_broken_listener_ends_the_server_with_its_error() {
    let _watchdog = support::watchdog();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let clone = listener.try_clone().unwrap();
    let server = StreamServer::new(listener).unwrap();
    let breaker = rustlet::spawn(move || {
        sleep(WHILE);
        rustix::net::shutdown(&clone, rustix::net::Shutdown::Both).unwrap();
    });
    let error = server.serve_forever(handler).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}"); // EINVAL
    assert!(server.is_closed());
    assert_eq!(server.wait().unwrap_err().to_string(), error.to_string());
    breaker.join().unwrap();
    server.stop(LONG);
}

/// The error comes at once; connections go on until they are stopped.
#[test]
fn a_broken_listener_leaves_connections_running() {
    let _watchdog = support::watchdog();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let clone = listener.try_clone().unwrap();
    let server = StreamServer::new(listener).unwrap();
    server.start(handler).unwrap();
    let mut client = TcpStream::connect(server.local_addr()).unwrap();
    while server.connections() == 0 {
        yield_now();
    }
    rustix::net::shutdown(&clone, rustix::net::Shutdown::Both).unwrap();
    server.wait().unwrap_err();
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
    server.stop(LONG);
}

/// The connection is closed, the server pauses and goes on.
#[test]
fn want_of_greenlets_is_reported() {
    let _watchdog = support::watchdog();
    let (builder, log) = logged();
    let server = builder.stack_size(usize::MAX).build().unwrap();
    server.start(handler).unwrap();
    for _ in 0..2 {
        let mut client = TcpStream::connect(server.local_addr()).unwrap();
        client.set_read_timeout(Some(LONG)).unwrap();
        assert_eq!(client.read(&mut [0]).unwrap_or(0), 0);
    }
    let log = log.lock().unwrap();
    assert_eq!(log.len(), 2, "{log:?}");
    assert!(log[0].starts_with("no greenlet for 127.0.0.1:"));
    assert_eq!(server.connections(), 0);
    server.stop(LONG);
}

/// Uses up the descriptors; to be dropped when there shall be some again.
fn use_up(limit: u64) -> Vec<File> {
    let rlimit = Rlimit {
        current: Some(limit),
        maximum: Some(limit),
    };
    setrlimit(Resource::Nofile, rlimit).unwrap();
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    files
}

fn in_child(name: &str, test: impl FnOnce()) {
    match support::is_child() {
        true => test(),
        false => support::child(name).run().assert_passed(),
    }
}

#[test]
fn want_of_descriptors_makes_it_back_off() {
    if support::emulated() {
        println!("not run: the emulator takes descriptors of the process for itself");
        return;
    }
    in_child("want_of_descriptors_makes_it_back_off", || {
        let pauses = Arc::new(Mutex::new(Vec::new()));
        let writer = pauses.clone();
        let server = StreamServer::builder()
            .bind("127.0.0.1:0")
            .unwrap()
            .back_off(Duration::from_millis(10), Duration::from_millis(80))
            .on_error(move |incident| match incident {
                Incident::Accept { error, pause } => {
                    assert_eq!(error.raw_os_error(), Some(24), "EMFILE");
                    writer.lock().unwrap().push(pause.as_millis());
                }
                other => panic!("{other}"),
            })
            .build()
            .unwrap();
        server.start(handler).unwrap();
        sleep(Duration::from_millis(1)); // the hub has its descriptors
        let mut clients = Vec::from_iter((0..2).map(|_| {
            let socket = rustix::net::socket(
                rustix::net::AddressFamily::INET,
                rustix::net::SocketType::STREAM,
                None,
            );
            std::net::TcpStream::from(socket.unwrap())
        }));
        let mut files = use_up(100);
        // Only now, so that the server finds no descriptor for them.
        for client in &clients {
            rustix::net::connect(client, &server.local_addr()).unwrap();
        }
        let (start, cpu) = (Instant::now(), support::process_cpu_time());
        while pauses.lock().unwrap().len() < 6 {
            sleep(Duration::from_millis(1));
        }
        let seen = pauses.lock().unwrap().clone();
        assert_eq!(seen[..6], [10, 20, 40, 80, 80, 80]);
        assert!(start.elapsed() >= Duration::from_millis(10 + 20 + 40 + 80 + 80));
        let used = support::process_cpu_time() - cpu;
        assert!(
            used < Duration::from_millis(150) * support::slowdown(),
            "{used:?}"
        );
        assert!(server.is_started());

        // One descriptor serves the first; then it fails again, with the first pause again.
        let count = pauses.lock().unwrap().len();
        files.pop();
        let mut first = TcpStream::from(clients.remove(0));
        while server.connections() == 0 {
            yield_now();
        }
        while pauses.lock().unwrap().len() == count {
            yield_now();
        }
        assert_eq!(pauses.lock().unwrap()[count], 10, "it had begun anew");
        first.write_all(b"x").unwrap();
        first.read_exact(&mut [0]).unwrap();
        let mut second = TcpStream::from(clients.remove(0));
        second.write_all(b"y").unwrap();
        second.read_exact(&mut [0]).unwrap();
        drop(files);
        server.stop(LONG);
    });
}

/// It is found sleeping, and in the hook.
#[test]
fn it_can_be_stopped_while_it_backs_off() {
    in_child("it_can_be_stopped_while_it_backs_off", || {
        let itself = Arc::new(OnceLock::<StreamServer>::new());
        let server_of_hook = itself.clone();
        let build = |hook: Box<dyn Fn() + Send + Sync>| {
            let server = StreamServer::builder()
                .bind("127.0.0.1:0")
                .unwrap()
                .back_off(Duration::from_secs(3600), Duration::from_secs(3600))
                .on_error(move |_| hook())
                .build()
                .unwrap();
            server.start(handler).unwrap();
            server
        };
        let hits = support::Counter::default();
        let counter = hits.clone();
        let from_outside = build(Box::new(move || {
            counter.add();
        }));
        let counter = hits.clone();
        let from_the_hook = build(Box::new(move || {
            let server = server_of_hook.get().unwrap();
            assert_eq!(server.stop(Duration::from_secs(60)).killed, 0);
            counter.add();
        }));
        itself.set(from_the_hook.clone()).unwrap();
        sleep(Duration::from_millis(1));
        let mut clients = Vec::new();
        for server in [&from_outside, &from_the_hook] {
            let socket = rustix::net::socket(
                rustix::net::AddressFamily::INET,
                rustix::net::SocketType::STREAM,
                None,
            );
            clients.push((socket.unwrap(), server.local_addr()));
        }
        let files = use_up(100);
        for (client, addr) in &clients {
            rustix::net::connect(client, addr).unwrap();
        }
        from_the_hook.wait().unwrap();
        while hits.get() < 2 {
            yield_now();
        }
        let start = Instant::now();
        assert_eq!(from_outside.stop(LONG).killed, 0);
        assert!(start.elapsed() < LONG / 2, "its sleep was cut short");
        drop(files);
    });
}

/// A server must not seem to accept when its acceptor has gone.
#[test]
fn a_panic_of_the_hook_ends_the_server() {
    in_child("a_panic_of_the_hook_ends_the_server", || {
        let server = StreamServer::builder()
            .bind("127.0.0.1:0")
            .unwrap()
            .stack_size(usize::MAX)
            .on_error(|incident| panic!("hook: {incident}"))
            .build()
            .unwrap();
        let addr = server.local_addr();
        let client = rustlet::spawn(move || TcpStream::connect(addr));
        let error = server.serve_forever(handler).unwrap_err();
        assert_eq!(error.to_string(), "the server's error hook panicked");
        client.join().unwrap().unwrap();
        server.stop(LONG);
    });
}
