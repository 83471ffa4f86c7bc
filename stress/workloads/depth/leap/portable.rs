//! Any other architecture: no leap, so no stacks whose middle cannot be filled.

use core::ffi::c_void;

use super::Call;

/// # Safety
/// `call` may be called with `argument`.
pub(super) unsafe extern "C-unwind" fn leap(_: usize, call: Call, argument: *mut c_void) {
    // SAFETY: the caller's promise.
    unsafe { call(argument) };
}
