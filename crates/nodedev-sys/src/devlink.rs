//! The mode of a network card's embedded switch, asked by devlink over generic netlink.
//!
//! Source: kernel, `Documentation/netlink/specs/devlink.yaml` and `genetlink.yaml`.

use std::os::fd::OwnedFd;

use rustix::net::netlink::{GENERIC, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with,
};

use crate::attributes::{self, Attributes, Messages, push, u16_at};
use crate::dump::GENERIC_HEADER;

const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
/// Message type of the controller that knows the families.
const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const DEVLINK_CMD_ESWITCH_GET: u8 = 29;
const DEVLINK_ATTR_BUS_NAME: u16 = 1;
const DEVLINK_ATTR_DEV_NAME: u16 = 2;
const DEVLINK_ATTR_ESWITCH_MODE: u16 = 25;
const ESWITCH_MODE_SWITCHDEV: u16 = 1;

/// Asks devlink.
#[derive(Debug)]
pub struct Devlink {
    socket: OwnedFd,
    family: u16,
}

impl Devlink {
    /// Finds devlink. `None` if the kernel does not have it, or does not let the caller ask.
    pub fn open() -> Option<Self> {
        let socket =
            socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(GENERIC)).ok()?;
        connect(&socket, &SocketAddrNetlink::new(0, 0)).ok()?;
        let request = message(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1, &[(CTRL_ATTR_FAMILY_NAME, b"devlink\0")]);
        let answer = ask(&socket, &request)?;
        let family = attribute(&answer, CTRL_ATTR_FAMILY_ID).and_then(u16_of)?;
        Some(Self { socket, family })
    }

    /// Whether the embedded switch of the PCI function at `address` (`0000:03:00.0`) is in switchdev mode. A function
    /// without embedded switch is not.
    pub fn is_switchdev(&self, address: &[u8]) -> bool {
        let terminated = [address, b"\0"].concat();
        let request = message(
            self.family,
            DEVLINK_CMD_ESWITCH_GET,
            1,
            &[(DEVLINK_ATTR_BUS_NAME, b"pci\0"), (DEVLINK_ATTR_DEV_NAME, &terminated)],
        );
        ask(&self.socket, &request)
            .and_then(|answer| attribute(&answer, DEVLINK_ATTR_ESWITCH_MODE).and_then(u16_of))
            .is_some_and(|mode| mode == ESWITCH_MODE_SWITCHDEV)
    }
}

fn message(kind: u16, command: u8, version: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = vec![command, version, 0, 0];
    for (number, value) in attributes {
        push(&mut body, *number, value);
    }
    // One question at a time needs no number.
    attributes::message(kind, NLM_F_REQUEST, 0, &body)
}

/// Sends a question and gives the attributes of the answer. `None` if the kernel refuses.
fn ask(socket: &OwnedFd, request: &[u8]) -> Option<Vec<u8>> {
    send(socket, request, SendFlags::empty()).ok()?;
    let mut buffer = vec![0; 16 << 10];
    let (length, _) = recv(socket, &mut buffer[..], RecvFlags::empty()).ok()?;
    buffer.truncate(length);
    payload(&buffer).map(<[u8]>::to_vec)
}

/// The attributes in an answer; `None` for an error or a broken message.
fn payload(answer: &[u8]) -> Option<&[u8]> {
    let message = Messages(answer).next().filter(|message| message.kind != NLMSG_ERROR)?;
    message.body.get(GENERIC_HEADER..)
}

/// The value of the first attribute of a number.
fn attribute(attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    Attributes(attributes).find(wanted)
}

fn u16_of(bytes: &[u8]) -> Option<u16> {
    u16_at(bytes, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_of_a_message_are_found_again() {
        let message = message(16, 3, 1, &[(7, b"abc"), (CTRL_ATTR_FAMILY_ID, &21u16.to_ne_bytes())]);
        assert_eq!(message.len() % 4, 0);
        let attributes = payload(&message).unwrap();
        assert_eq!(attribute(attributes, 7), Some(&b"abc"[..]));
        assert_eq!(attribute(attributes, CTRL_ATTR_FAMILY_ID).and_then(u16_of), Some(21));
        assert_eq!(attribute(attributes, 9), None);
    }

    #[test]
    fn broken_messages_end() {
        let message = message(16, 3, 1, &[(7, b"abc")]);
        for length in 0..message.len() {
            assert!(payload(&message[..length]).is_none_or(|a| attribute(a, 7).is_none()));
        }
        assert_eq!(attribute(&[0, 0, 1, 0, 0, 0, 0, 0], 7), None);
        let refused = [&36u32.to_ne_bytes()[..], &NLMSG_ERROR.to_ne_bytes(), &[0; 30]].concat();
        assert_eq!(payload(&refused), None);
    }
}
