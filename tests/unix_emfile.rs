//! Running out of descriptors with Unix sockets: accepting backs off and loses nobody; the rest gets the error, and
//! works again once there is room.

mod support;

use std::fs::File;
use std::io::{Read, Write};

use rustix::process::{Resource, Rlimit, setrlimit};
use rustlet::net::{UdpSocket, UnixDatagram, UnixListener, UnixStream};
use rustlet::{spawn, yield_now};

/// EMFILE's number on Linux.
const EMFILE: Option<i32> = Some(24);

/// Opens files until the limit.
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
fn accept_waits_for_a_descriptor_and_loses_nobody() {
    in_child("accept_waits_for_a_descriptor_and_loses_nobody", || {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let server = spawn(move || {
            // Patient for a second, and then again.
            let mut shortages = 0;
            let mut stream = loop {
                match listener.accept() {
                    Ok((stream, _)) => break stream,
                    Err(error) => assert_eq!(error.raw_os_error(), EMFILE),
                }
                shortages += 1;
            };
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            stream.write_all(&byte).unwrap();
            shortages
        });
        yield_now(); // it is registered, and waits
        let mut files = use_up(100);
        files.pop();
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(b"x").unwrap();
        let before = rustlet::stats().switches;
        rustlet::sleep(std::time::Duration::from_millis(1500));
        let switches = rustlet::stats().switches - before;
        assert!(switches < 100, "{switches} switches");
        assert!(!server.is_finished());
        files.pop();
        client.read_exact(&mut [0]).unwrap();
        server.join().unwrap();
    });
}

#[test]
fn making_sockets_reports_it() {
    in_child("making_sockets_reports_it", || {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let path2 = dir.path().join("socket2");
        let listener = UnixListener::bind(&path).unwrap();
        let (stream, _peer) = UnixStream::pair().unwrap();
        let (datagram, _other) = UnixDatagram::pair().unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let receiver = UnixDatagram::bind(dir.path().join("receiver")).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        let to_receiver = || sender.send_to(b"x", dir.path().join("receiver"));
        sender.set_nonblocking(true).unwrap();
        while to_receiver().is_ok() {}
        sender.set_nonblocking(false).unwrap();
        yield_now();
        let files = use_up(100);
        for error in [
            UnixStream::connect(&path).unwrap_err(),
            UnixStream::pair().unwrap_err(),
            UnixListener::bind(&path2).unwrap_err(),
            UnixDatagram::pair().unwrap_err(),
            UnixDatagram::unbound().unwrap_err(),
            UdpSocket::bind("127.0.0.1:0").unwrap_err(),
            listener.try_clone().unwrap_err(),
            stream.try_clone().unwrap_err(),
            datagram.try_clone().unwrap_err(),
            udp.try_clone().unwrap_err(),
            // There is nothing to wait with.
            to_receiver().unwrap_err(),
        ] {
            assert_eq!(error.raw_os_error(), EMFILE, "{error}");
        }
        drop(files);
        let waits = spawn(move || {
            sender
                .send_to(b"x", dir.path().join("receiver"))
                .map(|_| dir)
        });
        yield_now();
        assert!(!waits.is_finished());
        receiver.recv(&mut [0; 8]).unwrap();
        let _dir = waits.join().unwrap().unwrap();
        UnixStream::connect(&path).unwrap();
    });
}
