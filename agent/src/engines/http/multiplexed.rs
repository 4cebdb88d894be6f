//! The one HTTP/2 connection to an endpoint: every request is a stream of it. It is opened on first use and reopened
//! after the server closes it.
//!
//! The server limits the streams that are open at the same time; requests beyond wait for one of them. A request that was
//! sent is never sent again, whatever becomes of its stream.

use super::failed;
use super::route::{Progress, Route};
use super::timed_io::IoTimes;
use h2::Reason;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::failure::{Failure, Kind};
use ops::error_chain::one_line;
use std::error::Error;
use stopwatch::Stopwatch;
use tokio::sync::Mutex;

#[derive(Debug, Default)]
pub(super) struct Multiplexed(Mutex<Option<Sender>>);

type Sender = SendRequest<Full<Bytes>>;

impl Multiplexed {
    pub(super) async fn send(
        &self,
        route: &Route,
        mut request: Request<Full<Bytes>>,
        progress: &mut Progress,
        stopwatch: &Stopwatch,
    ) -> Result<Response<Incoming>, Failure> {
        loop {
            let mut sender = self.opened(route, progress, stopwatch).await?;
            let was_kept = progress.connect_ns.is_none();
            let mut error = match sender.try_send_request(request).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            match error.take_message() {
                // The server had closed the connection, and nothing of the request was sent.
                Some(unsent) if was_kept && !progress.is_reconnected => {
                    request = unsent;
                    progress.is_reconnected = true;
                }
                _ => return Err(lost(&error.into_error())),
            }
        }
    }

    /// A sender of the open connection. Requests that come while it is opened wait for it.
    async fn opened(
        &self,
        route: &Route,
        progress: &mut Progress,
        stopwatch: &Stopwatch,
    ) -> Result<Sender, Failure> {
        let mut open = self.0.lock().await;
        if let Some(sender) = open.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        progress.is_reconnected |= open.is_some();
        let before_ns = stopwatch.now_ns();
        // Those of requests that share it can't be told apart.
        let times = IoTimes::new(stopwatch);
        let stream = TokioIo::new(route.connect(&times).await?);
        let mut settings = http2::Builder::new(TokioExecutor::new());
        // One, until the server's settings say how many it takes: it refuses those beyond.
        let handshake = settings.initial_max_send_streams(1).handshake(stream).await;
        let (sender, connection) = handshake.map_err(|error| lost(&error))?;
        // Ends with its last sender. Waiting requests get the error.
        tokio::spawn(async move { drop(connection.await) });
        progress.connect_ns = Some(stopwatch.now_ns().saturating_sub(before_ns));
        *open = Some(sender.clone());
        Ok(sender)
    }
}

/// The class of a stream without a response. A server resets streams that it has no room for.
fn lost(error: &hyper::Error) -> Failure {
    let first: &(dyn Error + 'static) = error;
    let mut causes = std::iter::successors(Some(first), |&cause| cause.source());
    let cause = causes.find_map(|cause| cause.downcast_ref::<h2::Error>());
    let reason = cause.filter(|cause| cause.is_remote()).and_then(h2::Error::reason);
    let kind = match reason {
        Some(Reason::REFUSED_STREAM | Reason::ENHANCE_YOUR_CALM) => Kind::Throttled,
        Some(Reason::INTERNAL_ERROR) => Kind::ServerError,
        _ => Kind::Unreachable,
    };
    failed(kind, format!("connection lost: {}", one_line(error)))
}
