//! libvirt's C interface of node devices: what `libvirt.so.0` is linked of.
//!
//! Programs that were compiled for libvirt use it through libvirt's own headers; there is none of ours. `docs/c-library.md`
//! tells which connections are served in the process and which by a daemon, and how the library is built and installed.
//!
//! * [`types`]: libvirt's public structures and function types.
//! * [`error`]: the last errors, and who is told of them.
//! * [`connect`], [`auth`], [`devices`], [`host`], [`event_loop`]: the functions, by libvirt's header. What they stand on is not
//!   public: handles in place of pointers, connections, devices, their sources and subscriptions.
//!
//! # Safety of exported functions
//!
//! A handle may be anything: NULL, one that was freed, or a pointer to something else is an error with libvirt's code. All
//! other pointers are the caller's promise, as libvirt's manual states it for each function: texts end in NUL, arrays have
//! the given length, structures have libvirt's layout.

//! # Unwinding
//!
//! A panic does not leave an exported function: it becomes an error. What a callback of the program unwinds is let through,
//! since interpreters that are ending end their threads so; that is why the functions are `extern "C-unwind"`.

// libvirt's names.
#![allow(non_snake_case, non_upper_case_globals)]

pub mod auth;
mod c_memory;
pub mod connect;
mod connection;
mod device;
pub mod devices;
pub mod error;
pub mod event_loop;
mod function;
mod handle;
pub mod host;
mod open;
mod source;
mod stubs;
mod subscriptions;
pub mod typed_params;
pub mod types;
