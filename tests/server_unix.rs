//! A server for Unix sockets is one for TCP in all but the types.

mod support;

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustlet::net::{UnixListener, UnixStream};
use rustlet::server::{Incident, StreamServer};
use rustlet::{sleep, spawn, yield_now};

const LONG: Duration = Duration::from_secs(30);

fn echo(stream: UnixStream, _: SocketAddr) -> io::Result<u64> {
    io::copy(&mut &stream, &mut &stream)
}

#[test]
fn it_serves_and_stops() {
    let _watchdog = support::watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let server = StreamServer::new(UnixListener::bind(&path).unwrap()).unwrap();
    assert_eq!(server.local_addr().as_pathname(), Some(path.as_path()));
    server.start(echo).unwrap();
    let clients = Vec::from_iter((0..20_u8).map(|n| {
        let path = path.clone();
        spawn(move || {
            let mut stream = UnixStream::connect(path).unwrap();
            stream.write_all(&[n; 100]).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut echo = Vec::new();
            stream.read_to_end(&mut echo).unwrap();
            assert_eq!(echo, [n; 100]);
        })
    }));
    for client in clients {
        client.join().unwrap();
    }
    // One that stays, and is killed; and the listener is closed while it still runs.
    let mut stays = UnixStream::connect(&path).unwrap();
    while server.connections() == 0 {
        yield_now();
    }
    let other = server.clone();
    let stopping = spawn(move || other.stop(Duration::from_millis(20)));
    yield_now();
    let error = UnixStream::connect(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(stopping.join().unwrap().killed, 1);
    assert_eq!(stays.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_full_server_leaves_its_clients_in_the_backlog_and_close_ends_them() {
    let _watchdog = support::watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let server = StreamServer::unix_builder()
        .listener(UnixListener::bind(&path).unwrap())
        .max_connections(2)
        .build()
        .unwrap();
    server.start(echo).unwrap();
    let clients = [(); 4].map(|()| UnixStream::connect(&path).unwrap());
    sleep(Duration::from_millis(20));
    assert_eq!((server.connections(), server.is_full()), (2, true));
    server.close();
    for client in &clients[2..] {
        assert!(matches!((&*client).read(&mut [0]), Ok(0) | Err(_)));
    }
    for mut client in &clients[..2] {
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
    }
    drop(clients);
    server.wait().unwrap();
}

#[test]
fn incidents_name_the_peer_as_it_is() {
    let _watchdog = support::watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let log = Arc::new(Mutex::new(Vec::new()));
    let told = log.clone();
    let server = StreamServer::unix_builder()
        .listener(UnixListener::bind(&path).unwrap())
        .on_error(move |incident: &Incident<'_, SocketAddr>| {
            told.lock().unwrap().push(incident.to_string());
        })
        .build()
        .unwrap();
    server
        .start(|_, _| Err::<(), _>(io::Error::other("on purpose")))
        .unwrap();
    let mut client = UnixStream::connect(&path).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    server.stop(LONG);
    assert_eq!(
        *log.lock().unwrap(),
        ["serving (unnamed) failed: on purpose"]
    );
}
