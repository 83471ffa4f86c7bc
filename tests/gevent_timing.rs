//! Everything that waits keeps its limit, lets an outer limit pass, can be killed, and loses nothing by
//! that. The properties are in `timing/mod.rs`; here is what they are checked on.
//!
//! After gevent's uses of its generic timing tests (MIT): TestJoin, TestGet, TestJoinAll of
//! `test__greenlet.py`, TestEventWait, TestAsyncResultWait and TestAsyncResultGet of `test__event.py`,
//! the Interrupt tests of `test__queue.py`, TestJoinSleep of `test__pool.py`, TestSleep and
//! TestWaiterGet of `test__hub.py`; and what std has and gevent lacks.

mod support;
mod timing;

use std::cell::Cell;
use std::panic::catch_unwind;
use std::rc::Rc;
use std::time::Duration;

use rustlet::{
    Greenlet, joinall, killall, killall_timeout, park, sleep, spawn, spawn_local, timeout,
    yield_now,
};
use timing::ends::*;
use timing::events::*;
use timing::groups::*;
use timing::locks::*;
use timing::queues::*;
use timing::selects::*;
use timing::{HOUR, SHORT, takes, waited};

waited! {
    all_of_greenlets: AllOfGreenlets,
    async_result_get: AsyncResultGet,
    async_result_wait: AsyncResultWait,
    bounded_semaphore_acquire: BoundedSemaphoreAcquire,
    channel_get: ChannelGet,
    channel_put: ChannelPut,
    condvar_wait: CondvarWait,
    event_wait: EventWait,
    greenlet_kill: GreenletKill,
    greenlet_wait: GreenletWait,
    group_join: GroupJoin,
    group_kill: GroupKill,
    lifo_get: LifoGet,
    lifo_put: LifoPut,
    mpmc_receive: Receive<1>,
    mpmc_receive_rendezvous: Receive<0>,
    mpmc_send: Send<1>,
    mpmc_send_rendezvous: Send<0>,
    mutex_lock: MutexLock,
    once_lock_get: OnceLockGet,
    once_wait: OnceWait,
    one_of_events: OneOfEvents,
    pool_join: PoolJoin,
    pool_spawn: PoolSpawn,
    pool_wait_available: PoolWaitAvailable,
    priority_get: PriorityGet,
    priority_put: PriorityPut,
    queue_get: QueueGet,
    queue_join: QueueJoin,
    queue_peek: QueuePeek,
    queue_put: QueuePut,
    reentrant_mutex_lock: ReentrantMutexLock,
    rwlock_read: RwLockRead,
    rwlock_write: RwLockWrite,
    select_receive: SelectReceive,
    select_send: SelectSend,
    select_wait: SelectWait,
    semaphore_acquire: SemaphoreAcquire,
    wait_group_wait: WaitGroupWait,
}

#[test]
fn barrier_wait() {
    timing::keeps_its_limit::<BarrierWait>();
    timing::zero_does_not_wait::<BarrierWait>();
    timing::outer_limit_passes::<BarrierWait>();
}

// ---------------------------------------------------------------------------- what ends by itself

/// Runs `check` on the thread's own stack and in a greenlet.
fn everywhere(check: fn()) {
    let _watchdog = support::watchdog();
    check();
    spawn_local(check).join().unwrap();
}

#[test]
fn sleep_keeps_its_time() {
    everywhere(|| {
        takes(4 * SHORT, || sleep(4 * SHORT));
        let outer = takes(SHORT, || timeout(SHORT, || sleep(HOUR)));
        outer.unwrap_err();
        let inner = timeout(HOUR, || takes(SHORT, || sleep(SHORT)));
        inner.unwrap();

        let sleeper = spawn(|| sleep(HOUR));
        yield_now();
        takes(Duration::ZERO, || sleeper.kill().unwrap());
    });
}

#[test]
fn join_keeps_its_limit_and_lets_an_outer_one_pass() {
    everywhere(|| {
        let target = spawn(|| {
            park().unwrap();
            "joined"
        });
        let handle = target.handle();
        let target = takes(Duration::ZERO, || target.join_timeout(Duration::ZERO));
        let target = takes(SHORT, || target.unwrap_err().join_timeout(SHORT));
        let target = timeout(HOUR, || target.unwrap_err().join_timeout(SHORT)).unwrap();
        handle.unpark();
        let joined = target.unwrap_err().join_timeout(HOUR);
        assert_eq!(joined.unwrap().unwrap(), "joined");

        // An outer limit takes the handle along, and the greenlet goes on.
        let passed = support::Counter::default();
        let joins: [fn(Greenlet<()>); 2] = [
            |target| target.join().unwrap(),
            |target| drop(target.join_timeout(HOUR)),
        ];
        for join in joins {
            let counted = passed.clone();
            let target = spawn(move || {
                park().unwrap();
                counted.add();
            });
            let handle = target.handle();
            let outer = takes(SHORT, || timeout(SHORT, || join(target)));
            outer.unwrap_err();
            handle.unpark();
            yield_now();
        }
        assert_eq!(passed.get(), 2);
    });
}

#[test]
fn an_outer_limit_passes_through_joinall_and_killall() {
    everywhere(|| {
        let spawn_three = || [(); 3].map(|()| spawn(|| sleep(HOUR)));
        let outer = takes(SHORT, || timeout(SHORT, || joinall(spawn_three()).len()));
        outer.unwrap_err();

        let stubborn = [(); 3].map(|()| spawn(|| while catch_unwind(yield_now).is_ok() {}));
        yield_now();
        takes(Duration::ZERO, || killall(&stubborn).unwrap());
        assert!(stubborn.iter().all(|greenlet| greenlet.is_finished()));

        let (told, heard) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
        let stubborn = [(); 3].map(|()| {
            let (told, heard) = (told.clone(), heard.clone());
            spawn_local(move || {
                while !told.get() {
                    let caught = catch_unwind(|| sleep(HOUR));
                    heard.set(heard.get() + usize::from(caught.is_err()));
                }
            })
        });
        yield_now();
        let outer = takes(SHORT, || timeout(SHORT, || killall(&stubborn)));
        outer.map(drop).unwrap_err();
        assert!(!takes(SHORT, || killall_timeout(&stubborn, SHORT)));
        assert!(heard.get() >= 3, "all were killed");
        told.set(true);
        assert!(killall_timeout(&stubborn, HOUR));
    });
}
