//! A netlink socket that only listens: what both kinds of news of the kernel share.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind,
    recvmsg, setsockopt, socket, sockopt,
};

/// Bound of one message. The kernel's uevents are at most 4 KiB; those of udev, which add what its rules and its
/// hardware database know, and messages of links have been seen with more than 8 KiB.
const MESSAGE_LIMIT: usize = 64 << 10;

/// A socket in a multicast group.
#[derive(Debug)]
pub(crate) struct Listener {
    fd: OwnedFd,
    buffer: Vec<u8>,
    group: u32,
}

/// What one look at the socket gave.
pub(crate) enum Received<'a> {
    /// A message to one of the groups, from the kernel if `port` is 0. `uid` is the sender's where the socket asks for it.
    Message { content: &'a [u8], group: u32, port: u32, uid: Option<u32> },
    /// The kernel had no room for some messages, or one was longer than any should be.
    Lost,
    /// Nothing is waiting.
    Empty,
}

impl Listener {
    /// Joins `groups`, a mask, of a protocol. The buffer of the kernel holds `buffer` bytes if the caller may ask for so
    /// many, else as many as everybody gets.
    pub(crate) fn open(protocol: SockProtocol, groups: u32, buffer: usize) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
        // Beyond the limit for everybody only with CAP_NET_ADMIN.
        if setsockopt(&fd, sockopt::RcvBufForce, &buffer).is_err() {
            setsockopt(&fd, sockopt::RcvBuf, &buffer)?;
        }
        setsockopt(&fd, sockopt::PassCred, &true)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
        Ok(Self { fd, buffer: vec![0; MESSAGE_LIMIT], group: groups })
    }

    /// Takes the next message, if one is there. What was not sent to the group is passed over.
    pub(crate) fn receive(&mut self) -> io::Result<Received<'_>> {
        let mut control = nix::cmsg_space!(nix::sys::socket::UnixCredentials);
        loop {
            let mut parts = [IoSliceMut::new(&mut self.buffer)];
            let flags = MsgFlags::MSG_DONTWAIT;
            let message =
                match recvmsg::<NetlinkAddr>(self.fd.as_raw_fd(), &mut parts, Some(&mut control), flags) {
                    Ok(message) => message,
                    Err(Errno::EAGAIN) => return Ok(Received::Empty),
                    Err(Errno::EINTR) => continue,
                    Err(Errno::ENOBUFS) => return Ok(Received::Lost),
                    Err(errno) => return Err(errno.into()),
                };
            let sender = message.address.map_or((u32::MAX, 0), |from| (from.pid(), from.groups()));
            if sender.1 & self.group == 0 {
                continue;
            }
            if message.flags.contains(MsgFlags::MSG_TRUNC) {
                return Ok(Received::Lost);
            }
            let uid = message.cmsgs().ok().and_then(|mut all| {
                all.find_map(|one| match one {
                    ControlMessageOwned::ScmCredentials(credentials) => Some(credentials.uid()),
                    _ => None,
                })
            });
            let length = message.bytes;
            return Ok(Received::Message {
                content: &self.buffer[..length],
                group: sender.1,
                port: sender.0,
                uid,
            });
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
