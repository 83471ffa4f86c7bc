//! What all sockets convert to and from, as std's do: the std type, descriptors, `Debug`.
//!
//! A macro, since each conversion is three lines that differ in two names. A socket is a struct with a field
//! `source: Source<$std>`, which can be made of a std socket by `with_source`.

/// The conversions of a socket type whose operations have timeouts.
macro_rules! converts_with_timeouts {
    ($socket:ident, $std:ty) => {
        /// Makes the socket non-blocking and takes over its timeouts.
        impl From<$std> for $socket {
            fn from(socket: $std) -> Self {
                let options = crate::io::source::Options::default();
                // They can only fail for a descriptor that is no socket; its operations will say so then.
                let _ = socket.set_nonblocking(true);
                let read = socket.read_timeout().ok().flatten();
                let _ = options.set_timeout(crate::reactor::Interest::Read, read);
                let write = socket.write_timeout().ok().flatten();
                let _ = options.set_timeout(crate::reactor::Interest::Write, write);
                let options = std::sync::Arc::new(options);
                $socket::with_source(crate::io::source::Source::with_options(socket, options))
            }
        }

        /// Makes the socket blocking again, for its clones too, and passes its timeouts on.
        impl From<$socket> for $std {
            fn from(socket: $socket) -> Self {
                let options = socket.source.options().clone();
                let socket = socket.source.into_inner();
                let _ = socket.set_nonblocking(false);
                let _ = socket.set_read_timeout(options.timeout(crate::reactor::Interest::Read));
                let _ = socket.set_write_timeout(options.timeout(crate::reactor::Interest::Write));
                socket
            }
        }

        $crate::io::net::convert::converts_to_descriptors!($socket, $std);
    };
}

/// The conversions that need no more than those from and into the std type.
macro_rules! converts_to_descriptors {
    ($socket:ident, $std:ty) => {
        /// Makes the socket non-blocking.
        impl From<std::os::fd::OwnedFd> for $socket {
            fn from(fd: std::os::fd::OwnedFd) -> Self {
                <$std>::from(fd).into()
            }
        }

        /// The descriptor stays non-blocking.
        impl From<$socket> for std::os::fd::OwnedFd {
            fn from(socket: $socket) -> Self {
                socket.source.into_inner().into()
            }
        }

        impl std::os::fd::AsFd for $socket {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                std::os::fd::AsFd::as_fd(self.source.inner())
            }
        }

        impl std::os::fd::AsRawFd for $socket {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                std::os::fd::AsRawFd::as_raw_fd(self.source.inner())
            }
        }

        impl std::os::fd::IntoRawFd for $socket {
            fn into_raw_fd(self) -> std::os::fd::RawFd {
                std::os::fd::OwnedFd::from(self).into_raw_fd()
            }
        }

        impl std::fmt::Debug for $socket {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(self.source.inner(), f)
            }
        }
    };
}

pub(super) use {converts_to_descriptors, converts_with_timeouts};
