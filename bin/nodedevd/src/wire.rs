//! A client's Unix socket, on which descriptors may come.

use std::io::{self, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::{RecvAncillaryBuffer, RecvFlags, ReturnFlags};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::UnixStream;

/// A stream whose reading goes on behind a descriptor.
///
/// The kernel ends what one call reads behind bytes that a descriptor came with. Fewer bytes than there is room for then do not
/// mean that there are no more, which is what tokio takes them for: it would wait until the client sends something else.
/// Nobody wants the descriptors; the kernel closes them.
pub(crate) struct Wire(pub(crate) UnixStream);

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let socket = &self.0;
        loop {
            ready!(socket.poll_read_ready(context))?;
            let mut got = None;
            let space = buffer.initialize_unfilled();
            let wanted = space.len();
            let done = socket.try_io(Interest::READABLE, || {
                let mut none = RecvAncillaryBuffer::default();
                let message = rustix::net::recvmsg(
                    socket,
                    &mut [IoSliceMut::new(space)],
                    &mut none,
                    RecvFlags::DONTWAIT,
                )?;
                got = Some(message.bytes);
                let is_all = message.bytes < wanted && !message.flags.contains(ReturnFlags::CTRUNC);
                // There is nothing more to read until the system says so.
                if is_all && message.bytes > 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            match (got, done) {
                (Some(count), _) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                (None, Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Poll::Ready(Err(error));
                }
                (None, _) => {}
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{IoSlice, Write as _};
    use std::mem::MaybeUninit;
    use std::os::fd::AsFd as _;
    use std::time::Duration;

    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// Each descriptor with a byte of its own, as libvirt sends them, and all with one message.
    #[tokio::test]
    async fn what_follows_descriptors_is_read_without_more_being_sent() {
        for (count, each) in [(1, 1), (31, 1), (32, 1), (31, 31), (32, 32)] {
            let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            theirs.set_nonblocking(true).unwrap();
            let file = std::fs::File::open("/dev/null").unwrap();
            ours.write_all(b"before").unwrap();
            for _ in 0..count / each {
                let files = vec![file.as_fd(); each];
                let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(32))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
                let bytes = vec![0; each];
                rustix::net::sendmsg(&ours, &[IoSlice::new(&bytes)], &mut control, SendFlags::empty())
                    .unwrap();
            }
            ours.write_all(b"behind").unwrap();
            let mut wire = Wire(UnixStream::from_std(theirs).unwrap());
            let mut all = vec![0; 12 + count];
            let mut filled = 0;
            // With more room than bytes, as the daemon reads.
            while filled < all.len() {
                let mut space = [0; 4096];
                let read = tokio::time::timeout(Duration::from_secs(10), wire.read(&mut space)).await;
                let read =
                    read.unwrap_or_else(|_| panic!("stalled after {filled} bytes, {count} descriptors"));
                let read = read.unwrap();
                all[filled..filled + read].copy_from_slice(&space[..read]);
                filled += read;
            }
            assert!(all.starts_with(b"before") && all.ends_with(b"behind"));
            drop(ours);
            assert_eq!(wire.read(&mut [0; 16]).await.unwrap(), 0);
        }
    }
}
