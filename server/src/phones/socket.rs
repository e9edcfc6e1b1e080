//! A port of a call: datagrams in, each with the time when the system got it; datagrams out.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::cmsg_space;
use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt};
use nix::sys::time::TimeSpec;

/// No phone sends longer datagrams: more of one isn't read.
const DATAGRAM_BYTES: usize = 2048;

/// What has waited longer wasn't: the clock of the machine was set.
const WAITED_MAX: Duration = Duration::from_secs(1);

/// One port. It is read without anybody having said that there is something.
pub(super) struct PhoneSocket(UdpSocket);

/// Where datagrams are read into, one at a time, and what time it is.
pub(super) struct Inbox {
    datagram: Vec<u8>,
    control: Vec<u8>,
    now: Instant,
    /// Since 1970, as the system stamps datagrams.
    wall: Duration,
}

/// A datagram, in the [`Inbox`] that it was read into.
pub(super) struct Datagram<'a> {
    /// When the system got it.
    pub(super) at: Instant,
    pub(super) from: SocketAddr,
    pub(super) bytes: &'a [u8],
}

impl Inbox {
    pub(super) fn new(now: Instant) -> Inbox {
        let (datagram, control) = (vec![0; DATAGRAM_BYTES], cmsg_space!(TimeSpec));
        Inbox { datagram, control, now, wall: Duration::ZERO }
    }

    /// It is read now.
    pub(super) fn set_time(&mut self, now: Instant) {
        self.now = now;
        self.wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    }

    /// When it is read.
    pub(super) fn now(&self) -> Instant {
        self.now
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

    /// The next datagram; `None` if there is none.
    pub(super) fn receive<'a>(&self, inbox: &'a mut Inbox) -> io::Result<Option<Datagram<'a>>> {
        let Inbox { datagram, control, now, wall } = inbox;
        let mut parts = [IoSliceMut::new(datagram)];
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
        Ok(Some(Datagram { at, from, bytes: &datagram[..length] }))
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
            let mut inbox = Inbox::new(Instant::now());
            assert!(socket.receive(&mut inbox).unwrap().is_none());
            // The system begins to stamp some time after it was asked to.
            let is_right = (0..50).any(|_| {
                sender.send_to(b"sound", to).unwrap();
                let sent = Instant::now();
                std::thread::sleep(Duration::from_millis(60));
                inbox.set_time(Instant::now());
                let datagram = socket.receive(&mut inbox).unwrap().unwrap();
                assert_eq!((datagram.from, datagram.bytes), (sender.local_addr().unwrap(), &b"sound"[..]));
                datagram.at < sent + Duration::from_millis(30)
            });
            assert!(is_right, "{any}");
            assert!(socket.receive(&mut inbox).unwrap().is_none());
        }
    }
}
