//! Asking the kernel over netlink, for all there is of something or for one thing.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with,
};

use crate::attributes::{Attributes, Messages, message, push, u16_at, u32_at};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_OVERRUN: u16 = 4;
const NLM_F_REQUEST: u16 = 1;
/// All there is (`NLM_F_ROOT | NLM_F_MATCH`).
const NLM_F_DUMP: u16 = 0x300;
/// What was asked for changed while it was told.
const NLM_F_DUMP_INTR: u16 = 0x10;
/// How often that may happen in one question.
const ATTEMPTS: usize = 10;
/// Bound of one datagram. The kernel fills at most 32 KiB, or as much as one message takes.
const DATAGRAM: usize = 128 << 10;
/// How many things there can be: the Internet has a million routes.
const MOST_THINGS: usize = 4 << 20;
/// The kernel answers at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// Message type of the controller that knows the families of generic netlink.
const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
/// Length of the header of generic netlink.
pub(crate) const GENERIC_HEADER: usize = 4;

/// The part of the kernel that knows interfaces and routes, whose number is 0.
pub(crate) const ROUTE: Option<Protocol> = None;

/// Is given flags, type and body of a message.
type Visit<'v> = dyn FnMut(u16, u16, &[u8]) -> io::Result<()> + 'v;

/// A socket to the kernel.
#[derive(Debug)]
pub(crate) struct Asker {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Asker {
    /// Connects to a part of the kernel: nobody else can send anything there.
    pub(crate) fn open(protocol: Option<Protocol>) -> io::Result<Self> {
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        connect(&socket, &SocketAddrNetlink::new(0, 0))?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; DATAGRAM] })
    }

    /// Asks for all there is: `take` is given each message, and gives what is of use in it. Where something changed
    /// meanwhile, it is asked again.
    pub(crate) fn all<T>(
        &mut self,
        kind: u16,
        body: &[u8],
        mut take: impl FnMut(u16, &[u8]) -> Option<T>,
    ) -> io::Result<Vec<T>> {
        for _ in 0..ATTEMPTS {
            let mut all = Vec::new();
            let mut is_whole = true;
            self.ask(kind, NLM_F_DUMP, body, &mut |flags, kind, body| {
                is_whole &= flags & NLM_F_DUMP_INTR == 0;
                all.extend(take(kind, body));
                if all.len() > MOST_THINGS {
                    return Err(io::Error::other(format!("there are more than {MOST_THINGS}")));
                }
                Ok(())
            })?;
            if is_whole {
                return Ok(all);
            }
        }
        Err(io::Error::other("they change all the time"))
    }

    /// Number of a family of generic netlink. `None` if the kernel does not have it.
    pub(crate) fn family(&mut self, name: &[u8]) -> io::Result<Option<u16>> {
        let mut body = vec![CTRL_CMD_GETFAMILY, 1, 0, 0];
        push(&mut body, CTRL_ATTR_FAMILY_NAME, &[name, b"\0"].concat());
        let answer = self.one(GENL_ID_CTRL, &body, |body| {
            let attributes = Attributes::behind(body, GENERIC_HEADER);
            attributes.find(CTRL_ATTR_FAMILY_ID).and_then(|value| u16_at(value, 0))
        });
        match answer {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            answer => answer,
        }
    }

    /// Asks for one thing: what `take` gives of the answer.
    pub(crate) fn one<T>(
        &mut self,
        kind: u16,
        body: &[u8],
        mut take: impl FnMut(&[u8]) -> Option<T>,
    ) -> io::Result<Option<T>> {
        let mut found = None;
        self.ask(kind, 0, body, &mut |_, _, body| {
            found = take(body);
            Ok(())
        })?;
        Ok(found)
    }

    /// Sends a question and goes through the answer: flags, type and body of each message.
    fn ask(&mut self, kind: u16, flags: u16, body: &[u8], visit: &mut Visit<'_>) -> io::Result<()> {
        self.sequence += 1;
        send(&self.socket, &message(kind, NLM_F_REQUEST | flags, self.sequence, body), SendFlags::empty())?;
        let mut failed = Ok(());
        loop {
            let length = self.receive()?;
            let mut messages = Messages(&self.buffer[..length]);
            // What was waited for too long comes before the answer to the next question.
            let mut is_answer = false;
            for message in messages.by_ref().filter(|message| message.sequence == self.sequence) {
                is_answer = true;
                match message.kind {
                    NLMSG_DONE | NLMSG_ERROR => return failed.and(result(message.body)),
                    NLMSG_OVERRUN => return Err(io::Error::other("some of the answer was lost")),
                    // The rest is received all the same: the next question must not find it.
                    kind if failed.is_ok() => failed = visit(message.flags, kind, message.body),
                    _ => {}
                }
            }
            if !messages.0.is_empty() {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is malformed"));
            }
            if is_answer && flags & NLM_F_DUMP == 0 {
                return failed;
            }
        }
    }

    fn receive(&mut self) -> io::Result<usize> {
        loop {
            match recv(&self.socket, &mut self.buffer[..], RecvFlags::TRUNC) {
                Err(Errno::INTR) => {}
                Ok((_, length)) if length > self.buffer.len() => {
                    return Err(io::Error::other("a part of the answer is too long"));
                }
                received => return Ok(received?.1),
            }
        }
    }
}

/// What the end of an answer says: 0, or the number of an error below it. None at all is the end of one without a number.
fn result(body: &[u8]) -> io::Result<()> {
    match u32_at(body, 0).map_or(0, u32::cast_signed) {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno.wrapping_neg())),
    }
}

#[cfg(test)]
mod tests {
    use super::Asker;

    #[test]
    fn what_the_kernel_refuses_is_an_error_and_the_next_question_is_answered() {
        let mut asker = Asker::open(super::ROUTE).unwrap();
        // No such type of message.
        assert!(asker.all(0xfff0, &[0; 16], |_, _| Some(())).is_err());
        // RTM_GETLINK
        let links = asker.all(18, &[0; 16], |kind, _| Some(kind)).unwrap();
        assert!(!links.is_empty() && links.iter().all(|kind| *kind == 16), "{links:?}");
        let mut generic = Asker::open(Some(rustix::net::netlink::GENERIC)).unwrap();
        assert_eq!(generic.family(b"nlctrl").unwrap(), Some(super::GENL_ID_CTRL));
        assert_eq!(generic.family(b"no such one").unwrap(), None);
        // An answer that nobody has waited for comes before the next one.
        let mut question = vec![super::CTRL_CMD_GETFAMILY, 1, 0, 0];
        super::push(&mut question, super::CTRL_ATTR_FAMILY_NAME, b"no such one\0");
        let late = super::message(super::GENL_ID_CTRL, super::NLM_F_REQUEST, 4711, &question);
        super::send(&generic.socket, &late, super::SendFlags::empty()).unwrap();
        assert_eq!(generic.family(b"nlctrl").unwrap(), Some(super::GENL_ID_CTRL));
    }
}
