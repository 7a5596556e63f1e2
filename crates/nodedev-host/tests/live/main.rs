//! A driver that follows its host, over hosts on disk that change under it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod feed;
mod making;
mod random;
mod rows;
mod sequences;
mod starting;
mod world;
