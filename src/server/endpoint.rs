//! [`Endpoint`]: what a server takes its work from, and what differs between the kinds.
//!
//! | endpoint | item | server |
//! |---|---|---|
//! | `TcpListener` | `TcpStream` | `StreamServer` |
//! | `UnixListener` | `UnixStream` | `StreamServer<UnixListener>` |
//! | `UdpSocket` | `Datagram` | `DatagramServer` |
//!
//! Taking an item never waits, so that no slot is kept while there is nothing to do; waiting is by itself.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix;
use std::sync::Arc;

use rustix::io::Errno;

use super::shared::Shared;
use super::{DatagramServer, StreamServer};
use crate::io::net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};

/// The largest payload of a UDP datagram is smaller than this.
const LARGEST_DATAGRAM: usize = 65_536;

/// The state of a server, opaque to users of [`Endpoint`].
#[doc(hidden)]
pub struct Handle<E: Endpoint>(pub(super) Arc<Shared<E>>);

impl<E: Endpoint> fmt::Debug for Handle<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}

impl<E: Endpoint> From<Arc<Shared<E>>> for Handle<E> {
    fn from(shared: Arc<Shared<E>>) -> Self {
        Handle(shared)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::io::net::TcpListener {}
    impl Sealed for crate::io::net::UnixListener {}
    impl Sealed for crate::io::net::UdpSocket {}
}

/// A datagram, and the socket by which it came.
#[doc(hidden)]
#[derive(Debug)]
pub struct Datagram {
    pub(super) socket: Arc<UdpSocket>,
    pub(super) data: Vec<u8>,
}

/// What a server takes its work from: a listener, or a socket for datagrams.
///
/// Implemented for [`TcpListener`], [`UnixListener`] and [`UdpSocket`], and cannot be implemented elsewhere.
pub trait Endpoint: sealed::Sealed + Send + Sync + Sized + 'static {
    /// What each handler gets: a stream, or a datagram.
    type Item: Send + 'static;
    /// The address of a peer.
    type Addr: Clone + fmt::Debug + Send + Sync + 'static;
    /// The kind of server.
    type Server;
    /// What taking an item uses again and again.
    #[doc(hidden)]
    type Scratch: Default;

    /// Takes an item, without waiting.
    #[doc(hidden)]
    fn take(this: &Arc<Self>, scratch: &mut Self::Scratch) -> io::Result<(Self::Item, Self::Addr)>;

    /// Waits until an item may be there.
    #[doc(hidden)]
    fn wait_for_item(&self) -> io::Result<()>;

    /// Whether an error of [`Endpoint::take`] is no concern of the server's.
    #[doc(hidden)]
    fn is_nothing(error: &io::Error) -> bool;

    #[doc(hidden)]
    fn local_addr(&self) -> io::Result<Self::Addr>;

    /// Sees to it that nothing comes in any more, though handlers go on.
    #[doc(hidden)]
    fn close(&self);

    #[doc(hidden)]
    fn server(handle: Handle<Self>) -> Self::Server;
}

/// An [`Endpoint`] whose items are connections.
pub trait Listener: Endpoint<Server = StreamServer<Self>> {}

impl Listener for TcpListener {}
impl Listener for UnixListener {}

fn is_one_of(error: &io::Error, errors: &[Errno]) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    errno.is_some_and(|errno| errors.contains(&errno))
}

macro_rules! is_a_listener {
    ($listener:ident, $stream:ident, $addr:ty) => {
        impl Endpoint for $listener {
            type Item = $stream;
            type Addr = $addr;
            type Server = StreamServer<$listener>;
            type Scratch = ();

            fn take(this: &Arc<Self>, _: &mut ()) -> io::Result<($stream, $addr)> {
                this.try_accept()
            }

            fn wait_for_item(&self) -> io::Result<()> {
                self.wait_readable()
            }

            /// The client has gone; a signal came.
            fn is_nothing(error: &io::Error) -> bool {
                is_one_of(error, &[Errno::CONNABORTED, Errno::INTR])
            }

            fn local_addr(&self) -> io::Result<$addr> {
                $listener::local_addr(self)
            }

            fn close(&self) {
                $listener::close(self);
            }

            fn server(handle: Handle<Self>) -> StreamServer<$listener> {
                StreamServer { shared: handle.0 }
            }
        }
    };
}

is_a_listener!(TcpListener, TcpStream, SocketAddr);
is_a_listener!(UnixListener, UnixStream, unix::net::SocketAddr);

impl Endpoint for UdpSocket {
    type Item = Datagram;
    type Addr = SocketAddr;
    type Server = DatagramServer;
    /// A buffer for any datagram; handlers get a copy that is as long as theirs.
    type Scratch = Vec<u8>;

    fn take(this: &Arc<Self>, scratch: &mut Vec<u8>) -> io::Result<(Datagram, SocketAddr)> {
        scratch.resize(LARGEST_DATAGRAM, 0);
        let (len, peer) = this.try_recv_from(scratch)?;
        let datagram = Datagram {
            socket: this.clone(),
            data: scratch[..len].to_vec(),
        };
        Ok((datagram, peer))
    }

    fn wait_for_item(&self) -> io::Result<()> {
        self.wait_readable()
    }

    /// What an answer met with on its way; a signal came.
    fn is_nothing(error: &io::Error) -> bool {
        let errors = [
            Errno::CONNREFUSED,
            Errno::HOSTUNREACH,
            Errno::NETUNREACH,
            Errno::INTR,
        ];
        is_one_of(error, &errors)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        UdpSocket::local_addr(self)
    }

    /// Nothing: its acceptor ends, and handlers may still answer. The last of them closes it.
    fn close(&self) {}

    fn server(handle: Handle<Self>) -> DatagramServer {
        DatagramServer { shared: handle.0 }
    }
}

/// Whether taking an item will never succeed again.
pub(super) fn is_fatal(error: &io::Error) -> bool {
    let errors = [Errno::BADF, Errno::INVAL, Errno::NOTSOCK, Errno::OPNOTSUPP];
    is_one_of(error, &errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_place() {
        let error = |errno: Errno| io::Error::from(errno);
        assert!(TcpListener::is_nothing(&error(Errno::CONNABORTED)));
        assert!(UdpSocket::is_nothing(&error(Errno::CONNREFUSED)));
        assert!(!TcpListener::is_nothing(&error(Errno::CONNREFUSED)));
        assert!(is_fatal(&error(Errno::BADF)));
        assert!(is_fatal(&error(Errno::INVAL)));
        for passing in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NETDOWN] {
            assert!(!is_fatal(&error(passing)) && !UnixListener::is_nothing(&error(passing)));
        }
        assert!(!is_fatal(&io::Error::other("no stack")));
    }
}
