//! The driver against a daemon of the tests' own, which says what no real one would, or says it in an odd order.

mod broken;
mod contract;
mod events;
mod login;
mod named;
mod native;
mod order;
mod pings;
mod random;
mod server;
