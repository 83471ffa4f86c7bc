//! `unblock`: the value, the panic, the others meanwhile; where it runs on the caller's thread.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;

use rustlet::sync::{Event, mpmc};
use rustlet::{spawn, spawn_blocking, unblock, yield_now};

#[test]
fn the_value_comes_back_from_another_thread() {
    let _watchdog = support::watchdog();
    let here = thread::current().id();
    assert_ne!(unblock(|| thread::current().id()), here);
    assert_ne!(
        spawn(|| unblock(|| thread::current().id())).join().unwrap(),
        here
    );
}

#[test]
fn the_others_go_on_meanwhile() {
    let _watchdog = support::watchdog();
    // The job ends when a greenlet of the thread that waits for it says so.
    for from_greenlet in [false, true] {
        let (tell, told) = mpsc::channel();
        spawn(move || tell.send(7).unwrap());
        let wait = move || unblock(move || told.recv().unwrap());
        let answer = match from_greenlet {
            true => spawn(wait).join().unwrap(),
            false => wait(),
        };
        assert_eq!(answer, 7);
    }
}

#[test]
fn a_panic_comes_back_with_its_payload() {
    let _watchdog = support::watchdog();
    let caught = catch_unwind(|| unblock(|| std::panic::panic_any(42))).unwrap_err();
    assert_eq!(*caught.downcast::<i32>().unwrap(), 42);
    let error = spawn(|| unblock(|| std::panic::panic_any("text")))
        .join()
        .unwrap_err();
    let payload = error.try_into_panic().unwrap();
    assert_eq!(*payload.downcast::<&str>().unwrap(), "text");
    let job = spawn_blocking(|| std::panic::panic_any(43));
    assert_eq!(*job.join().unwrap_err().downcast::<i32>().unwrap(), 43);
    // The threads have survived that.
    assert_eq!(unblock(|| 1), 1);
}

#[test]
fn a_job_in_a_job_runs_there() {
    let _watchdog = support::watchdog();
    let (outer, inner, spawned) = unblock(|| {
        let inner = unblock(|| unblock(|| thread::current().id()));
        let spawned = spawn_blocking(|| thread::current().id()).join().unwrap();
        (thread::current().id(), inner, spawned)
    });
    assert_eq!((inner, spawned), (outer, outer));
}

#[test]
fn a_job_may_use_greenlets_of_its_own() {
    let _watchdog = support::watchdog();
    let sum: i32 = unblock(|| {
        let greenlets = Vec::from_iter((0..10).map(|n| {
            spawn(move || {
                yield_now();
                unblock(move || n)
            })
        }));
        greenlets.into_iter().map(|g| g.join().unwrap()).sum()
    });
    assert_eq!(sum, 45);
}

#[test]
fn while_unwinding_it_runs_here() {
    let _watchdog = support::watchdog();
    struct Asks(mpsc::Sender<thread::ThreadId>);
    impl Drop for Asks {
        fn drop(&mut self) {
            self.0.send(unblock(|| thread::current().id())).unwrap();
            let job = spawn_blocking(|| thread::current().id());
            self.0.send(job.join().unwrap()).unwrap();
        }
    }
    let (tell, told) = mpsc::channel();
    let asks = Asks(tell.clone());
    let waiting = spawn(move || {
        let _asks = asks;
        rustlet::sleep(std::time::Duration::MAX);
    });
    yield_now();
    waiting.kill().unwrap();
    let asks = Asks(tell);
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let _asks = asks;
        std::panic::resume_unwind(Box::new(()));
    }));
    let ids = Vec::from_iter(told.try_iter());
    assert_eq!(ids, [thread::current().id(); 4]);
}

#[test]
fn a_handle_can_be_joined_while_unwinding() {
    let _watchdog = support::watchdog();
    struct Joins(
        Option<rustlet::offload::Offloaded<i32>>,
        mpsc::Sender<()>,
        mpsc::Sender<i32>,
    );
    impl Drop for Joins {
        fn drop(&mut self) {
            self.1.send(()).unwrap(); // not before, or it might have ended already
            self.2.send(self.0.take().unwrap().join().unwrap()).unwrap();
        }
    }
    let (go, wait) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    let job = spawn_blocking(move || wait.recv().map(|()| 5).unwrap());
    let _ = catch_unwind(AssertUnwindSafe(move || {
        let _joins = Joins(Some(job), go, tell);
        std::panic::resume_unwind(Box::new(()));
    }));
    assert_eq!(told.recv(), Ok(5));
}

#[test]
fn from_several_hubs_and_plain_threads() {
    let _watchdog = support::watchdog();
    let jobs = 200 / support::slowdown().min(10);
    let threads = [(); 4].map(|()| {
        thread::spawn(move || {
            let greenlets = Vec::from_iter((0..jobs).map(|n| spawn(move || unblock(move || n))));
            let here: u32 = (0..jobs).map(|n| unblock(move || n)).sum();
            let theirs: u32 = greenlets.into_iter().map(|g| g.join().unwrap()).sum();
            assert_eq!(here, theirs);
            here
        })
    });
    for thread in threads {
        assert_eq!(thread.join().unwrap(), jobs * (jobs - 1) / 2);
    }
}

#[test]
fn a_job_and_its_caller_may_talk() {
    let _watchdog = support::watchdog();
    // The job waits in rustlet's own channel, on a hub of its own.
    let (questions, asked) = mpmc::bounded(1);
    let (answers, answered) = mpmc::bounded(1);
    let job = spawn_blocking(move || {
        for question in asked.iter() {
            answers.send(question * 2).unwrap();
        }
    });
    for n in 0..100 {
        questions.send(n).unwrap();
        assert_eq!(answered.recv(), Ok(2 * n));
    }
    drop(questions);
    job.join().unwrap();
}

#[test]
fn nothing_is_called_a_deadlock_while_a_job_runs() {
    if !support::is_child() {
        return support::child("nothing_is_called_a_deadlock_while_a_job_runs")
            .run()
            .assert_passed();
    }
    // libtest's own thread is another that could end a wait; those of the pool have to do without it.
    let event = std::sync::Arc::new(Event::new());
    unblock(|| ()); // leaves an idle thread behind
    let set = event.clone();
    let (go, wait) = mpsc::channel();
    let job = spawn_blocking(move || {
        wait.recv().unwrap();
        set.set();
    });
    let waiting = event.clone();
    let greenlet = spawn(move || waiting.wait());
    spawn(move || go.send(()).unwrap());
    event.wait(); // on the thread's own stack, which is where a deadlock is reported
    greenlet.join().unwrap();
    job.join().unwrap();
}
