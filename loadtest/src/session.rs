//! A URL and a token in, a joined participant out: WebSocket, welcome, negotiated peer and its
//! socket. Whoever gets it moves the datagrams: [`crate::Client`] or [`crate::Driver`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Instant;

use str0m::net::Protocol;
use tercet_protocol::Welcome;

use crate::link::MediaSocket;
use crate::{Entrance, Peer, PeerError, PeerOptions, ServerUrl, Signalling, SignallingError};

/// How to join.
#[derive(Clone, Debug)]
pub struct JoinOptions {
    /// The server.
    pub server: ServerUrl,
    /// The access token.
    pub token: String,
    /// The name to show, in place of the token's.
    pub name: Option<String>,
    /// How many slots to offer; as many as the room has, if absent.
    pub slots: Option<u8>,
    /// What the peer offers.
    pub peer: PeerOptions,
    /// Whether the frames of the WebSocket are recorded from the start.
    pub record: bool,
    /// Where the server takes media over TCP, for a client that has no UDP.
    pub media_tcp: Option<SocketAddr>,
}

impl JoinOptions {
    /// A join with the usual offer: the room's slots, Opus 111, data channels.
    pub fn new(server: ServerUrl, token: impl Into<String>) -> Self {
        JoinOptions {
            server,
            token: token.into(),
            name: None,
            slots: None,
            peer: PeerOptions::default(),
            record: false,
            media_tcp: None,
        }
    }
}

/// Why a join failed.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// On the WebSocket.
    #[error(transparent)]
    Signalling(#[from] SignallingError),
    /// In the negotiation.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// No socket for the media.
    #[error(transparent)]
    Socket(#[from] std::io::Error),
    /// It was sent to something that is no server.
    #[error("sent on to {0:?}, which is no URL of a server")]
    BadRedirect(String),
}

/// A participant who has joined and negotiated, and whose media connection is still to be made.
pub struct Session {
    /// The WebSocket.
    pub signalling: Signalling,
    /// The server's reply to the join.
    pub welcome: Welcome,
    /// The negotiated peer.
    pub peer: Peer,
    /// Its socket on the loopback interface.
    pub socket: MediaSocket,
    /// The server that serves it: another node, perhaps, than the one that was asked.
    pub server: ServerUrl,
}

impl Session {
    /// Joins: `join`, `joined`, `offer`, `answer`.
    pub async fn join(options: &JoinOptions) -> Result<Session, JoinError> {
        let mut server = options.server;
        let (mut signalling, mut entrance) = enter(options, &server, true).await?;
        if let Entrance::Redirected(url) = entrance {
            let elsewhere: ServerUrl = url.parse().map_err(|_| JoinError::BadRedirect(url))?;
            (signalling, entrance) = match enter(options, &elsewhere, false).await {
                // Nobody is there: the first node finds that out too, for one whom it can't send on.
                Err(SignallingError::Io(_) | SignallingError::TimedOut(_)) => {
                    enter(options, &server, false).await?
                }
                entered => {
                    server = elsewhere;
                    entered?
                }
            };
        }
        let welcome = match entrance {
            Entrance::Joined(welcome) => *welcome,
            // Whoever was sent on is served there, or not at all.
            Entrance::Redirected(url) => return Err(JoinError::BadRedirect(url)),
        };
        let slots = options.slots.unwrap_or(welcome.room.slots);
        let (peer, socket) = negotiate(&mut signalling, &server, options, slots, false).await?;
        Ok(Session { signalling, welcome, peer, socket, server })
    }
}

/// Opens a WebSocket and says `join`.
async fn enter(
    options: &JoinOptions,
    server: &ServerUrl,
    may_redirect: bool,
) -> Result<(Signalling, Entrance), SignallingError> {
    let mut signalling = Signalling::connect(server).await?;
    if options.record {
        signalling.record();
    }
    let (token, name) = (&options.token, options.name.as_deref());
    let entrance = signalling.join_or_redirect(token, name, may_redirect).await?;
    Ok((signalling, entrance))
}

/// Makes a new peer with a socket of its own, and negotiates it; `fresh` if it replaces one.
pub(crate) async fn negotiate(
    signalling: &mut Signalling,
    server: &ServerUrl,
    options: &JoinOptions,
    slots: u8,
    fresh: bool,
) -> Result<(Peer, MediaSocket), JoinError> {
    let socket = match options.media_tcp {
        Some(address) => MediaSocket::Tcp(tokio::net::TcpStream::connect(address).await?.into_std()?),
        None => MediaSocket::Udp(media_socket(server)?),
    };
    let local = socket.local_addr()?;
    let protocol = if socket.is_tcp() { Protocol::Tcp } else { Protocol::Udp };
    let mut peer = Peer::over(Instant::now(), local, protocol, options.peer.clone())?;
    let answer = signalling.offer(peer.offer(slots), fresh).await?;
    peer.accept_answer(&answer)?;
    Ok((peer, socket))
}

/// A non-blocking UDP socket on the address by which this machine reaches the server. Of a server on loopback that is loopback,
/// from which the kernel refuses to send to any other network.
pub(crate) fn media_socket(server: &ServerUrl) -> std::io::Result<UdpSocket> {
    let server = server.address();
    let any =
        if server.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let probe = UdpSocket::bind(SocketAddr::new(any, 0))?;
    // Nothing is sent: the system only chooses the way.
    probe.connect(server)?;
    let socket = UdpSocket::bind(SocketAddr::new(probe.local_addr()?.ip(), 0))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
