//! `splice` between sockets, pipes and files, each with each; and what the kernel refuses.

mod support;

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::net::Shutdown;
use std::sync::{Arc, OnceLock};

use rustlet::io::{self, Splice, WaitReadable, WaitWritable, pipe, splice};
use rustlet::net::TcpStream;
use rustlet::process::{Command, Stdio};
use rustlet::spawn;
use rustlet::sync::Barrier;

/// More than all buffers on the way hold.
const LENGTH: usize = 10 << 20;

fn bytes() -> Vec<u8> {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    let fill = || {
        let length = LENGTH / support::slowdown() as usize;
        (0..length)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect()
    };
    BYTES.get_or_init(fill).clone()
}

/// Feeds `source`, splices, and collects from `sink`: all at the same time.
fn through<R, W>(
    feed: impl FnOnce(Vec<u8>) + Send + 'static,
    from: R,
    to: W,
    collect: impl FnOnce() -> Vec<u8> + Send + 'static,
) where
    R: WaitReadable + Send + 'static,
    W: WaitWritable + Send + 'static,
{
    let bytes = bytes();
    let feeder = {
        let bytes = bytes.clone();
        spawn(move || feed(bytes))
    };
    let splicer = spawn(move || splice(&from, &to));
    let collected = collect();
    assert_eq!(splicer.join().unwrap().unwrap(), bytes.len() as u64);
    feeder.join().unwrap();
    assert!(collected == bytes);
}

fn tcp_feed() -> (impl FnOnce(Vec<u8>) + Send + 'static, TcpStream) {
    let (mut feed, from) = support::tcp_pair::<TcpStream>();
    (move |bytes: Vec<u8>| feed.write_all(&bytes).unwrap(), from)
}

fn pipe_feed() -> (impl FnOnce(Vec<u8>) + Send + 'static, io::PipeReader) {
    let (from, mut feed) = pipe().unwrap();
    (move |bytes: Vec<u8>| feed.write_all(&bytes).unwrap(), from)
}

fn all_of(mut source: impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    source.read_to_end(&mut all).unwrap();
    all
}

fn tcp_sink() -> (TcpStream, impl FnOnce() -> Vec<u8> + Send + 'static) {
    let (to, sink) = support::tcp_pair::<TcpStream>();
    (to, move || all_of(sink))
}

fn pipe_sink() -> (io::PipeWriter, impl FnOnce() -> Vec<u8> + Send + 'static) {
    let (sink, to) = pipe().unwrap();
    (to, move || all_of(sink))
}

#[test]
fn sockets_and_pipes() {
    let _watchdog = support::watchdog();
    let ((feed, from), (to, collect)) = (tcp_feed(), tcp_sink());
    through(feed, from, to, collect);
    let ((feed, from), (to, collect)) = (tcp_feed(), pipe_sink());
    through(feed, from, to, collect);
    let ((feed, from), (to, collect)) = (pipe_feed(), tcp_sink());
    through(feed, from, to, collect);
    let ((feed, from), (to, collect)) = (pipe_feed(), pipe_sink());
    through(feed, from, to, collect);
}

fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

#[test]
fn from_files() {
    let _watchdog = support::watchdog();
    let (to, collect) = tcp_sink();
    through(|_| (), file_of(&bytes()), to, collect);
    let (to, collect) = pipe_sink();
    through(|_| (), file_of(&bytes()), to, collect);
    // To a file, and its position goes on with each part.
    let (from, mut to) = (file_of(&bytes()), tempfile::tempfile().unwrap());
    let mut splice = Splice::new();
    assert_eq!(splice.copy_at_most(&from, &to, 10).unwrap(), 10);
    assert_eq!((&from).stream_position().unwrap(), 10);
    assert_eq!(splice.copy(&from, &to).unwrap(), bytes().len() as u64 - 10);
    assert_eq!(splice.copy(&from, &to).unwrap(), 0, "that was all");
    to.rewind().unwrap();
    assert!(all_of(to) == bytes());
}

#[test]
fn to_files() {
    let _watchdog = support::watchdog();
    for append in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        // The kernel does not splice to a file that is opened for appending.
        let open = || {
            let mut options = OpenOptions::new();
            options.create(true);
            match append {
                true => options.append(true),
                false => options.write(true).truncate(true),
            };
            options.open(&path).unwrap()
        };
        let read = |path| move || std::fs::read(path).unwrap();
        let check = |splicer: rustlet::Greenlet<std::io::Result<u64>>| {
            assert_eq!(splicer.join().unwrap().unwrap(), bytes().len() as u64);
            assert!(read(path.clone())() == bytes());
            std::fs::remove_file(&path).unwrap();
        };
        let ((feed, from), to) = (tcp_feed(), open());
        let feeder = spawn(move || feed(bytes()));
        check(spawn(move || splice(&from, &to)));
        feeder.join().unwrap();
        let ((feed, from), to) = (pipe_feed(), open());
        let feeder = spawn(move || feed(bytes()));
        check(spawn(move || splice(&from, &to)));
        feeder.join().unwrap();
        let (from, to) = (file_of(&bytes()), open());
        check(spawn(move || splice(&from, &to)));
    }
}

#[test]
fn through_a_child() {
    let _watchdog = support::watchdog();
    let mut child = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (feed, from) = tcp_feed();
    let (to, collect) = tcp_sink();
    let bytes = bytes();
    let feeder = spawn({
        let bytes = bytes.clone();
        move || feed(bytes)
    });
    let input = spawn(move || splice(&from, &stdin));
    let output = spawn(move || splice(&stdout, &to));
    assert!(collect() == bytes);
    for end in [input, output] {
        assert_eq!(end.join().unwrap().unwrap(), bytes.len() as u64);
    }
    feeder.join().unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn limits() {
    let _watchdog = support::watchdog();
    let (mut feed, from) = support::tcp_pair::<TcpStream>();
    let (to, mut sink) = support::tcp_pair::<TcpStream>();
    feed.write_all(b"headbody and more").unwrap();
    let mut splice = Splice::new();
    assert_eq!(splice.copy_at_most(&from, &to, 0).unwrap(), 0);
    assert_eq!(splice.copy_at_most(&from, &to, 4).unwrap(), 4);
    let mut head = [0; 4];
    sink.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"head");
    assert_eq!(splice.pending(), 0);
    feed.shutdown(Shutdown::Write).unwrap();
    assert_eq!(splice.copy_at_most(&from, &to, 1 << 40).unwrap(), 13);
    assert_eq!(splice.delivered(), 17);
    assert_eq!(splice.copy(&from, &to).unwrap(), 0, "the end stays");
}

#[test]
fn a_sink_that_has_gone() {
    let _watchdog = support::watchdog();
    let (mut feed, from) = support::tcp_pair::<TcpStream>();
    let (sink, to) = pipe().unwrap();
    feed.write_all(b"hello").unwrap();
    drop(sink);
    let error = splice(&from, &to).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    let mut buffer = [0; 5];
    (&from).read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"hello", "nothing was taken");

    // A file that is open for reading alone.
    feed.write_all(b"hello").unwrap();
    let to = File::open("/dev/null").unwrap();
    let mut splice = Splice::new();
    let error = splice.copy(&from, &to).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(9), "EBADF");
    let (to, mut sink) = pipe().map(|(sink, to)| (to, sink)).unwrap();
    assert_eq!(splice.pending(), 5);
    splice.flush(&to).unwrap();
    sink.read_exact(&mut buffer).unwrap();
    assert_eq!((&buffer, splice.pending()), (b"hello", 0));
}

/// Pipes are used again, and not kept beyond a few.
#[test]
fn descriptors() {
    if !support::is_child() {
        let _watchdog = support::watchdog();
        return support::child("descriptors").run().assert_passed();
    }
    let run = |count: usize| {
        let all_hold_one = Arc::new(Barrier::new(count));
        let splicers: Vec<_> = (0..count)
            .map(|_| {
                let (mut feed, from) = support::tcp_pair::<TcpStream>();
                let (to, mut sink) = support::tcp_pair::<TcpStream>();
                let all_hold_one = all_hold_one.clone();
                spawn(move || {
                    let splicer = spawn(move || splice(&from, &to));
                    feed.write_all(b"hello").unwrap();
                    let mut text = [0; 5];
                    sink.read_exact(&mut text).unwrap();
                    assert_eq!(&text, b"hello");
                    all_hold_one.wait();
                    drop(feed);
                    assert_eq!(splicer.join().unwrap().unwrap(), 5);
                })
            })
            .collect();
        splicers.into_iter().for_each(|s| s.join().unwrap());
    };
    run(1);
    let fds = support::open_fds();
    for _ in 0..5 {
        run(1);
    }
    assert_eq!(support::open_fds(), fds);
    run(50);
    assert!(
        support::open_fds() <= fds + 2 * 16,
        "{}",
        support::open_fds()
    );
}

#[test]
fn a_file_that_would_block_is_an_error() {
    let _watchdog = support::watchdog();
    let (fifo, _writer) = pipe().unwrap();
    let fifo = File::from(std::os::fd::OwnedFd::from(fifo));
    let (to, _sink) = support::tcp_pair::<TcpStream>();
    let error = splice(&fifo, &to).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let mut file = file_of(b"x");
    file.seek(SeekFrom::End(0)).unwrap();
    assert_eq!(splice(&file, &to).unwrap(), 0);
}

#[test]
fn the_generic_copy() {
    let _watchdog = support::watchdog();
    let (feed, mut from) = tcp_feed();
    let feeder = spawn(move || feed(bytes()));
    let mut copied = Vec::new();
    assert_eq!(
        io::copy(&mut from, &mut copied).unwrap(),
        bytes().len() as u64
    );
    assert!(copied == bytes());
    feeder.join().unwrap();

    struct Interrupted(u32);
    impl Read for Interrupted {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            self.0 += 1;
            match self.0 {
                1 | 3 => Err(ErrorKind::Interrupted.into()),
                2 => {
                    buf[..2].copy_from_slice(b"ab");
                    Ok(2)
                }
                4 => Ok(0),
                _ => unreachable!(),
            }
        }
    }
    let mut copied = Vec::new();
    assert_eq!(io::copy(&mut Interrupted(0), &mut copied).unwrap(), 2);
    assert_eq!(copied, b"ab");
}
