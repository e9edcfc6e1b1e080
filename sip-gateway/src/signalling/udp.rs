//! A UDP socket that lets only sound messages through to the stack, and no more than it can take.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use ipnet::IpNet;
use rsipstack::platform::net::UdpSocket as StackSocket;
use tokio::net::UdpSocket;
use tokio::sync::Mutex as AsyncMutex;

use super::counters::Tally;
use super::pending::Pending;
use super::screen::{Screened, screen};
use super::source::Shares;
use super::{Config, Transport};

/// The largest datagram there is.
const DATAGRAM_BYTES: usize = 65535;

/// Of what may wait, one source has this part, so that others are heard while it floods.
const SHARE: usize = 8;

/// How many messages are on their way through the stack, whose queues have no bound of their own.
#[derive(Debug)]
pub(super) struct Gate {
    waiting: Mutex<Shares>,
    waiting_max: usize,
    trunks: Vec<IpNet>,
    /// Requests that have come through, and aren't over.
    pub(super) pending: Arc<Pending>,
    pub(super) message_bytes_max: usize,
    pub(super) tally: Arc<Tally>,
}

impl Gate {
    pub(super) fn new(config: &Config, tally: Arc<Tally>) -> Gate {
        Gate {
            waiting: Mutex::default(),
            waiting_max: config.limits.messages_waiting_max,
            trunks: config.trunks.iter().flat_map(|trunk| trunk.sources.clone()).collect(),
            pending: Arc::new(Pending::new(config)),
            message_bytes_max: config.limits.message_bytes_max,
            tally,
        }
    }

    /// Whether one more of this source may enter. If not, it is counted as lost: its sender repeats it.
    pub(super) fn enter(&self, source: IpAddr) -> bool {
        let may_enter = self.may_enter(source);
        if !may_enter {
            self.tally.dropped.add(1);
        }
        may_enter
    }

    /// The same, for one that can wait.
    pub(super) fn may_enter(&self, source: IpAddr) -> bool {
        let is_trunk = self.trunks.iter().any(|net| net.contains(&source.to_canonical()));
        let share = if is_trunk { self.waiting_max } else { self.waiting_max.div_ceil(SHARE) };
        let mut waiting = self.waiting();
        waiting.all() < self.waiting_max && waiting.take(source, share)
    }

    /// One of this source has left.
    pub(super) fn leave(&self, source: IpAddr) {
        self.waiting().give_back(source);
    }

    fn waiting(&self) -> MutexGuard<'_, Shares> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The socket as the stack sees it.
pub(super) struct ScreenedSocket {
    socket: UdpSocket,
    gate: Arc<Gate>,
    buffer: AsyncMutex<Vec<u8>>,
}

impl ScreenedSocket {
    pub(super) fn new(socket: UdpSocket, gate: Arc<Gate>) -> ScreenedSocket {
        ScreenedSocket { socket, gate, buffer: AsyncMutex::new(vec![0; DATAGRAM_BYTES]) }
    }

    /// The message in a datagram, if it is one for the stack; what isn't has been answered, or dropped.
    async fn admit(&self, datagram: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
        // Two line ends keep a NAT's mapping alive (RFC 5626, section 3.5.1); the stack answers them.
        if datagram == b"\r\n\r\n" {
            return Some(datagram.to_vec());
        }
        if datagram.len() > self.gate.message_bytes_max || from.port() == 0 {
            self.gate.tally.dropped.add(1);
            return None;
        }
        match screen(datagram, from, Transport::Udp) {
            Screened::Pass(message) => self.gate.enter(from.ip()).then_some(message),
            Screened::Reply(response) => {
                self.gate.tally.unparseable.add(1);
                // Lost like any other datagram if it can't be sent.
                let _ = self.socket.try_send_to(&response, from);
                None
            }
            Screened::Drop => {
                self.gate.tally.unparseable.add(1);
                None
            }
        }
    }
}

#[async_trait]
impl StackSocket for ScreenedSocket {
    async fn recv_from(&self, buf: &mut [u8]) -> rsipstack::Result<(usize, SocketAddr)> {
        let mut buffer = self.buffer.lock().await;
        loop {
            let (length, from) = self.socket.recv_from(&mut buffer).await?;
            let Some(message) = self.admit(&buffer[..length], from).await else { continue };
            let Some(place) = buf.get_mut(..message.len()) else { continue };
            place.copy_from_slice(&message);
            return Ok((message.len(), from));
        }
    }

    async fn send_to(&self, buf: &[u8], addr: SocketAddr) -> rsipstack::Result<usize> {
        Ok(self.socket.send_to(buf, addr).await?)
    }

    fn local_addr(&self) -> rsipstack::Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }
}
