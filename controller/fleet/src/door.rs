//! The door: takes connections, makes handshakes, and closes on whoever doesn't join in time.
//!
//! Strangers hold few connections and for a short time; only a stream that joined stays.

use super::identity::tls::Tls;
use super::refusals::Reason;
use super::tally::Tally;
use proto::door::MUST_SPEAK_TLS;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

/// Connections that haven't joined yet. A stranger can fill these, and they empty by themselves.
const STRANGERS: usize = 512;
/// A handshake must be through by then.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// A connection must have joined by then. The health service is asked and answers in less.
pub(super) const JOIN_WITHIN: Duration = Duration::from_secs(30);
/// After it is cut off, an agent may read why for so long.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// The pause when the system gives no more connections.
const NO_ROOM_PAUSE: Duration = Duration::from_millis(200);

/// Where agents come in.
#[derive(Debug)]
pub struct Door {
    /// Takes connections.
    pub listener: TcpListener,
    /// Without it only loopback may be served.
    pub tls: Option<Arc<Tls>>,
}

/// Who is at the other end of a connection; in the extensions of each of its requests.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    /// In DER, checked by the handshake.
    pub(super) certificate: Option<Arc<[u8]>>,
    hold: Arc<Hold>,
}

struct Hold {
    cut: CancellationToken,
    /// Given back when it joins.
    stranger: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Peer {
    /// It joined: it may stay.
    pub(super) fn stay(&self) {
        self.hold.stranger.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Closes its connection, after a moment to read why.
    pub(super) fn cut_off(&self) {
        let cut = self.hold.cut.clone();
        tokio::spawn(async move {
            tokio::time::sleep(LAST_WORDS).await;
            cut.cancel();
        });
    }

    fn is_stranger(&self) -> bool {
        self.hold.stranger.lock().unwrap_or_else(PoisonError::into_inner).is_some()
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
    deadline: Pin<Box<Sleep>>,
    tally: Arc<Tally>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.tally.connections.dec();
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
        if self.cut.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if self.peer.is_stranger() && self.deadline.as_mut().poll(context).is_ready() {
            self.tally.refusals.add(
                Reason::Silent,
                Some(self.peer.address),
                &"it didn't join in time",
            );
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.transport).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }
}

/// Connections that came through the door, until the stream is dropped.
pub(super) fn connections(
    door: Door,
    tally: &Arc<Tally>,
) -> impl Stream<Item = io::Result<Connection>> + use<> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(accept(door, Arc::clone(tally), sender));
    ReceiverStream::new(receiver)
}

async fn accept(door: Door, tally: Arc<Tally>, sender: mpsc::Sender<io::Result<Connection>>) {
    let strangers = Arc::new(Semaphore::new(STRANGERS));
    loop {
        let next = async {
            let stranger = Arc::clone(&strangers).acquire_owned().await;
            (stranger, door.listener.accept().await)
        };
        let (stranger, accepted) = tokio::select! {
            next = next => next,
            () = sender.closed() => return,
        };
        // The semaphore is never closed.
        let Ok(stranger) = stranger else { return };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tally.refusals.add(Reason::NoRoom, None, &error);
                tokio::time::sleep(NO_ROOM_PAUSE).await;
                continue;
            }
        };
        let (tls, tally, sender) = (door.tls.clone(), Arc::clone(&tally), sender.clone());
        tokio::spawn(async move {
            let greeted = greet(stream, address, tls.as_deref(), stranger, &tally);
            match tokio::time::timeout(HANDSHAKE_WITHIN, greeted).await {
                // A closed channel means that the server stopped.
                Ok(Some(connection)) => drop(sender.send(Ok(connection)).await),
                Ok(None) => {}
                Err(_) => tally.refusals.add(
                    Reason::Silent,
                    Some(address.ip()),
                    &"the handshake took longer than 10 s",
                ),
            }
        });
    }
}

/// Makes the handshake. Null where it failed, which is counted.
async fn greet(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<&Tls>,
    stranger: OwnedSemaphorePermit,
    tally: &Arc<Tally>,
) -> Option<Connection> {
    // Answers are small and awaited.
    drop(stream.set_nodelay(true));
    let ip = address.ip();
    let (transport, certificate): (Box<dyn Transport>, _) = match tls {
        None => (Box::new(stream), None),
        Some(tls) => {
            let stream = speaks_tls(stream, ip, tally).await?;
            match TlsAcceptor::from(tls.config()).accept(stream).into_fallible().await {
                Ok(stream) => {
                    let chain = stream.get_ref().1.peer_certificates();
                    let certificate =
                        chain.and_then(|chain| chain.first()).map(|der| der[..].into());
                    (Box::new(stream), certificate)
                }
                Err((error, stream)) => {
                    tally.refusals.add(
                        Reason::Handshake,
                        Some(ip),
                        &format!("no TLS handshake: {error}"),
                    );
                    close_after_last_words(stream).await;
                    return None;
                }
            }
        }
    };
    let hold = Hold { cut: CancellationToken::new(), stranger: Mutex::new(Some(stranger)) };
    let cut = Box::pin(hold.cut.clone().cancelled_owned());
    let peer = Peer { address: ip, certificate, hold: Arc::new(hold) };
    let deadline = Box::pin(tokio::time::sleep(JOIN_WITHIN));
    tally.connections.inc();
    Some(Connection { transport, peer, cut, deadline, tally: Arc::clone(tally) })
}

/// The first byte of every TLS connection: a handshake record (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

async fn speaks_tls(mut stream: TcpStream, peer: IpAddr, tally: &Tally) -> Option<TcpStream> {
    let mut first = [0_u8; 1];
    match stream.peek(&mut first).await {
        Ok(1) if first[0] == TLS_HANDSHAKE => return Some(stream),
        // Whoever only looks whether the port is open closes at once: no refusal.
        Ok(0) | Err(_) => return None,
        Ok(_) => {}
    }
    tally.refusals.add(Reason::NotTls, Some(peer), &"it doesn't speak TLS: it must use https://");
    // It reads the answer or not; it is closed either way.
    drop(stream.write_all(&MUST_SPEAK_TLS).await);
    close_after_last_words(stream).await;
    None
}

/// Closes a connection whose last bytes say why. What the other end sent is read first, for a moment: closing on
/// unread bytes resets the connection, which takes back what was not read there yet.
async fn close_after_last_words(mut stream: TcpStream) {
    drop(stream.shutdown().await);
    let mut rest = [0_u8; 1024];
    drop(
        tokio::time::timeout(LAST_WORDS, async {
            while matches!(stream.read(&mut rest).await, Ok(read) if read > 0) {}
        })
        .await,
    );
}
