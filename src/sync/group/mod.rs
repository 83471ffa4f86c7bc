//! Groups, pools and structured concurrency.
//!
//! | file | one idea |
//! |---|---|
//! | [`roster`] | a list that any member leaves in constant time |
//! | [`children`] | a frame that sees its children out, whatever happens |
//! | [`mod@scope`] | greenlets that borrow |
//! | [`task_group`] | a scope of results: the first error ends all |
//! | [`mod@gather`] | waiting for many, and for one undisturbed |
//! | [`crew`] | members, slots, and who waits for either: the core of the next two |
//! | [`map`], [`imap`] | a greenlet for each item: all at once, and as an iterator |
//! | [`slot`] | a pool's slot by itself, taken before there is a greenlet for it |
//! | [`unbounded`], [`pool`] | greenlets that are joined and killed together, without and with a bound |

mod children;
mod crew;
mod gather;
mod imap;
mod map;
mod pool;
mod roster;
mod scope;
mod slot;
mod task_group;
mod unbounded;

pub use gather::{AsCompleted, When, as_completed, gather, gather_settled, shield, wait_until};
pub use imap::{IMap, IMapUnordered, Results};
pub use pool::{Pool, PoolFull};
pub use scope::{Scope, ScopedGreenlet, scope};
pub(crate) use slot::PoolSlot;
pub use task_group::TaskGroup;
pub use unbounded::Group;
