//! One connection: the task that owns its stream, and what tells it about progress.

use super::progress::{Progress, Timeouts};
use axum::http::{Request, Response};
use axum::{Router, body::Body, body::Bytes};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::{server::conn::http1, service::Service};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::{convert::Infallible, future::Future, io, pin::Pin, sync::Arc};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Limit on request headers, and on what is read ahead of a body, in bytes.
const BUFFER: usize = 32 << 10;

/// Serves a connection until it ends, misses a deadline, or is idle after the sender of `stopping` is dropped.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    router: Router,
    timeouts: Timeouts,
    mut stopping: watch::Receiver<()>,
) {
    let progress = Arc::new(Progress::new(timeouts));
    let service =
        Tracked { router: TowerToHyperService::new(router), progress: Arc::clone(&progress) };
    let io = TokioIo::new(Socket { stream, progress: Arc::clone(&progress) });
    let served = http1::Builder::new().max_buf_size(BUFFER).serve_connection(io, service);
    let mut served = std::pin::pin!(served);
    let mut stopped = std::pin::pin!(async move { while stopping.changed().await.is_ok() {} });
    let mut is_stopped = false;
    let mut deadline = std::pin::pin!(sleep_until(Instant::now()));
    poll_fn(|context| {
        if !is_stopped && stopped.as_mut().poll(context).is_ready() {
            is_stopped = true;
            progress.stop();
            served.as_mut().graceful_shutdown();
        }
        if let Poll::Ready(ended) = served.as_mut().poll(context) {
            if let Err(error) = ended {
                tracing::debug!(%error, "an HTTP connection broke");
            }
            return Poll::Ready(());
        }
        let Some(at) = progress.deadline() else { return Poll::Pending };
        if deadline.deadline() != at {
            deadline.as_mut().reset(at);
        }
        ready!(deadline.as_mut().poll(context));
        tracing::debug!("closed an HTTP connection that missed its deadline");
        Poll::Ready(())
    })
    .await;
}

/// A stream that reports that bytes arrive, and that the client doesn't read.
struct Socket<S> {
    stream: S,
    progress: Arc<Progress>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.progress.read();
        }
        read
    }
}

impl<S> Socket<S> {
    fn wrote<T>(&self, written: Poll<T>) -> Poll<T> {
        self.progress.write(written.is_pending());
        written
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// The router, with bodies that report their ends.
struct Tracked {
    router: TowerToHyperService<Router>,
    progress: Arc<Progress>,
}

impl Service<Request<Incoming>> for Tracked {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let progress = Arc::clone(&self.progress);
        progress.begin_body();
        if request.body().is_end_stream() {
            progress.end_body();
        }
        let request = request.map(|body| RequestBody { body, progress: Arc::clone(&progress) });
        let answer = self.router.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            Ok(answer.map(|body| ResponseBody { body, progress }))
        })
    }
}

struct RequestBody {
    body: Incoming,
    progress: Arc<Progress>,
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() || self.body.is_end_stream() {
            self.progress.end_body();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.progress.end_body();
    }
}

struct ResponseBody {
    body: Body,
    progress: Arc<Progress>,
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.progress.end_answer();
    }
}
