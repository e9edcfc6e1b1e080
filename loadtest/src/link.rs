//! How a client's datagrams travel: one by one over UDP, or framed over one TCP connection (RFC 4571).

use std::io;
use std::net::{SocketAddr, TcpStream as StdTcpStream, UdpSocket as StdUdpSocket};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

/// A client's socket, not yet in anybody's hands.
#[derive(Debug)]
pub enum MediaSocket {
    /// Bound, non-blocking.
    Udp(StdUdpSocket),
    /// Connected, non-blocking.
    Tcp(StdTcpStream),
}

impl MediaSocket {
    /// Its own address.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            MediaSocket::Udp(socket) => socket.local_addr(),
            MediaSocket::Tcp(stream) => stream.local_addr(),
        }
    }

    /// Whether it is a connection.
    pub(crate) fn is_tcp(&self) -> bool {
        matches!(self, MediaSocket::Tcp(_))
    }
}

/// The same, driven by tokio.
pub(crate) enum Link {
    Udp(UdpSocket),
    Tcp { stream: TcpStream, peer: SocketAddr, read: Vec<u8> },
}

impl Link {
    pub(crate) fn new(socket: MediaSocket) -> io::Result<Link> {
        match socket {
            MediaSocket::Udp(socket) => Ok(Link::Udp(UdpSocket::from_std(socket)?)),
            MediaSocket::Tcp(stream) => {
                let peer = stream.peer_addr()?;
                Ok(Link::Tcp { stream: TcpStream::from_std(stream)?, peer, read: Vec::new() })
            }
        }
    }

    /// Sends a datagram. One that isn't sent is a lost one: the protocols above cope.
    pub(crate) async fn send(&mut self, datagram: &[u8], destination: SocketAddr) {
        match self {
            Link::Udp(socket) => {
                let _ = socket.send_to(datagram, destination).await;
            }
            Link::Tcp { stream, peer, .. } if *peer == destination => {
                let length = (datagram.len() as u16).to_be_bytes();
                let _ = stream.write_all(&[&length, datagram].concat()).await;
            }
            Link::Tcp { .. } => {}
        }
    }

    /// The next datagram, and from where. Cancel safe.
    pub(crate) async fn receive(&mut self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match self {
            Link::Udp(socket) => socket.recv_from(buffer).await,
            Link::Tcp { stream, peer, read } => loop {
                if let [high, low, rest @ ..] = &read[..] {
                    let length = usize::from(u16::from_be_bytes([*high, *low]));
                    if let Some(frame) = rest.get(..length) {
                        buffer[..length].copy_from_slice(frame);
                        read.drain(..2 + length);
                        return Ok((length, *peer));
                    }
                }
                if stream.read_buf(read).await? == 0 {
                    // There is nothing more: as if nothing came any more.
                    std::future::pending::<()>().await;
                }
            },
        }
    }
}
