//! The exported functions, called as C calls them.

#![expect(unsafe_code, reason = "functions of C are called")]

mod c_driver;
mod contract;
mod events;
mod opening;
mod threads;
