//! The ports of calls: a pair for each, RTP on an even one and RTCP above it (RFC 3550, section 11).

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU32, Ordering};

/// Gives out ports of a range in turn, so that what comes late for a call that has ended doesn't reach the next one.
#[derive(Debug)]
pub(super) struct Ports {
    ip: IpAddr,
    first: u16,
    pairs: u32,
    next: AtomicU32,
}

/// The sockets of one call.
pub(crate) struct PortPair {
    pub(crate) rtp: UdpSocket,
    pub(crate) rtcp: UdpSocket,
    pub(crate) rtp_address: SocketAddr,
}

impl Ports {
    pub(super) fn new(ip: IpAddr, range: RangeInclusive<u16>) -> Ports {
        let first = range.start().next_multiple_of(2);
        let pairs = (u32::from(*range.end()) + 1).saturating_sub(u32::from(first)) / 2;
        let start = if pairs == 0 { 0 } else { rand::random_range(0..pairs) };
        Ports { ip, first, pairs, next: AtomicU32::new(start) }
    }

    /// A pair that is free.
    pub(super) fn take(&self) -> io::Result<PortPair> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for _ in 0..self.pairs {
            let index = self.next.fetch_add(1, Ordering::Relaxed) % self.pairs;
            let port = self.first + (index * 2) as u16;
            match self.bind(port) {
                Ok(pair) => return Ok(pair),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn bind(&self, port: u16) -> io::Result<PortPair> {
        let bind = |port| {
            let socket = UdpSocket::bind((self.ip, port))?;
            socket.set_nonblocking(true)?;
            Ok::<_, io::Error>(socket)
        };
        let (rtp, rtcp) = (bind(port)?, bind(port + 1)?);
        let rtp_address = rtp.local_addr()?;
        Ok(PortPair { rtp, rtcp, rtp_address })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test, a panic is the message")]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn pairs_are_even_and_no_two_calls_have_one() {
        let ports = Ports::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3)), 40_001..=40_007);
        let pairs: Vec<PortPair> = std::iter::from_fn(|| ports.take().ok()).take(4).collect();
        let mut numbers: Vec<u16> = pairs.iter().map(|pair| pair.rtp_address.port()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [40_002, 40_004, 40_006]);
        drop(pairs);
        assert!(ports.take().is_ok(), "those of calls that have ended are free again");
    }
}
