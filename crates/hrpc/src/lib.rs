//! Placeholder of this commit alone.
