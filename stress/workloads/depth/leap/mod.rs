//! [`leap`]: a call far down the stack, over pages that are not touched.
//!
//! Without it the bottom of a stack of 1 GiB is reached only by way of 1 GiB of memory: compiled code touches each page that it
//! steps over. What is between stays as it was; what unwinds goes over it.
#![allow(unsafe_code)] // moves the stack pointer

use core::ffi::c_void;

#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    path = "portable.rs"
)]
mod machine;

type Call = unsafe extern "C-unwind" fn(*mut c_void);

/// Whether there are leaps here.
pub(super) const POSSIBLE: bool = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));

/// Calls `f` with the stack `bytes` further down.
///
/// # Safety
/// The stack has so many bytes left, and what `f` needs.
pub(super) unsafe fn leap<F: FnOnce()>(bytes: usize, f: F) {
    unsafe extern "C-unwind" fn call<F: FnOnce()>(slot: *mut c_void) {
        // SAFETY: `slot` is the `Option` below, which nobody else uses meanwhile.
        let f = unsafe { (*slot.cast::<Option<F>>()).take() };
        f.expect("called once")();
    }
    let mut slot = Some(f);
    // SAFETY: room is the caller's promise; `call` is for such a slot, which outlives the call.
    unsafe { machine::leap(bytes & !15, call::<F>, (&raw mut slot).cast()) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    /// An address in the caller's frame, about.
    fn here() -> usize {
        let local = 0_u8;
        core::ptr::from_ref(core::hint::black_box(&local)).addr()
    }

    #[test]
    fn a_leap_goes_down_and_comes_back_also_by_unwinding() {
        if !POSSIBLE {
            return;
        }
        let (above, mut below) = (here(), 0);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: a test's thread has 2 MiB.
            unsafe {
                leap(1 << 20, || {
                    below = here();
                    resume_unwind(Box::new(5));
                });
            }
        }));
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&5));
        assert!((1 << 20..(1 << 20) + 4096).contains(&(above - below)));
    }
}
