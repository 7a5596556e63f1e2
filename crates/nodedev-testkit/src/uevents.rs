//! Sending what udev sends when a device changes, in its place (root may).
//!
//! Format: systemd, `sd-device/device-monitor.c`.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, sendto, setsockopt, socket,
    sockopt,
};

/// udev's multicast group.
const GROUP: u32 = 2;
/// Bytes before the properties.
const HEADER: u32 = 40;

/// A sender in the network namespace of the thread that makes it.
#[derive(Debug)]
pub struct Sender {
    socket: OwnedFd,
    serial: u64,
}

impl Sender {
    /// A sender.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn new() -> io::Result<Self> {
        let protocol = SockProtocol::NetlinkKObjectUEvent;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        setsockopt(&socket, sockopt::SndBuf, &(8 << 20))?;
        Ok(Self { socket, serial: 1_000_000 })
    }

    /// Tells all listeners of a device, whose `devpath` begins with `/devices/`. `properties` are what the kernel states
    /// of it, `KEY=VALUE` each, ended by a NUL: libvirt takes them from the message. A listener whose buffer is full
    /// loses it.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn send(&mut self, action: &str, devpath: &str, subsystem: &str, properties: &str) -> io::Result<()> {
        self.serial += 1;
        let properties = format!(
            "ACTION={action}\0DEVPATH={devpath}\0SUBSYSTEM={subsystem}\0SEQNUM={}\0USEC_INITIALIZED=1\0{properties}",
            self.serial
        );
        let length = u32::try_from(properties.len()).map_err(io::Error::other)?;
        let mut message = b"libudev\0".to_vec();
        message.extend(0xfeed_cafe_u32.to_be_bytes());
        message.extend([HEADER, HEADER, length].map(u32::to_ne_bytes).concat());
        message.extend([0; 16]);
        message.extend(properties.as_bytes());
        loop {
            match sendto(self.socket.as_raw_fd(), &message, &NetlinkAddr::new(0, GROUP), MsgFlags::empty()) {
                Ok(_) | Err(Errno::ENOBUFS) => return Ok(()),
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
