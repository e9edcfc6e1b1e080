//! UDP sockets on loopback: datagrams in by batches, with the address they were sent to; datagrams out.
//!
//! One socket serves many clients. Each client has an address of its own in 127.0.0.0/8, all of which is
//! this machine (RFC 1122, section 3.2.1.3), and the socket is bound to all of them at once.

use std::fs;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket as StdUdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::net::UdpSocket;
use nix::sys::socket::{setsockopt, sockopt};
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};

/// Thousands of clients get their packets of one tick through one socket.
const BUFFER_BYTES: usize = 16 * 1024 * 1024;

/// The largest datagram that is read.
const DATAGRAM_BYTES_MAX: usize = 2_048;

/// What the kernel joins at most in one buffer (UDP_GRO_CNT_MAX).
const GRO_SEGMENTS_MAX: usize = 64;

/// A socket with its offload state.
pub(crate) struct Port {
    pub(crate) socket: UdpSocket,
    state: UdpSocketState,
    /// The one client it belongs to; `None` if it is shared.
    pub(crate) owner: Option<u32>,
}

/// A datagram that arrived.
pub(crate) struct Arrival<'a> {
    pub(crate) from: SocketAddr,
    /// The address it was sent to.
    pub(crate) to: Option<IpAddr>,
    /// When the kernel had it: time that it waited for this process is the tester's, not the server's.
    pub(crate) at: Instant,
    pub(crate) contents: &'a [u8],
}

/// Buffers for one call, used by all sockets of a thread in turn.
pub(crate) struct Batch {
    bytes: Vec<u8>,
    buffer_bytes: usize,
    metas: [RecvMeta; BATCH_SIZE],
}

/// A socket on a port of the kernel's choice and on all loopback addresses.
pub(crate) fn bind_shared() -> io::Result<StdUdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    // Nobody but this machine reaches the port. Where that takes a privilege, the address of each datagram decides.
    let _ = socket.bind_device(Some(b"lo"));
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())?;
    Ok(socket.into())
}

/// A socket on a port of the kernel's choice, of one loopback address.
pub(super) fn bind_own(address: IpAddr) -> io::Result<StdUdpSocket> {
    let socket = StdUdpSocket::bind(SocketAddr::new(address, 0))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

impl Port {
    /// Takes a socket. With `joins`, the kernel hands over runs of equal datagrams as one (GRO).
    pub(crate) fn new(socket: StdUdpSocket, owner: Option<u32>, joins: bool) -> io::Result<Port> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        if owner.is_none() {
            // The kernel may grant less (net.core.rmem_max); what it then drops is counted.
            let _ = state.set_recv_buffer_size(UdpSockRef::from(&socket), BUFFER_BYTES);
            let _ = state.set_send_buffer_size(UdpSockRef::from(&socket), BUFFER_BYTES);
        }
        if !joins {
            setsockopt(&socket, sockopt::UdpGroSegment, &false)?;
        }
        Ok(Port { socket: UdpSocket::from_std(socket), state, owner })
    }

    /// Hands a batch of datagrams to `each`. Returns whether there may be more.
    pub(crate) fn receive(&self, batch: &mut Batch, mut each: impl FnMut(Arrival<'_>)) -> io::Result<bool> {
        let Batch { bytes, buffer_bytes, metas } = batch;
        let mut slices = bytes.chunks_exact_mut(*buffer_bytes).map(IoSliceMut::new);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| slices.next().expect("a batch has BATCH_SIZE buffers"));
        let received =
            self.socket.try_io(|| self.state.recv(UdpSockRef::from(&self.socket), &mut slices, metas));
        let count = match received {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            // The answer to an earlier datagram that nobody listened for; says nothing about this socket.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(true),
            Err(error) => return Err(error),
        };
        let (now, clock) = (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        for (meta, buffer) in metas[..count].iter().zip(bytes.chunks_exact(*buffer_bytes)) {
            let waited = meta.timestamp.map_or(Duration::ZERO, |at| clock.saturating_sub(at));
            let at = now.checked_sub(waited).unwrap_or(now);
            // An empty datagram has no stride.
            for contents in buffer[..meta.len].chunks(meta.stride.max(1)) {
                each(Arrival { from: meta.addr, to: meta.dst_ip, at, contents });
            }
        }
        Ok(true)
    }

    /// Sends a datagram from one of the addresses. `false` if it can't be sent.
    pub(crate) fn send(&self, from: SocketAddr, destination: SocketAddr, contents: &[u8]) -> bool {
        let src_ip = self.owner.is_none().then_some(from.ip());
        let transmit = Transmit { destination, ecn: None, contents, segment_size: None, src_ip };
        let sent = self.socket.try_io(|| self.state.try_send(UdpSockRef::from(&self.socket), &transmit));
        destination.ip().is_loopback() && sent.is_ok()
    }

    /// How many datagrams the kernel threw away because the socket's buffer was full.
    pub(crate) fn dropped(&self, table: &UdpTable) -> u64 {
        let inode = fs::metadata(format!("/proc/self/fd/{}", self.socket.as_raw_fd()));
        inode.ok().and_then(|found| table.drops(std::os::unix::fs::MetadataExt::ino(&found))).unwrap_or(0)
    }
}

impl Batch {
    pub(crate) fn new(joins: bool) -> Batch {
        let buffer_bytes = if joins { DATAGRAM_BYTES_MAX * GRO_SEGMENTS_MAX } else { DATAGRAM_BYTES_MAX };
        Batch {
            bytes: vec![0; buffer_bytes * BATCH_SIZE],
            buffer_bytes,
            metas: [RecvMeta::default(); BATCH_SIZE],
        }
    }
}

/// The kernel's table of UDP sockets, as text.
pub(crate) struct UdpTable(String);

impl UdpTable {
    pub(crate) fn read() -> UdpTable {
        // Without the table, nothing is known to be dropped.
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        UdpTable(read("/proc/net/udp") + &read("/proc/net/udp6"))
    }

    /// The tenth column is the inode, the last one the drops.
    fn drops(&self, inode: u64) -> Option<u64> {
        let inode = inode.to_string();
        let line = self.0.lines().find(|line| line.split_whitespace().nth(9) == Some(&inode))?;
        line.split_whitespace().last()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(port: &Port, wanted: usize) -> Vec<(Option<IpAddr>, Vec<u8>)> {
        let (mut batch, mut arrivals) = (Batch::new(false), Vec::new());
        let end = Instant::now() + Duration::from_secs(2);
        while arrivals.len() < wanted && Instant::now() < end {
            port.receive(&mut batch, |it| arrivals.push((it.to, it.contents.to_vec()))).unwrap();
        }
        arrivals
    }

    #[test]
    fn one_socket_has_many_addresses() {
        let port = Port::new(bind_shared().unwrap(), None, false).unwrap();
        let number = port.socket.local_addr().unwrap().port();
        let sender = bind_own(Ipv4Addr::LOCALHOST.into()).unwrap();
        let addresses = [Ipv4Addr::new(127, 1, 0, 1), Ipv4Addr::new(127, 200, 3, 4)];
        for (n, address) in addresses.into_iter().enumerate() {
            sender.send_to(&[n as u8; 3], (address, number)).unwrap();
        }
        let expected = addresses.into_iter().enumerate().map(|(n, a)| (Some(a.into()), vec![n as u8; 3]));
        assert_eq!(receive(&port, 2), expected.collect::<Vec<_>>());
        assert_eq!(port.dropped(&UdpTable::read()), 0);
    }

    #[test]
    fn a_datagram_leaves_from_its_clients_address() {
        let port = Port::new(bind_shared().unwrap(), None, false).unwrap();
        let number = port.socket.local_addr().unwrap().port();
        let receiver = StdUdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let from = SocketAddr::from(([127, 9, 8, 7], number));
        assert!(port.send(from, receiver.local_addr().unwrap(), b"hello"));
        let mut buffer = [0; 16];
        assert_eq!(receiver.recv_from(&mut buffer).unwrap(), (5, from));
    }

    #[test]
    fn the_kernels_table_tells_of_drops() {
        let table = UdpTable(
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
              731: 0100007F:9C40 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 12\n"
                .to_owned(),
        );
        assert_eq!((table.drops(4_711), table.drops(1)), (Some(12), None));
    }
}
