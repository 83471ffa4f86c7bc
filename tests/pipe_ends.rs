//! Pipes: the end of the stream, the end of the readers, a full pipe, and who is woken.

mod support;

use std::cell::Cell;
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustlet::io::{PipeReader, PipeWriter, pipe};
use rustlet::{sleep, spawn, spawn_local, yield_now};

#[test]
fn the_end_of_the_stream_comes_with_the_last_writer() {
    let _watchdog = support::watchdog();
    let (mut reader, mut writer) = pipe().unwrap();
    let mut clone = writer.try_clone().unwrap();
    let end = spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    writer.write_all(b"one ").unwrap();
    drop(writer);
    yield_now();
    assert!(!end.is_finished());
    clone.write_all(b"two").unwrap();
    yield_now();
    assert!(!end.is_finished());
    drop(clone);
    assert_eq!(end.join().unwrap(), "one two");
}

#[test]
fn without_readers_a_write_fails() {
    let _watchdog = support::watchdog();
    let (reader, mut writer) = pipe().unwrap();
    let clone = reader.try_clone().unwrap();
    drop(reader);
    writer.write_all(b"somebody is left").unwrap();
    // One that waits is told.
    let waiting = {
        let mut writer = writer.try_clone().unwrap();
        spawn(move || writer.write_all(&vec![0; 1 << 20]))
    };
    yield_now();
    assert!(!waiting.is_finished());
    drop(clone);
    let error = waiting.join().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    let error = writer.write(b"nobody is").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

#[test]
fn a_full_pipe_is_waited_for() {
    let _watchdog = support::watchdog();
    let (mut reader, mut writer) = pipe().unwrap();
    let capacity = rustix::pipe::fcntl_getpipe_size(&writer).unwrap();
    let written = Rc::new(Cell::new(0));
    let filler = {
        let written = written.clone();
        spawn_local(move || {
            loop {
                written.set(written.get() + writer.write(&[7; 1000]).unwrap());
            }
        })
    };
    let mut settled = usize::MAX;
    while settled != written.get() {
        settled = written.get();
        sleep(Duration::from_millis(1));
    }
    assert!(settled <= capacity && settled > capacity / 2, "{settled}");
    // Each page that is read makes room for some.
    let mut page = vec![0; rustix::param::page_size()];
    for _ in 0..100 {
        reader.read_exact(&mut page).unwrap();
        while written.get() == settled {
            yield_now();
        }
        settled = written.get();
    }
    filler.kill().unwrap();
}

#[test]
fn close_wakes_those_who_wait() {
    let _watchdog = support::watchdog();
    for _ in 0..20 / support::slowdown() {
        let (reader, writer) = pipe().unwrap();
        let (reader, writer) = (Arc::new(reader), Arc::new(writer));
        let read = |reader: Arc<PipeReader>| (&*reader).read(&mut [0]).unwrap_err();
        let write = |writer: Arc<PipeWriter>| (&*writer).write_all(&vec![0; 1 << 20]).unwrap_err();
        let here = spawn({
            let reader = reader.clone();
            move || read(reader)
        });
        let there = thread::spawn({
            let reader = reader.clone();
            move || spawn(move || read(reader)).join().unwrap()
        });
        sleep(Duration::from_millis(1));
        reader.close();
        assert_eq!(here.join().unwrap().raw_os_error(), Some(9), "EBADF");
        assert_eq!(there.join().unwrap().raw_os_error(), Some(9), "EBADF");
        assert_eq!(
            (&*reader).read(&mut [0]).unwrap_err().raw_os_error(),
            Some(9)
        );

        let here = spawn({
            let writer = writer.clone();
            move || write(writer)
        });
        let there = thread::spawn({
            let writer = writer.clone();
            move || spawn(move || write(writer)).join().unwrap()
        });
        sleep(Duration::from_millis(1));
        writer.close();
        assert_eq!(here.join().unwrap().raw_os_error(), Some(9), "EBADF");
        assert_eq!(there.join().unwrap().raw_os_error(), Some(9), "EBADF");
    }
}

#[test]
fn killed_and_timed_out() {
    let _watchdog = support::watchdog();
    let (mut reader, mut writer) = pipe().unwrap();
    let killed = {
        let mut reader = reader.try_clone().unwrap();
        spawn(move || reader.read(&mut [0; 8]))
    };
    yield_now();
    killed.kill().unwrap();
    assert!(rustlet::timeout(Duration::from_millis(5), || reader.read(&mut [0; 8])).is_err());
    writer.write_all(b"all of it").unwrap();
    let mut all = [0; 9];
    reader.read_exact(&mut all).unwrap();
    assert_eq!(&all, b"all of it", "neither has taken any");
}

#[test]
fn several_slices_and_none() {
    let _watchdog = support::watchdog();
    let (mut reader, mut writer) = pipe().unwrap();
    let slices = [&b"ab"[..], b"", b"cde"].map(IoSlice::new);
    assert_eq!(writer.write_vectored(&slices).unwrap(), 5);
    let (mut one, mut two) = ([0; 1], [0; 9]);
    let mut slices = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
    assert_eq!(reader.read_vectored(&mut slices).unwrap(), 5);
    assert_eq!((&one, &two[..4]), (b"a", &b"bcde"[..]));
    assert_eq!(reader.read(&mut []).unwrap(), 0);
    assert_eq!(writer.write(&[]).unwrap(), 0);
    writer.flush().unwrap();
}

/// Writes of up to 4096 bytes are not mixed with those of others.
#[test]
fn short_writes_are_whole() {
    const LENGTH: usize = 4096;
    let _watchdog = support::watchdog();
    let (mut reader, writer) = pipe().unwrap();
    let writers: Vec<_> = (0..4_u8)
        .map(|n| {
            let mut writer = writer.try_clone().unwrap();
            thread::spawn(move || {
                for _ in 0..50 {
                    assert_eq!(writer.write(&[n; LENGTH]).unwrap(), LENGTH);
                }
            })
        })
        .collect();
    drop(writer);
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), 200 * LENGTH);
    for block in all.chunks(LENGTH) {
        assert!(block.iter().all(|&byte| byte == block[0]));
    }
    writers.into_iter().for_each(|w| w.join().unwrap());
}

#[test]
#[allow(unsafe_code)]
fn to_other_types_and_back() {
    let _watchdog = support::watchdog();
    let (reader, writer) = pipe().unwrap();
    assert_eq!(
        format!("{reader:?}"),
        format!("PipeReader({})", reader.as_raw_fd())
    );
    // Through std, whose ends block.
    let (reader, writer) = (
        std::io::PipeReader::from(reader),
        std::io::PipeWriter::from(writer),
    );
    let flags = rustix::fs::fcntl_getfl(&reader).unwrap();
    assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
    let (reader, writer) = (PipeReader::from(reader), PipeWriter::from(writer));
    let flags = rustix::fs::fcntl_getfl(&reader).unwrap();
    assert!(flags.contains(rustix::fs::OFlags::NONBLOCK));
    // Through descriptors.
    let writer = PipeWriter::from(OwnedFd::from(writer));
    let fd = reader.into_raw_fd();
    // SAFETY: it was given up just now.
    let mut reader = unsafe { PipeReader::from_raw_fd(fd) };
    let fd = writer.as_fd().try_clone_to_owned().unwrap().into_raw_fd();
    // SAFETY: as above.
    let mut clone = unsafe { PipeWriter::from_raw_fd(fd) };
    drop(writer);
    let reading = spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    yield_now();
    clone.write_all(b"hello").unwrap();
    drop(clone);
    assert_eq!(reading.join().unwrap().unwrap(), "hello");
}

#[test]
fn while_unwinding() {
    let _watchdog = support::watchdog();
    struct Reads(PipeReader, Arc<std::sync::Mutex<String>>);
    impl Drop for Reads {
        fn drop(&mut self) {
            let mut text = String::new();
            self.0.read_to_string(&mut text).unwrap();
            *self.1.lock().unwrap() = text;
        }
    }
    let (reader, mut writer) = pipe().unwrap();
    let text = Arc::default();
    let reads = Reads(reader, Arc::clone(&text));
    let dying = spawn(move || {
        let _reads = reads;
        rustlet::park().unwrap();
    });
    yield_now();
    // From outside: this thread is blocked meanwhile.
    let other = thread::spawn(move || {
        for part in [&b"last"[..], b" ", b"words"] {
            writer.write_all(part).unwrap();
            thread::sleep(Duration::from_millis(1));
        }
    });
    dying.kill().unwrap();
    other.join().unwrap();
    assert_eq!(*text.lock().unwrap(), "last words");
}

/// A reader that gets less than it asked for has not emptied what it reads: packets end a read, and so do a terminal's lines.
#[test]
fn a_short_read_is_not_the_last() {
    let _watchdog = support::watchdog();
    let two_reads = |mut reader: PipeReader| {
        spawn(move || {
            [(); 2].map(|()| {
                let mut buf = [0; 64];
                let got = reader.read(&mut buf).unwrap();
                String::from_utf8(buf[..got].to_vec()).unwrap()
            })
        })
    };
    // A pipe whose writer has chosen packets, as a child may with its standard output.
    let (reader, mut writer) = pipe().unwrap();
    let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
    rustix::fs::fcntl_setfl(&writer, flags | rustix::fs::OFlags::DIRECT).unwrap();
    let read = two_reads(reader);
    yield_now();
    writer.write_all(b"one").unwrap();
    writer.write_all(b"two").unwrap();
    assert_eq!(read.join().unwrap(), ["one", "two"]);

    let (mut ours, mut theirs) = (-1, -1);
    #[expect(unsafe_code, reason = "libc's is the way to get a terminal")]
    // SAFETY: the two numbers are written to, and are nobody else's; the rest may be null.
    let (terminal, user) = unsafe {
        let (no_name, unset) = (std::ptr::null_mut(), std::ptr::null());
        let made = libc::openpty(&mut ours, &mut theirs, no_name, unset, std::ptr::null());
        assert_eq!(made, 0);
        (OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs))
    };
    let read = two_reads(PipeReader::from(user));
    yield_now();
    rustix::io::write(&terminal, b"one\ntwo\n").unwrap();
    assert_eq!(read.join().unwrap(), ["one\n", "two\n"]);
}
