//! Accepts connections, performs TLS handshakes, and closes connections that don't join in time.
//!
//! Connections that haven't joined are few and short-lived; only a joined stream stays open. The task that accepted a
//! connection keeps its deadline, so it doesn't depend on what the peer sends or reads.

use super::{identity::tls::Tls, metrics::FleetMetrics, refusals::Reason};
use proto::plaintext_rejection::PLAINTEXT_REJECTION;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::{fmt, future::Future, io, pin::Pin, time::Duration};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

/// Limit on connections that haven't joined, per listener. Strangers can fill it; timeouts empty it.
const MAX_UNJOINED: usize = 512;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Deadline to join; a health check takes less.
const JOIN_TIMEOUT: Duration = Duration::from_secs(30);
/// What a connection may send before it joins: the longest Hello, twice. Beyond that it is not read, so that a flood
/// takes no more time than that.
const UNJOINED_BYTES: usize = 512 << 10;
/// How long a closed connection may still read the reason.
const CLOSE_GRACE: Duration = Duration::from_secs(2);
/// Pause after `accept` fails, for example without free file descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub struct Listener {
    pub socket: Socket,
    /// Required off loopback.
    pub tls: Option<Arc<Tls>>,
    pub limits: ConnectionLimits,
}

/// Where connections come from.
#[derive(Debug)]
pub enum Socket {
    Tcp(TcpListener),
    /// Connections within the process, on loopback and without TLS: for tests in simulated time.
    Memory(mpsc::Receiver<DuplexStream>),
}

impl Socket {
    async fn accept(&mut self) -> io::Result<(Accepted, IpAddr)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                drop(stream.set_nodelay(true));
                Ok((Accepted::Tcp(stream), address.ip()))
            }
            Self::Memory(pipes) => match pipes.recv().await {
                Some(pipe) => Ok((Accepted::Memory(pipe), Ipv4Addr::LOCALHOST.into())),
                None => std::future::pending().await,
            },
        }
    }
}

enum Accepted {
    Tcp(TcpStream),
    Memory(DuplexStream),
}

/// How many connections are open at once, and how long they have to join. Further ones wait in the system's queue,
/// without a descriptor.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    unjoined: usize,
    join_timeout: Duration,
    /// Joined or not; shared by all clones. A listener that waits for its next connection holds one.
    open: Arc<Semaphore>,
}

impl ConnectionLimits {
    /// For a process that may have `descriptors` files open: agents get half of them, so that results can always be
    /// written, and strangers a 16th per listener. Clones share the half.
    pub fn new(descriptors: usize) -> Self {
        let open = (descriptors / 2).clamp(1, Semaphore::MAX_PERMITS);
        let unjoined = MAX_UNJOINED.min(descriptors / 16).max(1);
        Self { unjoined, join_timeout: JOIN_TIMEOUT, open: Arc::new(Semaphore::new(open)) }
    }

    /// With another deadline to join than 30 s.
    #[must_use]
    pub fn join_within(self, join_timeout: Duration) -> Self {
        Self { join_timeout, ..self }
    }
}

/// The remote end of a connection; stored in the extensions of each request.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    /// DER, verified by the handshake.
    pub(super) certificate: Option<Arc<[u8]>>,
    state: Arc<ConnectionState>,
}

struct ConnectionState {
    cut: CancellationToken,
    settled: CancellationToken,
    /// Released when the connection settles.
    unjoined: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Peer {
    /// The connection has joined or is closed: the deadline to join no longer applies.
    pub(super) fn settle(&self) {
        self.state.unjoined.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.state.settled.cancel();
    }

    /// Closes the connection after [`CLOSE_GRACE`].
    pub(super) fn cut_off(&self) {
        let cut = self.state.cut.clone();
        tokio::spawn(async move {
            tokio::time::sleep(CLOSE_GRACE).await;
            cut.cancel();
        });
    }

    /// Closes the connection unless it joins in time.
    async fn expect_join(&self, within: Duration, metrics: &FleetMetrics) {
        if tokio::time::timeout(within, self.state.settled.cancelled()).await.is_err() {
            metrics.refusals.add(Reason::Silent, Some(self.address), &"did not join in time");
            self.state.cut.cancel();
        }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("address", &self.address).finish_non_exhaustive()
    }
}

trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// One connection after its handshake.
pub(super) struct Connection {
    transport: Box<dyn Transport>,
    peer: Peer,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    settled: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Of [`UNJOINED_BYTES`].
    unjoined_left: usize,
    metrics: Arc<FleetMetrics>,
    _open: OwnedSemaphorePermit,
}

impl Connection {
    /// An error once the connection is cut, in whichever direction it is used: one that waits for a peer to read is
    /// not read itself.
    fn poll_cut(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.peer.settle();
        self.metrics.connections.dec();
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_cut(context)?;
        if self.unjoined_left == 0 {
            ready!(self.settled.as_mut().poll(context));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.transport).poll_read(context, buffer);
        self.unjoined_left = self.unjoined_left.saturating_sub(buffer.filled().len() - before);
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_cut(context)?;
        Pin::new(&mut self.transport).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_cut(context)?;
        Pin::new(&mut self.transport).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_cut(context)?;
        Pin::new(&mut self.transport).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_cut(context)?;
        Pin::new(&mut self.transport).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }
}

/// Accepted connections, until the stream is dropped.
pub(super) fn connections(
    listener: Listener,
    metrics: &Arc<FleetMetrics>,
) -> impl Stream<Item = io::Result<Connection>> + use<> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(accept(listener, Arc::clone(metrics), sender));
    ReceiverStream::new(receiver)
}

async fn accept(
    mut listener: Listener,
    metrics: Arc<FleetMetrics>,
    sender: mpsc::Sender<io::Result<Connection>>,
) {
    let unjoined = Arc::new(Semaphore::new(listener.limits.unjoined));
    loop {
        let next = async {
            let unjoined = Arc::clone(&unjoined).acquire_owned().await;
            let open = Arc::clone(&listener.limits.open).acquire_owned().await;
            (unjoined, open, listener.socket.accept().await)
        };
        let (unjoined, open, accepted) = tokio::select! {
            next = next => next,
            () = sender.closed() => return,
        };
        // The semaphores are never closed.
        let (Ok(unjoined), Ok(open)) = (unjoined, open) else { return };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                metrics.refusals.add(Reason::AcceptFailed, None, &error);
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                continue;
            }
        };
        let join_timeout = listener.limits.join_timeout;
        let (tls, metrics, sender) = (listener.tls.clone(), Arc::clone(&metrics), sender.clone());
        tokio::spawn(async move {
            let permits = Permits { unjoined, open };
            let handshaken = handshake(stream, address, tls.as_deref(), permits, &metrics);
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshaken).await {
                Ok(Some(connection)) => {
                    let peer = connection.peer.clone();
                    // A closed channel: the server has stopped.
                    drop(sender.send(Ok(connection)).await);
                    peer.expect_join(join_timeout, &metrics).await;
                }
                Ok(None) => {}
                Err(_) => {
                    let detail = "TLS handshake timed out after 10 s";
                    metrics.refusals.add(Reason::Silent, Some(address), &detail);
                }
            }
        });
    }
}

struct Permits {
    unjoined: OwnedSemaphorePermit,
    open: OwnedSemaphorePermit,
}

/// Performs the handshake; a failure is counted and returns `None`.
async fn handshake(
    accepted: Accepted,
    address: IpAddr,
    tls: Option<&Tls>,
    permits: Permits,
    metrics: &Arc<FleetMetrics>,
) -> Option<Connection> {
    let (transport, certificate): (Box<dyn Transport>, _) = match (accepted, tls) {
        (Accepted::Memory(pipe), _) => (Box::new(pipe), None),
        (Accepted::Tcp(stream), None) => (Box::new(stream), None),
        (Accepted::Tcp(stream), Some(tls)) => {
            let stream = speaks_tls(stream, address, metrics).await?;
            match TlsAcceptor::from(tls.config()).accept(stream).into_fallible().await {
                Ok(stream) => {
                    let chain = stream.get_ref().1.peer_certificates();
                    let certificate =
                        chain.and_then(|chain| chain.first()).map(|der| der[..].into());
                    (Box::new(stream), certificate)
                }
                Err((error, stream)) => {
                    let detail = format!("TLS handshake failed: {error}");
                    metrics.refusals.add(Reason::Handshake, Some(address), &detail);
                    close_gracefully(stream).await;
                    return None;
                }
            }
        }
    };
    let Permits { unjoined, open } = permits;
    let state = ConnectionState {
        cut: CancellationToken::new(),
        settled: CancellationToken::new(),
        unjoined: Mutex::new(Some(unjoined)),
    };
    let cut = Box::pin(state.cut.clone().cancelled_owned());
    let settled = Box::pin(state.settled.clone().cancelled_owned());
    let peer = Peer { address, certificate, state: Arc::new(state) };
    metrics.connections.inc();
    let (unjoined_left, metrics) = (UNJOINED_BYTES, Arc::clone(metrics));
    Some(Connection { transport, peer, cut, settled, unjoined_left, metrics, _open: open })
}

/// The first byte of every TLS connection: a handshake record (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

async fn speaks_tls(
    mut stream: TcpStream,
    peer: IpAddr,
    metrics: &FleetMetrics,
) -> Option<TcpStream> {
    let mut first = [0_u8; 1];
    match stream.peek(&mut first).await {
        Ok(1) if first[0] == TLS_HANDSHAKE => return Some(stream),
        // A port probe closes at once: not a refusal.
        Ok(0) | Err(_) => return None,
        Ok(_) => {}
    }
    let detail = "plaintext connection on a TLS port; use https://";
    metrics.refusals.add(Reason::NotTls, Some(peer), &detail);
    drop(stream.write_all(&PLAINTEXT_REJECTION).await);
    close_gracefully(stream).await;
    None
}

/// Closes a connection whose last bytes carry the reason. Pending input is drained first: closing with unread bytes
/// resets the connection, and the peer may lose what it hasn't read.
async fn close_gracefully(mut stream: TcpStream) {
    drop(stream.shutdown().await);
    let mut rest = [0_u8; 1024];
    drop(
        tokio::time::timeout(CLOSE_GRACE, async {
            while matches!(stream.read(&mut rest).await, Ok(read) if read > 0) {}
        })
        .await,
    );
}
