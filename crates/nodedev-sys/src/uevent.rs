//! News of devices: what the kernel, or udev once its rules have run, sends when a device comes, goes or changes.
//!
//! Formats: the kernel's messages are `ACTION@DEVPATH` and then properties, each ended by a NUL
//! (`lib/kobject_uevent.c`). udev's have a header with the offset of the same kind of properties (systemd,
//! `sd-device/device-monitor.c`).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::socket::SockProtocol;

use crate::folders::absolute;
use crate::netlink::{Listener, Received};
use crate::paths;

/// What happened to a device, in the kernel's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It came.
    Add,
    /// It went.
    Remove,
    /// Something of it changed.
    Change,
    /// It is called otherwise or is somewhere else now.
    Move,
    /// A kernel driver took it.
    Bind,
    /// Its kernel driver let it go.
    Unbind,
    /// It was switched on.
    Online,
    /// It was switched off.
    Offline,
}

impl Action {
    fn from_word(word: &[u8]) -> Option<Self> {
        Some(match word {
            b"add" => Self::Add,
            b"remove" => Self::Remove,
            b"change" => Self::Change,
            b"move" => Self::Move,
            b"bind" => Self::Bind,
            b"unbind" => Self::Unbind,
            b"online" => Self::Online,
            b"offline" => Self::Offline,
            _ => return None,
        })
    }
}

/// One piece of news of one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What happened.
    pub action: Action,
    /// The device's folder, relative to the root: `sys/devices/…`.
    pub path: Box<[u8]>,
    /// Where it was before, if it was moved.
    pub former_path: Option<Box<[u8]>>,
    /// Its subsystem.
    pub subsystem: Box<[u8]>,
    /// The kernel driver that it has, or that took it or let it go.
    pub kernel_driver: Option<Box<[u8]>>,
}

impl Message {
    /// Reads a message of the kernel. `None` if it is none, or not of a device.
    pub fn from_kernel(content: &[u8]) -> Option<Self> {
        let headline = content.split(|&b| b == 0).next()?;
        let at = headline.iter().position(|&b| b == b'@')?;
        Action::from_word(&headline[..at])?;
        Self::from_properties(&content[headline.len()..])
    }

    /// Reads a message of udev. `None` if it is none, or not of a device.
    pub fn from_udev(content: &[u8]) -> Option<Self> {
        const MAGIC: u32 = 0xfeed_cafe;
        let rest = content.strip_prefix(b"libudev\0")?;
        let word = |at: usize| rest.get(at..at + 4)?.try_into().ok();
        if u32::from_be_bytes(word(0)?) != MAGIC {
            return None;
        }
        let offset = usize::try_from(u32::from_ne_bytes(word(8)?)).ok()?;
        let length = usize::try_from(u32::from_ne_bytes(word(12)?)).ok()?;
        Self::from_properties(content.get(offset..offset.checked_add(length)?)?)
    }

    fn from_properties(properties: &[u8]) -> Option<Self> {
        let (mut action, mut path, mut former_path, mut subsystem, mut kernel_driver) =
            (None, None, None, None, None);
        for property in properties.split(|&b| b == 0) {
            let Some(equals) = property.iter().position(|&b| b == b'=') else { continue };
            let value = &property[equals + 1..];
            match &property[..equals] {
                b"ACTION" => action = Action::from_word(value),
                b"DEVPATH" => path = device_path(value),
                b"DEVPATH_OLD" => former_path = device_path(value),
                b"SUBSYSTEM" => subsystem = Some(value.into()),
                b"DRIVER" => kernel_driver = Some(value.into()),
                _ => {}
            }
        }
        Some(Self { action: action?, path: path?, former_path, subsystem: subsystem?, kernel_driver })
    }
}

/// The place in sysfs that `DEVPATH` names; only those of devices, and none that leads elsewhere.
fn device_path(devpath: &[u8]) -> Option<Box<[u8]>> {
    let inside = devpath.strip_prefix(b"/devices/")?;
    let safe = inside.split(|&b| b == b'/').all(|part| !matches!(part, b"" | b"." | b".."));
    safe.then(|| [paths::SYS.as_bytes(), devpath].concat().into())
}

/// Who tells of devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Teller {
    /// The kernel itself, for where no udev runs, as in containers.
    Kernel,
    /// udev, when its rules have run and its database has the device.
    Udev,
    /// The kernel as long as no udev runs, and whoever sends udev's messages: for where udev may start later.
    Whoever,
}

impl Teller {
    /// The multicast groups of `NETLINK_KOBJECT_UEVENT`, as a mask.
    fn groups(self) -> u32 {
        match self {
            Self::Kernel => KERNEL,
            Self::Udev => UDEV,
            Self::Whoever => KERNEL | UDEV,
        }
    }
}

/// The kernel's group.
const KERNEL: u32 = 1;
/// udev's.
const UDEV: u32 = 2;

/// Whether a udev runs. Its rules then decide what a device is, and its messages come a little after the kernel's.
fn udev_runs() -> bool {
    absolute(paths::UDEV_CONTROL.as_bytes()).exists()
}

/// Receives news of devices.
#[derive(Debug)]
pub struct UeventSocket {
    listener: Listener,
    teller: Teller,
}

/// What one look at the socket gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// News of a device.
    Uevent(Message),
    /// Something was lost: the kernel had no room for it, or it was too long. Only a look at all devices helps.
    Lost,
    /// Nothing is waiting.
    Empty,
}

impl UeventSocket {
    /// Begins to listen, with room for `buffer` bytes of messages that nobody has fetched yet if the caller is
    /// privileged, else for what everybody gets.
    ///
    /// # Errors
    /// What the operating system says where there is no such socket or it may not be used.
    pub fn open(teller: Teller, buffer: usize) -> io::Result<Self> {
        let protocol = SockProtocol::NetlinkKObjectUEvent;
        Ok(Self { listener: Listener::open(protocol, teller.groups(), buffer)?, teller })
    }

    /// Takes the next news, if there is some. What others than the kernel and root's udev sent is passed over.
    ///
    /// # Errors
    /// What the operating system says; too little room is no error but [`News::Lost`].
    pub fn receive(&mut self) -> io::Result<News> {
        loop {
            let (content, group, port, uid) = match self.listener.receive()? {
                Received::Message { content, group, port, uid } => (content, group, port, uid),
                Received::Lost => return Ok(News::Lost),
                Received::Empty => return Ok(News::Empty),
            };
            let message = match group {
                // A port is given by the kernel, and 0 is its own.
                KERNEL if port == 0 => match self.teller {
                    Teller::Whoever if udev_runs() => None,
                    _ => Message::from_kernel(content),
                },
                UDEV if uid == Some(0) => Message::from_udev(content),
                _ => {
                    tracing::warn!(port, ?uid, "dropped news of a device from a sender that is not trusted");
                    None
                }
            };
            if let Some(message) = message {
                return Ok(News::Uevent(message));
            }
        }
    }
}

impl AsFd for UeventSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use nix::sys::socket::{
        AddressFamily, ControlMessage, MsgFlags, NetlinkAddr, SockFlag, SockType, UnixCredentials, sendmsg,
        socket,
    };

    use super::*;

    const ADD: &[u8] =
        b"add@/devices/virtual/net/x\0ACTION=add\0DEVPATH=/devices/virtual/net/x\0SUBSYSTEM=net\0\
                         INTERFACE=x\0IFINDEX=7\0SEQNUM=1\0";

    /// A message as udev sends it.
    fn udev(properties: &[u8]) -> Vec<u8> {
        let mut message = b"libudev\0".to_vec();
        message.extend(0xfeed_cafe_u32.to_be_bytes());
        for number in [40, 40, properties.len() as u32, 0, 0, 0, 0] {
            message.extend(number.to_ne_bytes());
        }
        message.extend(properties);
        message
    }

    #[test]
    fn messages_of_the_kernel_are_read() {
        let message = Message::from_kernel(ADD).unwrap();
        assert_eq!(message.action, Action::Add);
        assert_eq!(&*message.path, b"sys/devices/virtual/net/x");
        assert_eq!(&*message.subsystem, b"net");
        let moved = b"move@/devices/a/n\0ACTION=move\0DEVPATH=/devices/a/n\0SUBSYSTEM=net\0DEVPATH_OLD=/devices/a/o\0";
        assert_eq!(Message::from_kernel(moved).unwrap().former_path.unwrap(), (*b"sys/devices/a/o").into());
        let bind = b"bind@/devices/a\0ACTION=bind\0DEVPATH=/devices/a\0SUBSYSTEM=pci\0DRIVER=vfio-pci\0";
        assert_eq!(Message::from_kernel(bind).unwrap().kernel_driver.unwrap(), (*b"vfio-pci").into());
    }

    #[test]
    fn each_of_the_kernels_words_is_an_action() {
        for (word, action) in [
            ("add", Action::Add),
            ("remove", Action::Remove),
            ("change", Action::Change),
            ("move", Action::Move),
            ("bind", Action::Bind),
            ("unbind", Action::Unbind),
            ("online", Action::Online),
            ("offline", Action::Offline),
        ] {
            let text = format!("{word}@/devices/a\0ACTION={word}\0DEVPATH=/devices/a\0SUBSYSTEM=x\0");
            assert_eq!(Message::from_kernel(text.as_bytes()).map(|it| it.action), Some(action), "{word}");
        }
    }

    #[test]
    fn messages_of_udev_are_read_and_those_that_lie_about_their_parts_are_not() {
        let properties = &ADD[ADD.iter().position(|&b| b == 0).unwrap() + 1..];
        let whole = udev(properties);
        assert_eq!(Message::from_udev(&whole), Message::from_kernel(ADD));
        for at in [8, 16, 20] {
            let mut broken = whole.clone();
            broken[at] ^= 0xff;
            broken[at + 3] ^= 0xff;
            assert_eq!(Message::from_udev(&broken), None, "byte {at}");
        }
        assert_eq!(Message::from_udev(&whole[..30]), None);
        assert_eq!(Message::from_udev(ADD), None);
        assert_eq!(Message::from_kernel(&whole), None);
    }

    #[test]
    fn what_is_not_of_a_device_is_left_out() {
        for (action, path) in [
            ("add", "/module/dummy"),
            ("add", "/devices/../etc"),
            ("add", "/devices/a//b"),
            ("add", "devices/a"),
            ("steal", "/devices/a"),
        ] {
            let text = format!("{action}@{path}\0ACTION={action}\0DEVPATH={path}\0SUBSYSTEM=x\0");
            assert_eq!(Message::from_kernel(text.as_bytes()), None, "{text}");
        }
        for text in [&b""[..], b"\0", b"@", b"add@/devices/a", b"add@/devices/a\0ACTION=add\0SUBSYSTEM=x\0"] {
            assert_eq!(Message::from_kernel(text), None);
        }
    }

    /// Sends a message to udev's group, or to one socket, as a process of some user. Only root may say who it is.
    fn send(content: &[u8], uid: u32, to: &NetlinkAddr) {
        let protocol = SockProtocol::NetlinkKObjectUEvent;
        let from = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol).unwrap();
        let who = libc::ucred { pid: std::process::id().cast_signed(), uid, gid: uid };
        let who = UnixCredentials::from(who);
        let parts = [io::IoSlice::new(content)];
        let control = [ControlMessage::ScmCredentials(&who)];
        sendmsg(from.as_raw_fd(), &parts, &control, MsgFlags::empty(), Some(to)).unwrap();
    }

    #[test]
    fn udev_is_believed_if_it_is_roots_and_speaks_to_all() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        // In a network of its own, where nobody else listens.
        let alone = std::thread::spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            let properties = &ADD[ADD.iter().position(|&b| b == 0).unwrap() + 1..];
            let message = udev(properties);
            let all = NetlinkAddr::new(0, UDEV);
            let mut socket = UeventSocket::open(Teller::Udev, 65_536).unwrap();
            for stranger in [1, 1000, 65_534] {
                send(&message, stranger, &all);
                assert_eq!(socket.receive().unwrap(), News::Empty, "user {stranger}");
            }
            let port =
                nix::sys::socket::getsockname::<NetlinkAddr>(socket.as_fd().as_raw_fd()).unwrap().pid();
            send(&message, 0, &NetlinkAddr::new(port, 0));
            assert_eq!(socket.receive().unwrap(), News::Empty, "to this socket alone");
            send(ADD, 0, &NetlinkAddr::new(0, KERNEL));
            assert_eq!(socket.receive().unwrap(), News::Empty, "in the kernel's place");
            send(&message, 0, &all);
            let News::Uevent(told) = socket.receive().unwrap() else { panic!("root's is not believed") };
            assert_eq!(&*told.path, b"sys/devices/virtual/net/x");
            // Nor is the kernel's group believed where it is listened to, as a port tells who sent.
            let mut socket = UeventSocket::open(Teller::Kernel, 65_536).unwrap();
            send(ADD, 0, &NetlinkAddr::new(0, KERNEL));
            assert_eq!(socket.receive().unwrap(), News::Empty, "in the kernel's place");
        });
        alone.join().unwrap();
    }

    /// Makes the kernel tell of the loopback interface, which nobody else hears of in a network of its own.
    fn provoke() {
        std::fs::write("/sys/class/net/lo/uevent", "change").unwrap();
    }

    #[test]
    fn the_kernel_is_believed_until_a_udev_runs() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let alone = std::thread::spawn(|| {
            use nix::mount::{MsFlags, mount};
            use nix::sched::{CloneFlags, unshare};
            let none = None::<&str>;
            unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).unwrap();
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
            mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), none).unwrap();
            mount(Some("none"), "/run", Some("tmpfs"), MsFlags::empty(), none).unwrap();
            let mut sockets = [Teller::Kernel, Teller::Whoever, Teller::Udev]
                .map(|teller| UeventSocket::open(teller, 65_536).unwrap());
            let mut heard = || {
                sockets.each_mut().map(|socket| match socket.receive().unwrap() {
                    News::Uevent(told) => {
                        (told.action, &*told.path) == (Action::Change, b"sys/devices/virtual/net/lo")
                    }
                    _ => false,
                })
            };
            provoke();
            assert_eq!(heard(), [true, true, false], "no udev runs");
            std::fs::create_dir("/run/udev").unwrap();
            std::fs::write("/run/udev/control", "").unwrap();
            provoke();
            assert_eq!(heard(), [true, false, false], "a udev runs, and says itself what changed");
        });
        alone.join().unwrap();
    }

    #[test]
    fn a_socket_nobody_writes_to_is_empty() {
        let mut socket = UeventSocket::open(Teller::Udev, 4096).unwrap();
        assert_eq!(socket.receive().unwrap(), News::Empty);
    }
}
