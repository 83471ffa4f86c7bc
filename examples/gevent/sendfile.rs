//! cargo run --example gevent_sendfile
//!
//! gevent's `geventsendfile.py`: a system call made cooperative by hand. `sendfile` has the kernel copy a file to a
//! socket; when the socket takes no more, it says that it would block, and the greenlet waits until there is room. This sends a
//! file of 64 MiB to a client that reads it, while another greenlet goes on. (`rustlet::io::send_file` does it all; this shows how such a
//! call is added.)
//!
//! | gevent | here |
//! |---|---|
//! | `gevent.socket.wait_write(out_fd)` | `stream.wait_writable()`: a method of the stream, whose write timeout holds, and which a `close` of the stream ends |
//! | `except OSError: if EAGAIN` | `Err(Errno::AGAIN)`: streams are non-blocking to whoever uses their descriptors |

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;
use rustlet::net::TcpStream;
use rustlet::server::StreamServer;

/// Sends `count` bytes of `file`, from `offset` on; returns how often it had to wait.
fn sendfile(
    stream: &TcpStream,
    file: impl AsFd,
    mut offset: u64,
    mut count: usize,
) -> io::Result<usize> {
    let mut waits = 0;
    while count > 0 {
        match rustix::fs::sendfile(stream, &file, Some(&mut offset), count) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(sent) => count -= sent,
            Err(Errno::AGAIN) => {
                waits += 1;
                stream.wait_writable()?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(waits)
}

/// A file without a name, in memory.
fn file_of(length: usize) -> io::Result<File> {
    let file = rustix::fs::memfd_create("example", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = File::from(file);
    let block: Vec<u8> = (0..=255).cycle().take(65536).collect();
    for _ in 0..length / block.len() {
        file.write_all(&block)?;
    }
    Ok(file)
}

fn main() -> io::Result<()> {
    const LENGTH: usize = 64 * 1024 * 1024;
    let file = file_of(LENGTH)?;
    let server = StreamServer::bind("127.0.0.1:0")?;
    server.start(move |stream: TcpStream, _| -> io::Result<()> {
        let waits = sendfile(&stream, &file, 0, LENGTH)?;
        println!("sent; it had to wait: {}", waits > 0);
        Ok(())
    })?;

    let ticker = rustlet::spawn(|| {
        loop {
            rustlet::yield_now();
        }
    });
    let mut stream = TcpStream::connect(server.local_addr())?;
    let (mut received, mut buffer) = (0, vec![0; 65536]);
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        let expected = |(n, &byte): (usize, &u8)| byte == ((received + n) % 256) as u8;
        assert!(buffer[..length].iter().enumerate().all(expected));
        received += length;
    }
    println!("received {received} bytes, all as they should be");
    ticker.kill().map_err(io::Error::other)?;
    server.stop(Duration::from_secs(1));
    Ok(())
}

// Prints:
//
// sent; it had to wait: true
// received 67108864 bytes, all as they should be
