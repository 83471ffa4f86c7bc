//! Every way in which std's traits let one read and write, by value, by reference and in several parts, on all streams
//! alike; and their descriptors.

mod support;

use std::fmt::Debug;
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::process::Stdio;

use rustlet::io::{Io, PipeReader, PipeWriter, pipe};
use rustlet::net::TcpStream;
use rustlet::os::unix::net::UnixStream;
use rustlet::process::{ChildStderr, ChildStdin, ChildStdout, Command};

/// Sends eight letters in all ways that there are, and reads them so.
///
/// To be called with its types: left to be inferred, they overflow the compiler's search, which tries `Io<Io<Io<…`.
fn exchange<R, W>(mut reader: R, mut writer: W)
where
    R: Read + AsFd + AsRawFd + Debug,
    W: Write + AsFd + AsRawFd + Debug,
    for<'a> &'a R: Read,
    for<'a> &'a W: Write,
{
    assert_eq!(reader.as_fd().as_raw_fd(), reader.as_raw_fd());
    assert_eq!(writer.as_fd().as_raw_fd(), writer.as_raw_fd());
    assert_ne!(writer.as_raw_fd(), reader.as_raw_fd());
    assert!(!format!("{reader:?} {writer:?}").contains('\n'));

    assert_eq!(writer.write(b"a").unwrap(), 1);
    assert_eq!((&writer).write(b"b").unwrap(), 1);
    // What writes the first part alone would be right as well, but none of these does.
    let parts = [IoSlice::new(b""), IoSlice::new(b"c"), IoSlice::new(b"de")];
    assert_eq!(writer.write_vectored(&parts).unwrap(), 3);
    let parts = [IoSlice::new(b"f"), IoSlice::new(b"gh")];
    assert_eq!((&writer).write_vectored(&parts).unwrap(), 3);
    writer.flush().unwrap();
    (&writer).flush().unwrap();

    let [mut one, mut two, mut three, mut four] = [[0; 1]; 4];
    assert_eq!(reader.read(&mut one).unwrap(), 1);
    assert_eq!((&reader).read(&mut two).unwrap(), 1);
    assert_eq!([one, two], [*b"a", *b"b"]);
    let mut rest = Vec::new();
    while rest.len() < 4 {
        let mut parts = [IoSliceMut::new(&mut three), IoSliceMut::new(&mut four)];
        let length = match rest.len() {
            0..2 => reader.read_vectored(&mut parts),
            _ => (&reader).read_vectored(&mut parts),
        };
        rest.extend(&[three[0], four[0]][..length.unwrap()]);
    }
    drop(writer);
    reader.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"cdefgh");
}

#[test]
fn of_pipes() {
    let _watchdog = support::watchdog();
    let (reader, writer) = pipe().unwrap();
    exchange::<PipeReader, PipeWriter>(reader, writer);
}

#[test]
fn of_sockets() {
    let _watchdog = support::watchdog();
    let (reader, writer) = support::tcp_pair();
    exchange::<TcpStream, TcpStream>(reader, writer);
    let (reader, writer) = UnixStream::pair().unwrap();
    exchange::<UnixStream, UnixStream>(reader, writer);
}

#[test]
fn of_what_was_wrapped() {
    let _watchdog = support::watchdog();
    type Wrapped = Io<std::os::unix::net::UnixStream>;
    let (reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
    exchange::<Wrapped, Wrapped>(Io::new(reader).unwrap(), Io::new(writer).unwrap());
}

#[test]
fn of_a_childs_streams() {
    let _watchdog = support::watchdog();
    let mut child = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    exchange::<ChildStdout, ChildStdin>(stdout, stdin);
    assert!(child.wait().unwrap().success());

    let mut child = Command::new("sh")
        .args(["-c", "cat >&2"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (stdin, stderr) = (child.stdin.take().unwrap(), child.stderr.take().unwrap());
    exchange::<ChildStderr, ChildStdin>(stderr, stdin);
    assert!(child.wait().unwrap().success());
}
