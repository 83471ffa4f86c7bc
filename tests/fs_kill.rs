//! Kills and timeouts of file operations: the job goes on, owns what it needs, and keeps its place.

mod support;

use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustlet::fs::{self, File, OpenOptions};
use rustlet::offload::{self, Limits};
use rustlet::{spawn, spawn_blocking, timeout, yield_now};

fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        yield_now();
    }
}

/// In a child whose files all need the pool, which has one thread.
fn with_one_thread(test: &str, f: impl FnOnce()) {
    if !support::is_child() {
        return support::child(test)
            .env("RUSTLET_NOWAIT", "none")
            .run()
            .assert_passed();
    }
    let _watchdog = support::watchdog();
    offload::set_limits(Limits::new().threads(1)).unwrap();
    // The hub has the descriptors that it needs before anybody counts.
    rustlet::unblock(|| std::thread::sleep(Duration::from_millis(5)));
    assert!(timeout(Duration::from_millis(1), rustlet::park).is_err());
    f();
}

/// Keeps the pool's thread busy until the returned sender is dropped.
fn block_pool() -> mpsc::Sender<()> {
    let (go, wait) = mpsc::channel();
    let (started, start) = mpsc::channel();
    drop(spawn_blocking(move || {
        started.send(()).unwrap();
        let _ = wait.recv();
    }));
    start.recv().unwrap();
    go
}

/// A hub has a bell, a descriptor, once it has slept.
fn warm_up() {
    rustlet::sleep(Duration::from_millis(1));
}

#[test]
fn a_killed_write_is_written_before_what_comes_later() {
    with_one_thread("a_killed_write_is_written_before_what_comes_later", || {
        let file = Arc::new(File::from(tempfile::tempfile().unwrap()));
        let busy = block_pool();
        let theirs = file.clone();
        let writer = spawn(move || {
            let data = vec![b'a'; 1000]; // freed by the kill, long before it is written
            (&*theirs).write_all(&data).unwrap();
        });
        until(|| offload::stats().queued == 1);
        writer.kill().unwrap();
        // The position is still the killed write's, and this has to wait for it.
        let elapsed = timeout(Duration::from_millis(5), || (&*file).stream_position());
        assert!(elapsed.is_err());
        drop(vec![b'x'; 1000]);
        let theirs = file.clone();
        let later = spawn(move || (&*theirs).write_all(b"later").unwrap());
        yield_now();
        drop(busy);
        later.join().unwrap();
        (&*file).rewind().unwrap();
        let mut text = String::new();
        (&*file).read_to_string(&mut text).unwrap();
        assert_eq!(text, "a".repeat(1000) + "later");
    });
}

#[test]
fn a_killed_read_moves_the_position_and_a_killed_read_at_does_not() {
    with_one_thread(
        "a_killed_read_moves_the_position_and_a_killed_read_at_does_not",
        || {
            let file = Arc::new(File::from(tempfile::tempfile().unwrap()));
            (&*file).write_all(b"0123456789").unwrap();
            (&*file).rewind().unwrap();
            let busy = block_pool();
            let readers = [true, false].map(|at| {
                let file = file.clone();
                spawn(move || match at {
                    true => file.read_at(&mut [0; 2], 5).unwrap(),
                    false => (&*file).read(&mut [0; 4]).unwrap(),
                })
            });
            until(|| offload::stats().queued == 2);
            for reader in readers {
                reader.kill().unwrap();
            }
            drop(busy);
            assert_eq!((&*file).stream_position().unwrap(), 4);
        },
    );
}

#[test]
fn a_write_that_waits_for_its_turn_has_not_happened_when_it_is_killed() {
    with_one_thread(
        "a_write_that_waits_for_its_turn_has_not_happened_when_it_is_killed",
        || {
            let file = Arc::new(File::from(tempfile::tempfile().unwrap()));
            let busy = block_pool();
            let writers = ["first", "second"].map(|text| {
                let file = file.clone();
                spawn(move || (&*file).write_all(text.as_bytes()).unwrap())
            });
            until(|| offload::stats().queued == 1);
            let [first, second] = writers;
            second.kill().unwrap();
            drop(busy);
            first.join().unwrap();
            assert_eq!(file.metadata().unwrap().len(), 5);
        },
    );
}

#[test]
fn a_file_that_a_job_still_has_can_be_given_up() {
    with_one_thread("a_file_that_a_job_still_has_can_be_given_up", || {
        let file = File::from(tempfile::tempfile().unwrap());
        warm_up();
        let fds = support::open_fds();
        let busy = block_pool();
        let elapsed = timeout(Duration::from_millis(5), || (&file).write(b"text"));
        assert!(elapsed.is_err());
        let mut file = std::fs::File::from(file); // another descriptor
        assert_eq!(file.metadata().unwrap().len(), 0);
        drop(busy);
        // The job's is closed at its end.
        until(|| support::open_fds() == fds);
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
    });
}

#[test]
fn a_killed_open_is_closed_and_leaks_nothing() {
    with_one_thread("a_killed_open_is_closed_and_leaks_nothing", || {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new");
        warm_up();
        let fds = support::open_fds();
        let busy = block_pool();
        let theirs = path.clone();
        let opener = spawn(move || File::create(theirs).unwrap());
        until(|| offload::stats().queued == 1);
        opener.kill().unwrap();
        drop(busy);
        assert_eq!(fs::read(&path).unwrap(), b"", "it was made all the same");
        assert_eq!(support::open_fds(), fds);
    });
}

#[test]
fn a_read_dir_that_is_interrupted_loses_no_entry() {
    with_one_thread("a_read_dir_that_is_interrupted_loses_no_entry", || {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..500 {
            std::fs::write(dir.path().join(n.to_string()), "").unwrap();
        }
        let mut entries = fs::read_dir(dir.path()).unwrap();
        let mut count = 0;
        loop {
            let busy = block_pool();
            let next = timeout(Duration::from_millis(1), || entries.next());
            drop(busy);
            match next {
                Ok(Some(entry)) => {
                    entry.unwrap();
                    count += 1;
                }
                Ok(None) => break,
                Err(_) => {
                    // What the interrupted call has asked for is there by now, or comes with this.
                    entries.next().unwrap().unwrap();
                    count += 1;
                }
            }
        }
        assert_eq!(count, 500);
    });
}

#[test]
fn a_fifo_is_waited_for_by_readiness_and_loses_nothing() {
    let _watchdog = support::watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    // Opening waits for the other end, on the pool, and the others go on.
    let reader = {
        let path = path.clone();
        spawn(move || File::open(path))
    };
    let mut write = OpenOptions::new().write(true).open(&path).unwrap();
    let mut read = reader.join().unwrap().unwrap();
    until(|| offload::stats().running == 0); // a job counts for a moment longer than its caller waits
    let mut buf = [0; 100];
    for _ in 0..3 {
        // A kill of a wait for readiness takes nothing.
        assert!(timeout(Duration::from_millis(2), || read.read(&mut buf)).is_err());
        assert_eq!(offload::stats().running, 0, "no thread waits for it");
        write.write_all(b"hello").unwrap();
        assert_eq!(read.read(&mut buf).unwrap(), 5);
    }
    // Full, and emptied again.
    let data = Vec::from_iter((0..300_000u32).map(|n| n as u8));
    let expected = data.clone();
    let writer = spawn(move || {
        write.write_all(&data).unwrap();
    });
    let mut all = Vec::new();
    read.read_to_end(&mut all).unwrap();
    writer.join().unwrap();
    assert!(all == expected);
    assert_eq!(
        (&read).seek(io::SeekFrom::Start(0)).unwrap_err().kind(),
        io::ErrorKind::NotSeekable
    );
    // Still as it was: blocking.
    assert!(
        !rustix::fs::fcntl_getfl(&read)
            .unwrap()
            .contains(rustix::fs::OFlags::NONBLOCK)
    );
}

#[test]
fn a_file_that_may_not_grow() {
    if !support::is_child() {
        return support::child("a_file_that_may_not_grow")
            .run()
            .assert_passed();
    }
    // Ignored signals are inherited, and ignoring needs no unsafe code here when a shell does it.
    if std::env::var_os("LIMITED").is_none() {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$@\"", "sh"]);
        if let Ok(runner) = std::env::var("RUSTLET_TEST_RUNNER") {
            shell.args(runner.split_whitespace());
        }
        shell.arg(std::env::current_exe().unwrap());
        shell.args([
            "a_file_that_may_not_grow",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ]);
        assert!(shell.env("LIMITED", "1").status().unwrap().success());
        return;
    }
    let _watchdog = support::watchdog();
    let mut ours = File::from(tempfile::tempfile().unwrap());
    let mut stds = tempfile::tempfile().unwrap();
    let data = vec![1; 1 << 20];
    // A short write up to the limit, and then the error.
    let written = ours.write(&data).unwrap();
    assert_eq!(written, stds.write(&data).unwrap());
    assert!(written > 0 && written < data.len());
    let (ours, stds) = (
        ours.write(&data).unwrap_err(),
        stds.write(&data).unwrap_err(),
    );
    assert_eq!(ours.to_string(), stds.to_string());
    assert_eq!(ours.kind(), io::ErrorKind::FileTooLarge);
}
