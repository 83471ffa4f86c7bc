//! Any other architecture: no register is carried, only called.

use core::ffi::c_void;

use super::{Call, Frame};

pub(super) const NAMES: [&str; 0] = [];
pub(super) const ALIGNMENT: usize = 1;
pub(super) const ROUNDING: u64 = 0;
pub(super) const STRAY_FLAGS: u64 = 0;

pub(super) fn word(_rounding: u8) -> u64 {
    0
}

/// Calls `call(argument)`.
///
/// # Safety
/// `call` may be called with `argument`.
pub(super) unsafe extern "C-unwind" fn carry(_: *mut Frame, call: Call, argument: *mut c_void) {
    // SAFETY: the caller's promise.
    unsafe { call(argument) };
}

pub(super) fn set_control(_word: u64) {}
