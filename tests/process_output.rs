//! Standard streams of children: both outputs at once, input and output at once, and who closes what.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use rustlet::process::{Command, Stdio};
use rustlet::spawn;

const MIB: usize = 1 << 20;

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// Far more than the pipes hold, and the child would wait for either.
#[test]
fn a_mebibyte_on_both_outputs() {
    let _watchdog = support::watchdog();
    // In turns, so that whoever reads only one of them first hangs.
    let script = "for i in 0 1 2 3 4 5 6 7 8 9 a b c d e f; do
        head -c 65536 /dev/zero | tr '\\0' o; head -c 65536 /dev/zero | tr '\\0' e >&2; done";
    let ticks = std::rc::Rc::new(std::cell::Cell::new(0_u32));
    let ticker = {
        let ticks = ticks.clone();
        rustlet::spawn_local(move || {
            loop {
                ticks.set(ticks.get() + 1);
                rustlet::sleep(Duration::from_millis(1));
            }
        })
    };
    let output = sh(script).output().unwrap();
    assert!(output.status.success());
    assert!(output.stdout.len() == MIB && output.stdout.iter().all(|&byte| byte == b'o'));
    assert!(output.stderr.len() == MIB && output.stderr.iter().all(|&byte| byte == b'e'));
    assert!(ticks.get() > 1, "others run meanwhile");
    ticker.kill().unwrap();
}

#[test]
fn through_cat_both_directions_at_once() {
    let _watchdog = support::watchdog();
    let bytes: Vec<u8> = (0..8 * MIB).map(|n| (n * 31 / 7) as u8).collect();
    let mut child = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = {
        let bytes = bytes.clone();
        spawn(move || stdin.write_all(&bytes))
    };
    let output = child.wait_with_output().unwrap();
    assert!(output.stdout == bytes);
    writer.join().unwrap().unwrap();
}

/// As std: a child that reads to the end of its input would otherwise be waited for, for ever.
#[test]
fn waiting_closes_the_input() {
    let _watchdog = support::watchdog();
    let cat = || {
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.spawn().unwrap()
    };
    let mut child = cat();
    child.stdin.as_mut().unwrap().write_all(b"hello").unwrap();
    assert!(child.wait().unwrap().success());
    let mut text = String::new();
    child.stdout.unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello", "what it wrote is still in the pipe");
    assert!(cat().wait_with_output().unwrap().status.success());
    let status = cat().wait_timeout(Duration::from_secs(3600)).unwrap();
    assert!(status.unwrap().success());
}

#[test]
fn a_child_that_does_not_read() {
    let _watchdog = support::watchdog();
    let mut child = sh("exec true").stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Either it has gone already, or the pipe fills until it goes.
    let error = stdin.write_all(&vec![0; MIB]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    assert!(child.wait().unwrap().success());
}

#[test]
fn from_child_to_child() {
    let _watchdog = support::watchdog();
    let mut echo = Command::new("printf")
        .arg("b\\na\\nc\\n")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let sort = Command::new("sort")
        .stdin(echo.stdout.take().unwrap())
        .output()
        .unwrap();
    assert_eq!(sort.stdout, b"a\nb\nc\n");
    assert!(echo.wait().unwrap().success());
}

#[test]
fn output_while_unwinding() {
    let _watchdog = support::watchdog();
    struct Runs(std::rc::Rc<std::cell::Cell<usize>>);
    impl Drop for Runs {
        fn drop(&mut self) {
            let script = "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2";
            let output = sh(script).output().unwrap();
            self.0.set(output.stdout.len() + output.stderr.len());
        }
    }
    let length = std::rc::Rc::new(std::cell::Cell::new(0));
    let runs = Runs(length.clone());
    let dying = rustlet::spawn_local(move || {
        let _runs = runs;
        rustlet::park().unwrap();
    });
    rustlet::yield_now();
    dying.kill().unwrap();
    assert_eq!(length.get(), 600_000);
}

/// Its greenlets go, and with `kill_on_drop` the child does.
#[test]
fn killed_while_it_collects_output() {
    let _watchdog = support::watchdog();
    let (mut alive, lifeline) = rustlet::io::pipe().unwrap();
    let mut command = sh("echo started; exec sleep 1000");
    command.kill_on_drop(true).stdin(lifeline);
    let collector = spawn(move || command.output());
    while !collector.is_started() {
        rustlet::yield_now();
    }
    rustlet::sleep(Duration::from_millis(5));
    collector.kill().unwrap();
    // The other end is the child's alone.
    assert_eq!(alive.read(&mut [0]).unwrap(), 0);
}
