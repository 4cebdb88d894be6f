//! The times at which bytes of a request leave and those of its response arrive, taken where a
//! connection is written, and by the kernel where it receives: a sleeping thread wakes up a fraction
//! of a millisecond later, and its task may run after those of hundreds of other requests.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use stopwatch::Stopwatch;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Of the request that a connection carries.
#[derive(Debug, Clone)]
pub(super) struct IoTimes(Arc<Mutex<Times>>);

#[derive(Debug)]
struct Times {
    stopwatch: Stopwatch,
    written_ns: Option<u64>,
    /// When the latest packet came, under TLS one of its own bytes.
    packet_ns: Option<u64>,
    first_read_ns: Option<u64>,
    last_read_ns: Option<u64>,
}

impl IoTimes {
    pub(super) fn new(stopwatch: &Stopwatch) -> Self {
        Self(Arc::new(Mutex::new(Times::new(stopwatch))))
    }

    /// Forgets the previous request.
    pub(super) fn begin(&self, stopwatch: &Stopwatch) {
        *self.get() = Times::new(stopwatch);
    }

    #[cfg(test)]
    pub(super) fn packet_ns(&self) -> Option<u64> {
        self.get().packet_ns
    }

    /// Before the first bytes of the request were written.
    pub(super) fn written_ns(&self) -> Option<u64> {
        self.get().written_ns
    }

    /// When the first bytes of the response came.
    pub(super) fn first_read_ns(&self) -> Option<u64> {
        self.get().first_read_ns
    }

    /// When its latest bytes came.
    pub(super) fn last_read_ns(&self) -> Option<u64> {
        self.get().last_read_ns
    }

    /// The wall-clock time at which the bytes that were just read had come, if the kernel told it.
    pub(super) fn received(&self, wall_time: Option<Duration>) {
        let mut times = self.get();
        let came_ns = match wall_time {
            Some(time) => times.stopwatch.at_wall_time(time),
            None => times.stopwatch.now_ns(),
        };
        // Whatever happens to the wall clock, nothing comes before what it follows.
        let before_ns = times.packet_ns.max(times.written_ns).unwrap_or_default();
        times.packet_ns = Some(came_ns.max(before_ns));
    }

    fn get(&self) -> MutexGuard<'_, Times> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Times {
    fn new(stopwatch: &Stopwatch) -> Self {
        let stopwatch = stopwatch.clone();
        let (written_ns, packet_ns, first_read_ns, last_read_ns) = Default::default();
        Self { stopwatch, written_ns, packet_ns, first_read_ns, last_read_ns }
    }

    fn write(&mut self) {
        self.written_ns = self.written_ns.or_else(|| Some(self.stopwatch.now_ns()));
    }

    fn read(&mut self) {
        let came_ns = self.packet_ns.unwrap_or_else(|| self.stopwatch.now_ns());
        self.first_read_ns.get_or_insert(came_ns);
        self.last_read_ns = Some(came_ns);
    }
}

/// A connection that records [`IoTimes`]; under TLS, those of the plain bytes.
#[derive(Debug)]
pub(super) struct TimedIo<S> {
    pub(super) stream: S,
    pub(super) times: IoTimes,
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let held = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > held {
            self.times.get().read();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.times.get().write();
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.times.get().write();
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn bytes_come_when_the_kernel_says_but_not_before_what_they_follow() {
        let stopwatch = Stopwatch::start();
        let times = IoTimes::new(&stopwatch);
        times.get().write();
        // A clock that was set forward since makes packets of the past.
        times.received(Some(Duration::ZERO));
        times.get().read();
        assert_eq!(times.first_read_ns(), times.written_ns());
        times.received(None);
        times.get().read();
        assert!(times.last_read_ns() > times.first_read_ns());
        assert!(times.last_read_ns().unwrap() <= stopwatch.now_ns());
    }

    #[tokio::test]
    async fn a_request_has_the_times_of_its_first_write_and_of_its_reads() {
        let stopwatch = Stopwatch::synthetic();
        let times = IoTimes::new(&stopwatch);
        let (stream, mut server) = tokio::io::duplex(16);
        let mut client = TimedIo { stream, times: times.clone() };
        let mut byte = [0];

        stopwatch.advance(5);
        client.write_all(b"a").await.unwrap();
        assert_eq!((times.written_ns(), times.first_read_ns()), (Some(5), None));
        stopwatch.advance(2);
        assert_eq!(client.write_vectored(&[IoSlice::new(b"b")]).await.unwrap(), 1);
        server.write_all(b"cd").await.unwrap();
        stopwatch.advance(3);
        client.read_exact(&mut byte).await.unwrap();
        stopwatch.advance(1);
        client.read_exact(&mut byte).await.unwrap();
        assert_eq!(times.written_ns(), Some(5));
        assert_eq!((times.first_read_ns(), times.last_read_ns()), (Some(10), Some(11)));

        // The next request may be timed by another stopwatch.
        let next = Stopwatch::synthetic();
        times.begin(&next);
        let found = (times.written_ns(), times.first_read_ns(), times.last_read_ns());
        assert_eq!(found, (None, None, None));
        next.advance(1);
        client.write_all(b"e").await.unwrap();
        assert_eq!(times.written_ns(), Some(1));

        // The end of a connection is no answer.
        drop(server);
        assert_eq!(client.read(&mut byte).await.unwrap(), 0);
        assert_eq!(times.first_read_ns(), None);
    }
}
