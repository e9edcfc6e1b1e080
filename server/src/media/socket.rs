//! A worker's UDP sockets: datagrams in by batches, datagrams out, runs of equal ones in one call.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;

use anyhow::Context;
use mio::net::UdpSocket;
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};

use super::announced::Announced;
use super::fanout::Path;

/// A worker serves thousands of peers from one socket: room for a burst of 20 ms of them.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// The largest datagram that is read.
const DATAGRAM_BYTES_MAX: usize = 2048;

/// What the kernel takes in one call: the length of an IP datagram has 16 bits.
const RUN_BYTES_MAX: usize = 65_000;

/// One UDP socket, and the address that its peers are told.
pub(crate) struct MediaSocket {
    socket: UdpSocket,
    state: UdpSocketState,
    /// Where the kernel has bound it.
    pub(crate) bound: SocketAddr,
    /// ICE host candidates. If they are addresses of this machine's, of which the kernel would choose any, each
    /// datagram says which one it has to come from.
    pub(super) announced: Announced,
    buffers: Vec<Vec<u8>>,
    run: SendRun,
}

/// Datagrams to one destination, of one size, waiting to be handed over in one call (GSO).
#[derive(Default)]
struct SendRun {
    contents: Vec<u8>,
    path: Option<Path>,
    segment_bytes: usize,
    segments: usize,
    /// The last datagram was shorter, which ends a run.
    ended: bool,
}

/// What became of datagrams that were handed to the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) refused: u64,
}

impl MediaSocket {
    /// Binds to `address`. `public` tells what takes the place of the bound address in candidates.
    pub(crate) fn bind(
        address: SocketAddr,
        public: impl FnOnce(SocketAddr) -> Option<SocketAddr>,
    ) -> anyhow::Result<MediaSocket> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            // IPv4 has a socket of its own: a mapped address would be no ICE candidate.
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        socket
            .bind(&address.into())
            .with_context(|| format!("media UDP on {address} (choose another with --media-udp)"))?;
        let socket = UdpSocket::from_std(socket.into());
        let bound = socket.local_addr()?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        // The kernel may grant less (net.core.rmem_max); that costs only bursts.
        let _ = state.set_recv_buffer_size(UdpSockRef::from(&socket), BUFFER_BYTES);
        let _ = state.set_send_buffer_size(UdpSockRef::from(&socket), BUFFER_BYTES);
        let announced = Announced::new(bound, public(bound))?;
        // With receive offload, one buffer holds several datagrams of one sender.
        let buffer_bytes = DATAGRAM_BYTES_MAX * state.gro_segments();
        Ok(MediaSocket {
            socket,
            state,
            bound,
            announced,
            buffers: vec![vec![0; buffer_bytes]; BATCH_SIZE],
            run: SendRun::default(),
        })
    }

    /// For registration with a poll.
    pub(crate) fn source(&mut self) -> &mut UdpSocket {
        &mut self.socket
    }

    /// Hands a batch of datagrams to `each`, with sender and the candidate they were sent to.
    /// Returns whether there may be more.
    pub(crate) fn receive(
        &mut self,
        mut each: impl FnMut(SocketAddr, SocketAddr, &[u8]),
    ) -> io::Result<bool> {
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let mut slices: Vec<IoSliceMut<'_>> = self.buffers.iter_mut().map(|b| IoSliceMut::new(b)).collect();
        let (socket, state) = (&self.socket, &self.state);
        let received = socket.try_io(|| state.recv(UdpSockRef::from(socket), &mut slices, &mut metas));
        let count = match received {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            // The answer to an earlier datagram that nobody listened for; says nothing about this socket.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(true),
            Err(error) => return Err(error),
        };
        for (meta, buffer) in metas[..count].iter().zip(&self.buffers) {
            let destination = self.announced.reached_at(meta.dst_ip);
            // An empty datagram has no stride.
            let stride = meta.stride.max(1);
            for datagram in buffer[..meta.len].chunks(stride) {
                each(meta.addr, destination, datagram);
            }
            if meta.len == 0 {
                each(meta.addr, destination, &[]);
            }
        }
        // One that is not full has emptied the socket: what comes later is announced anew.
        Ok(count == metas.len())
    }

    /// Sends a datagram from a candidate, at the latest with the next [`MediaSocket::flush`].
    pub(crate) fn send(&mut self, path: Path, contents: &[u8], sent: &mut Sent) {
        if !self.run.takes(path, contents, self.state.max_gso_segments()) {
            self.flush(sent);
        }
        self.run.push(path, contents);
    }

    /// Sends what waits.
    pub(crate) fn flush(&mut self, sent: &mut Sent) {
        let Some(Path { source, destination, .. }) = self.run.path.take() else {
            return;
        };
        let run = &self.run;
        let transmit = Transmit {
            destination,
            ecn: None,
            contents: &run.contents,
            segment_size: (run.segments > 1).then_some(run.segment_bytes),
            src_ip: self.announced.sent_from(source.ip()),
        };
        let (socket, state) = (&self.socket, &self.state);
        match socket.try_io(|| state.try_send(UdpSockRef::from(socket), &transmit)) {
            Ok(()) => {
                sent.packets += run.segments as u64;
                sent.bytes += run.contents.len() as u64;
            }
            // A full send buffer or an unreachable peer: media is not sent twice.
            Err(_) => sent.refused += run.segments as u64,
        }
        self.run.clear();
    }
}

impl SendRun {
    fn takes(&self, path: Path, contents: &[u8], segments_max: usize) -> bool {
        match self.path {
            None => true,
            Some(same) => {
                same == path
                    && !self.ended
                    && self.segments < segments_max
                    && contents.len() <= self.segment_bytes
                    && self.contents.len() + contents.len() <= RUN_BYTES_MAX
                    && !contents.is_empty()
            }
        }
    }

    fn push(&mut self, path: Path, contents: &[u8]) {
        if self.segments == 0 {
            self.segment_bytes = contents.len();
        }
        self.path = Some(path);
        self.ended = contents.len() < self.segment_bytes;
        self.contents.extend_from_slice(contents);
        self.segments += 1;
    }

    fn clear(&mut self) {
        self.contents.clear();
        self.segments = 0;
        self.ended = false;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn pair() -> (MediaSocket, std::net::UdpSocket) {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let socket = MediaSocket::bind(loopback, |_| None).expect("loopback can be bound");
        let peer = std::net::UdpSocket::bind(loopback).expect("loopback can be bound");
        peer.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout can be set");
        (socket, peer)
    }

    #[test]
    fn a_run_of_datagrams_arrives_as_it_was_sent() {
        let (mut socket, peer) = pair();
        let path = Path::udp(socket.bound, peer.local_addr().expect("bound"));
        let mut sent = Sent::default();
        let datagrams: [&[u8]; 5] = [&[1; 100], &[2; 100], &[3; 60], &[4; 100], &[5; 120]];
        for datagram in datagrams {
            socket.send(path, datagram, &mut sent);
        }
        socket.flush(&mut sent);
        for datagram in datagrams {
            let mut buffer = [0; 200];
            let len = peer.recv(&mut buffer).expect("a datagram for each sent");
            assert_eq!(&buffer[..len], datagram);
        }
        assert_eq!(sent, Sent { packets: 5, bytes: 480, refused: 0 });
    }

    #[test]
    fn a_run_is_no_longer_than_the_kernel_takes() {
        let (mut socket, peer) = pair();
        let path = Path::udp(socket.bound, peer.local_addr().expect("bound"));
        let mut sent = Sent::default();
        for n in 0..64 {
            socket.send(path, &[n; 1_200], &mut sent);
        }
        socket.flush(&mut sent);
        assert_eq!(sent, Sent { packets: 64, bytes: 64 * 1_200, refused: 0 });
    }

    #[test]
    fn an_empty_datagram_is_seen_as_one() {
        let (mut socket, peer) = pair();
        peer.send_to(&[], socket.bound).expect("loopback takes it");
        peer.send_to(b"x", socket.bound).expect("loopback takes it");
        let mut seen = Vec::new();
        for _ in 0..100 {
            socket.receive(|_, _, datagram| seen.push(datagram.len())).expect("readable");
            if seen.len() == 2 {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(seen, [0, 1]);
    }
}
