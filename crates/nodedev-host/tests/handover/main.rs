//! Devices are handed over on a fake host whose kernel reacts, fails and "crashes" where told to.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod claims;
mod denied;
mod faults;
mod host;
mod interrupted;
mod journal;
mod messages;
mod network;
mod no_more;
mod power;
mod refusals;
mod reset;
mod vfio;
mod vital;
mod waiting;
mod ways;
