//! `lookup_host`: names and numbers become addresses, without stopping the thread, and errors are std's.

mod support;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use rustlet::net::lookup_host;
use rustlet::{spawn, timeout, yield_now};

#[test]
fn names_become_addresses() {
    let _watchdog = support::watchdog();
    let found = Vec::from_iter(lookup_host("localhost:81").unwrap());
    assert!(!found.is_empty());
    assert!(found.iter().all(|addr| addr.ip().is_loopback()));
    assert!(found.iter().all(|addr| addr.port() == 81));
    let stds = Vec::from_iter(("localhost", 81).to_socket_addrs().unwrap());
    assert_eq!(found, stds, "in the system's order");
    let pairs = Vec::from_iter(lookup_host(("localhost", 81)).unwrap());
    assert_eq!(pairs, found);
}

/// All that std takes, and what it takes by reference; the answer does not borrow from the question.
#[test]
fn numbers_need_no_search() {
    let _watchdog = support::watchdog();
    let addr: SocketAddr = "127.0.0.1:80".parse().unwrap();
    let one = |mut found: Box<dyn Iterator<Item = SocketAddr>>| {
        let first = found.next().unwrap();
        assert_eq!(found.next(), None);
        first
    };
    let question = String::from("127.0.0.1:80");
    let answer = lookup_host(&*question).unwrap();
    drop(question.clone());
    assert_eq!(one(Box::new(answer.collect::<Vec<_>>().into_iter())), addr);
    assert_eq!(one(Box::new(lookup_host(question).unwrap())), addr);
    assert_eq!(one(Box::new(lookup_host(addr).unwrap())), addr);
    assert_eq!(
        one(Box::new(lookup_host((Ipv4Addr::LOCALHOST, 80)).unwrap())),
        addr
    );
    let six = one(Box::new(lookup_host("[::1]:80").unwrap()));
    assert_eq!(six, (Ipv6Addr::LOCALHOST, 80).into());
    let several = [addr, six];
    assert_eq!(Vec::from_iter(lookup_host(&several[..]).unwrap()), several);
}

#[test]
fn what_is_no_name_is_an_error() {
    let _watchdog = support::watchdog();
    for text in ["localhost", "localhost:port", "localhost:99999", ""] {
        let error = lookup_host(text).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text:?}: {error}");
    }
    // A name that no server has to be asked for.
    let error = lookup_host("no..name:80").err().unwrap();
    assert_ne!(error.kind(), ErrorKind::InvalidInput, "{error}");
}

#[test]
fn others_run_meanwhile_and_the_caller_can_be_killed() {
    let _watchdog = support::watchdog();
    let lookups = Vec::from_iter((0..20).map(|port| {
        spawn(move || {
            let found = lookup_host(("localhost", port)).unwrap();
            Vec::from_iter(found).iter().all(|addr| addr.port() == port)
        })
    }));
    let killed = spawn(|| lookup_host("localhost:1").map(Iterator::count));
    let before = rustlet::stats().switches;
    yield_now(); // all of them ask, and wait
    assert!(
        rustlet::stats().switches - before >= 21,
        "none held the thread"
    );
    killed.kill().unwrap();
    // It may have been answered before.
    match killed.join() {
        Ok(found) => assert!(found.unwrap() > 0),
        Err(error) => assert!(error.is_killed()),
    }
    for lookup in lookups {
        assert!(lookup.join().unwrap());
    }
    // A time that is up ends the wait, or comes too late.
    let _ = timeout(Duration::from_nanos(1), || {
        lookup_host("localhost:1").map(Iterator::count)
    });
    assert!(lookup_host("localhost:1").unwrap().count() > 0);
}
