//! [`carry`]: a call made with known values in every register that a call must keep.
//!
//! ```text
//!   caller ─► carry: saves the caller's registers, loads the known values and a control word
//!               └─► f: switches away, other greenlets load theirs, comes back
//!             carry: stores what the registers hold now, restores the caller's
//! ```
//! The values name what they are (register, greenlet, serial number), so that a wrong one tells whose it is. `f` may
//! unwind: the frame has unwind tables like any compiled one, and what the unwinder makes of the caller's
//! registers is then checked by the caller's own `carry`, if it is inside of one.
//!
//! The control word for floating point belongs to the thread, as documented. So the word that is in force is known
//! from who wrote last *on this thread* ([`Control`]), and a switch that saved it would be found as well as one
//! that lost it. A word is in force only while its greenlet is inside of `carry`, or away from there.
//!
//! Rejected: `asm!` in Rust functions, which may not use rbx, rbp, x19 and x29 as operands.
#![allow(unsafe_code)] // naked functions, and their arguments

use core::cell::Cell;
use core::ffi::c_void;
use core::fmt;

#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    path = "portable.rs"
)]
mod machine;

use crate::workload::{Failure, ensure};
use machine::{ALIGNMENT, NAMES};

type Call = unsafe extern "C-unwind" fn(*mut c_void);

/// What `machine::carry` reads and writes.
#[repr(C)]
#[derive(Default)]
struct Frame {
    load: [u64; NAMES.len()],
    found: [u64; NAMES.len()],
    /// At the call.
    stack_pointer: usize,
    /// After it.
    flags: u64,
    /// The control word during the call, and what it was before and after.
    set: u64,
    before: u64,
    after: u64,
}

/// Who carries: a number for each greenlet of the step, and one for each call.
#[derive(Clone, Copy)]
pub(super) struct Carrier {
    pub(super) greenlet: u32,
    pub(super) serial: u32,
}

/// Calls `f` with this carrier's values in the registers and, on request, another way of rounding, and checks
/// what it comes back with.
#[inline(never)]
pub(super) fn carry<F: FnOnce()>(
    carrier: Carrier,
    rounding: Option<u8>,
    f: F,
) -> Result<(), Failure> {
    unsafe extern "C-unwind" fn call<F: FnOnce()>(slot: *mut c_void) {
        // SAFETY: `slot` is the `Option` below, which nobody else uses meanwhile.
        let f = unsafe { (*slot.cast::<Option<F>>()).take() };
        f.expect("called once")();
    }

    let in_force = Control::read();
    let mut frame = Frame::default();
    for (nth, value) in frame.load.iter_mut().enumerate() {
        *value = Value::of(nth, carrier).0;
    }
    frame.set = rounding.map_or(in_force, machine::word);
    Control::note(frame.set);
    let mut slot = Some(f);
    // SAFETY: frame and slot are locals of this function, which outlives the call; `call` is for such a slot.
    unsafe { machine::carry(&mut frame, call::<F>, (&raw mut slot).cast()) };
    // Before anything can go wrong: `machine::carry` has put this back.
    let last = Control::read();
    Control::note(frame.before);

    for (nth, found) in frame.found.into_iter().enumerate() {
        let (name, carried) = (NAMES[nth], Value(frame.load[nth]));
        ensure!(
            found == carried.0,
            "{name} was not kept: {carried} went out, and {} came back",
            Value(found)
        );
    }
    ensure!(
        frame.stack_pointer % ALIGNMENT == 0,
        "greenlet {}: the stack pointer at a call is {:#x}, no multiple of {ALIGNMENT}",
        carrier.greenlet,
        frame.stack_pointer
    );
    ensure!(
        frame.flags & machine::STRAY_FLAGS == 0,
        "greenlet {}: flags {:#x} after a switch: the direction flag is set",
        carrier.greenlet,
        frame.flags
    );
    for (when, found, expected) in [
        ("before", frame.before, in_force),
        ("after", frame.after, last),
    ] {
        ensure!(
            (found ^ expected) & machine::ROUNDING == 0,
            "greenlet {}: the control word {when} a switch is {found:#x}; the thread's last was {expected:#x}",
            carrier.greenlet
        );
    }
    Ok(())
}

/// Puts the thread's control word back to what a program starts with.
pub(super) fn reset_control() {
    machine::set_control(machine::word(0));
    Control::note(machine::word(0));
}

/// The control word that was last written on this thread. Behind functions that are not inlined, as
/// all thread-locals of code that switches.
struct Control;

thread_local! {
    static CONTROL: Cell<Option<u64>> = const { Cell::new(None) };
}

impl Control {
    #[inline(never)]
    fn read() -> u64 {
        CONTROL.get().unwrap_or_else(|| machine::word(0))
    }

    #[inline(never)]
    fn note(word: u64) {
        CONTROL.set(Some(word));
    }
}

/// Eight bits of the register, 24 of the greenlet, 32 of the serial number. The top bit is set, so that no
/// small number or address looks like one.
#[derive(Clone, Copy)]
struct Value(u64);

impl Value {
    fn of(register: usize, carrier: Carrier) -> Value {
        let register = 0x80 | register as u64;
        let greenlet = u64::from(carrier.greenlet & 0xff_ffff);
        Value(register << 56 | greenlet << 32 | u64::from(carrier.serial))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)?;
        let register = (self.0 >> 56).wrapping_sub(0x80) as usize;
        let Some(name) = NAMES.get(register) else {
            return f.write_str(" (nobody's)");
        };
        let (greenlet, serial) = (self.0 >> 32 & 0xff_ffff, self.0 as u32);
        write!(f, " ({name} of greenlet {greenlet}, call {serial})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Carrier = Carrier {
        greenlet: 7,
        serial: 3,
    };

    #[test]
    fn a_call_that_keeps_everything_is_clean() {
        for rounding in [None, Some(0), Some(3), Some(9)] {
            carry(ME, rounding, || ()).unwrap();
            let within = || carry(ME, Some(2), || ()).unwrap();
            carry(ME, rounding, within).unwrap();
        }
        reset_control();
    }

    #[test]
    fn unwinding_restores_the_callers_registers() {
        carry(ME, None, || {
            let inner = Carrier { serial: 4, ..ME };
            let payload = std::panic::catch_unwind(|| {
                carry(inner, None, || std::panic::resume_unwind(Box::new(5))).unwrap();
            });
            assert_eq!(payload.unwrap_err().downcast_ref(), Some(&5));
        })
        .unwrap();
    }

    #[test]
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    fn a_foreign_control_word_is_noticed() {
        let changed = carry(ME, None, || machine::set_control(machine::word(1)));
        assert!(changed.unwrap_err().0.contains("control word after"));
        reset_control();
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn a_register_that_is_not_kept_is_named() {
        #[unsafe(naked)]
        unsafe extern "C-unwind" fn spoil(_: *mut c_void) {
            core::arch::naked_asm!("mov r13, 0", "ret");
        }
        let mut frame = Frame {
            set: machine::word(0),
            ..Frame::default()
        };
        frame.load[3] = Value::of(3, ME).0;
        // SAFETY: `spoil` takes no argument; that it breaks the ABI is undone by `carry`.
        unsafe { machine::carry(&mut frame, spoil, core::ptr::null_mut()) };
        assert_eq!(frame.found[3], 0);
        let text = Value(frame.load[3]).to_string();
        assert!(text.ends_with("(r13 of greenlet 7, call 3)"), "{text}");
    }
}
