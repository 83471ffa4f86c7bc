//! Half-closed connections: one direction ends, the other goes on, and those who wait notice.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use rustlet::net::TcpStream;
use rustlet::{sleep, spawn, yield_now};

#[test]
fn the_answer_comes_after_the_questions_end() {
    let _watchdog = support::watchdog();
    let (client, server) = support::tcp_pair::<TcpStream>();
    let server = spawn(move || {
        let mut question = String::new();
        (&server).read_to_string(&mut question).unwrap();
        for _ in 0..3 {
            sleep(Duration::from_millis(1));
            (&server).write_all(question.as_bytes()).unwrap();
        }
    });
    (&client).write_all(b"echo ").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let error = (&client).write(b"x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    let mut answer = String::new();
    (&client).read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "echo echo echo ");
    server.join().unwrap();
}

#[test]
fn a_waiting_reader_sees_the_end() {
    let _watchdog = support::watchdog();
    let (ours, theirs) = support::tcp_pair::<TcpStream>();
    let reader = spawn(move || {
        let mut buffer = [0; 10];
        let end = (&ours).read(&mut buffer).unwrap();
        (&ours).write_all(b"still here").unwrap();
        end
    });
    yield_now();
    theirs.shutdown(Shutdown::Write).unwrap();
    assert_eq!(reader.join().unwrap(), 0);
    let mut text = [0; 10];
    (&theirs).read_exact(&mut text).unwrap();
    assert_eq!(&text, b"still here");
}

#[test]
fn data_and_end_in_one_go_are_two_reads() {
    let _watchdog = support::watchdog();
    // A short read is followed by the end that came with it: no further news will come.
    for _ in 0..200 / support::slowdown() {
        let (ours, theirs) = support::tcp_pair::<TcpStream>();
        let reader = spawn(move || {
            let mut buffer = [0; 100];
            let first = (&ours).read(&mut buffer).unwrap();
            (first, (&ours).read(&mut buffer).unwrap())
        });
        yield_now();
        (&theirs).write_all(b"last words").unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        assert_eq!(reader.join().unwrap(), (10, 0));
    }
}

#[test]
fn shutting_down_ones_own_side_wakes_those_who_wait_on_it() {
    let _watchdog = support::watchdog();
    let (ours, _theirs) = support::tcp_pair::<TcpStream>();
    let ours = Arc::new(ours);
    let (reading, writing) = (ours.clone(), ours.clone());
    let reader = spawn(move || (&*reading).read(&mut [0]).unwrap());
    yield_now();
    ours.shutdown(Shutdown::Read).unwrap();
    assert_eq!(reader.join().unwrap(), 0);

    let writer = spawn(move || {
        (&*writing)
            .write_all(&vec![0; 64 << 20])
            .unwrap_err()
            .kind()
    });
    sleep(Duration::from_millis(5));
    assert!(!writer.is_finished());
    ours.shutdown(Shutdown::Write).unwrap();
    assert_eq!(writer.join().unwrap(), ErrorKind::BrokenPipe);
}

#[test]
fn an_ended_stream_can_be_read_again_and_again() {
    let _watchdog = support::watchdog();
    let (mut ours, theirs) = support::tcp_pair::<TcpStream>();
    drop(theirs);
    let reader = spawn(move || {
        for _ in 0..1000 {
            assert_eq!(ours.read(&mut [0; 10]).unwrap(), 0);
            assert_eq!(ours.peek(&mut [0; 10]).unwrap(), 0);
        }
    });
    reader.join().unwrap();
}
