//! gevent's `test__fileobject.py`: std's buffered readers over descriptors that yield. Whatever gevent wraps into a `FileObject`
//! is a `Read` or `Write` here.

mod support;

use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use rustlet::fs::File;
use rustlet::io::pipe;
use rustlet::{spawn, yield_now};

/// `test_newlines`: a greenlet writes character by character, and another reads lines.
#[test]
fn lines_that_come_character_by_character() {
    let _watchdog = support::watchdog();
    let (reader, writer) = pipe().unwrap();
    let writing = spawn(move || {
        let mut writer = BufWriter::new(writer);
        for byte in b"line1\nline2\r\nline3\n\nlast" {
            writer.write_all(&[*byte]).unwrap();
            writer.flush().unwrap();
            yield_now();
        }
    });
    let lines = Vec::from_iter(BufReader::new(reader).lines().map(Result::unwrap));
    assert_eq!(lines, ["line1", "line2", "line3", "", "last"]);
    writing.join().unwrap();
}

/// `read1` (its issue 840): what is there, without waiting for more.
#[test]
fn a_buffered_reader_gives_what_is_there() {
    let _watchdog = support::watchdog();
    let (reader, mut writer) = pipe().unwrap();
    let mut reader = BufReader::new(reader);
    writer.write_all(b"ab").unwrap();
    assert_eq!(reader.fill_buf().unwrap(), b"ab");
    reader.consume(1);
    assert_eq!(reader.fill_buf().unwrap(), b"b");
    reader.consume(1);
    let more = spawn(move || {
        let got = reader.fill_buf().unwrap().to_vec();
        (got, reader)
    });
    yield_now();
    assert!(!more.is_finished(), "there is nothing");
    writer.write_all(b"2").unwrap();
    let (got, _reader) = more.join().unwrap();
    assert_eq!(got, b"2");
}

/// `test_del`: a buffer that goes is written, and its descriptor closed.
#[test]
fn dropping_the_writer_ends_the_stream() {
    let _watchdog = support::watchdog();
    let (mut reader, writer) = pipe().unwrap();
    let mut writer = BufWriter::new(writer);
    writer.write_all(b"x").unwrap();
    drop(writer);
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"x");
}

/// `test_seek`: a buffered reader over a file that was opened by somebody else.
#[test]
fn a_foreign_file_is_read_from_the_middle() {
    let _watchdog = support::watchdog();
    let mut native = tempfile::tempfile().unwrap();
    native.write_all(&[b'B'; 15]).unwrap();
    native.write_all(&[b'a'; 1024]).unwrap();
    let mut file = BufReader::new(File::from(native.try_clone().unwrap()));
    file.seek(SeekFrom::Start(15)).unwrap();
    assert_eq!(file.stream_position().unwrap(), 15);
    let mut ours = vec![0; 1024];
    file.read_exact(&mut ours).unwrap();
    assert_eq!(ours, [b'a'; 1024]);
    assert_eq!(file.read(&mut [0]).unwrap(), 0);
    drop(file);
    // The position is the open file's, which both share; the other descriptor is not closed.
    assert_eq!(native.stream_position().unwrap(), 15 + 1024);
}
