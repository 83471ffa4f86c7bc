//! What knows neither the kernel nor the scheduler.
//!
//! | file | one idea |
//! |---|---|
//! | [`primitive`] | the cells and atomics of code that loom runs too |

pub(crate) mod primitive;
