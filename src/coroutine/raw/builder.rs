//! Creating raw greenlets with a stack size and a parent of one's choice.

use std::io;

use super::greenlet::Greenlet;
use super::node::Node;
use crate::coroutine;
use crate::stack::StackSize;

/// Makes raw greenlets.
///
/// ```
/// use rustlet::raw;
///
/// let g = raw::Builder::new().stack_size(64 * 1024).build(|x: u8| x + 1)?;
/// assert_eq!(g.switch(1), 2);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Builder<V: 'static> {
    stack_size: usize,
    parent: Option<Greenlet<V>>,
}

impl<V: 'static> Default for Builder<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V: 'static> Builder<V> {
    /// A stack of 256 KiB, and the current greenlet as parent.
    pub fn new() -> Self {
        Builder {
            stack_size: StackSize::DEFAULT.bytes(),
            parent: None,
        }
    }

    /// The least size of the stack in bytes, guard included; it is rounded up to a power of two.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = bytes;
        self
    }

    /// Who gets control when the greenlet ends.
    pub fn parent(mut self, parent: &Greenlet<V>) -> Self {
        self.parent = Some(parent.clone());
        self
    }

    /// Creates a greenlet that will run `f`. Nothing runs yet.
    ///
    /// # Errors
    /// More than 1 GiB of stack is asked for, or no stack can be had; the text says why.
    ///
    /// # Panics
    /// The parent belongs to another context.
    #[track_caller]
    pub fn build(self, f: impl FnOnce(V) -> V + 'static) -> io::Result<Greenlet<V>> {
        let size = StackSize::new(self.stack_size)?;
        let parent = match self.parent {
            None => super::current(),
            Some(parent) => {
                assert!(
                    parent.context() == coroutine::context(),
                    "the parent of a raw greenlet belongs to another context"
                );
                parent
            }
        };
        Ok(Node::create(size, parent, Box::new(f))?.into())
    }
}
