//! Recorded and synthetic hosts for tests and benchmarks of nodedev.
