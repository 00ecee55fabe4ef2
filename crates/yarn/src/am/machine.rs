//! Decides what is said to the ResourceManager, and when.
