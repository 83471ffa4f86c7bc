//! The size classes of stacks: powers of two.
//!
//! Plain values; any thread. A class is one byte, so that it travels in a slot, a builder or a
//! control block for nothing.

use std::fmt;
use std::io;

/// The smallest class, as a power of two: 16 KiB.
pub(super) const MIN_LOG2: u8 = 14;
/// The largest class, as a power of two: 1 GiB.
pub(super) const MAX_LOG2: u8 = 30;
/// How many classes there are.
pub(super) const CLASSES: usize = (MAX_LOG2 - MIN_LOG2 + 1) as usize;

/// The size of a stack: a power of two between 16 KiB (four pages, where pages are larger than
/// 4 KiB) and 1 GiB.
///
/// It is address space: memory is used page by page as a stack grows, and a parked greenlet
/// typically holds one or two pages whatever its size. From the size go, at its low end, the guard
/// ([`guard_bytes`](Self::guard_bytes)) and, at its high end, up to 2 KiB that keep the tops of
/// different stacks apart in the processor's caches and the greenlet's control block.
///
/// As a guide (x86_64): panicking with a backtrace takes 22 KiB, a TLS handshake 16 KiB in release
/// and 48 KiB in debug builds, a regular expression compiled in a debug build 108 KiB.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StackSize(u8);

impl StackSize {
    /// 256 KiB: enough for debug builds of ordinary crates.
    pub const DEFAULT: Self = Self(18);

    /// The smallest size of at least `bytes`.
    ///
    /// # Errors
    /// `InvalidInput` if that is more than 1 GiB.
    pub fn new(bytes: usize) -> io::Result<Self> {
        let smallest = (1 << MIN_LOG2).max(4 * crate::sys::mem::page_size());
        if bytes > 1 << MAX_LOG2 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "a stack of {bytes} bytes: the largest is 1 GiB ({})",
                    1 << MAX_LOG2
                ),
            ));
        }
        let log2 = bytes.max(smallest).next_power_of_two().trailing_zeros();
        Ok(Self(log2 as u8))
    }

    /// The size in bytes, guard included.
    #[inline]
    pub const fn bytes(self) -> usize {
        1 << self.0
    }

    /// How many bytes at the low end are guard: 16 KiB from sizes of 64 KiB up, otherwise a page.
    ///
    /// More than a page, because code that is not built with stack probes (C) may step over a
    /// small one.
    #[inline]
    pub fn guard_bytes(self) -> usize {
        let page = crate::sys::mem::page_size();
        if self.bytes() >= 64 * 1024 {
            page.max(16 * 1024)
        } else {
            page
        }
    }

    #[inline]
    pub(super) fn index(self) -> usize {
        usize::from(self.0 - MIN_LOG2)
    }

    #[inline]
    pub(super) fn log2(self) -> u32 {
        u32::from(self.0)
    }

    /// The class with this [`index`](Self::index).
    pub(super) fn of_index(index: usize) -> Self {
        assert!(
            index < CLASSES,
            "there are {CLASSES} stack classes, not {index}"
        );
        Self(index as u8 + MIN_LOG2)
    }
}

impl Default for StackSize {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Debug for StackSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StackSize({} KiB)", self.bytes() / 1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_up_to_a_class() {
        let page = crate::sys::mem::page_size();
        let smallest = (16 * 1024).max(4 * page);
        for (asked, got) in [
            (0, smallest),
            (1, smallest),
            (smallest, smallest),
            (smallest + 1, 2 * smallest),
            (1 << 18, 1 << 18),
            ((1 << 29) + 1, 1 << 30),
            (1 << 30, 1 << 30),
        ] {
            let size = StackSize::new(asked).expect("not too large");
            assert_eq!(size.bytes(), got, "asked for {asked}");
            assert_eq!(StackSize::of_index(size.index()), size);
            assert_eq!(size.guard_bytes() % page, 0);
            assert!(size.guard_bytes() * 4 <= size.bytes(), "{size:?}");
        }
        assert_eq!(StackSize::DEFAULT.bytes(), 256 * 1024);
        assert_eq!(format!("{:?}", StackSize::DEFAULT), "StackSize(256 KiB)");
    }

    #[test]
    fn too_large_is_an_error_that_says_so() {
        for bytes in [(1 << 30) + 1, usize::MAX] {
            let error = StackSize::new(bytes).expect_err("too large");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains("1 GiB"), "{error}");
        }
    }
}
