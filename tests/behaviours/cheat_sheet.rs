//! The right half of the lines at the head of PORTING.md, word for word.

use std::io::{Read, Write};
use std::time::Duration;

use rustlet::net::TcpStream;
use rustlet::queue::Queue;
use rustlet::sync::{Event, Mutex};
use rustlet::{Pool, joinall, sleep, spawn, timeout};

use super::{HOUR, SHORT};
use crate::support;

#[test]
fn the_rust_half_runs() {
    const SECOND: Duration = Duration::from_secs(1);
    fn fetch(url: &'static str) -> usize {
        sleep(SHORT);
        url.len()
    }
    let _watchdog = support::watchdog();
    let url = "a.b";

    let g = spawn(move || fetch(url));
    let page = g.join().unwrap();
    assert_eq!(page, 3);

    sleep(Duration::from_millis(100));

    let (mut sock, mut peer) = support::tcp_pair::<TcpStream>();
    peer.write_all(b"hello").unwrap();
    let mut buf = [0; 99];
    let got = timeout(5 * SECOND, || sock.read(&mut buf));
    assert_eq!(got.unwrap().unwrap(), 5);

    let g = spawn(|| sleep(HOUR));
    g.kill().unwrap();
    assert!(g.join().unwrap_err().is_killed());

    let jobs = ["a", "bc"].map(|url| spawn(move || fetch(url)));
    let pages = joinall(jobs);
    assert_eq!(pages.into_iter().map(Result::unwrap).sum::<usize>(), 3);

    let q = Queue::bounded(8);
    q.put(1).unwrap();
    q.get().unwrap();
    assert!(q.is_empty());

    let hits = Mutex::new(0);
    *hits.lock().unwrap() += 1;
    assert_eq!(hits.into_inner().unwrap(), 1);

    let changed = Event::new();
    changed.set();
    changed.clear();
    assert!(!changed.is_set());

    let urls = ["a", "bc", "def"];
    let pages = Pool::new(100).map(urls, fetch);
    assert_eq!(pages, [1, 2, 3]);
}
