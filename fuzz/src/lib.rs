//! Every parser of nodedev that reads what others wrote, to be given foreign input.
//!
//! A [`Target`] reads any bytes at all: it must neither panic nor take longer than they are worth, and what it asserts must
//! hold. Two programs make the bytes. The one of this package mutates [`Target::seeds`] at random; the one in
//! `fuzz/coverage` is told by libFuzzer what each input reached, and is run by `cargo xtask fuzz`.

// The daemon is no library. Its configuration is read by these two modules, which need nothing else of it, and most of what
// they have for the daemon is not used here.
#[allow(dead_code, unused_imports)]
#[path = "../../bin/nodedevd/src/config/mod.rs"]
mod config;
#[allow(dead_code)]
#[path = "../../bin/nodedevd/src/exit.rs"]
mod exit;
mod host;
mod seeds;
mod targets;

pub use targets::{TARGETS, Target, find};

/// Longest input, in bytes, that a target is given.
pub const MAX_LENGTH: usize = 1 << 16;
