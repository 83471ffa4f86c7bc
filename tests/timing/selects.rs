//! What the harness is run on: `select!`.

use std::time::Duration;

use rustlet::select;
use rustlet::sync::Event;
use rustlet::sync::mpmc::{self, Receiver, Sender};

use super::{HOUR, Waited};

type End = (Sender<u8>, Receiver<u8>);

/// An item of any of three channels.
pub(crate) struct SelectReceive([End; 3]);

impl Waited for SelectReceive {
    const USED_UP: bool = true;
    fn new() -> Self {
        SelectReceive([(); 3].map(|()| mpmc::bounded(1)))
    }
    fn wait(&self) {
        let [a, b, c] = &self.0;
        select! {
            recv(a.1) -> _ => unreachable!("nothing was sent"),
            recv(b.1) -> item => assert_eq!(item, Ok(5)),
            recv(c.1) -> _ => unreachable!("nothing was sent"),
        }
    }
    fn wait_timeout(&self, limit: Duration) -> bool {
        let [a, b, c] = &self.0;
        select! {
            recv(a.1) -> _ => unreachable!("nothing was sent"),
            recv(b.1) -> item => item == Ok(5),
            recv(c.1) -> _ => unreachable!("nothing was sent"),
            timeout(limit) => false,
        }
    }
    fn grant(&self) {
        self.0[1].0.try_send(5).unwrap();
    }
}

/// Room in one of two channels, or an item of a third.
pub(crate) struct SelectSend([End; 3]);

impl Waited for SelectSend {
    const USED_UP: bool = true;
    fn new() -> Self {
        let channels = [(); 3].map(|()| mpmc::bounded(1));
        channels[0].0.send(0).unwrap();
        channels[1].0.send(0).unwrap();
        SelectSend(channels)
    }
    fn wait(&self) {
        assert!(self.wait_timeout(HOUR));
    }
    fn wait_timeout(&self, limit: Duration) -> bool {
        let [a, b, c] = &self.0;
        select! {
            send(a.0, 1) -> _ => unreachable!("there is no room"),
            send(b.0, 5) -> result => result.is_ok(),
            recv(c.1) -> _ => unreachable!("nothing was sent"),
            timeout(limit) => false,
        }
    }
    fn grant(&self) {
        self.0[1].1.try_recv().unwrap();
    }
}

/// An event, while a channel is silent.
pub(crate) struct SelectWait(Event, End);

impl Waited for SelectWait {
    const USED_UP: bool = false;
    fn new() -> Self {
        SelectWait(Event::new(), mpmc::bounded(1))
    }
    fn wait(&self) {
        select! {
            recv(self.1.1) -> _ => unreachable!("nothing was sent"),
            wait(self.0) => {}
        }
    }
    fn wait_timeout(&self, limit: Duration) -> bool {
        select! {
            recv(self.1.1) -> _ => unreachable!("nothing was sent"),
            wait(self.0) => true,
            timeout(limit) => false,
        }
    }
    fn grant(&self) {
        self.0.set();
    }
}
