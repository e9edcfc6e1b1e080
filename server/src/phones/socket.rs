//! A port of a call: datagrams in, each with the time when the system got it; datagrams out.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::cmsg_space;
use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt};
use nix::sys::time::TimeSpec;

/// No phone sends longer datagrams: more of one isn't read.
const DATAGRAM_BYTES: usize = 2048;

/// Each begins on a line of the processor's caches.
const ALIGNED_BYTES: usize = 64;

/// What has waited longer wasn't: each port is read once a second at least, so the clock of the machine was set.
const WAITED_MAX: Duration = Duration::from_secs(2);

/// One port. It is read without anybody having said that there is something.
pub(super) struct PhoneSocket(UdpSocket);

/// Where datagrams are read into, of one port after another, and what time it is.
pub(super) struct Inbox {
    read: Vec<Read>,
    bytes: Vec<u8>,
    used: usize,
    control: Vec<u8>,
    now: Instant,
    /// Since 1970, as the system stamps datagrams.
    wall: Duration,
}

/// What was read; its bytes are in their place of the [`Inbox`].
struct Read {
    at: Instant,
    from: SocketAddr,
    place: Range<usize>,
}

/// A datagram, in the [`Inbox`] that it was read into.
pub(super) struct Datagram<'a> {
    /// When the system got it.
    pub(super) at: Instant,
    pub(super) from: SocketAddr,
    pub(super) bytes: &'a [u8],
}

impl Inbox {
    /// For so many datagrams, however long they are.
    pub(super) fn new(now: Instant, datagrams: usize) -> Inbox {
        let (bytes, control) = (vec![0; datagrams * DATAGRAM_BYTES], cmsg_space!(TimeSpec));
        Inbox { read: Vec::new(), bytes, used: 0, control, now, wall: Duration::ZERO }
    }

    /// Some of those that were read since it was cleared, in the order in which they were.
    pub(super) fn datagrams(&self, which: Range<usize>) -> impl Iterator<Item = Datagram<'_>> {
        self.read[which].iter().map(|read| Datagram {
            at: read.at,
            from: read.from,
            bytes: &self.bytes[read.place.clone()],
        })
    }

    /// How many were read since it was cleared.
    pub(super) fn len(&self) -> usize {
        self.read.len()
    }

    /// When it is read.
    pub(super) fn now(&self) -> Instant {
        self.now
    }

    /// As if it had been read.
    #[cfg(test)]
    pub(super) fn put(&mut self, at: Instant, from: SocketAddr, datagram: &[u8]) {
        self.bytes[self.used..self.used + datagram.len()].copy_from_slice(datagram);
        self.push(at, from, datagram.len());
    }

    /// So many bytes were read.
    fn push(&mut self, at: Instant, from: SocketAddr, length: usize) {
        self.read.push(Read { at, from, place: self.used..self.used + length });
        self.used += length.next_multiple_of(ALIGNED_BYTES);
    }

    /// What was read is done with.
    pub(super) fn clear(&mut self) {
        self.read.clear();
        self.used = 0;
    }

    /// It is read now.
    pub(super) fn set_time(&mut self, now: Instant) {
        self.now = now;
        self.wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    }

    /// The time since 1970.
    pub(super) fn wall(&self) -> Duration {
        self.wall
    }
}

impl PhoneSocket {
    /// For a socket that never blocks.
    pub(super) fn new(socket: UdpSocket) -> PhoneSocket {
        // Where the system can't, datagrams count as come when they are read.
        let _ = setsockopt(&socket, ReceiveTimestampns, &true);
        PhoneSocket(socket)
    }

    /// Reads the next datagram, and says when it came; `None` if there is none, or the inbox is full.
    pub(super) fn receive(&self, inbox: &mut Inbox) -> io::Result<Option<Instant>> {
        let Inbox { bytes, used, control, now, wall, .. } = inbox;
        let Some(place) = bytes.get_mut(*used..*used + DATAGRAM_BYTES) else {
            return Ok(None);
        };
        let mut parts = [IoSliceMut::new(place)];
        let message =
            recvmsg::<SockaddrStorage>(self.0.as_raw_fd(), &mut parts, Some(control), MsgFlags::empty());
        let message = match message {
            Ok(message) => message,
            Err(nix::errno::Errno::EAGAIN) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let stamp = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmTimestampns(stamp) => Some(Duration::from(stamp)),
            _ => None,
        });
        let waited = stamp.and_then(|stamp| wall.checked_sub(stamp)).filter(|waited| *waited < WAITED_MAX);
        let at = waited.and_then(|waited| now.checked_sub(waited)).unwrap_or(*now);
        let from = message.address.as_ref().and_then(socket_address);
        let (length, from) = (message.bytes, from.ok_or(io::ErrorKind::AddrNotAvailable)?);
        inbox.push(at, from, length);
        Ok(Some(at))
    }

    /// Sends; a datagram that the system doesn't take is lost, as on the way.
    pub(super) fn send(&self, datagram: &[u8], to: SocketAddr) -> bool {
        self.0.send_to(datagram, to).is_ok()
    }
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|address| SocketAddr::V4((*address).into()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddr::V6((*address).into())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test, a panic is the message")]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_has_come_when_the_system_got_it_and_not_when_it_is_read() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let socket = UdpSocket::bind(any).unwrap();
            socket.set_nonblocking(true).unwrap();
            let (to, sender) = (socket.local_addr().unwrap(), UdpSocket::bind(any).unwrap());
            let socket = PhoneSocket::new(socket);
            let mut inbox = Inbox::new(Instant::now(), 1);
            assert!(socket.receive(&mut inbox).unwrap().is_none());
            // The system begins to stamp some time after it was asked to.
            let is_right = (0..50).any(|_| {
                sender.send_to(b"sound", to).unwrap();
                let sent = Instant::now();
                std::thread::sleep(Duration::from_millis(60));
                inbox.set_time(Instant::now());
                inbox.clear();
                let at = socket.receive(&mut inbox).unwrap().unwrap();
                let datagram = inbox.datagrams(0..1).next().unwrap();
                assert_eq!((datagram.from, datagram.bytes), (sender.local_addr().unwrap(), &b"sound"[..]));
                assert_eq!(datagram.at, at);
                at < sent + Duration::from_millis(30)
            });
            assert!(is_right, "{any}");
            assert!(socket.receive(&mut inbox).unwrap().is_none());
        }
    }

    #[test]
    fn what_is_read_at_once_stays_in_order_and_is_bounded() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let (to, sender) = (socket.local_addr().unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let (at_once, count) = (10, 15);
        for nth in 0..count {
            sender.send_to(&[nth as u8; DATAGRAM_BYTES], to).unwrap();
        }
        let (socket, mut inbox) = (PhoneSocket::new(socket), Inbox::new(Instant::now(), at_once));
        let mut read = || {
            inbox.clear();
            while socket.receive(&mut inbox).unwrap().is_some() {}
            inbox.datagrams(0..inbox.len()).map(|datagram| datagram.bytes.to_vec()).collect::<Vec<_>>()
        };
        let expected =
            |nths: Range<usize>| nths.map(|nth| vec![nth as u8; DATAGRAM_BYTES]).collect::<Vec<_>>();
        assert_eq!(read(), expected(0..at_once));
        assert_eq!(read(), expected(at_once..count));
        assert!(read().is_empty());
    }
}
