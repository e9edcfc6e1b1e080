//! Whose datagram is it? By the ICE user fragment in a STUN request, by the address otherwise.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use str0m::ice::StunMessage;
use str0m::net::Protocol;
use tercet_core::EndpointId;

use super::WorkerId;
use super::tcp::Directory;

/// A client that roams leaves addresses behind; one that has used more than these lately is
/// found by its next STUN request.
const ADDRESSES_MAX: usize = 8;

/// ICE agents check their connection every few seconds (RFC 7675, section 5.1: consent ends after 30 s).
const OWNED_FOR: Duration = Duration::from_secs(30);

/// How many ICE restarts back a user fragment is still known: packets of the former one may be under way.
const UFRAGS_MAX: usize = 2;

/// RFC 8489, section 5: the header of a STUN message.
const STUN_HEADER_BYTES: usize = 20;

/// Where a datagram comes from. Of one address and port, UDP and TCP may be two clients behind one NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Remote {
    pub(crate) protocol: Protocol,
    pub(crate) address: SocketAddr,
}

/// Finds the endpoint of a datagram.
#[derive(Default)]
pub(crate) struct Demux {
    by_address: FxHashMap<Remote, Owner>,
    by_ufrag: FxHashMap<String, EndpointId>,
    known: FxHashMap<EndpointId, Known>,
    /// Who else wants to know which user fragments are here, and by which name of ours.
    registered_in: Option<(Directory, WorkerId)>,
}

/// Who sends from an address, and when they last proved it.
struct Owner {
    endpoint: EndpointId,
    proven_at: Instant,
}

#[derive(Default)]
struct Known {
    addresses: VecDeque<Remote>,
    ufrags: VecDeque<String>,
}

/// What a datagram's own look says.
pub(crate) enum Claim {
    /// A STUN request that names this endpoint; only its credentials prove it.
    Unproven(EndpointId),
    /// It comes from an address that has proven to be this endpoint's.
    Known(EndpointId),
    /// Nobody's.
    Stranger,
}

impl Demux {
    /// Whose the datagram seems to be.
    pub(crate) fn claim(&self, from: Remote, datagram: &[u8]) -> Claim {
        if let Some(endpoint) = named_by(datagram, |ufrag| self.by_ufrag.get(ufrag).copied()) {
            return Claim::Unproven(endpoint);
        }
        match self.by_address.get(&from) {
            Some(owner) => Claim::Known(owner.endpoint),
            None => Claim::Stranger,
        }
    }

    /// Whether datagrams from there are anybody's.
    pub(crate) fn is_known(&self, address: Remote) -> bool {
        self.by_address.contains_key(&address)
    }

    /// Nobody sends from there any more.
    pub(crate) fn forget(&mut self, address: Remote) {
        let owner = self.by_address.remove(&address);
        if let Some(known) = owner.and_then(|owner| self.known.get_mut(&owner.endpoint)) {
            known.addresses.retain(|it| *it != address);
        }
    }

    /// Whether the address is the endpoint's already.
    pub(crate) fn knows(&self, endpoint: EndpointId, address: Remote) -> bool {
        self.by_address.get(&address).is_some_and(|owner| owner.endpoint == endpoint)
    }

    /// The endpoint has proven that it sends from there. Whoever can forge a source address could prove that of
    /// another's too: an address stays with its owner for as long as they go on proving it.
    pub(crate) fn learn_address(&mut self, now: Instant, endpoint: EndpointId, address: Remote) {
        let former = self.by_address.get_mut(&address);
        let former = match former {
            Some(owner) if owner.endpoint == endpoint => {
                owner.proven_at = now;
                return;
            }
            Some(owner) if now.saturating_duration_since(owner.proven_at) < OWNED_FOR => return,
            other => other.map(|owner| owner.endpoint),
        };
        self.by_address.insert(address, Owner { endpoint, proven_at: now });
        if let Some(known) = former.and_then(|former| self.known.get_mut(&former)) {
            known.addresses.retain(|a| *a != address);
        }
        let known = self.known.entry(endpoint).or_default();
        known.addresses.push_back(address);
        if known.addresses.len() > ADDRESSES_MAX
            && let Some(oldest) = known.addresses.pop_front()
        {
            self.by_address.remove(&oldest);
        }
    }

    /// What an endpoint sends is sealed with its keys, which is as good a proof of its addresses as a check.
    pub(crate) fn keep(&mut self, now: Instant, endpoint: EndpointId) {
        for address in self.known.get(&endpoint).into_iter().flat_map(|known| &known.addresses) {
            if let Some(owner) = self.by_address.get_mut(address) {
                owner.proven_at = now;
            }
        }
    }

    /// Tells of the user fragments that are here from now on.
    pub(crate) fn register_in(&mut self, directory: Directory, worker: WorkerId) {
        self.registered_in = Some((directory, worker));
    }

    /// The endpoint's connection has this local user fragment now.
    pub(crate) fn learn_ufrag(&mut self, endpoint: EndpointId, ufrag: String) {
        if self.by_ufrag.insert(ufrag.clone(), endpoint) == Some(endpoint) {
            return;
        }
        if let Some((directory, worker)) = &self.registered_in {
            directory.insert(&ufrag, *worker);
        }
        let known = self.known.entry(endpoint).or_default();
        known.ufrags.push_back(ufrag);
        if known.ufrags.len() > UFRAGS_MAX
            && let Some(oldest) = known.ufrags.pop_front()
        {
            self.forget_ufrag(&oldest);
        }
    }

    fn forget_ufrag(&mut self, ufrag: &str) {
        self.by_ufrag.remove(ufrag);
        if let Some((directory, _)) = &self.registered_in {
            directory.remove(ufrag);
        }
    }

    /// Forgets an endpoint's connection.
    pub(crate) fn remove(&mut self, endpoint: EndpointId) {
        let Some(known) = self.known.remove(&endpoint) else {
            return;
        };
        for address in known.addresses {
            self.by_address.remove(&address);
        }
        for ufrag in known.ufrags {
            self.forget_ufrag(&ufrag);
        }
    }
}

/// Who is meant by the user fragment of ours that a STUN message names.
pub(super) fn named_by<T>(datagram: &[u8], find: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    // RFC 7983, section 7: STUN begins with 0 to 3.
    if datagram.len() < STUN_HEADER_BYTES || datagram[0] >= 4 {
        return None;
    }
    let message = StunMessage::parse(datagram).ok()?;
    let (local_ufrag, _) = message.split_username()?;
    find(local_ufrag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> Remote {
        Remote { protocol: Protocol::Udp, address: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    fn known(demux: &Demux, port: u16) -> Option<u64> {
        match demux.claim(address(port), &[0x80; 40]) {
            Claim::Known(endpoint) => Some(endpoint.0),
            Claim::Unproven(_) | Claim::Stranger => None,
        }
    }

    #[test]
    fn an_address_stays_with_its_owner_until_they_prove_it_no_more() {
        let (mut demux, now) = (Demux::default(), Instant::now());
        demux.learn_address(now, EndpointId(1), address(1000));
        demux.learn_address(now + OWNED_FOR / 2, EndpointId(1), address(1000));
        demux.learn_address(now + OWNED_FOR, EndpointId(2), address(1000));
        assert_eq!(known(&demux, 1000), Some(1));
        demux.learn_address(now + OWNED_FOR * 2, EndpointId(2), address(1000));
        assert_eq!(known(&demux, 1000), Some(2));
        demux.remove(EndpointId(1));
        assert_eq!(known(&demux, 1000), Some(2));
    }

    #[test]
    fn an_address_whose_owner_left_is_free() {
        let (mut demux, now) = (Demux::default(), Instant::now());
        demux.learn_address(now, EndpointId(1), address(1000));
        demux.remove(EndpointId(1));
        demux.learn_address(now, EndpointId(2), address(1000));
        assert_eq!(known(&demux, 1000), Some(2));
    }

    #[test]
    fn a_port_of_udp_is_not_the_same_of_tcp() {
        let (mut demux, now) = (Demux::default(), Instant::now());
        let tcp = Remote { protocol: Protocol::Tcp, ..address(1000) };
        demux.learn_address(now, EndpointId(1), tcp);
        assert_eq!(known(&demux, 1000), None);
        demux.learn_address(now, EndpointId(2), address(1000));
        assert!(demux.knows(EndpointId(1), tcp) && known(&demux, 1000) == Some(2));
        demux.forget(tcp);
        assert!(!demux.is_known(tcp) && known(&demux, 1000) == Some(2));
    }

    #[test]
    fn addresses_of_an_endpoint_are_bounded() {
        let mut demux = Demux::default();
        for port in 1000..1100 {
            demux.learn_address(Instant::now(), EndpointId(1), address(port));
        }
        assert_eq!(demux.by_address.len(), ADDRESSES_MAX);
        assert_eq!(known(&demux, 1099), Some(1));
        demux.remove(EndpointId(1));
        assert!(demux.by_address.is_empty() && demux.by_ufrag.is_empty());
    }

    #[test]
    fn garbage_is_a_strangers() {
        let demux = Demux::default();
        for datagram in [&[][..], &[0], &[0; 20], &[1; 100], &[0x16; 60]] {
            assert!(matches!(demux.claim(address(1), datagram), Claim::Stranger));
        }
    }
}
