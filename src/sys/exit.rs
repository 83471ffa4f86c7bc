//! What is still to be done when the process ends.

/// Has `f` called when the process ends in good order: by `exit`, or by returning from `main`. Later than the
/// destructors of the main thread's thread-locals, so `f` uses none. Without memory for that it is not called.
pub(crate) fn at_exit(f: extern "C" fn()) {
    // SAFETY: `f` is a function, which lives as long as the process; libc makes room for it or refuses.
    let _ = unsafe { libc::atexit(f) };
}
