//! What a conversation needs of a stream socket, for TCP and Unix alike.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::time::Duration;

use rustix::net::sockopt;
use rustlet::net::{TcpListener, TcpStream};
use rustlet::os::unix::net::{SocketAddr as UnixAddr, UnixListener, UnixStream};

pub(super) trait Socket: Sized + Send + Sync + 'static {
    const FAMILY: &'static str;
    type Address: Clone + Send + Sync + 'static;
    type Door: Send + Sync + 'static;

    /// A listener, under a name that is nobody else's.
    fn listen(name: &str) -> io::Result<(Self::Door, Self::Address)>;
    fn accept(door: &Self::Door) -> io::Result<Self>;
    fn shut(door: &Self::Door);
    fn connect(to: &Self::Address) -> io::Result<Self>;

    fn get(&self, buf: &mut [u8]) -> io::Result<usize>;
    fn put(&self, buf: &[u8]) -> io::Result<()>;
    /// Ends the direction that this side writes.
    fn finish(&self) -> io::Result<()>;
    fn close(&self);
    fn limit_reads(&self, limit: Option<Duration>) -> io::Result<()>;
    /// Has the kernel keep little for this side.
    fn squeeze(&self) -> io::Result<()>;
    /// Ends the connection without an orderly end, where the family knows that.
    fn abort(self) -> io::Result<()>;
}

macro_rules! streams {
    ($stream:ty) => {
        fn get(&self, buf: &mut [u8]) -> io::Result<usize> {
            let mut this = self;
            this.read(buf)
        }

        fn put(&self, buf: &[u8]) -> io::Result<()> {
            let mut this = self;
            this.write_all(buf)
        }

        fn finish(&self) -> io::Result<()> {
            self.shutdown(Shutdown::Write)
        }

        fn close(&self) {
            <$stream>::close(self);
        }

        fn limit_reads(&self, limit: Option<Duration>) -> io::Result<()> {
            self.set_read_timeout(limit)
        }

        fn squeeze(&self) -> io::Result<()> {
            // Its sender's only: TCP with a small window stands still for fifths of a second.
            Ok(sockopt::set_socket_send_buffer_size(self, 4096)?)
        }
    };
}

impl Socket for TcpStream {
    const FAMILY: &'static str = "tcp";
    type Address = std::net::SocketAddr;
    type Door = TcpListener;

    fn listen(_: &str) -> io::Result<(TcpListener, Self::Address)> {
        let door = TcpListener::bind("127.0.0.1:0")?;
        let addr = door.local_addr()?;
        Ok((door, addr))
    }

    fn accept(door: &TcpListener) -> io::Result<TcpStream> {
        door.accept().map(|(stream, _)| stream)
    }

    fn shut(door: &TcpListener) {
        door.close();
    }

    fn connect(to: &Self::Address) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(*to)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn abort(self) -> io::Result<()> {
        Ok(sockopt::set_socket_linger(&self, Some(Duration::ZERO))?)
    }

    streams!(TcpStream);
}

impl Socket for UnixStream {
    const FAMILY: &'static str = "unix";
    type Address = UnixAddr;
    type Door = UnixListener;

    fn listen(name: &str) -> io::Result<(UnixListener, UnixAddr)> {
        let addr = UnixAddr::from_abstract_name(name)?;
        Ok((UnixListener::bind_addr(&addr)?, addr))
    }

    fn accept(door: &UnixListener) -> io::Result<UnixStream> {
        door.accept().map(|(stream, _)| stream)
    }

    fn shut(door: &UnixListener) {
        door.close();
    }

    fn connect(to: &UnixAddr) -> io::Result<UnixStream> {
        UnixStream::connect_addr(to)
    }

    fn abort(self) -> io::Result<()> {
        Ok(())
    }

    streams!(UnixStream);
}
