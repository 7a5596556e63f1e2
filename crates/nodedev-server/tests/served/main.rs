//! The server as its clients see it: messages in, messages out, over a driver of invented devices.

#![allow(clippy::unwrap_used, reason = "all of this is a test, and what fails in it says where")]

mod calls;
mod common;
mod events;
mod flow;
mod named;
mod native;
