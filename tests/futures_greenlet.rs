//! A greenlet's handle as a future: any executor, any thread; the last waker counts; a dropped one is forgotten.

mod support;

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use rustlet::{Greenlet, block_on};
use support::{Counter, watchdog};

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn poll<T>(greenlet: &mut Greenlet<T>, waker: &Waker) -> Poll<Result<T, rustlet::JoinError>> {
    Pin::new(greenlet).poll(&mut Context::from_waker(waker))
}

#[test]
fn ready_at_once_when_it_has_ended() {
    let _watchdog = watchdog();
    let mut greenlet = rustlet::spawn(|| "value");
    greenlet.wait().unwrap();
    assert!(matches!(
        poll(&mut greenlet, Waker::noop()),
        Poll::Ready(Ok("value"))
    ));
}

#[test]
fn it_tells_how_it_ended() {
    let _watchdog = watchdog();
    block_on(async {
        assert_eq!(rustlet::spawn(|| 1).await.unwrap(), 1);
        let panicked = rustlet::spawn(|| std::panic::resume_unwind(Box::new(3_u8)));
        assert!(panicked.await.unwrap_err().is_panic());
        let killed = rustlet::spawn(|| rustlet::sleep(Duration::MAX));
        killed.kill_nowait();
        assert!(killed.await.unwrap_err().is_killed());
        assert_eq!(
            *rustlet::spawn_local(|| std::rc::Rc::new(2)).await.unwrap(),
            2
        );
    });
}

#[test]
fn the_last_waker_is_woken_once() {
    let _watchdog = watchdog();
    let (first, last) = (Arc::new(Count::default()), Arc::new(Count::default()));
    let mut greenlet = rustlet::spawn(|| 5);
    assert!(poll(&mut greenlet, &first.clone().into()).is_pending());
    assert_eq!(Arc::strong_count(&first), 2);
    assert!(poll(&mut greenlet, &last.clone().into()).is_pending());
    assert_eq!(Arc::strong_count(&first), 1, "replaced, and dropped");
    let waker = last.clone().into();
    assert!(poll(&mut greenlet, &waker).is_pending());
    assert!(poll(&mut greenlet, &waker).is_pending());
    rustlet::yield_now();
    assert_eq!((first.get(), last.get()), (0, 1));
    assert!(matches!(poll(&mut greenlet, &waker), Poll::Ready(Ok(5))));
}

#[test]
fn beside_those_who_wait_and_links() {
    let _watchdog = watchdog();
    let mut greenlet = rustlet::spawn(|| rustlet::sleep(Duration::from_millis(5)));
    let handle = greenlet.handle();
    let count = Arc::new(Count::default());
    let linked = Counter::default();
    let joiner = rustlet::spawn({
        let handle = handle.clone();
        move || handle.wait().unwrap()
    });
    rustlet::yield_now();
    assert!(poll(&mut greenlet, &count.clone().into()).is_pending());
    let guard = linked.on_drop();
    handle.link(move |_| drop(guard));
    handle.wait().unwrap();
    joiner.join().unwrap();
    assert_eq!(count.get(), 1);
    block_on(&mut greenlet).unwrap();
    rustlet::yield_now();
    assert_eq!(linked.get(), 1);
}

#[test]
fn a_dropped_future_takes_its_waker_along() {
    let _watchdog = watchdog();
    let count = Arc::new(Count::default());
    let ended = Counter::default();
    let guard = ended.on_drop();
    let mut greenlet = rustlet::spawn(move || drop(guard));
    let handle = greenlet.handle();
    assert!(poll(&mut greenlet, &count.clone().into()).is_pending());
    drop(greenlet);
    assert_eq!(Arc::strong_count(&count), 1);
    handle.wait().unwrap(); // it is detached, not killed
    assert_eq!((ended.get(), count.get()), (1, 0));
}

#[test]
fn an_outcome_is_taken_once() {
    let _watchdog = watchdog();
    let dropped = Counter::default();
    let guard = dropped.on_drop();
    let mut greenlet = rustlet::spawn(move || guard);
    let value = block_on(&mut greenlet).unwrap();
    let polled = catch_unwind(AssertUnwindSafe(|| drop(block_on(&mut greenlet)))).unwrap_err();
    let joined = catch_unwind(AssertUnwindSafe(|| drop(greenlet.join()))).unwrap_err();
    for payload in [polled, joined] {
        let message = payload.downcast::<String>().unwrap();
        assert!(message.contains("taken once"), "{message}");
    }
    assert_eq!(dropped.get(), 0);
    drop(value);
    assert_eq!(dropped.get(), 1);
}

#[test]
fn a_greenlet_that_waits_for_itself_is_told_so() {
    let _watchdog = watchdog();
    let (give, take) = mpsc::channel::<Greenlet<()>>();
    let greenlet = rustlet::spawn(move || {
        let me = take.recv().unwrap();
        assert!(catch_unwind(AssertUnwindSafe(|| block_on(me))).is_err());
    });
    let handle = greenlet.handle();
    give.send(greenlet).unwrap();
    handle.wait().unwrap();
    assert!(handle.is_successful());
}

#[test]
fn in_tokios_executor_on_another_thread() {
    let _watchdog = watchdog();
    let (send, receive) = mpsc::channel();
    let thread = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let tasks: Vec<_> = receive
                .iter()
                .map(|g: Greenlet<u32>| tokio::spawn(g))
                .collect();
            let mut sum = 0;
            for task in tasks {
                sum += task.await.unwrap().unwrap();
            }
            sum
        })
    });
    let mut handles = Vec::new();
    for n in 0..100 {
        let greenlet = rustlet::spawn(move || {
            rustlet::sleep(Duration::from_millis(u64::from(n % 7)));
            n
        });
        handles.push(greenlet.handle());
        send.send(greenlet).unwrap();
    }
    drop(send);
    handles.iter().for_each(|handle| handle.wait().unwrap());
    assert_eq!(thread.join().unwrap(), 4950);
}

#[test]
fn in_block_on_across_threads() {
    let _watchdog = watchdog();
    for _ in 0..100 {
        let greenlet = rustlet::spawn(|| {
            rustlet::yield_now();
            7
        });
        let handle = greenlet.handle();
        let thread = thread::spawn(move || {
            let waiting = rustlet::spawn(move || block_on(greenlet).unwrap());
            waiting.join().unwrap()
        });
        handle.wait().unwrap();
        assert_eq!(thread.join().unwrap(), 7);
    }
}

#[test]
fn the_end_of_its_thread_wakes_it() {
    let _watchdog = watchdog();
    let (send, receive) = mpsc::channel();
    let (polled, go_on) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        send.send(rustlet::spawn(|| rustlet::sleep(Duration::MAX)))
            .unwrap();
        rustlet::yield_now();
        go_on.recv().unwrap();
    });
    let mut greenlet = receive.recv().unwrap();
    let mut polled = Some(polled);
    let outcome = block_on(poll_fn(|cx| {
        let poll = Pin::new(&mut greenlet).poll(cx);
        polled.take(); // the thread ends
        poll
    }));
    assert!(outcome.is_err());
    thread.join().unwrap_err(); // its channel was closed: it panicked
}
