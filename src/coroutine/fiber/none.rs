//! A fiber that tells nobody anything: that of every build which is not for a sanitizer.

#[derive(Debug)]
pub(in super::super) struct Fiber;

impl Fiber {
    #[inline(always)]
    pub(in super::super) fn new() -> Self {
        Fiber
    }

    /// Called just before the switch into the coroutine.
    #[inline(always)]
    pub(in super::super) fn enter(&self) {}

    /// Called at the end of the coroutine's entry, on its stack.
    #[inline(always)]
    pub(in super::super) fn end(&self) {}

    /// Called when it has finished, by whoever resumed it.
    #[inline(always)]
    pub(in super::super) fn destroy(&self) {}
}
