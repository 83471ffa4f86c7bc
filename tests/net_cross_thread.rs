//! Sockets that move between threads, and sockets that several hubs use at once.

mod support;

use std::io::{Read, Write};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rustlet::net::{TcpListener, TcpStream};
use rustlet::{spawn, yield_now};

#[test]
fn a_stream_moves_from_hub_to_hub() {
    let _watchdog = support::watchdog();
    let (mut ours, mut theirs) = support::tcp_pair::<TcpStream>();
    let mut byte = [0];
    for n in 0..20 {
        // Waits here, so it is registered here; then there, and here again.
        let mut peer = theirs;
        let writer = thread::spawn(move || {
            peer.write_all(&[n]).unwrap();
            peer.read_exact(&mut [0]).unwrap();
            peer
        });
        ours.read_exact(&mut byte).unwrap();
        assert_eq!(byte, [n]);
        let ours_there = thread::spawn(move || {
            let waits = ours.try_clone().unwrap();
            waits
                .set_read_timeout(Some(Duration::from_micros(50)))
                .unwrap();
            assert!((&ours).read(&mut [0]).is_err());
            ours.set_read_timeout(None).unwrap();
            ours.write_all(b"x").unwrap();
            ours
        });
        ours = ours_there.join().unwrap();
        theirs = writer.join().unwrap();
    }
}

#[test]
fn one_hub_reads_while_another_writes() {
    let _watchdog = support::watchdog();
    let total = (4 << 20) / support::slowdown() as usize;
    let (ours, theirs) = support::tcp_pair::<TcpStream>();
    for stream in [&ours, &theirs] {
        // So that both writers have to wait.
        rustix::net::sockopt::set_socket_send_buffer_size(stream, 4096).unwrap();
    }
    let (ours, theirs) = (Arc::new(ours), Arc::new(theirs));
    let ends = [(ours.clone(), theirs.clone()), (theirs, ours)];
    // Each of two threads writes into one end and reads from the other: both ends are on both hubs.
    let threads = ends.map(|(out, into)| {
        thread::spawn(move || {
            let writer = spawn(move || (&*out).write_all(&vec![5; total]).unwrap());
            let reader = spawn(move || {
                let (mut got, mut block) = (0, vec![0; 10_000]);
                while got < total {
                    let wanted = block.len().min(total - got);
                    got += (&*into).read(&mut block[..wanted]).unwrap();
                }
            });
            writer.join().unwrap();
            reader.join().unwrap();
        })
    });
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn hubs_share_a_listener() {
    let _watchdog = support::watchdog();
    let count = 300 / support::slowdown() as usize;
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
    let addr = listener.local_addr().unwrap();
    let (send, served) = mpsc::channel();
    let hubs = [(); 3].map(|()| {
        let (listener, send) = (listener.clone(), send.clone());
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let send = send.clone();
                spawn(move || {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    stream.write_all(&byte).unwrap();
                    send.send(()).unwrap();
                });
            }
            while rustlet::stats().live > 0 {
                yield_now();
            }
        })
    });
    let clients = Vec::from_iter((0..count).map(|_| {
        spawn(move || {
            let mut stream = TcpStream::connect(addr).unwrap();
            stream.write_all(b"x").unwrap();
            stream.read_exact(&mut [0]).unwrap();
        })
    }));
    for client in clients {
        client.join().unwrap();
    }
    assert!(!hubs.iter().any(|hub| hub.is_finished()), "accept failed");
    listener.close();
    for hub in hubs {
        hub.join().unwrap();
    }
    drop(send);
    assert_eq!(served.into_iter().count(), count);
}

#[test]
fn a_stream_outlives_the_hub_it_was_registered_with() {
    let _watchdog = support::watchdog();
    for _ in 0..20 {
        let (ours, mut theirs) = support::tcp_pair::<TcpStream>();
        ours.set_read_timeout(Some(Duration::from_micros(10)))
            .unwrap();
        let ours = thread::spawn(move || {
            assert!((&ours).read(&mut [0]).is_err());
            ours
        })
        .join()
        .unwrap();
        ours.set_read_timeout(None).unwrap();
        let reader = spawn(move || (&ours).read(&mut [0]).unwrap());
        yield_now();
        theirs.write_all(b"x").unwrap();
        assert_eq!(reader.join().unwrap(), 1);
    }
}
