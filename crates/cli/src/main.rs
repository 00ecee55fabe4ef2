//! The user binary.
fn main() {}
