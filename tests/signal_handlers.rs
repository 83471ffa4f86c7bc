//! Our handler among others: the one before it is called, the default action stays away until it is put back, errno is kept,
//! and children start without.
#![allow(unsafe_code)] // Installs handlers.

mod support;

use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use rustix::process::{Signal, getpid, kill_process};
use rustlet::process::{Command, Stdio};
use rustlet::signal::{SignalKind, restore, signal};

static PLAIN: AtomicI32 = AtomicI32::new(0);
static DETAILED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn plain(signal: libc::c_int) {
    PLAIN.store(signal, Ordering::SeqCst);
    // What a careless handler does to the code it interrupts is not our handler's business.
}

extern "C" fn detailed(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel's, handed on.
    let from = unsafe { ((*info).si_signo, (*info).si_pid()) };
    let us = i32::try_from(std::process::id()).unwrap();
    if from == (signal, us) && !context.is_null() {
        DETAILED.fetch_add(1, Ordering::SeqCst);
    }
}

fn install(signal: libc::c_int, handler: usize, flags: libc::c_int) {
    // SAFETY: an all-zero action is valid; the handlers above obey the rules.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        assert_eq!(libc::sigaction(signal, &action, std::ptr::null_mut()), 0);
    }
}

fn action(signal: libc::c_int) -> libc::sigaction {
    // SAFETY: only reads the action in force.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        assert_eq!(libc::sigaction(signal, std::ptr::null(), &mut action), 0);
        action
    }
}

fn send(signal: Signal) {
    kill_process(getpid(), signal).unwrap();
}

#[test]
fn the_handler_before_ours_is_called() {
    let _watchdog = support::watchdog();
    install(libc::SIGUSR1, plain as *const () as usize, 0);
    let signals = signal(SignalKind::user_defined1()).unwrap();
    send(Signal::USR1);
    assert_eq!(signals.recv().unwrap(), 1);
    while PLAIN.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now(); // on whichever thread it runs
    }
    assert_eq!(PLAIN.swap(0, Ordering::SeqCst), libc::SIGUSR1);
    assert_eq!(
        action(libc::SIGUSR1).sa_flags & libc::SA_ONSTACK,
        0,
        "it expects the stack of the code that it interrupts"
    );
    assert!(restore(SignalKind::user_defined1()).unwrap());
    assert_eq!(
        action(libc::SIGUSR1).sa_sigaction,
        plain as *const () as usize
    );
    assert!(!restore(SignalKind::user_defined1()).unwrap());

    let flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    install(libc::SIGUSR2, detailed as *const () as usize, flags);
    let signals = signal(SignalKind::user_defined2()).unwrap();
    for _ in 0..3 {
        send(Signal::USR2);
        assert_eq!(signals.recv().unwrap(), 1);
    }
    while DETAILED.load(Ordering::SeqCst) < 3 {
        std::thread::yield_now();
    }
    assert_ne!(action(libc::SIGUSR2).sa_flags & libc::SA_ONSTACK, 0);
}

/// One that was installed after ours and hands on to it: calling that back would never end.
#[test]
fn a_handler_after_ours() {
    static OURS: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn after(
        signal: libc::c_int,
        info: *mut libc::siginfo_t,
        context: *mut libc::c_void,
    ) {
        // SAFETY: what was in force, with SA_SIGINFO.
        let ours: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
            unsafe { std::mem::transmute(OURS.load(Ordering::SeqCst)) };
        ours(signal, info, context);
    }
    let _watchdog = support::watchdog();
    let kind = SignalKind::window_change();
    let first = signal(kind).unwrap();
    OURS.store(action(libc::SIGWINCH).sa_sigaction, Ordering::SeqCst);
    install(
        libc::SIGWINCH,
        after as *const () as usize,
        libc::SA_SIGINFO,
    );
    let second = signal(kind).unwrap();
    send(Signal::WINCH);
    assert_eq!((first.recv().unwrap(), second.recv().unwrap()), (1, 1));
    assert!(!restore(kind).unwrap(), "it is not ours to replace");
    // Gone, and somebody listens again: ours is back.
    install(libc::SIGWINCH, libc::SIG_DFL, 0);
    let third = signal(kind).unwrap();
    send(Signal::WINCH);
    assert_eq!((first.recv().unwrap(), third.recv().unwrap()), (1, 1));
}

#[test]
fn errno_is_kept() {
    let _watchdog = support::watchdog();
    let signals = signal(SignalKind::io()).unwrap();
    // SAFETY: this thread's errno, and a signal that is handled.
    unsafe {
        *libc::__errno_location() = 12345;
        assert_eq!(libc::raise(libc::SIGIO), 0);
        assert_eq!(*libc::__errno_location(), 12345);
    }
    assert_eq!(signals.recv().unwrap(), 1);
}

#[test]
fn the_default_action_comes_back_when_asked_for() {
    if support::is_child() {
        let kind = SignalKind::terminate();
        drop(signal(kind).unwrap());
        send(Signal::TERM);
        let signals = signal(kind).unwrap();
        rustlet::sleep(std::time::Duration::from_millis(1));
        println!("it stays away when nobody listens");
        assert!(restore(kind).unwrap());
        send(Signal::TERM);
        let _ = signals.recv();
        unreachable!("ended by the signal");
    }
    let _watchdog = support::watchdog();
    let outcome = support::child("the_default_action_comes_back_when_asked_for").run();
    assert_eq!(outcome.signal(), Some(libc::SIGTERM), "{outcome:?}");
    assert!(outcome.stdout.contains("it stays away"), "{outcome:?}");
}

#[test]
fn children_start_with_default_actions() {
    let _watchdog = support::watchdog();
    let _signals = signal(SignalKind::quit()).unwrap();
    let mut child = Command::new("sh");
    child
        .args(["-c", "ulimit -c 0; kill -QUIT $$; exit 1"])
        .stderr(Stdio::null());
    let forked = {
        let mut child = Command::new("sh");
        child.args(["-c", "ulimit -c 0; kill -QUIT $$; exit 1"]);
        // SAFETY: it does nothing. It has std fork.
        unsafe { child.pre_exec(|| Ok(())) };
        child.status().unwrap()
    };
    assert_eq!(child.status().unwrap().signal(), Some(libc::SIGQUIT));
    assert_eq!(forked.signal(), Some(libc::SIGQUIT));
}
