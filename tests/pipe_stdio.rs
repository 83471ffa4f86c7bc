//! Pipes as standard streams of children: the child's end blocks, as programs expect, and clones that stay here still do not
//! block the thread.

mod support;

use std::io::{Read, Write};
use std::time::Duration;

use rustlet::io::pipe;
use rustlet::process::{Command, Stdio};
use rustlet::{spawn, yield_now};

#[test]
fn a_child_between_two_pipes() {
    let _watchdog = support::watchdog();
    let (input, mut feed) = pipe().unwrap();
    let (mut results, output) = pipe().unwrap();
    let mut command = Command::new("tr");
    let mut child = command
        .args(["a-z", "A-Z"])
        .stdin(input)
        .stdout(output)
        .spawn()
        .unwrap();
    drop(command); // it holds the ends that it has passed on
    let bytes = vec![b'q'; 1 << 20];
    let feeder = spawn(move || feed.write_all(&bytes));
    let mut result = Vec::new();
    results.read_to_end(&mut result).unwrap();
    assert!(result.len() == 1 << 20 && result.iter().all(|&byte| byte == b'Q'));
    feeder.join().unwrap().unwrap();
    assert!(child.wait().unwrap().success());
}

/// What programs do that know nothing of "would block".
#[test]
fn the_childs_ends_block() {
    let _watchdog = support::watchdog();
    let (input, mut feed) = pipe().unwrap();
    let (_unread, full) = pipe().unwrap();
    let fdinfo = "grep flags /proc/self/fdinfo/0; read line; echo $line";
    let child = Command::new("sh")
        .args(["-c", fdinfo])
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(full)
        .spawn()
        .unwrap();
    rustlet::sleep(Duration::from_millis(10));
    feed.write_all(b"it has waited\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let flags = text.split_whitespace().nth(1).unwrap();
    let flags = u32::from_str_radix(flags, 8).unwrap();
    assert_eq!(flags & rustix::fs::OFlags::NONBLOCK.bits(), 0, "{text}");
    assert!(text.ends_with("it has waited\n"), "{text}");
}

/// The child has a clone of each end, which blocks.
#[test]
fn clones_that_stay_do_not_block_the_thread() {
    let _watchdog = support::watchdog();
    let (mut reader, mut writer) = pipe().unwrap();
    let mut child = Command::new("sleep")
        .arg("1000")
        .kill_on_drop(true)
        .stdin(reader.try_clone().unwrap())
        .stdout(writer.try_clone().unwrap())
        .spawn()
        .unwrap();
    // An empty pipe, and then a full one; the other greenlet must get to run in both.
    let other = spawn(|| 1);
    let waiting = spawn(move || {
        let mut bytes = vec![0; 1 << 20];
        reader.read_exact(&mut bytes).map(|()| (reader, bytes))
    });
    yield_now();
    assert_eq!(other.join().unwrap(), 1);
    assert!(!waiting.is_finished());
    let bytes: Vec<u8> = (0..1 << 20).map(|n| (n % 251) as u8).collect();
    writer.write_all(&bytes).unwrap();
    let (reader, read) = waiting.join().unwrap().unwrap();
    assert!(read == bytes);

    let filler = spawn(move || {
        loop {
            let slices = [&[1; 10][..], &[2; 5000]].map(std::io::IoSlice::new);
            assert!(writer.write_vectored(&slices).unwrap() > 0);
        }
    });
    let other = spawn(|| 2);
    assert_eq!(other.join().unwrap(), 2);
    rustlet::sleep(Duration::from_millis(5));
    assert!(!filler.is_finished());
    filler.kill().unwrap();
    drop(reader);
    child.kill().unwrap();
    child.wait().unwrap();
}
