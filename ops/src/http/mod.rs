//! The HTTP/1 listener of both programs: a router in, and its answers over a bounded number of connections.
//!
//! Every connection has a deadline at all times, except while a complete request is being answered to a client that
//! reads. The task that owns the socket keeps it, so it doesn't depend on what the client sends or reads.

mod connection;
mod progress;

use axum::Router;
use progress::Timeouts;
use std::{future::Future, sync::Arc, time::Duration};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Pause after `accept` fails, for example without free file descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open connections. Further clients wait in the system's queue, without a descriptor.
    pub connections: usize,
    /// How long complete requests may take after the stop.
    pub drain: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Every complete request was answered.
    Drained,
    TimedOut,
}

/// Serves until `stop` resolves, and then answers the requests that are complete. Dropping the future closes all
/// connections.
///
/// A client has 10 s for the headers of a request, 60 s for its body, 30 s to read what is sent, and 75 s until its
/// next request. After the stop, it has 2 s to complete a request.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    stop: impl Future<Output = ()>,
) -> Ending {
    serve_within(listener, router, limits, Timeouts::default(), stop).await
}

/// Serves one connection with the same deadlines, on any stream.
pub async fn serve_connection(stream: impl AsyncRead + AsyncWrite + Unpin, router: Router) {
    let (_running, stopping) = watch::channel(());
    connection::serve(stream, router, Timeouts::default(), stopping).await;
}

async fn serve_within(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    timeouts: Timeouts,
    stop: impl Future<Output = ()>,
) -> Ending {
    let free = Arc::new(Semaphore::new(limits.connections));
    let (begin_stop, stopping) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let next = async {
            let permit = Arc::clone(&free).acquire_owned().await;
            (permit, listener.accept().await)
        };
        tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            (permit, accepted) = next => match accepted {
                Ok((stream, _)) => {
                    drop(stream.set_nodelay(true));
                    let (router, stopping) = (router.clone(), stopping.clone());
                    let served = connection::serve(stream, router, timeouts, stopping);
                    connections.spawn(async move {
                        served.await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a connection");
                    tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                }
            }
        }
    }
    drop((listener, begin_stop));
    let drained = async { while connections.join_next().await.is_some() {} };
    match tokio::time::timeout(limits.drain, drained).await {
        Ok(()) => Ending::Drained,
        Err(_) => Ending::TimedOut,
    }
}

#[cfg(test)]
mod tests;
