//! What has no safe wrapper: the request `SIOCETHTOOL`, the system calls `kcmp` and `close_range`, and the C library's
//! `malloc_trim`.
//!
//! Source: kernel, `include/uapi/linux/ethtool.h`, `Documentation/networking/netdev-features.rst`; kcmp(2), close_range(2).
#![allow(unsafe_code)]

use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::io::Errno;

/// Longest name of an interface that fits the request, without its NUL.
const NAME_LENGTH: usize = 15;

/// Gives memory that was freed back to the system, of which glibc keeps what lies between other memory. Nothing elsewhere.
///
/// For programs that run for long, after somebody has left for whom much was held. It takes milliseconds.
pub fn give_back_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes a number, changes nothing that is in use, and may be called by any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// What `kcmp` compares here: the tables of open files (`KCMP_FILES`).
const KCMP_FILES: libc::c_int = 2;

/// Whether two threads have one table of open files. An error where the kernel has no such call, or does not let the caller look at
/// them.
pub(crate) fn shares_files(one: u32, other: u32) -> Result<bool, Errno> {
    let number = |thread: u32| libc::pid_t::try_from(thread).map_err(|_| Errno::SRCH);
    let (one, other) = (number(one)?, number(other)?);
    // SAFETY: the call takes numbers alone, and changes nothing.
    let result = unsafe {
        libc::syscall(libc::SYS_kcmp, one, other, KCMP_FILES, 0 as libc::c_ulong, 0 as libc::c_ulong)
    };
    if result < 0 { Err(last_error()) } else { Ok(result == 0) }
}

/// Gives the calling thread a table of open files of its own, with the standard streams and `kept` in it and nothing else. What is
/// closed there stays open for the other threads. An error where the kernel cannot do that (before Linux 5.9), or does not let
/// the caller.
pub(crate) fn unshare_files(kept: BorrowedFd<'_>) -> Result<(), Errno> {
    const LAST_STREAM: libc::c_uint = 2;
    let kept = libc::c_uint::try_from(kept.as_raw_fd()).map_err(|_| Errno::BADF)?;
    let close = |first: libc::c_uint, last: libc::c_uint, flags: libc::c_uint| {
        // SAFETY: the call takes numbers alone. Files are closed for the calling thread only, as the first call makes a table of
        // its own for it; the caller uses none of them.
        let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
        if result < 0 { Err(last_error()) } else { Ok(()) }
    };
    // Those above it are not even copied.
    close(kept.max(LAST_STREAM) + 1, libc::c_uint::MAX, libc::CLOSE_RANGE_UNSHARE as libc::c_uint)?;
    if kept > LAST_STREAM + 1 { close(LAST_STREAM + 1, kept - 1, 0) } else { Ok(()) }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// How many blocks of 32 features are asked for.
const BLOCKS: usize = 2;

/// `struct ethtool_gfeatures` with room for [`BLOCKS`] blocks.
#[repr(C)]
struct Features {
    command: u32,
    size: u32,
    blocks: [FeatureBlock; BLOCKS],
}

/// `struct ethtool_get_features_block`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct FeatureBlock {
    available: u32,
    requested: u32,
    active: u32,
    never_changed: u32,
}

/// `struct ifreq` as far as `SIOCETHTOOL` uses it: the name, and a pointer in the union, whose full size is kept.
#[repr(C)]
struct Request {
    name: [u8; NAME_LENGTH + 1],
    data: *mut libc::c_void,
    rest: [u8; REST],
}

/// What is left of the union behind the pointer: it holds 24 bytes on 64-bit machines, 16 on others.
const REST: usize = size_of::<libc::ifreq>() - (NAME_LENGTH + 1) - size_of::<*mut libc::c_void>();

const ETHTOOL_GFEATURES: u32 = 0x3a;

/// Asks an interface for a number.
pub(crate) fn ethtool_value(socket: impl AsFd, interface: &[u8], command: u32) -> Result<u32, Errno> {
    let mut value = Value { command, data: 0 };
    // SAFETY: the commands that `ethtool.rs` gives answer with one `struct ethtool_value`, which `value` is.
    unsafe { ethtool(socket, interface, (&raw mut value).cast())? };
    Ok(value.data)
}

/// Asks an interface which of its first 32 features are active.
pub(crate) fn ethtool_active_features(socket: impl AsFd, interface: &[u8]) -> Result<u32, Errno> {
    let mut features = Features {
        command: ETHTOOL_GFEATURES,
        size: BLOCKS as u32,
        blocks: [FeatureBlock::default(); BLOCKS],
    };
    // SAFETY: the kernel writes at most `size` blocks behind the header, and there is room for as many.
    unsafe { ethtool(socket, interface, (&raw mut features).cast())? };
    Ok(features.blocks[0].active)
}

/// # Safety
/// `data` points to what the command in its first four bytes reads and writes, as `ethtool.h` lays it out, and nobody
/// else uses that memory meanwhile.
unsafe fn ethtool(socket: impl AsFd, interface: &[u8], data: *mut libc::c_void) -> Result<(), Errno> {
    if interface.len() > NAME_LENGTH {
        return Err(Errno::NAMETOOLONG);
    }
    let mut request = Request { name: [0; NAME_LENGTH + 1], data, rest: [0; REST] };
    request.name[..interface.len()].copy_from_slice(interface);
    // SAFETY: `request` is a `struct ifreq` (its size is checked below) that outlives the call; the caller vouches for
    // `data`. The socket is open, since it is borrowed.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) };
    if result < 0 { Err(last_error()) } else { Ok(()) }
}

const _: () = assert!(size_of::<Request>() == size_of::<libc::ifreq>());
