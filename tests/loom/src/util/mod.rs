//! Twin of `util`.

pub(crate) mod primitive;
