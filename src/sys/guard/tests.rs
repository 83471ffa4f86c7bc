//! Each kind of guard that this system has, made and touched (by the kernel, for us).

use super::*;
use crate::sys::syscall::syscall6;
use std::os::fd::AsRawFd;

/// Whether reading `address` faults: the kernel reads it for a pipe.
fn read_faults(address: usize) -> bool {
    let (_reader, writer) = io::pipe().expect("a pipe");
    let arguments = [writer.as_raw_fd() as usize, address, 1, 0, 0, 0];
    // SAFETY: the kernel reads a byte at `address`, or answers EFAULT.
    unsafe { syscall6(libc::SYS_write, arguments) == Err(Errno::FAULT) }
}

/// The kinds that work here. Which those are is the system's business; that an error says why is
/// ours.
fn available() -> Vec<Guards> {
    [GuardKind::Madvise, GuardKind::Poison, GuardKind::Mprotect]
        .into_iter()
        .filter_map(|kind| match Guards::choose(Some(kind.name())) {
            Ok(guards) => Some(guards),
            Err(error) => {
                let text = error.to_string();
                assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{text}");
                assert!(text.contains(&format!("RUSTLET_GUARDS={kind}")), "{text}");
                println!("not available here: {text}");
                None
            }
        })
        .collect()
}

#[test]
fn every_kind_faults_on_reads_and_writes_and_survives_a_discard_above_it() {
    let page = rustix::param::page_size();
    let kinds = available();
    assert!(
        kinds
            .iter()
            .any(|guards| guards.kind() == GuardKind::Mprotect)
    );
    for guards in kinds {
        let kind = guards.kind();
        let (slot, count, len) = (16 * page, 20, 2 * page);
        let start = mem::reserve(count * slot, slot).expect("address space");
        // SAFETY: everything below is inside this reservation, which nobody else knows.
        unsafe {
            mem::commit(start, count * slot).expect("commits");
            let row = Row {
                first: start,
                stride: slot,
                count,
                len,
            };
            guards.install(row).expect("installs");
            assert_eq!(
                mem::resident_bytes(start, count * slot),
                0,
                "{kind} guards are not memory"
            );
            for guard in row.starts() {
                ((guard + slot - 8) as *mut u64).write(1);
            }
            let stacks: Vec<Range> = row
                .starts()
                .map(|guard| Range {
                    start: guard + len,
                    len: slot - len,
                })
                .collect();
            mem::discard(&stacks);
            assert_eq!(mem::resident_bytes(start, count * slot), 0, "{kind}");
            for guard in row.starts() {
                for byte in [guard, guard + page, guard + len - 16] {
                    assert!(read_faults(byte), "{kind}: reading a guard");
                    assert!(mem::write_faults(byte), "{kind}: writing a guard");
                }
                assert!(
                    !mem::write_faults(guard + len),
                    "{kind}: just above a guard"
                );
                assert!(!mem::write_faults(guard + slot - 16), "{kind}: the top");
            }
            // A batch that failed half-way is installed again over guards that are there.
            guards.install(row).expect("installs twice");
            mem::unmap(start, count * slot).expect("unmaps");
        }
    }
}

#[test]
fn none_must_be_demanded_and_then_nothing_faults() {
    let guards = Guards::choose(Some("none")).expect("none always works");
    assert_eq!(guards.kind(), GuardKind::None);
    let page = rustix::param::page_size();
    let start = mem::reserve(page, page).expect("address space");
    // SAFETY: inside this reservation.
    unsafe {
        mem::commit(start, page).expect("commits");
        let row = Row {
            first: start,
            stride: page,
            count: 1,
            len: page,
        };
        guards.install(row).expect("does nothing");
        assert!(!mem::write_faults(start));
        mem::unmap(start, page).expect("unmaps");
    }
    let chosen = Guards::choose(None).expect("mprotect works everywhere");
    assert_ne!(chosen.kind(), GuardKind::None);
}

#[test]
fn a_guard_that_does_not_fault_is_not_believed() {
    // What an emulator does that answers success to everything: nothing.
    let guards = Guards {
        kind: GuardKind::None,
        budget: Budget::unlimited(),
    };
    let page = rustix::param::page_size();
    let start = mem::reserve(2 * page, page).expect("address space");
    // SAFETY: inside this reservation.
    let error = unsafe {
        let error = guards.try_on(start, page).expect_err("nothing faults");
        mem::unmap(start, 2 * page).expect("unmaps");
        error
    };
    assert!(error.to_string().contains("does not fault"), "{error}");
}

#[test]
fn a_kernel_that_takes_any_advice_is_not_believed() {
    let page = rustix::param::page_size();
    let start = mem::reserve(page, page).expect("address space");
    // SAFETY: inside this reservation; an advice that does not exist does nothing.
    let answer = unsafe {
        let answer = mem::advise(start, page, NO_SUCH_ADVICE);
        mem::unmap(start, page).expect("unmaps");
        answer
    };
    let refusal = Guards::choose(Some("madvise")).map_err(|error| error.to_string());
    let for_that = |text: &String| text.contains("success to any advice");
    if answer == Err(Errno::INVAL) {
        assert!(!refusal.is_err_and(|text| for_that(&text)), "a kernel");
    } else {
        // qemu-user.
        println!("advice {NO_SUCH_ADVICE} is answered {answer:?}");
        assert!(refusal.is_err_and(|text| for_that(&text)), "an emulator");
        assert_ne!(
            Guards::choose(None).expect("some kind").kind(),
            GuardKind::Madvise
        );
    }
}

#[test]
fn auto_takes_the_best_that_works() {
    let best = available()[0].kind();
    for setting in [None, Some("auto"), Some("")] {
        assert_eq!(Guards::choose(setting).expect("some kind").kind(), best);
    }
}

#[test]
fn an_unknown_value_is_an_error_that_names_variable_and_values() {
    let error = Guards::choose(Some("madvice")).expect_err("no such kind");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let text = error.to_string();
    for part in [
        "RUSTLET_GUARDS=madvice",
        "auto",
        "madvise",
        "poison",
        "mprotect",
        "none",
    ] {
        assert!(text.contains(part), "{text:?} should contain {part:?}");
    }
}

#[test]
fn only_mprotect_has_a_budget() {
    for guards in available() {
        let limited = guards.kind() == GuardKind::Mprotect;
        let got = guards.reserve(1 << 40).expect("some");
        assert_eq!(got < 1 << 40, limited, "{}", guards.kind());
        assert_eq!(guards.reserve(1).is_err(), limited, "{}", guards.kind());
        guards.release(got);
        assert!(guards.reserve(1).is_ok());
    }
}
