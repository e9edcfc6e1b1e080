//! The port that all workers share: an address in, a listening socket and its candidates out.

use std::net::{SocketAddr, TcpListener};

use anyhow::Context;
use socket2::{Domain, Protocol, Socket, Type};

use crate::media::announced::Announced;

/// Connections that the kernel has made and nobody has accepted yet.
const BACKLOG: i32 = 1024;

/// A bound port for media over TCP.
pub(crate) struct Listener {
    pub(super) socket: TcpListener,
    pub(crate) bound: SocketAddr,
    pub(crate) announced: Announced,
}

impl Listener {
    /// Binds to `address`. `public` tells what takes the place of the bound address in candidates.
    pub(crate) fn bind(
        address: SocketAddr,
        public: impl FnOnce(SocketAddr) -> Option<SocketAddr>,
    ) -> anyhow::Result<Listener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            // IPv4 has a socket of its own: a mapped address would be no ICE candidate.
            socket.set_only_v6(true)?;
        }
        // Connections of a server that was here before may still be closing.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        let listening = socket.bind(&address.into()).and_then(|()| socket.listen(BACKLOG));
        listening
            .with_context(|| format!("media TCP on {address}, which is --media-udp unless said otherwise (choose another with --media-tcp, or `off`)"))?;
        let socket = TcpListener::from(socket);
        let bound = socket.local_addr()?;
        Ok(Listener { socket, bound, announced: Announced::new(bound, public(bound))? })
    }
}
