//! What knows neither the kernel nor the scheduler.
//!
//! | file | one idea |
//! |---|---|
//! | [`count`] | a number with one writer, for anybody to read |
//! | [`primitive`] | the cells and atomics of code that loom runs too |

pub(crate) mod count;
pub(crate) mod primitive;
