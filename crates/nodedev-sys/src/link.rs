//! News of network interfaces' hardware addresses, of which the kernel sends no uevent.
//!
//! Format: `RTM_NEWLINK` of rtnetlink, `include/uapi/linux/rtnetlink.h` and `if_link.h`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::socket::SockProtocol;

use crate::attributes::{self, Attributes, Messages};
use crate::netlink::{Listener, Received};

/// `RTMGRP_LINK` of `include/uapi/linux/rtnetlink.h`.
const GROUP: u32 = 1;
const RTM_NEWLINK: u16 = 16;
/// `struct ifinfomsg`.
const LINK_HEADER: usize = 16;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;

/// An interface and its hardware address, at the time of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkAddress {
    /// The kernel's name of the interface.
    pub name: Box<[u8]>,
    /// The address as sysfs has it: pairs of hexadecimal digits with `:` between them.
    pub address: String,
}

/// Reads a message of rtnetlink: the interfaces in it with their addresses.
pub fn addresses(content: &[u8]) -> Vec<LinkAddress> {
    let mut found = Vec::new();
    for message in Messages(content).filter(|message| message.kind == RTM_NEWLINK) {
        let (mut name, mut address) = (None, None);
        for (kind, value) in Attributes::behind(message.body, LINK_HEADER) {
            match kind {
                IFLA_IFNAME => name = Some(attributes::text(value).into()),
                IFLA_ADDRESS => address = Some(text(value)),
                _ => {}
            }
        }
        if let (Some(name), Some(address)) = (name, address) {
            found.push(LinkAddress { name, address });
        }
    }
    found
}

fn text(address: &[u8]) -> String {
    address.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// What one look at the socket gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    Message,
    /// The kernel had no room for some messages.
    Lost,
    Nothing,
}

/// Receives news of interfaces.
#[derive(Debug)]
pub struct LinkSocket(Listener);

impl LinkSocket {
    /// Begins to listen, with room for `buffer` bytes as in [`UeventSocket::open`](crate::uevent::UeventSocket::open).
    ///
    /// # Errors
    /// What the operating system says where there is no such socket or it may not be used.
    pub fn open(buffer: usize) -> io::Result<Self> {
        Listener::open(SockProtocol::NetlinkRoute, GROUP, buffer).map(Self)
    }

    /// Takes the next message, if there is one, and adds the addresses in it to `found`.
    pub(crate) fn receive(&mut self, found: &mut Vec<LinkAddress>) -> io::Result<Heard> {
        Ok(match self.0.receive()? {
            Received::Message { content, port, .. } => {
                // Only the kernel's own count.
                if port == 0 {
                    found.extend(addresses(content));
                }
                Heard::Message
            }
            Received::Lost => Heard::Lost,
            Received::Empty => Heard::Nothing,
        })
    }
}

impl AsFd for LinkSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::nested;

    fn message(kind: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let attributes: Vec<_> = attributes.iter().map(|(kind, value)| (*kind, value.to_vec())).collect();
        attributes::message(kind, 0, 0, &[vec![0; LINK_HEADER], nested(&attributes)].concat())
    }

    #[test]
    fn names_and_addresses_are_read_from_every_message() {
        let veth = message(RTM_NEWLINK, &[(3, b"veth0\0"), (51, &[9; 7]), (0x8001, &[2, 0, 0, 0, 0xab, 1])]);
        let gone = message(17, &[(3, b"x\0"), (1, &[0; 6])]);
        let tunnel = message(RTM_NEWLINK, &[(3, b"tun0\0")]);
        let loopback = message(RTM_NEWLINK, &[(1, &[0; 6]), (3, b"lo\0")]);
        let found = addresses(&[veth, gone, tunnel, loopback].concat());
        let told: Vec<_> = found.iter().map(|link| (&*link.name, link.address.as_str())).collect();
        assert_eq!(told, [(&b"veth0"[..], "02:00:00:00:ab:01"), (b"lo", "00:00:00:00:00:00")]);
    }

    #[test]
    fn lengths_that_lie_end_the_reading() {
        let good = message(RTM_NEWLINK, &[(3, b"x\0"), (1, &[1; 6])]);
        for at in 0..good.len() {
            for value in [0, 1, 0xff] {
                let mut broken = good.clone();
                broken[at] = value;
                assert!(addresses(&broken).len() <= 1);
                assert!(addresses(&broken[..at]).is_empty());
            }
        }
    }
}
