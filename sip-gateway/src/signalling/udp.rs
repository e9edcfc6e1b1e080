//! A UDP socket that lets only sound messages through to the stack, and no more than it can take.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use rsipstack::platform::net::UdpSocket as StackSocket;
use tokio::net::UdpSocket;
use tokio::sync::Mutex;

use super::Transport;
use super::counters::Tally;
use super::screen::{Screened, screen};

/// The largest datagram there is.
const DATAGRAM_BYTES: usize = 65535;

/// How many messages are on their way through the stack, whose queues have no bound of their own.
#[derive(Debug)]
pub(super) struct Gate {
    waiting: AtomicUsize,
    waiting_max: usize,
    pub(super) message_bytes_max: usize,
    pub(super) tally: Arc<Tally>,
}

impl Gate {
    pub(super) fn new(waiting_max: usize, message_bytes_max: usize, tally: Arc<Tally>) -> Gate {
        Gate { waiting: AtomicUsize::new(0), waiting_max, message_bytes_max, tally }
    }

    /// Whether one more may enter. If not, it is counted as lost: its sender repeats it.
    pub(super) fn enter(&self) -> bool {
        let may_enter = self.may_enter();
        if !may_enter {
            self.tally.dropped.add(1);
        }
        may_enter
    }

    /// The same, for one that can wait.
    pub(super) fn may_enter(&self) -> bool {
        let is_free = self.waiting.load(Ordering::Relaxed) < self.waiting_max;
        if is_free {
            self.waiting.fetch_add(1, Ordering::Relaxed);
        }
        is_free
    }

    /// One has left.
    pub(super) fn leave(&self) {
        let _ =
            self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| waiting.checked_sub(1));
    }
}

/// The socket as the stack sees it.
pub(super) struct ScreenedSocket {
    socket: UdpSocket,
    gate: Arc<Gate>,
    buffer: Mutex<Vec<u8>>,
}

impl ScreenedSocket {
    pub(super) fn new(socket: UdpSocket, gate: Arc<Gate>) -> ScreenedSocket {
        ScreenedSocket { socket, gate, buffer: Mutex::new(vec![0; DATAGRAM_BYTES]) }
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
            Screened::Pass(message) => self.gate.enter().then_some(message),
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
