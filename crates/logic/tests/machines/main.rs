//! The driver and master machines in a world of values: stories that read as sentences, and seeds.

mod adds;
mod cache;
mod cluster;
mod growth;
mod late;
mod long;
mod prefetch;
mod priority;
mod roster;
mod seeds;
mod sizes;
mod stories;
#[path = "../world/mod.rs"]
mod world;
