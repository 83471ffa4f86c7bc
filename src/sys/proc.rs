//! Numbers about this process and this machine, for budgets and for error messages.
//!
//! Reads `/proc` by raw system calls. A file that is not there (a sandbox without `/proc`) is
//! answered with `None`, never with an error: callers have a default. Slow (microseconds and
//! more), meant for start-up and for failures. Any thread.

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, read};
use rustix::process::{Resource, getrlimit};

/// The value of a sysctl that is one number, such as `vm/max_map_count`.
pub(crate) fn sysctl(name: &str) -> Option<usize> {
    let mut text = String::new();
    for_each_block(&format!("/proc/sys/{name}"), |block| {
        text.push_str(&String::from_utf8_lossy(block));
    })?;
    text.trim().parse().ok()
}

/// How many mappings this process has now.
pub(crate) fn map_count() -> Option<usize> {
    let mut lines = 0;
    for_each_block("/proc/self/maps", |block| {
        lines += block.iter().filter(|&&byte| byte == b'\n').count();
    })?;
    Some(lines)
}

/// The limit on this process's address space in bytes (`RLIMIT_AS`), if there is one.
pub(crate) fn address_space_limit() -> Option<u64> {
    getrlimit(Resource::As).current
}

/// The limit on this process's private writable memory in bytes (`RLIMIT_DATA`), if there is one.
pub(crate) fn data_limit() -> Option<u64> {
    getrlimit(Resource::Data).current
}

fn for_each_block(path: &str, mut each: impl FnMut(&[u8])) -> Option<()> {
    let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    // On the heap: this may run on a small coroutine stack.
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match read(&file, &mut buffer[..]) {
            Ok(0) => return Some(()),
            Ok(length) => each(&buffer[..length]),
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_read_and_what_is_not_is_none() {
        assert!(sysctl("vm/max_map_count").is_some_and(|count| count > 100));
        assert_eq!(sysctl("vm/no_such_thing"), None);
        // Not a number.
        assert_eq!(sysctl("kernel/ostype"), None);
        assert!(map_count().is_some_and(|count| count > 5));
    }
}
