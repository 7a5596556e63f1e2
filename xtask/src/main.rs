//! Command line of nodedev.
fn main() {}
