//! What children leave behind: no descriptors, no threads, no zombies. And what happens when descriptors run out.

mod support;

use std::io::Read;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, WaitId, WaitIdOptions, setrlimit};
use rustlet::process::{Child, Command, Stdio};
use rustlet::spawn;

/// Whether this process has children at all, ended or not.
fn has_children() -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(
        rustix::process::waitid(WaitId::All, options),
        Err(rustix::io::Errno::CHILD)
    )
}

/// Has the hub take the descriptors that it needs for waiting, and keeps.
fn warm_up() {
    let (mut reader, _writer) = rustlet::io::pipe().unwrap();
    let limit = Duration::from_millis(1);
    assert!(rustlet::timeout(limit, || reader.read(&mut [0])).is_err());
}

/// Whether the process is there, be it as a zombie.
fn exists(id: u32) -> bool {
    std::path::Path::new(&format!("/proc/{id}")).exists()
}

fn two_hundred_at_once() {
    warm_up();
    assert!(!has_children());
    let (fds, threads) = (support::open_fds(), support::thread_count());
    let children: Vec<_> = (0..200)
        .map(|n| {
            spawn(move || {
                Command::new("sh")
                    .args(["-c", &format!("echo {n}; echo no >&2; exit {}", n % 7)])
                    .output()
            })
        })
        .collect();
    for (n, child) in children.into_iter().enumerate() {
        let output = child.join().unwrap().unwrap();
        assert_eq!(output.stdout, format!("{n}\n").as_bytes());
        assert_eq!(output.status.code(), Some(i32::try_from(n % 7).unwrap()));
    }
    assert!(!has_children());
    assert_eq!(support::open_fds(), fds);
    // A waiting thread has told of the end a moment before it ends itself.
    support::threads_settle(threads, "after 200 children");
}

#[test]
fn two_hundred_children() {
    if support::is_child() {
        return two_hundred_at_once();
    }
    let _watchdog = support::watchdog_of(Duration::from_secs(120));
    for pidfd in ["auto", "none"] {
        support::child("two_hundred_children")
            .env("RUSTLET_PIDFD", pidfd)
            .limit(Duration::from_secs(100))
            .run()
            .assert_passed();
    }
}

/// Dropped children are reaped as others come and go.
#[test]
fn dropped_children_are_reaped() {
    if !support::is_child() {
        let _watchdog = support::watchdog();
        return support::child("dropped_children_are_reaped")
            .run()
            .assert_passed();
    }
    let sleeper = |kill| -> Child {
        let mut command = Command::new("sleep");
        command.arg("1000").kill_on_drop(kill).spawn().unwrap()
    };
    // Long-lived ones in front of the list do not hide those behind them.
    let living: Vec<_> = (0..20).map(|_| sleeper(false)).collect();
    let processes: Vec<_> = living.iter().map(Child::process).collect();
    let ids: Vec<_> = processes.iter().map(|process| process.id()).collect();
    drop(living);
    assert!(ids.iter().all(|&id| exists(id)), "dropping kills nobody");
    drop(processes);
    assert!(ids.iter().all(|&id| exists(id)), "nor does the last handle");
    let mut quick: Vec<_> = (0..100)
        .map(|_| Command::new("true").spawn().unwrap().id())
        .collect();
    while !quick.is_empty() {
        assert!(Command::new("true").status().unwrap().success());
        quick.retain(|&id| exists(id));
    }
    // And those that are killed on drop.
    let killed: Vec<_> = (0..20).map(|_| sleeper(true)).collect();
    let mut killed: Vec<_> = killed.into_iter().map(|child| child.id()).collect();
    while !killed.is_empty() {
        assert!(Command::new("true").status().unwrap().success());
        killed.retain(|&id| exists(id));
    }
    for id in ids {
        let pid = rustix::process::Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
    while has_children() {
        Command::new("true").status().unwrap();
    }
}

/// Descriptors run out: spawning says what std's says, and a child that runs can still be waited for.
#[test]
fn no_descriptor_left() {
    if !support::is_child() {
        let _watchdog = support::watchdog();
        return support::child("no_descriptor_left").run().assert_passed();
    }
    warm_up();
    let (mut reader, writer) = rustlet::io::pipe().unwrap();
    let mut command = Command::new("cat");
    command.stdin(reader.try_clone().unwrap());
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    drop(command); // it holds the end that it has passed on
    let mut piped = Command::new("cat");
    piped.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut std = std::process::Command::new("cat");
    std.stdin(Stdio::piped()).stdout(Stdio::piped());

    let used = support::open_fds() as u64;
    let limit = Rlimit {
        current: Some(used),
        maximum: rustix::process::getrlimit(Resource::Nofile).maximum,
    };
    setrlimit(Resource::Nofile, limit).unwrap();
    let mut fill = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        fill.push(file);
    }
    let error = piped.spawn().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(24), "EMFILE");
    let theirs = std.spawn().unwrap_err();
    assert_eq!(format!("{error:?}"), format!("{theirs:?}"));

    assert_eq!(child.wait_timeout(Duration::from_millis(5)).unwrap(), None);
    let closer = spawn(move || {
        rustlet::sleep(Duration::from_millis(5));
        drop(writer);
    });
    assert!(child.wait().unwrap().success());
    closer.join().unwrap();
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
}
