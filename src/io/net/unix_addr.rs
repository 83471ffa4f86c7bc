//! Addresses of Unix sockets: std's type, which users see, and the kernel's.
//!
//! std's `SocketAddr` has no constructor that takes a `sockaddr_un`. It takes paths and abstract names, and an empty
//! path makes the unnamed address; that is all there is, but for one case: the kernel accepts a path of 108 bytes
//! without a terminator, and std's functions do not. A datagram from such a sender counts as one without an address.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;
use std::{ffi::OsStr, path::Path};

use rustix::net::{SocketAddrAny, SocketAddrUnix};

/// The family alone: no name. rustix would read an abstract name without a byte, which is something else.
const SHORTEST: usize = 2;
/// The longest address that rustix can read: the family, and 108 bytes. A longer one makes it panic.
const LONGEST: usize = 110;

/// As the kernel wants it.
pub(super) fn to_kernel(addr: &SocketAddr) -> io::Result<SocketAddrUnix> {
    Ok(if let Some(path) = addr.as_pathname() {
        SocketAddrUnix::new(path)?
    } else if let Some(name) = addr.as_abstract_name() {
        SocketAddrUnix::new_abstract_name(name)?
    } else {
        SocketAddrUnix::new_unnamed()
    })
}

/// As users see it. `None` for an address of the head's one case, and for one of another family.
pub(super) fn from_kernel(addr: Option<SocketAddrAny>) -> Option<SocketAddr> {
    let Some(addr) = addr else {
        return Some(unnamed());
    };
    match addr.addr_len() as usize {
        0..=SHORTEST => return Some(unnamed()),
        len if len > LONGEST => return None,
        _ => {}
    }
    let addr = SocketAddrUnix::try_from(addr).ok()?;
    if let Some(path) = addr.path_bytes() {
        // A path of 107 bytes comes with its terminator.
        let path = path.strip_suffix(b"\0").unwrap_or(path);
        SocketAddr::from_pathname(Path::new(OsStr::from_bytes(path))).ok()
    } else if let Some(name) = addr.abstract_name() {
        SocketAddr::from_abstract_name(name).ok()
    } else {
        Some(unnamed())
    }
}

/// The address of a socket that was not bound.
pub(super) fn unnamed() -> SocketAddr {
    SocketAddr::from_pathname("").expect("no path is too short")
}

#[cfg(test)]
mod tests {
    use rustix::net::addr::SocketAddrArg;

    use super::*;

    #[test]
    fn an_empty_path_is_no_name() {
        assert!(unnamed().is_unnamed());
        assert!(from_kernel(None).unwrap().is_unnamed());
    }

    #[test]
    fn all_kinds_go_there_and_back() {
        let longest = "p".repeat(107);
        let name = [b'n'; 107];
        for addr in [
            unnamed(),
            SocketAddr::from_pathname("/a/path").unwrap(),
            SocketAddr::from_pathname(&longest).unwrap(),
            SocketAddr::from_abstract_name(b"").unwrap(),
            SocketAddr::from_abstract_name(b"a\0name").unwrap(),
            SocketAddr::from_abstract_name(name).unwrap(),
        ] {
            let back = from_kernel(Some(to_kernel(&addr).unwrap().as_any())).unwrap();
            assert_eq!(back.as_pathname(), addr.as_pathname());
            assert_eq!(back.as_abstract_name(), addr.as_abstract_name());
            assert_eq!(back.is_unnamed(), addr.is_unnamed());
        }
    }
}
