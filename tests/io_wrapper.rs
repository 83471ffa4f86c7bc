//! `Io` and `wait_fd` with descriptors of all kinds: inotify, timerfd, eventfd, netlink, a terminal, a pipe, a regular
//! file, `/dev/null`, sockets of others.
#![allow(unsafe_code)] // A terminal, and a descriptor that is closed under its borrower.

mod support;

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use rustlet::io::{Interest, Io, wait_fd};
use support::watchdog;

const SOON: Option<Duration> = Some(Duration::from_millis(5));

/// Reads a counter's eight bytes (eventfd, timerfd).
fn counter(io: &Io<OwnedFd>) -> io::Result<u64> {
    io.operate(Interest::Read, |fd| {
        let mut bytes = [0; 8];
        assert_eq!(rustix::io::read(fd, &mut bytes)?, 8);
        Ok(u64::from_ne_bytes(bytes))
    })
}

#[test]
fn new_makes_non_blocking_and_into_inner_leaves_it_so() {
    let (socket, _other) = UnixStream::pair().unwrap();
    let flags = |fd: &UnixStream| rustix::fs::fcntl_getfl(fd).unwrap();
    let io = Io::new_nonblocking(socket);
    assert!(!flags(io.get_ref()).contains(OFlags::NONBLOCK));
    let io = Io::new(io.into_inner()).unwrap();
    assert!(flags(io.get_ref()).contains(OFlags::NONBLOCK));
    assert!(flags(&io.into_inner()).contains(OFlags::NONBLOCK));
}

#[test]
fn an_eventfd_wakes_once_for_each_write() {
    let _watchdog = watchdog();
    let event = Rc::new(Io::new(eventfd(0, EventfdFlags::empty()).unwrap()).unwrap());
    let reader = rustlet::spawn_local({
        let event = event.clone();
        move || (0..100).map(|_| counter(&event).unwrap()).sum::<u64>()
    });
    let mut sent = 0;
    while !reader.is_finished() {
        rustix::io::write(event.get_ref(), &1_u64.to_ne_bytes()).unwrap();
        sent += 1;
        rustlet::sleep(Duration::from_micros(100));
    }
    assert!(reader.join().unwrap() <= sent && sent >= 100);
}

#[test]
fn a_timerfd_ticks() {
    let _watchdog = watchdog();
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC).unwrap();
    let timer = Io::new(timer).unwrap();
    let every = Timespec {
        tv_sec: 0,
        tv_nsec: 3_000_000,
    };
    let start = Instant::now();
    let setting = Itimerspec {
        it_interval: every,
        it_value: every,
    };
    timerfd_settime(timer.get_ref(), TimerfdTimerFlags::empty(), &setting).unwrap();
    let mut ticks = 0;
    while ticks < 10 {
        ticks += counter(&timer).unwrap();
    }
    assert!(start.elapsed() >= Duration::from_millis(30));
}

#[test]
fn inotify_tells_of_files() {
    use rustix::fs::inotify;
    let _watchdog = watchdog();
    let dir = tempfile::tempdir().unwrap();
    let notify = Io::new(inotify::init(inotify::CreateFlags::CLOEXEC).unwrap()).unwrap();
    inotify::add_watch(notify.get_ref(), dir.path(), inotify::WatchFlags::CREATE).unwrap();
    let path = dir.path().to_owned();
    let writer = rustlet::spawn(move || {
        for n in 0..50 {
            File::create(path.join(format!("file-{n}"))).unwrap();
            rustlet::yield_now();
        }
    });
    // Room for one event or two: a read that is short of the buffer does not mean that there is no more.
    let mut seen = 0;
    while seen < 50 {
        seen += notify
            .operate(Interest::Read, |fd| {
                let mut buf = [std::mem::MaybeUninit::<u8>::uninit(); 64];
                let mut reader = inotify::Reader::new(fd, &mut buf);
                let mut events = 0;
                loop {
                    assert!(reader.next()?.file_name().is_some());
                    events += 1;
                    if reader.is_buffer_empty() {
                        return Ok(events);
                    }
                }
            })
            .unwrap();
    }
    writer.join().unwrap();
}

#[test]
fn netlink_answers() {
    use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
    let _watchdog = watchdog();
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None, // NETLINK_ROUTE, 0
    )
    .unwrap();
    let socket = Io::new(socket).unwrap();
    // nlmsghdr and rtgenmsg: RTM_GETLINK with NLM_F_REQUEST | NLM_F_DUMP, any family.
    let mut request = Vec::new();
    request.extend(20_u32.to_ne_bytes());
    request.extend(18_u16.to_ne_bytes());
    request.extend(0x301_u16.to_ne_bytes());
    request.extend([0; 12]);
    let asked = socket.operate(Interest::Write, |fd| {
        Ok(rustix::net::send(fd, &request, SendFlags::empty())?)
    });
    assert_eq!(asked.unwrap(), 20);
    let mut answer = vec![0; 32 * 1024];
    let (len, _) = socket
        .operate(Interest::Read, |fd| {
            Ok(rustix::net::recv(fd, &mut answer[..], RecvFlags::empty())?)
        })
        .unwrap();
    // The loopback device, an error for want of the right, or at least the end: a header in any case.
    assert!(len >= 16);
}

fn terminal() -> (OwnedFd, OwnedFd) {
    let (mut master, mut slave) = (-1, -1);
    // SAFETY: both numbers are written, and the rest is not asked for.
    let result = unsafe {
        libc::openpty(
            &raw mut master,
            &raw mut slave,
            ptr::null_mut(),
            ptr::null(),
            ptr::null(),
        )
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    // SAFETY: new descriptors, of which nobody else knows.
    unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) }
}

#[test]
fn a_terminal_reads_and_ends() {
    let _watchdog = watchdog();
    let (master, slave) = terminal();
    let mut master = Io::new(File::from(master)).unwrap();
    let mut slave = Io::new(File::from(slave)).unwrap();
    let typist = rustlet::spawn(move || {
        let mut line = [0; 64];
        for text in [&b"first\n"[..], b"second\n"] {
            master.write_all(text).unwrap();
            // The echo, with the terminal's line ends.
            let mut echoed = 0;
            while echoed < text.len() + 1 {
                echoed += master.read(&mut line).unwrap();
            }
        }
        master // closing it takes along what has not been read
    });
    let mut line = [0; 64];
    for text in [&b"first\n"[..], b"second\n"] {
        let len = slave.read(&mut line).unwrap();
        assert_eq!(&line[..len], text);
    }
    drop(typist.join().unwrap());
    // The other side has hung up.
    assert!(slave.wait(Interest::Read, None).unwrap());
    assert!(matches!(slave.read(&mut line), Ok(0) | Err(_)));
}

#[test]
fn what_epoll_does_not_take_is_always_ready() {
    let _watchdog = watchdog();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"text").unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    for interest in [Interest::Read, Interest::Write] {
        assert!(wait_fd(file.as_fd(), interest, None).unwrap());
    }
    let mut io = Io::new(file).unwrap();
    assert!(io.wait(Interest::Read, None).unwrap());
    let mut text = String::new();
    io.read_to_string(&mut text).unwrap();
    assert_eq!(text, "text");
    assert!(io.wait(Interest::Write, None).unwrap());
    io.write_all(b"more").unwrap();

    let null = File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .unwrap();
    assert!(wait_fd(null.as_fd(), Interest::Read, None).unwrap());
    let mut null = Io::new(null).unwrap();
    assert!(null.wait(Interest::Read, None).unwrap());
    null.write_all(b"gone").unwrap();
    assert_eq!(null.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn datagrams_larger_and_smaller_than_the_buffer() {
    let _watchdog = watchdog();
    let socket = Io::new(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
    let addr = socket.get_ref().local_addr().unwrap();
    let sender = rustlet::spawn(move || {
        let socket = Io::new(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
        for len in [1, 100, 5, 64] {
            let sent = socket.operate(Interest::Write, |s| s.send_to(&vec![b'x'; len], addr));
            assert_eq!(sent.unwrap(), len);
        }
    });
    let mut buf = [0; 64];
    for len in [1, 64, 5, 64] {
        let (received, _) = socket
            .operate(Interest::Read, |s| s.recv_from(&mut buf))
            .unwrap();
        assert_eq!(received, len);
    }
    sender.join().unwrap();
}

#[test]
fn an_accepting_socket() {
    let _watchdog = watchdog();
    let listener = Io::new(TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
    let addr = listener.get_ref().local_addr().unwrap();
    let clients: Vec<_> = (0..20)
        .map(|_| rustlet::spawn(move || rustlet::net::TcpStream::connect(addr).unwrap()))
        .collect();
    for _ in 0..20 {
        listener
            .operate(Interest::Read, TcpListener::accept)
            .unwrap();
    }
    clients
        .into_iter()
        .for_each(|client| drop(client.join().unwrap()));
}

#[test]
fn interruptions_are_tried_again_and_errors_passed_on() {
    let (socket, _other) = UnixStream::pair().unwrap();
    let io = Io::new(socket).unwrap();
    let mut tries = 0;
    let result = io.operate(Interest::Read, |_| {
        tries += 1;
        match tries {
            1 => Err(ErrorKind::Interrupted.into()),
            _ => Err::<(), _>(io::Error::other("mine")),
        }
    });
    assert_eq!(
        (result.unwrap_err().to_string(), tries),
        ("mine".to_owned(), 2)
    );
}

#[test]
fn a_wait_has_a_limit_and_tells_of_now() {
    let _watchdog = watchdog();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut ours = Io::new(ours).unwrap();
    assert!(!ours.wait(Interest::Read, SOON).unwrap());
    assert!(ours.wait(Interest::Write, None).unwrap());
    theirs.write_all(b"ab").unwrap();
    assert!(ours.wait(Interest::Read, None).unwrap());
    let mut byte = [0];
    ours.read_exact(&mut byte).unwrap();
    assert!(
        ours.wait(Interest::Read, None).unwrap(),
        "there is another byte"
    );
    ours.read_exact(&mut byte).unwrap();
    assert!(!ours.wait(Interest::Read, SOON).unwrap());
    theirs.write_all(b"c").unwrap();
    ours.read_exact(&mut byte).unwrap();
    drop(theirs);
    assert!(ours.wait(Interest::Read, None).unwrap(), "the end");
}

#[test]
fn what_others_read_meanwhile_is_not_ready() {
    let _watchdog = watchdog();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let ours = Io::new(ours).unwrap();
    assert!(!ours.wait(Interest::Read, SOON).unwrap());
    theirs.write_all(b"a").unwrap();
    assert!(ours.wait(Interest::Read, None).unwrap());
    assert_eq!((&mut ours.get_ref()).read(&mut [0; 8]).unwrap(), 1);
    assert!(!ours.wait(Interest::Read, SOON).unwrap());
}

#[test]
fn close_wakes_and_refuses() {
    let _watchdog = watchdog();
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let ours = Arc::new(Io::new(ours).unwrap());
    let waiting: Vec<_> = (0..3)
        .map(|n| {
            let ours = ours.clone();
            rustlet::spawn(move || match n {
                0 => ours.wait(Interest::Read, None).unwrap_err(),
                _ => (&mut &*ours).read(&mut [0]).unwrap_err(),
            })
        })
        .collect();
    let elsewhere = thread::spawn({
        let ours = ours.clone();
        move || (&mut &*ours).read(&mut [0]).unwrap_err()
    });
    rustlet::yield_now();
    ours.close();
    let bad = Some(Errno::BADF.raw_os_error());
    for one in waiting {
        assert_eq!(one.join().unwrap().raw_os_error(), bad);
    }
    assert_eq!(elsewhere.join().unwrap().raw_os_error(), bad);
    assert_eq!(
        ours.wait(Interest::Read, None).unwrap_err().raw_os_error(),
        bad
    );
}

#[test]
fn what_get_mut_replaces_is_waited_for_anew() {
    let _watchdog = watchdog();
    let (first, _first) = UnixStream::pair().unwrap();
    let (second, mut other) = UnixStream::pair().unwrap();
    second.set_nonblocking(true).unwrap();
    let mut io = Io::new(first).unwrap();
    assert!(!io.wait(Interest::Read, SOON).unwrap()); // it is registered
    *io.get_mut() = second;
    let reader = rustlet::spawn(move || io.read(&mut [0; 8]).unwrap());
    rustlet::yield_now();
    other.write_all(b"abc").unwrap();
    assert_eq!(reader.join().unwrap(), 3);
}

#[test]
fn kills_and_timeouts_leave_it_usable() {
    let _watchdog = watchdog();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let ours = Rc::new(Io::new(ours).unwrap());
    let killed = rustlet::spawn_local({
        let ours = ours.clone();
        move || (&mut &*ours).read(&mut [0]).unwrap()
    });
    rustlet::yield_now();
    killed.kill().unwrap();
    let limit = Duration::from_millis(5);
    assert!(rustlet::timeout(limit, || (&mut &*ours).read(&mut [0]).unwrap()).is_err());
    assert!(rustlet::timeout(limit, || wait_fd(ours.as_fd(), Interest::Read, None)).is_err());
    theirs.write_all(b"x").unwrap();
    assert_eq!((&mut &*ours).read(&mut [0; 4]).unwrap(), 1);
}

#[test]
fn a_foreign_descriptor_is_not_changed_and_none_is_left_over() {
    let _watchdog = watchdog();
    let (reader, mut writer) = io::pipe().unwrap();
    let flags = rustix::fs::fcntl_getfl(&reader).unwrap();
    wait_fd(reader.as_fd(), Interest::Read, SOON).unwrap(); // makes the epoll instance
    if support::is_child() {
        let before = support::open_fds();
        for _ in 0..3 {
            assert!(!wait_fd(reader.as_fd(), Interest::Read, SOON).unwrap());
        }
        let killed = rustlet::spawn_local(move || wait_fd(reader.as_fd(), Interest::Read, None));
        rustlet::yield_now();
        assert_eq!(support::open_fds(), before + 1);
        killed.kill().unwrap();
        drop(killed);
        assert_eq!(
            support::open_fds(),
            before - 1,
            "the pipe's own end is closed too"
        );
        return;
    }
    assert_eq!(rustix::fs::fcntl_getfl(&reader).unwrap(), flags);
    writer.write_all(b"x").unwrap();
    assert!(wait_fd(reader.as_fd(), Interest::Read, None).unwrap());
    support::child("a_foreign_descriptor_is_not_changed_and_none_is_left_over")
        .run()
        .assert_passed();
}

#[test]
fn many_wait_for_one_foreign_descriptor() {
    let _watchdog = watchdog();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let ours = Rc::new(ours);
    let waiting: Vec<_> = (0..10)
        .map(|_| {
            let ours = ours.clone();
            rustlet::spawn_local(move || wait_fd(ours.as_fd(), Interest::Read, None).unwrap())
        })
        .collect();
    rustlet::yield_now();
    theirs.write_all(b"x").unwrap();
    waiting
        .into_iter()
        .for_each(|one| assert!(one.join().unwrap()));
}

#[test]
fn the_number_of_a_foreign_descriptor_may_pass_to_another_while_it_is_waited_for() {
    let _watchdog = watchdog();
    // The owner (a C library, say) closes its socket under the waiter and opens another one, which gets the same number
    // and is registered with the same hub.
    let (theirs, peer) = UnixStream::pair().unwrap();
    let mut theirs = OwnedFd::from(theirs);
    let number = theirs.as_raw_fd();
    let waiter = rustlet::spawn(move || {
        // SAFETY: the number is open all the while: `dup2` replaces what it means at once.
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        wait_fd(fd, Interest::Read, None).unwrap()
    });
    rustlet::yield_now();
    let (other, mut other_peer) = UnixStream::pair().unwrap();
    rustix::io::dup2(other, &mut theirs).unwrap();
    let mut other = Io::new(UnixStream::from(theirs)).unwrap();
    let reader = rustlet::spawn(move || {
        other.read_exact(&mut [0; 1]).unwrap();
        other.read(&mut [0; 8]).unwrap()
    });
    rustlet::yield_now();
    drop(peer); // what was waited for ends
    assert!(waiter.join().unwrap());
    for text in [&b"a"[..], b"bcd"] {
        other_peer.write_all(text).unwrap();
        rustlet::yield_now();
    }
    assert!(reader.join().unwrap() > 0);
}

#[test]
fn a_tcp_stream_of_ours_can_be_waited_for_as_a_foreign_one() {
    let _watchdog = watchdog();
    let (ours, mut theirs): (TcpStream, TcpStream) = support::tcp_pair();
    let ours = Rc::new(rustlet::net::TcpStream::from(ours));
    let reader = rustlet::spawn_local({
        let ours = ours.clone();
        move || (&mut &*ours).read(&mut [0; 1]).unwrap()
    });
    let waiter = rustlet::spawn_local({
        let ours = ours.clone();
        move || wait_fd(ours.as_fd(), Interest::Read, None).unwrap()
    });
    rustlet::yield_now();
    theirs.write_all(b"xy").unwrap();
    assert!(waiter.join().unwrap());
    assert_eq!(reader.join().unwrap(), 1);
}
