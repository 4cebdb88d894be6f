//! A TCP connection that asks the kernel when it received what is read (`SO_TIMESTAMPNS`, socket(7)).

use super::timed_io::IoTimes;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use std::io::ErrorKind::{Interrupted, WouldBlock};
use std::io::{self, IoSliceMut};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, Interest, Join, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// A read clears as many bytes.
const MAX_READ_BYTES: usize = 16 << 10;

#[derive(Debug)]
pub(super) struct StampedReader {
    stream: OwnedReadHalf,
    times: IoTimes,
    control: Vec<u8>,
}

/// The connection, which from now on tells `times` when what it reads had come.
pub(super) fn stamped(stream: TcpStream, times: IoTimes) -> Join<StampedReader, OwnedWriteHalf> {
    // Without it, the times are those of reading.
    if let Err(error) = setsockopt(&stream, sockopt::ReceiveTimestampns, &true) {
        tracing::debug!(%error, "no times of packets");
    }
    let (stream, writer) = stream.into_split();
    let reader = StampedReader { stream, times, control: nix::cmsg_space!(TimeSpec) };
    tokio::io::join(reader, writer)
}

impl AsyncRead for StampedReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, times, control } = &mut *self;
        let stream: &TcpStream = stream.as_ref();
        loop {
            ready!(stream.poll_read_ready(context))?;
            match stream.try_io(Interest::READABLE, || receive(stream, buffer, control)) {
                Ok(wall_time) => {
                    times.received(wall_time);
                    return Poll::Ready(Ok(()));
                }
                // Not ready any more, or a signal came.
                Err(error) if matches!(error.kind(), WouldBlock | Interrupted) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

/// Reads what is there, and returns when the last of it came, in wall-clock time since 1970.
fn receive(
    stream: &TcpStream,
    buffer: &mut ReadBuf<'_>,
    control: &mut [u8],
) -> io::Result<Option<Duration>> {
    let bytes = buffer.initialize_unfilled_to(buffer.remaining().min(MAX_READ_BYTES));
    let mut parts = [IoSliceMut::new(bytes)];
    let flags = MsgFlags::empty();
    let received = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(control), flags)?;
    let wall_time = received.cmsgs().ok().and_then(|mut messages| {
        messages.find_map(|message| match message {
            ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
            _ => None,
        })
    });
    let count = received.bytes;
    buffer.advance(count);
    Ok(wall_time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stopwatch::Stopwatch;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn bytes_have_the_time_at_which_they_came_however_late_they_are_read() {
        let stopwatch = Stopwatch::start();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let times = IoTimes::new(&stopwatch);
        let mut client = stamped(client, times.clone());
        let mut bytes = [0; 8];
        // The kernel begins to stamp packets some time after the first socket asks for it.
        for attempt in 1.. {
            let before_ns = stopwatch.now_ns();
            server.write_all(b"so").await.unwrap();
            let sent_ns = stopwatch.now_ns();
            // The loopback delivers within the write; reading takes place much later.
            while stopwatch.now_ns() < sent_ns + 20_000_000 {}
            assert_eq!(client.read(&mut bytes).await.unwrap(), 2);
            let came_ns = times.packet_ns().unwrap();
            // The wall clock may run a little faster or slower.
            assert!(came_ns + 1_000_000 > before_ns);
            if came_ns < sent_ns + 10_000_000 {
                break;
            }
            assert!(attempt < 100, "no times of packets");
        }
        drop(server);
        assert_eq!(client.read(&mut bytes).await.unwrap(), 0);
    }
}
