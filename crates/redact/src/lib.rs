//! Finds the values of secrets in bytes that go by, and puts `***` in their place.
//!
//! Enters: values; output in pieces of any size. Leaves: the same output without the values, their lines and their
//! base64. Never: a file, a clock, more memory than the values and one pattern of what goes by.
//!
//! It is a crate of its own since init, which must stay small, and the proxy look for the same words.

mod stream;
mod words;

pub use stream::Stream;
pub use words::{LEAST, Words};

/// What stands in a value's place.
pub const MASK: &[u8] = b"***";
