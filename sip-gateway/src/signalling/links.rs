//! The connections that messages come and go by: one socket for all datagrams, streams as they are needed.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use rsipstack::platform::CancellationToken;
use rsipstack::transport::transport_layer::TransportLayerInner;
use rsipstack::transport::{SipConnection, TransportLayer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::source::counted_as;
use super::stack::{Link, Links};
use super::stream::Stream;
use super::udp::Gate;
use super::{Config, Limits, Listener, StartError, Transport, tls};

/// To connect, or to shake hands.
const CONNECT_PATIENCE: Duration = Duration::from_secs(8);

/// Between two looks at a stream that another task opens.
const CONNECT_PAUSE: Duration = Duration::from_millis(20);

/// After a failed accept: out of files, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// All of them.
pub(super) struct Connections {
    datagrams: Vec<Link>,
    /// Where streams are listened for, as peers see it.
    listening: Vec<(Transport, SocketAddr)>,
    connector: Option<TlsConnector>,
    streams: Arc<Streams>,
}

/// Streams that are open.
struct Streams {
    layer: Arc<TransportLayerInner>,
    gate: Arc<Gate>,
    kill: CancellationToken,
    limits: Limits,
    open: Mutex<HashMap<(Transport, SocketAddr), Open>>,
}

/// An open stream.
struct Open {
    /// Opened by us: those have a bound of their own, so that neither takes the places of the other.
    is_ours: bool,
    /// `None` while hands are shaken.
    link: Option<Link>,
}

/// What stands in the place of a stream that we want.
enum Reserved {
    Place,
    IsThere(Link),
    /// By another task, for another call.
    BeingOpened,
    TooMany,
}

impl Connections {
    pub(super) fn new(
        config: &Config,
        layer: &TransportLayer,
        gate: Arc<Gate>,
        kill: CancellationToken,
    ) -> Result<Connections, StartError> {
        let has_tls = config.listeners.iter().any(|listener| listener.transport == Transport::Tls);
        let connector = has_tls.then(|| tls::connector(&config.tls)).transpose()?;
        let streams = Arc::new(Streams {
            layer: layer.inner.clone(),
            gate,
            kill,
            limits: config.limits,
            open: Mutex::default(),
        });
        Ok(Connections { datagrams: Vec::new(), listening: Vec::new(), connector, streams })
    }

    pub(super) fn add_datagrams(&mut self, public: SocketAddr, connection: SipConnection) {
        self.datagrams.push(Link { transport: Transport::Udp, public, connection });
    }

    /// Listens for streams.
    pub(super) async fn listen(
        &mut self,
        config: &Config,
        listener: &Listener,
        public_of: impl Fn(&Listener, SocketAddr) -> SocketAddr,
    ) -> Result<SocketAddr, StartError> {
        let transport = listener.transport;
        let acceptor = (transport == Transport::Tls).then(|| tls::acceptor(&config.tls)).transpose()?;
        let failed = |source| StartError::Bind { address: listener.bind, transport, source };
        let socket = TcpListener::bind(listener.bind).await.map_err(failed)?;
        let bound = socket.local_addr().map_err(failed)?;
        let public = public_of(listener, bound);
        self.listening.push((transport, public));
        let streams = self.streams.clone();
        tokio::spawn(async move {
            let kill = streams.kill.clone();
            tokio::select! {
                () = kill.cancelled() => {}
                () = accept(socket, transport, public, acceptor, streams) => {}
            }
        });
        Ok(bound)
    }

    /// Connects, and shakes hands.
    async fn open(&self, transport: Transport, address: SocketAddr, name: Option<&str>) -> Option<Link> {
        let public = self.listening.iter().find(|(of, _)| *of == transport).map(|(_, public)| *public)?;
        let stream = tokio::time::timeout(CONNECT_PATIENCE, TcpStream::connect(address)).await.ok()?;
        let stream = stream.inspect_err(|error| tracing::warn!(%error, %address, "can't connect")).ok()?;
        let _ = stream.set_nodelay(true);
        if transport == Transport::Tcp {
            return self.streams.open(stream, transport, address, public).await;
        }
        let name = match name {
            Some(name) => ServerName::try_from(name.to_owned()).ok()?,
            None => ServerName::IpAddress(address.ip().into()),
        };
        let shaken = self.connector.as_ref()?.connect(name, stream);
        let shaken = tokio::time::timeout(CONNECT_PATIENCE, shaken).await.ok()?;
        let shaken = shaken.inspect_err(|error| tracing::warn!(%error, %address, "no TLS"));
        self.streams.open(shaken.ok()?, transport, address, public).await
    }
}

async fn accept(
    socket: TcpListener,
    transport: Transport,
    public: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    streams: Arc<Streams>,
) {
    loop {
        let Ok((stream, peer)) = socket.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        if !streams.reserve(transport, peer) {
            streams.gate.tally.streams_refused.add(1);
            continue;
        }
        // Messages are small, and each is waited for.
        let _ = stream.set_nodelay(true);
        let (streams, acceptor) = (streams.clone(), acceptor.clone());
        tokio::spawn(async move {
            let is_open = match acceptor {
                None => streams.open(stream, transport, peer, public).await.is_some(),
                Some(acceptor) => match tokio::time::timeout(CONNECT_PATIENCE, acceptor.accept(stream)).await
                {
                    Ok(Ok(stream)) => streams.open(stream, transport, peer, public).await.is_some(),
                    _ => false,
                },
            };
            if !is_open {
                streams.close(transport, peer);
            }
        });
    }
}

impl Streams {
    fn map<T>(&self, what: impl FnOnce(&mut HashMap<(Transport, SocketAddr), Open>) -> T) -> T {
        what(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether one more is taken in.
    fn reserve(&self, transport: Transport, peer: SocketAddr) -> bool {
        self.map(|open| {
            let source = counted_as(peer.ip());
            let theirs = open.iter().filter(|(_, open)| !open.is_ours);
            let of_source = theirs.clone().filter(|((_, peer), _)| counted_as(peer.ip()) == source).count();
            let is_free =
                theirs.count() < self.limits.streams_max && of_source < self.limits.streams_per_source_max;
            if is_free {
                open.insert((transport, peer), Open { is_ours: false, link: None });
            }
            is_free
        })
    }

    /// Whether we open one to there.
    fn reserve_ours(&self, transport: Transport, peer: SocketAddr) -> Reserved {
        self.map(|open| match open.get(&(transport, peer)) {
            Some(Open { link: Some(link), .. }) => Reserved::IsThere(link.clone()),
            Some(Open { link: None, .. }) => Reserved::BeingOpened,
            None if open.values().filter(|open| open.is_ours).count() >= self.limits.streams_out_max => {
                Reserved::TooMany
            }
            None => {
                open.insert((transport, peer), Open { is_ours: true, link: None });
                Reserved::Place
            }
        })
    }

    async fn open(
        self: &Arc<Self>,
        io: impl AsyncRead + AsyncWrite + Send + 'static,
        transport: Transport,
        peer: SocketAddr,
        public: SocketAddr,
    ) -> Option<Link> {
        let stop = self.kill.child_token();
        let stream = Stream { io, peer, transport, gate: self.gate.clone(), stop };
        let streams: Weak<Streams> = Arc::downgrade(self);
        let on_end = move || {
            if let Some(streams) = streams.upgrade() {
                streams.close(transport, peer);
            }
        };
        let connection = stream.start(&self.layer, on_end).await?;
        let link = Link { transport, public, connection };
        // It may have ended meanwhile, and its place with it.
        self.map(|open| {
            let place = open.get_mut(&(transport, peer))?;
            place.link = Some(link.clone());
            Some(link)
        })
    }

    fn close(&self, transport: Transport, peer: SocketAddr) {
        self.map(|open| open.remove(&(transport, peer)));
    }
}

#[async_trait]
impl Links for Connections {
    async fn connect(&self, transport: Transport, address: SocketAddr, name: Option<&str>) -> Option<Link> {
        if transport == Transport::Udp {
            return self.existing(transport, address);
        }
        loop {
            match self.streams.reserve_ours(transport, address) {
                Reserved::Place => break,
                Reserved::IsThere(link) => return Some(link),
                Reserved::BeingOpened => tokio::time::sleep(CONNECT_PAUSE).await,
                Reserved::TooMany => {
                    self.streams.gate.tally.streams_refused.add(1);
                    return None;
                }
            }
        }
        let link = self.open(transport, address, name).await;
        if link.is_none() {
            self.streams.close(transport, address);
        }
        link
    }

    fn existing(&self, transport: Transport, address: SocketAddr) -> Option<Link> {
        match transport {
            Transport::Udp => {
                self.datagrams.iter().find(|link| link.public.is_ipv6() == address.is_ipv6()).cloned()
            }
            Transport::Tcp | Transport::Tls => {
                self.streams.map(|open| open.get(&(transport, address))?.link.clone())
            }
        }
    }
}
