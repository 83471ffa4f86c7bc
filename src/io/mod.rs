//! Cooperative I/O: types that mirror `std`, name for name.

pub mod net;
mod source;
