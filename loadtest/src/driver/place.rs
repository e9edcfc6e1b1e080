//! Addresses for clients: decided before there is a peer, because its offer names them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use super::port::bind_own;

/// Where the addresses of clients come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Addresses {
    /// Every client has an address of its own in 127.0.0.0/8, and all of a thread share a few sockets:
    /// thousands in one process. For servers on IPv4.
    #[default]
    LoopbackRange,
    /// Every client has a port and a socket of its own on one address, as far as the limit of open files goes.
    Ports,
}

/// Before the first client's address: 127.0.0.0/16 is left to everybody else.
const RANGE_START: u32 = Ipv4Addr::new(127, 1, 0, 0).to_bits();

/// The last address is a broadcast address.
const CLIENTS_MAX: u32 = Ipv4Addr::new(127, 255, 255, 255).to_bits() - RANGE_START;

/// A client's address, and the thread that will drive it.
#[derive(Debug)]
pub struct Place {
    pub(super) thread: usize,
    /// Its number among the clients of the thread. Never used again: late packets to one who has left reach nobody.
    pub(super) index: u32,
    /// Which of the thread's shared sockets.
    pub(super) shared: usize,
    pub(super) own: Option<UdpSocket>,
    address: SocketAddr,
}

impl Place {
    /// One of the addresses that the thread's shared sockets, on these ports, are bound to.
    pub(super) fn shared(thread: usize, index: u32, ports: &[u16]) -> io::Result<Place> {
        if index >= CLIENTS_MAX {
            return Err(io::Error::other("127.0.0.0/8 has no address left"));
        }
        let shared = index as usize % ports.len();
        let ip = Ipv4Addr::from_bits(RANGE_START + index);
        Ok(Place { thread, index, shared, own: None, address: (ip, ports[shared]).into() })
    }

    /// A new socket on this address.
    pub(super) fn own(thread: usize, index: u32, ip: IpAddr) -> io::Result<Place> {
        let socket = bind_own(ip)?;
        Ok(Place { thread, index, shared: 0, address: socket.local_addr()?, own: Some(socket) })
    }

    /// The address to offer as a candidate.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// The client whose address this is, if it is one's.
pub(super) fn client_at(address: Option<IpAddr>) -> Option<u32> {
    match address {
        Some(IpAddr::V4(ip)) => ip.to_bits().checked_sub(RANGE_START).filter(|index| *index < CLIENTS_MAX),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_its_client() {
        for index in [0, 1, 255, 256, 70_000, CLIENTS_MAX - 1] {
            let place = Place::shared(0, index, &[4_000, 4_001]).unwrap();
            assert!(place.address().ip().is_loopback());
            assert_eq!(place.address().port(), 4_000 + index as u16 % 2);
            assert_eq!(client_at(Some(place.address().ip())), Some(index));
        }
    }

    #[test]
    fn the_range_ends() {
        assert!(Place::shared(0, CLIENTS_MAX, &[4_000]).is_err());
    }

    #[test]
    fn other_addresses_are_nobodys() {
        for address in ["127.0.0.1", "127.255.255.255", "126.255.255.255", "192.0.2.1", "::1"] {
            assert_eq!(client_at(Some(address.parse().unwrap())), None, "{address}");
        }
        assert_eq!(client_at(None), None);
    }
}
