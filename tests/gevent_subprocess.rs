//! gevent's `test__subprocess.py` and `test__subprocess_interrupted.py`, as far as the `process_…` tests do not have them: limits on
//! output, readers of a child that dies, input from a file, and an exit while a child is waited for.

mod support;

use std::io::{Read, Seek, Write};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use rustlet::process::{Command, Stdio};
use rustlet::{sleep, spawn, timeout, yield_now};

const HOUR: Duration = Duration::from_secs(3600);

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// `test_check_output_timeout`: what the child wrote before the limit is not lost. In gevent it is in the error; here,
/// where whoever reads has put it.
#[test]
fn what_was_read_before_a_limit_is_there() {
    let _watchdog = support::watchdog();
    let mut child = sh("printf BDFL; exec sleep 1000")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut text = Vec::new();
    // It may take the child longer to start than any single limit.
    while text.len() < 4 {
        let limited = timeout(Duration::from_millis(10), || {
            let mut room = [0; 64];
            loop {
                let length = stdout.read(&mut room).unwrap();
                assert!(length > 0, "it still runs");
                text.extend_from_slice(&room[..length]);
            }
        });
        let Err(_) = limited;
    }
    assert_eq!(text, b"BDFL");
    assert_eq!(child.try_wait().unwrap(), None);
}

/// `test_run_with_shell_timeout_and_capture_output`: a grandchild that has inherited the output does not hold up the limit.
#[test]
fn a_limit_on_output_does_not_wait_for_grandchildren() {
    let _watchdog = support::watchdog();
    let mut child = sh("sleep 1000 & echo up; sleep 1000")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let group = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    let stdout = child.stdout.as_mut().unwrap();
    stdout.read_exact(&mut [0; 3]).unwrap(); // the grandchild is there
    let limited = timeout(Duration::from_millis(20), || child.wait_with_output());
    assert!(limited.is_err());
    // The shell has been killed, but the number is the group's as long as it has a member.
    kill_process_group(group, Signal::KILL).unwrap();
}

/// `test_exit_ignores_reentrant_call_from_foreign_greenlet`: somebody else reads what the child writes when it is killed.
#[test]
fn a_reader_of_a_killed_childs_output_finds_its_end() {
    let _watchdog = support::watchdog();
    let mut child = Command::new("sleep")
        .arg("1000")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let reader = spawn(move || stdout.read_to_end(&mut Vec::new()).unwrap());
    yield_now();
    assert!(!reader.is_finished());
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success());
    drop(child);
    assert_eq!(reader.join().unwrap(), 0);
}

/// `test_check_output_stdin_arg`.
#[test]
fn input_may_be_a_file() {
    let _watchdog = support::watchdog();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"pear").unwrap();
    file.rewind().unwrap();
    let output = Command::new("tr")
        .args(["a-z", "A-Z"])
        .stdin(rustlet::fs::File::from(file))
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"PEAR");
}

/// `test__subprocess_interrupted.py`: the process exits in a greenlet, while a child is being waited for.
#[test]
fn exiting_while_a_child_is_waited_for() {
    if !support::is_child() {
        let _watchdog = support::watchdog();
        let outcome = support::child("exiting_while_a_child_is_waited_for").run();
        assert_eq!(outcome.status.code(), Some(44), "{outcome:#?}");
        assert!(!outcome.stderr.contains("panicked"), "{outcome:#?}");
        return;
    }
    let mut child = Command::new("true").spawn().unwrap();
    let waiter = spawn(move || child.wait());
    spawn(|| std::process::exit(44));
    sleep(HOUR);
    drop(waiter);
}
