//! Standard input, output and error in child processes: pipes, files, terminals, nothing at all.

mod support;

use std::fs::File;
use std::io::{BufRead, Read, Seek, Write};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::OFlags;
use rustlet::io::{stderr, stdin, stdout};
use rustlet::{spawn, yield_now};

/// What the child does with its standard descriptors; libtest prints around it.
const MARK: &str = "----";

/// The test called `test`, in a child whose descriptors are the caller's.
fn child(test: &str) -> Command {
    let binary = std::env::current_exe().unwrap();
    let mut command = match std::env::var("RUSTLET_TEST_RUNNER") {
        Ok(runner) if !runner.trim().is_empty() => {
            let mut words = runner.split_whitespace();
            let mut command = Command::new(words.next().unwrap());
            command.args(words).arg(binary);
            command
        }
        _ => Command::new(binary),
    };
    command
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env("RUSTLET_TEST_CHILD", test);
    command
}

/// What a child that has ended well printed between the marks.
fn between_marks(text: &str) -> &str {
    let text = text.split_once(&format!("{MARK}\n")).expect(text).1;
    text.split_once(MARK).expect(text).0
}

/// Reads lines and says them back, while another greenlet runs.
fn echo() {
    let turns = support::Counter::default();
    let counted = turns.clone();
    let others = spawn(move || {
        loop {
            counted.add();
            yield_now();
        }
    });
    let mut out = stdout();
    writeln!(out, "{MARK}").unwrap();
    for line in stdin().lines() {
        let line = line.unwrap();
        writeln!(out, "{}", line.to_uppercase()).unwrap();
    }
    writeln!(out, "{MARK}").unwrap();
    assert!(turns.get() > 0);
    others.kill().unwrap();
}

#[test]
fn pipes() {
    if support::is_child() {
        return echo();
    }
    let _watchdog = support::watchdog();
    let mut child = child("pipes")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.ends_with("----\n") {
        line.clear();
        output.read_line(&mut line).unwrap();
    }
    // Line by line, with an answer to each before the next, in pieces that are no lines.
    for (pieces, answer) in [(["one\n", ""], "ONE\n"), (["tw", "o\n"], "TWO\n")] {
        for piece in pieces {
            input.write_all(piece.as_bytes()).unwrap();
        }
        line.clear();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, answer);
    }
    // Much at once, and an end without a newline.
    let expected = "x".repeat(100_000);
    let feeder = std::thread::spawn(move || {
        for _ in 0..10 {
            writeln!(input, "{expected}").unwrap();
        }
        write!(input, "end").unwrap();
    });
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    feeder.join().unwrap();
    let rest = rest.split_once(MARK).unwrap().0;
    assert_eq!(
        rest,
        format!("{}\n", "X".repeat(100_000)).repeat(10) + "END\n"
    );
    assert!(child.wait().unwrap().success());
}

#[test]
fn files() {
    if support::is_child() {
        return echo();
    }
    let _watchdog = support::watchdog();
    for nowait in ["auto", "none"] {
        let mut input = tempfile::tempfile().unwrap();
        let text = "some line\n".repeat(5000);
        input.write_all(text.as_bytes()).unwrap();
        input.rewind().unwrap();
        let mut output = tempfile::tempfile().unwrap();
        let mut command = child("files");
        command.env("RUSTLET_NOWAIT", nowait);
        command.stdin(input).stdout(output.try_clone().unwrap());
        assert!(command.status().unwrap().success());
        output.rewind().unwrap();
        let mut all = String::new();
        output.read_to_string(&mut all).unwrap();
        assert!(between_marks(&all) == text.to_uppercase());
    }
}

/// Both sides of a new terminal.
fn terminal() -> (File, OwnedFd) {
    let (mut ours, mut theirs) = (-1, -1);
    #[expect(unsafe_code, reason = "libc's is the way to get one")]
    // SAFETY: the two numbers are written to, and are nobody else's; the rest may be null.
    unsafe {
        let null = std::ptr::null_mut();
        let made = libc::openpty(
            &mut ours,
            &mut theirs,
            null,
            std::ptr::null(),
            std::ptr::null(),
        );
        assert_eq!(made, 0, "{}", std::io::Error::last_os_error());
        (File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs))
    }
}

#[test]
fn a_terminal() {
    if support::is_child() {
        assert!(stdin().is_terminal() && stdout().is_terminal());
        return echo();
    }
    let _watchdog = support::watchdog();
    let (mut ours, theirs) = terminal();
    let mut child = child("a_terminal")
        .stdin(theirs.try_clone().unwrap())
        .stdout(theirs.try_clone().unwrap())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut seen = String::new();
    let mut expect = |ours: &mut File, text: &str| {
        let mut buf = [0; 1000];
        while !seen.contains(text) {
            let length = ours.read(&mut buf).unwrap();
            seen += &String::from_utf8_lossy(&buf[..length]);
        }
        seen = seen.split_once(text).unwrap().1.to_owned();
    };
    expect(&mut ours, "----\r\n");
    ours.write_all(b"hello\n").unwrap();
    expect(&mut ours, "HELLO\r\n");
    // What the child and this process share has stayed blocking, while the child waits.
    ours.write_all(b"again\n").unwrap();
    expect(&mut ours, "AGAIN\r\n");
    assert!(
        !rustix::fs::fcntl_getfl(&theirs)
            .unwrap()
            .contains(OFlags::NONBLOCK)
    );
    ours.write_all(b"\x04").unwrap(); // the end of the input
    expect(&mut ours, "----\r\n");
    // Let it print what libtest says, or it blocks.
    std::thread::spawn(move || std::io::copy(&mut ours, &mut std::io::sink()));
    assert!(child.wait().unwrap().success());
}

#[test]
fn nothing_is_made_non_blocking() {
    if support::is_child() {
        let mut line = String::new();
        stdin().read_line(&mut line).unwrap();
        return;
    }
    let _watchdog = support::watchdog();
    let (read, mut write) = std::io::pipe().unwrap();
    let (out_read, out_write) = std::io::pipe().unwrap();
    let mut child = child("nothing_is_made_non_blocking")
        .stdin(read.try_clone().unwrap())
        .stdout(out_write.try_clone().unwrap())
        .spawn()
        .unwrap();
    let blocks = |fd: &dyn AsFd| {
        !rustix::fs::fcntl_getfl(fd.as_fd())
            .unwrap()
            .contains(OFlags::NONBLOCK)
    };
    let seen = Arc::new(AtomicBool::new(false));
    let looks = seen.clone();
    let looker = std::thread::spawn(move || {
        while !looks.load(Ordering::Relaxed) {
            assert!(blocks(&read) && blocks(&out_write));
            std::thread::yield_now();
        }
    });
    write.write_all(b"line\n").unwrap();
    assert!(child.wait().unwrap().success());
    seen.store(true, Ordering::Relaxed);
    looker.join().unwrap();
    drop(out_read);
}

#[test]
fn a_line_that_is_interrupted_loses_nothing() {
    if support::is_child() {
        let mut out = stdout();
        writeln!(out, "{MARK}").unwrap();
        let mut line = String::new();
        let mut interrupted = 0;
        // The first piece is there before this starts; the rest comes when the second output is seen.
        while rustlet::timeout(Duration::from_millis(20), || stdin().read_line(&mut line)).is_err()
        {
            assert_eq!(line, "", "a line is all or nothing");
            interrupted += 1;
            if interrupted == 3 {
                writeln!(out, "now").unwrap();
            }
        }
        assert!(interrupted >= 3);
        write!(out, "{line}").unwrap();
        writeln!(out, "{MARK}").unwrap();
        return;
    }
    let _watchdog = support::watchdog();
    let mut child = child("a_line_that_is_interrupted_loses_nothing")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"first half, ").unwrap();
    let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    while !text.ends_with("now\n") {
        assert!(output.read_line(&mut text).unwrap() > 0, "{text}");
    }
    input.write_all(b"second half\n").unwrap();
    output.read_to_string(&mut text).unwrap();
    assert_eq!(between_marks(&text), "now\nfirst half, second half\n");
    assert!(child.wait().unwrap().success());
}

#[test]
fn output_that_nobody_takes_holds_up_its_writer_alone_and_a_kill_doubles_nothing() {
    if support::is_child() {
        let mut out = stdout();
        writeln!(out, "{MARK}").unwrap();
        let mut line = 0;
        // Full pipes make the writer wait; it is interrupted there, and goes on with the line it has not finished.
        let mut interrupted = 0;
        while line < 5000 {
            let wrote = rustlet::timeout(Duration::from_millis(2), || {
                let mut out = stdout().lock();
                while line < 5000 {
                    let text = format!("{line:099}\n");
                    line += 1; // the buffer has it, whatever happens to the wait
                    out.write_all(text.as_bytes()).unwrap();
                }
            });
            if wrote.is_err() {
                interrupted += 1;
                if interrupted == 2 {
                    writeln!(stderr(), "take").unwrap();
                }
            }
        }
        out.flush().unwrap();
        writeln!(out, "{MARK}").unwrap();
        assert!(interrupted >= 2);
        return;
    }
    let _watchdog = support::watchdog();
    let mut child =
        child("output_that_nobody_takes_holds_up_its_writer_alone_and_a_kill_doubles_nothing")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
    let mut told = [0; 5];
    child.stderr.take().unwrap().read_exact(&mut told).unwrap();
    assert_eq!(&told, b"take\n");
    let mut text = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    let lines = Vec::from_iter(
        between_marks(&text)
            .lines()
            .map(|line| line.parse::<u32>().unwrap()),
    );
    assert_eq!(lines, Vec::from_iter(0..5000));
    assert!(child.wait().unwrap().success());
}

#[test]
fn an_unfinished_line_comes_out_at_the_end_of_the_process() {
    if support::is_child() {
        write!(stdout(), "{MARK}\nhalf a line").unwrap();
        return;
    }
    let _watchdog = support::watchdog();
    let output = child("an_unfinished_line_comes_out_at_the_end_of_the_process")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.ends_with("half a line"), "{text}");
}

#[test]
fn closed_descriptors_are_empty_and_take_everything() {
    if support::is_child() {
        // What is closed at the start std opens as /dev/null.
        for fd in 0..3 {
            #[expect(unsafe_code, reason = "closes what nobody owns")]
            // SAFETY: libtest writes to standard output and has an error from that; nobody else is there.
            unsafe {
                libc::close(fd);
            }
        }
        let mut all = String::new();
        let read = stdin().read_to_string(&mut all);
        let wrote = writeln!(stdout(), "into nothing").and_then(|()| stdout().flush());
        let wrote_too = writeln!(stderr(), "into nothing");
        let good = matches!((read, wrote, wrote_too), (Ok(0), Ok(()), Ok(())));
        std::process::exit(if good { 7 } else { 8 });
    }
    let _watchdog = support::watchdog();
    let status = child("closed_descriptors_are_empty_and_take_everything").status();
    assert_eq!(status.unwrap().code(), Some(7));
}

#[test]
fn locks_belong_to_greenlets() {
    if support::is_child() {
        let mut out = stdout().lock();
        writeln!(out, "{MARK}").unwrap();
        let others = Vec::from_iter((0..3).map(|n| {
            spawn(move || {
                let mut out = stdout().lock();
                for _ in 0..3 {
                    writeln!(out, "other {n}").unwrap();
                    yield_now();
                }
            })
        }));
        for _ in 0..3 {
            writeln!(out, "mine").unwrap();
            writeln!(stdout(), "mine, by another handle").unwrap();
            yield_now();
        }
        drop(out);
        for other in others {
            other.join().unwrap();
        }
        writeln!(stdout(), "{MARK}").unwrap();
        return;
    }
    let _watchdog = support::watchdog();
    let output = child("locks_belong_to_greenlets").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut expected = "mine\nmine, by another handle\n".repeat(3);
    for n in 0..3 {
        expected += &format!("other {n}\n").repeat(3);
    }
    assert_eq!(between_marks(&text), expected);
}
