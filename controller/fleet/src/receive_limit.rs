//! Limits how much of unfinished messages is in memory: the length that a message announces is charged to a budget
//! before its bytes are buffered. At the limit, streams are not read.

use http_body::Frame;
use std::task::{Context, Poll, ready};
use std::{future::Future, pin::Pin, sync::Arc, time::Duration};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tonic::codegen::{Body, Bytes, Service, StdError, http};
use tonic::{Status, server::NamedService};

/// A gRPC message begins with a flag and its length.
const PREFIX: usize = 5;
/// Messages up to this length are not charged: a stream holds as much in its window, and heartbeats have to arrive even
/// when the budget is used up.
const FREE_BYTES: usize = 64 << 10;
/// The longest Hello, with every text at its limit.
const FIRST_BYTES: usize = 256 << 10;
/// Bytes per unit; lengths are rounded up.
const UNIT: usize = 1 << 10;
/// 64 MiB in units: eight of the longest messages.
const UNITS: usize = 1 << 16;
/// From the first pause in a message to its end: 8 MiB at 1.1 Mbit/s.
const MESSAGE_TIMEOUT: Duration = Duration::from_mins(1);

/// Shared by all streams of a listener.
#[derive(Debug, Clone)]
pub(super) struct ReceiveLimit(Arc<Semaphore>);

impl Default for ReceiveLimit {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(UNITS)))
    }
}

/// A gRPC service whose requests are read within the limit.
#[derive(Debug, Clone)]
pub(super) struct Limited<S> {
    pub(super) service: S,
    pub(super) limit: ReceiveLimit,
}

impl<S: NamedService> NamedService for Limited<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, B> Service<http::Request<B>> for Limited<S>
where
    S: Service<http::Request<LimitedBody<B>>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> S::Future {
        self.service.call(request.map(|body| LimitedBody::new(body, self.limit.clone())))
    }
}

type Acquiring = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

/// A request body that passes on a message once its length is charged. Each piece it returns belongs to one message.
pub(super) struct LimitedBody<B> {
    body: B,
    limit: ReceiveLimit,
    /// Received, and not passed on yet.
    chunk: Bytes,
    /// Bytes of the current message that are not passed on yet.
    left: usize,
    longest: usize,
    acquiring: Option<Acquiring>,
    /// Held until the reader asks for the next message.
    permit: Option<OwnedSemaphorePermit>,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<B> LimitedBody<B> {
    fn new(body: B, limit: ReceiveLimit) -> Self {
        Self {
            body,
            limit,
            chunk: Bytes::new(),
            left: 0,
            longest: FIRST_BYTES,
            acquiring: None,
            permit: None,
            deadline: None,
        }
    }

    /// Charges the message at the start of `chunk`, and begins to pass it on.
    fn poll_begin(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        let length = [self.chunk[1], self.chunk[2], self.chunk[3], self.chunk[4]];
        let length = u32::from_be_bytes(length) as usize;
        if length > self.longest {
            let longest = self.longest;
            let status = format!("a message of {length} bytes, the limit is {longest}");
            return Poll::Ready(Err(Status::out_of_range(status)));
        }
        if length > FREE_BYTES {
            let limit = &self.limit;
            let acquiring = self.acquiring.get_or_insert_with(|| {
                let units = u32::try_from(length.div_ceil(UNIT)).unwrap_or(u32::MAX);
                Box::pin(Arc::clone(&limit.0).acquire_many_owned(units))
            });
            // The semaphore is never closed.
            self.permit = ready!(acquiring.as_mut().poll(context)).ok();
            self.acquiring = None;
        }
        self.left = PREFIX + length;
        self.longest = proto::MAX_BATCH_BYTES;
        Poll::Ready(Ok(()))
    }

    /// An error if a message has been incomplete for too long.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        if self.left == 0 && self.chunk.is_empty() {
            return Poll::Pending;
        }
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(MESSAGE_TIMEOUT)));
        ready!(deadline.as_mut().poll(context));
        Poll::Ready(Status::resource_exhausted("a message did not arrive within 60 s"))
    }
}

impl<B> Body for LimitedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<StdError>,
{
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let this = &mut *self;
        if this.left == 0 {
            // The reader has taken what was passed on.
            this.permit = None;
        }
        loop {
            if this.left == 0
                && this.chunk.len() >= PREFIX
                && let Err(status) = ready!(this.poll_begin(context))
            {
                return Poll::Ready(Some(Err(status.into())));
            }
            if this.left > 0 && !this.chunk.is_empty() {
                let piece = this.chunk.split_to(this.chunk.len().min(this.left));
                this.left -= piece.len();
                if this.left == 0 {
                    this.deadline = None;
                }
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) else {
                return this.poll_late(context).map(|status| Some(Err(status.into())));
            };
            let frame = match frame {
                // Part of a prefix may be left.
                None if this.chunk.is_empty() => return Poll::Ready(None),
                None => {
                    return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.chunk)))));
                }
                Some(frame) => frame.map_err(Into::<StdError>::into)?,
            };
            match frame.into_data() {
                Ok(data) if this.chunk.is_empty() => this.chunk = data,
                Ok(data) => this.chunk = [&this.chunk[..], &data[..]].concat().into(),
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::future::poll_fn;
    use tokio::time::timeout;

    /// Frames that have arrived; nothing more arrives after them, or the stream ends.
    struct Arrived {
        frames: VecDeque<Bytes>,
        ends: bool,
    }

    impl Body for Arrived {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match self.frames.pop_front() {
                Some(frame) => Poll::Ready(Some(Ok(Frame::data(frame)))),
                None if self.ends => Poll::Ready(None),
                None => Poll::Pending,
            }
        }
    }

    fn message(length: usize) -> Vec<u8> {
        let announced = u32::try_from(length).unwrap().to_be_bytes();
        [&[0], &announced[..], &vec![7; length]].concat()
    }

    /// A stream of a joined agent: a short Hello, and then these bytes.
    fn stream(bytes: &[u8], frame: usize, limit: &ReceiveLimit) -> LimitedBody<Arrived> {
        let bytes = [&message(9), bytes].concat();
        let frames = bytes.chunks(frame).map(Bytes::copy_from_slice).collect();
        LimitedBody::new(Arrived { frames, ends: false }, limit.clone())
    }

    async fn next(body: &mut LimitedBody<Arrived>) -> Option<Result<Bytes, StdError>> {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
        frame.map(|frame| frame.map(|frame| frame.into_data().expect("there are no trailers")))
    }

    /// Reads until nothing is passed on for a moment. Returns the number of bytes.
    async fn read(body: &mut LimitedBody<Arrived>) -> usize {
        let mut count = 0;
        while let Ok(Some(Ok(piece))) = timeout(Duration::from_millis(1), next(body)).await {
            count += piece.len();
        }
        count
    }

    #[tokio::test(start_paused = true)]
    async fn half_sent_messages_share_the_budget() {
        let limit = ReceiveLimit::default();
        let half = message(proto::MAX_BATCH_BYTES);
        let half = &half[..half.len() - 1];
        let mut streams: Vec<_> = (0..16).map(|_| stream(half, 1 << 14, &limit)).collect();
        let mut read_each = Vec::new();
        for stream in &mut streams {
            read_each.push(read(stream).await);
        }
        let (hello, all) = (message(9).len(), message(9).len() + half.len());
        assert_eq!(read_each, [[all; 8], [hello; 8]].concat());
        // A stream that ends makes room for the next.
        streams.remove(0);
        assert_eq!(read(&mut streams[7]).await, half.len());
        // Short messages don't wait for room.
        assert!(read(&mut stream(&message(FREE_BYTES), 1 << 14, &limit)).await > FREE_BYTES);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_is_charged_until_the_next_is_asked_for() {
        let limit = ReceiveLimit::default();
        let long = message(1 << 20);
        let mut body = stream(&[long.clone(), long].concat(), usize::MAX, &limit);
        let mut free = Vec::new();
        for _ in 0..3 {
            next(&mut body).await.expect("it arrived").expect("it is a message");
            free.push(limit.0.available_permits());
        }
        assert_eq!(free, [UNITS, UNITS - 1024, UNITS - 1024]);
        assert_eq!(read(&mut body).await, 0);
        assert_eq!(limit.0.available_permits(), UNITS);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unfinished_message_ends_the_stream() {
        for unfinished in [&message(1 << 20)[..1 << 19], &message(100)[..50], &[0, 0]] {
            let mut body = stream(unfinished, usize::MAX, &ReceiveLimit::default());
            let last = loop {
                match next(&mut body).await.expect("it doesn't end silently") {
                    Ok(_) => {}
                    Err(error) => break error,
                }
            };
            assert!(last.to_string().contains("did not arrive within 60 s"), "{last}");
        }
        // Between messages, there is no deadline.
        let mut silent = stream(&message(100), usize::MAX, &ReceiveLimit::default());
        read(&mut silent).await;
        assert!(timeout(Duration::from_hours(1), next(&mut silent)).await.is_err());
    }

    #[tokio::test]
    async fn a_first_message_is_short() {
        let frames = VecDeque::from([Bytes::from(message(FIRST_BYTES + 1))]);
        let arrived = Arrived { frames, ends: false };
        let mut body = LimitedBody::new(arrived, ReceiveLimit::default());
        let refused = next(&mut body).await.expect("it arrived").expect_err("it is too long");
        assert!(refused.to_string().contains("the limit is 262144"), "{refused}");
    }

    proptest! {
        /// However the bytes are framed, all of them are passed on, and the budget is free again.
        #[test]
        fn bytes_are_passed_on_unchanged(
            lengths in prop::collection::vec(prop_oneof![0..20_usize, 0..200_000_usize], 0..6),
            frame in prop_oneof![1..8_usize, 1..100_000_usize],
            cut in 0..10_usize,
        ) {
            let mut bytes: Vec<u8> = lengths.into_iter().flat_map(message).collect();
            bytes.truncate(bytes.len().saturating_sub(cut));
            let limit = ReceiveLimit::default();
            let mut body = stream(&bytes, frame, &limit);
            body.body.ends = true;
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let passed: Vec<u8> = runtime.block_on(async {
                let mut passed = Vec::new();
                while let Some(piece) = next(&mut body).await {
                    passed.extend_from_slice(&piece.expect("it is passed on"));
                }
                passed
            });
            prop_assert_eq!(passed, [message(9), bytes].concat());
            drop(body);
            prop_assert_eq!(limit.0.available_permits(), UNITS);
        }
    }
}
