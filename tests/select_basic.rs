//! `select!` and `Select`: what each arm waits for, that one is chosen fairly, and that the others have done nothing.

mod support;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustlet::queue::{Channel, LifoQueue, PriorityQueue, Queue};
use rustlet::sync::mpmc::{self, RecvError, SendError, TryRecvError};
use rustlet::sync::{AsyncResult, Event, Select, Semaphore, WaitGroup};
use rustlet::{select, spawn, spawn_local, timeout, yield_now};

const SOON: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(1000);

#[test]
fn ready_at_once() {
    let (sender, receiver) = mpmc::bounded(1);
    let value = select! {
        recv(receiver) -> item => panic!("received {item:?}"),
        send(sender, 1) -> result => result.map(|()| "sent"),
    };
    assert_eq!(value, Ok("sent"));
    let value = select! {
        recv(receiver) -> item => item.unwrap(),
        send(sender, 2) -> _ => panic!("there is no room"),
    };
    assert_eq!(value, 1);
}

#[test]
fn default_when_nothing_is_ready() {
    let (sender, receiver) = mpmc::bounded::<u8>(0);
    let chosen = select! {
        recv(receiver) -> _ => "recv",
        send(sender, 1) -> _ => "send",
        default => "default",
    };
    assert_eq!(chosen, "default");
    // By themselves, too.
    assert_eq!(select! { default => 1 }, 1);
    assert_eq!(select! { timeout(SOON) => 2 }, 2);
}

#[test]
fn a_limit() {
    let _watchdog = support::watchdog();
    let (_sender, receiver) = mpmc::bounded::<u8>(0);
    let start = Instant::now();
    let chosen = select! {
        recv(receiver) -> _ => "recv",
        timeout(SOON) => "timeout",
    };
    assert_eq!(chosen, "timeout");
    assert!(start.elapsed() >= SOON);
    // An outer one goes through.
    let result = timeout(
        SOON,
        || select! { recv(receiver) -> item => item, timeout(LONG) => Ok(0) },
    );
    assert!(result.is_err());
}

#[test]
fn waits_for_an_item_and_for_room() {
    let _watchdog = support::watchdog();
    for capacity in [0, 1, 5] {
        let (a_in, a_out) = mpmc::bounded(capacity);
        let (b_in, b_out) = mpmc::bounded(capacity);
        (0..capacity).for_each(|n| b_in.send(n).unwrap());
        let selecting = spawn(move || {
            select! {
                recv(a_out) -> item => (1, item.unwrap()),
                send(b_in, 100) -> result => { result.unwrap(); (2, 0) }
            }
        });
        yield_now();
        assert!(!selecting.is_finished());
        if capacity == 1 {
            a_in.send(7).unwrap();
            assert_eq!(selecting.join().unwrap(), (1, 7));
            assert!(b_out.iter().eq(0..capacity), "and nothing was sent");
        } else {
            let first = b_out.recv().unwrap();
            assert_eq!(first, if capacity == 0 { 100 } else { 0 });
            assert_eq!(selecting.join().unwrap(), (2, 0));
        }
    }
}

#[test]
fn ends() {
    let _watchdog = support::watchdog();
    let (sender, receiver) = mpmc::bounded::<u8>(0);
    let selecting = spawn(move || select! { recv(receiver) -> item => item });
    yield_now();
    drop(sender);
    assert_eq!(selecting.join().unwrap(), Err(RecvError));

    let (sender, receiver) = mpmc::bounded(0);
    let selecting = spawn(move || select! { send(sender, 5) -> result => result });
    yield_now();
    drop(receiver);
    assert_eq!(selecting.join().unwrap(), Err(SendError(5)));
}

#[test]
fn all_queues() {
    let _watchdog = support::watchdog();
    let queue = Arc::new(Queue::bounded(1));
    let (lifo, priority, channel) = (LifoQueue::new(), PriorityQueue::new(), Channel::new());
    let get = || {
        select! {
            get(queue) -> item => item.unwrap(),
            get(&lifo) -> item => item.unwrap(),
            get(priority) -> item => item.unwrap(),
            get(channel) -> item => item.unwrap(),
            default => 0,
        }
    };
    assert_eq!(get(), 0);
    for number in [3, 1, 2] {
        lifo.put(number).unwrap();
        priority.put(number * 10).unwrap();
    }
    queue.put(100).unwrap();
    let mut got: Vec<_> = (0..7).map(|_| get()).collect();
    assert_eq!(get(), 0);
    let of = |low, high| {
        got.iter()
            .copied()
            .filter(|n| (low..high).contains(n))
            .collect::<Vec<_>>()
    };
    assert_eq!(of(1, 10), [2, 1, 3]);
    assert_eq!(of(10, 100), [10, 20, 30]);
    got.sort_unstable();
    assert_eq!(got.last(), Some(&100));
    select! {
        put(queue, 5) -> result => result.unwrap(),
        put(channel, 5) -> _ => panic!("nobody gets"),
    }
    let getter = spawn(move || select! { get(queue) -> item => item });
    assert_eq!(getter.join().unwrap(), Ok(5));
    // A getter that waits is served by a put.
    let priority = Arc::new(priority);
    let getter = spawn({
        let priority = priority.clone();
        move || select! { get(priority) -> item => item, timeout(LONG) => Ok(0) }
    });
    yield_now();
    priority.put(9).unwrap();
    assert_eq!(getter.join().unwrap(), Ok(9));
    priority.shutdown();
    select! {
        put(priority, 8) -> result => assert_eq!(result.unwrap_err().0, 8),
    }
}

#[test]
fn events_and_ends_of_greenlets() {
    let _watchdog = support::watchdog();
    let (_sender, receiver) = mpmc::bounded::<u8>(0);
    let event = Arc::new(Event::new());
    let selecting = |event: Arc<Event>| {
        let receiver = receiver.clone();
        spawn(move || select! { recv(receiver) -> _ => 1, wait(event) => 2, timeout(LONG) => 3 })
    };
    let waiting = selecting(event.clone());
    yield_now();
    event.set();
    event.clear(); // those who waited are woken all the same
    assert_eq!(waiting.join().unwrap(), 2);
    event.set();
    assert_eq!(selecting(event).join().unwrap(), 2);

    let go = Arc::new(Event::new());
    let greenlet = spawn({
        let go = go.clone();
        move || {
            go.wait();
            "ended"
        }
    });
    let handle = greenlet.handle();
    let selecting = spawn({
        let receiver = receiver.clone();
        move || select! { recv(receiver) -> _ => 1, join(handle) => 2 }
    });
    yield_now();
    assert!(!selecting.is_finished());
    go.set();
    select! {
        recv(receiver) -> _ => panic!("nobody sends"),
        join(greenlet) => {}
    }
    assert_eq!(greenlet.join().unwrap(), "ended");
    assert_eq!(selecting.join().unwrap(), 2);
}

#[test]
fn other_things() {
    let _watchdog = support::watchdog();
    let result = Arc::new(AsyncResult::<u8>::new());
    let semaphore = Semaphore::new(1);
    let permit = semaphore.acquire();
    let group = WaitGroup::new();
    group.add(1);
    spawn({
        let result = result.clone();
        move || result.set(1)
    });
    let chosen = select! {
        wait(semaphore) => 1,
        wait(&group) => 2,
        wait(result) => 3,
    };
    assert_eq!(chosen, 3);
    drop(permit);
    assert_eq!(select! { wait(semaphore) => 1, wait(group) => 2 }, 1);
    assert_eq!(semaphore.available_permits(), 1, "and it is not taken");
}

#[test]
fn told_in_vain_it_waits_on() {
    let _watchdog = support::watchdog();
    let semaphore = Arc::new(Semaphore::new(0));
    let (_sender, receiver) = mpmc::bounded::<u8>(0);
    let selecting = spawn({
        let semaphore = semaphore.clone();
        move || select! { wait(semaphore) => 1, recv(receiver) -> _ => 2 }
    });
    yield_now();
    for _ in 0..3 {
        semaphore.release();
        semaphore.try_acquire().expect("it is free").forget();
        yield_now(); // it looks, and finds nothing
        assert!(!selecting.is_finished());
    }
    semaphore.release();
    assert_eq!(selecting.join().unwrap(), 1);
}

#[test]
fn code_of_arms_may_leave() {
    fn early(receiver: &mpmc::Receiver<u8>) -> Result<u8, RecvError> {
        loop {
            let item = select! {
                recv(receiver) -> item => item?,
                default => return Ok(99),
            };
            if item == 2 {
                select! { default => break }
            }
            select! { default => continue }
        }
        Ok(2)
    }
    let (sender, receiver) = mpmc::unbounded();
    assert_eq!(early(&receiver), Ok(99));
    sender.send(1).unwrap();
    sender.send(2).unwrap();
    assert_eq!(early(&receiver), Ok(2));
    // What an arm borrowed is free again.
    select! {
        send(sender, 3) -> result => {
            result.unwrap();
            drop(sender);
        }
    }
    assert_eq!(
        early(&receiver),
        Err(RecvError).or(Ok(99)).and(early(&receiver))
    );
}

#[test]
fn an_item_from_a_place_stays_there_unless_it_is_sent() {
    let _watchdog = support::watchdog();
    let (sender, receiver) = mpmc::bounded(1);
    let (_other, never) = mpmc::bounded::<u8>(0);
    let mut next = Some("first".to_owned());
    select! { send(sender, from next) -> result => result.unwrap() }
    assert_eq!(next, None);
    next = Some("second".to_owned());
    for _ in 0..3 {
        select! {
            send(sender, from next) -> _ => panic!("there is no room"),
            recv(never) -> _ => panic!("nobody sends"),
            timeout(SOON) => {}
        }
        assert_eq!(next.as_deref(), Some("second"));
    }
    let result = timeout(
        SOON,
        || select! { send(sender, from next) -> result => result.unwrap() },
    );
    assert!(result.is_err());
    assert_eq!(
        next.as_deref(),
        Some("second"),
        "not lost to a limit either"
    );
    assert_eq!(receiver.recv().as_deref(), Ok("first"));
    let sent = Select::new()
        .send_from(&sender, &mut next, |result| result.is_ok())
        .run();
    assert!(sent && next.is_none());
}

#[test]
fn a_select_does_not_meet_itself() {
    let _watchdog = support::watchdog();
    let (sender, receiver) = mpmc::bounded(0);
    let chosen = select! {
        send(sender, 1) -> _ => "send",
        recv(receiver) -> _ => "recv",
        timeout(SOON) => "timeout",
    };
    assert_eq!(chosen, "timeout");
    // But another.
    let meet = || {
        let (sender, receiver) = (sender.clone(), receiver.clone());
        spawn(move || {
            select! {
                send(sender, 1) -> result => { result.unwrap(); "send" }
                recv(receiver) -> item => { item.unwrap(); "recv" }
            }
        })
    };
    for _ in 0..100 {
        let mut two = [meet(), meet()].map(|greenlet| greenlet.join().unwrap());
        two.sort_unstable();
        assert_eq!(two, ["recv", "send"]);
    }
}

fn share(rounds: usize, mut choose: impl FnMut() -> usize) -> Vec<usize> {
    let mut counts = vec![0; 4];
    (0..rounds).for_each(|_| counts[choose()] += 1);
    counts
}

#[test]
fn each_of_two_ready_arms_is_chosen_as_often() {
    let (a_in, a) = mpmc::unbounded();
    let (b_in, b) = mpmc::unbounded();
    let (_never_in, never) = mpmc::unbounded::<u8>();
    for _ in 0..10_000 {
        a_in.send(()).unwrap();
        b_in.send(()).unwrap();
    }
    let counts = share(10_000, || select! { recv(a) -> _ => 0, recv(b) -> _ => 1 });
    assert!((4_000..=6_000).contains(&counts[0]), "{counts:?}");
    // Not so if it were the next after a random one: three of four then.
    let set = Event::new();
    set.set();
    let counts = share(10_000, || {
        Select::new()
            .wait(&set, || 0)
            .recv(&never, |_| 1)
            .recv(&never, |_| 2)
            .wait(&set, || 3)
            .run()
    });
    assert!((4_000..=6_000).contains(&counts[0]), "{counts:?}");
    assert_eq!((counts[1], counts[2]), (0, 0));
}

#[test]
fn arms_that_lose_have_taken_nothing() {
    let _watchdog = support::watchdog();
    let channels: Vec<_> = (0..20).map(|_| mpmc::bounded(1)).collect();
    let receivers: Vec<_> = channels
        .iter()
        .map(|(_, receiver)| receiver.clone())
        .collect();
    let selecting = spawn(move || {
        let mut select = Select::new();
        for (number, receiver) in receivers.iter().enumerate() {
            select = select.recv(receiver, move |item| (number, item));
        }
        select.run()
    });
    yield_now();
    // It is handed the first, and does not know yet.
    for (number, (sender, _)) in channels.iter().enumerate().rev() {
        sender.try_send(number).unwrap();
    }
    assert_eq!(selecting.join().unwrap(), (19, Ok(19)));
    for (number, (_, receiver)) in channels.iter().enumerate() {
        let expected = if number == 19 {
            Err(TryRecvError::Empty)
        } else {
            Ok(number)
        };
        assert_eq!(receiver.try_recv(), expected);
    }
}

#[test]
fn a_kill_finds_nothing_done_or_all() {
    let _watchdog = support::watchdog();
    let (sender, receiver) = mpmc::bounded(1);
    let (other_in, other) = mpmc::bounded(0);
    let got = Rc::new(Cell::new(None));
    let select = || {
        let (receiver, other_in, got) = (receiver.clone(), other_in.clone(), got.clone());
        spawn_local(move || {
            select! {
                recv(receiver) -> item => got.set(item.ok()),
                send(other_in, 7) -> result => result.unwrap(),
            }
            yield_now();
            unreachable!();
        })
    };
    let waiting = select();
    yield_now();
    waiting.kill().unwrap();
    sender.try_send(1).unwrap();
    assert_eq!(receiver.len(), 1, "nobody waits any more");
    assert_eq!(other.try_recv(), Err(TryRecvError::Empty));
    receiver.recv().unwrap();

    let waiting = select();
    yield_now();
    sender.try_send(2).unwrap();
    waiting.kill().unwrap();
    assert_eq!(got.get(), Some(2));
    assert!(receiver.is_empty());
}

#[test]
fn a_loop_of_selects_lets_others_run() {
    let _watchdog = support::watchdog();
    let stop = Rc::new(Cell::new(false));
    let set = Event::new();
    set.set();
    let other = spawn_local({
        let stop = stop.clone();
        move || stop.set(true)
    });
    let mut rounds = 0;
    while !stop.get() {
        select! { wait(set) => rounds += 1 }
    }
    assert!(rounds < 1000);
    other.join().unwrap();
}

#[test]
fn threads() {
    let _watchdog = support::watchdog_of(Duration::from_secs(300));
    const EACH: u64 = 3_000;
    let (a_in, a) = mpmc::bounded(0);
    let (b_in, b) = mpmc::bounded(2);
    let threads: Vec<_> = [a_in, b_in]
        .into_iter()
        .map(|sender| std::thread::spawn(move || (0..EACH).for_each(|n| sender.send(n).unwrap())))
        .collect();
    let receivers: Vec<_> = (0..2)
        .map(|_| {
            let (a, b) = (a.clone(), b.clone());
            std::thread::spawn(move || {
                let (mut sum, mut open_a, mut open_b) = (0, true, true);
                while open_a || open_b {
                    let mut select = Select::new();
                    if open_a {
                        select = select.recv(&a, |item| (0, item));
                    }
                    if open_b {
                        select = select.recv(&b, |item| (1, item));
                    }
                    match select.run() {
                        (_, Ok(item)) => sum += item,
                        (0, Err(_)) => open_a = false,
                        (_, Err(_)) => open_b = false,
                    }
                }
                sum
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    let sum: u64 = receivers
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .sum();
    assert_eq!(sum, EACH * (EACH - 1));
}

/// One arm is told, another is granted, by another thread at any time: never both.
#[test]
fn told_and_granted_at_once() {
    let _watchdog = support::watchdog_of(Duration::from_secs(300));
    let (sender, receiver) = mpmc::bounded(0);
    let semaphore = Arc::new(Semaphore::new(0));
    let other = std::thread::spawn({
        let semaphore = semaphore.clone();
        move || {
            let mut sent = 0;
            for round in 0..30_000_u32 {
                if semaphore.available_permits() == 0 {
                    semaphore.release();
                }
                // It wakes up, and has looked or not when the item comes.
                (0..round.wrapping_mul(0x9E37_79B9) >> 22).for_each(|_| std::hint::spin_loop());
                sent += usize::from(sender.try_send(()).is_ok());
            }
            sent
        }
    });
    let idle: Vec<_> = (0..30).map(|_| Semaphore::new(0)).collect();
    let mut received = 0;
    loop {
        let mut select = Select::new().wait(&*semaphore, || None);
        for semaphore in &idle {
            select = select.wait(semaphore, || unreachable!());
        }
        match select.recv(&receiver, Some).run() {
            None => semaphore
                .try_acquire()
                .expect("nobody else takes them")
                .forget(),
            Some(Ok(())) => received += 1,
            Some(Err(_)) => break,
        }
    }
    assert_eq!(other.join().unwrap(), received);
}

/// Two selects that begin at the same time, on two threads: whoever links second finds the other.
#[test]
fn two_threads_meet() {
    let _watchdog = support::watchdog_of(Duration::from_secs(300));
    const ROUNDS: usize = 20_000;
    fn together(arrived: &AtomicUsize, round: usize) {
        arrived.fetch_add(1, Ordering::SeqCst);
        let mut spins = 0;
        while arrived.load(Ordering::SeqCst) < 2 * (round + 1) {
            spins += 1;
            if spins % 1000 == 0 {
                std::thread::yield_now();
            }
        }
    }
    let (sender, receiver) = mpmc::bounded(0);
    let arrived = Arc::new(AtomicUsize::new(0));
    let other = std::thread::spawn({
        let arrived = arrived.clone();
        move || {
            for round in 0..ROUNDS {
                together(&arrived, round);
                select! { send(sender, round) -> result => result.unwrap() }
            }
        }
    });
    for round in 0..ROUNDS {
        together(&arrived, round);
        select! { recv(receiver) -> item => assert_eq!(item, Ok(round)) }
    }
    other.join().unwrap();
}
