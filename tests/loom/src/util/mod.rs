//! Twin of `util`.

#[cfg_attr(feature = "threads", path = "../../../../src/util/primitive.rs")]
pub(crate) mod primitive;
