//! What clients are told of a bound address: it, every address that a wildcard stands for, or a public one.

use std::net::{IpAddr, SocketAddr};

use anyhow::Context;

/// The ICE host candidates of one socket.
#[derive(Clone, Debug)]
pub(super) struct Announced {
    bound: SocketAddr,
    addresses: Vec<SocketAddr>,
    /// Of a wildcard, those that are this machine's own: the kernel would choose any of them to send from.
    own: Vec<IpAddr>,
}

impl Announced {
    /// `public` takes the place of whatever is bound.
    pub(super) fn new(bound: SocketAddr, public: Option<SocketAddr>) -> anyhow::Result<Announced> {
        let is_wildcard = bound.ip().is_unspecified();
        let own = if is_wildcard { interface_addresses(bound.is_ipv4())? } else { Vec::new() };
        let addresses = match public {
            Some(public) => vec![public],
            None if is_wildcard => own.iter().map(|ip| SocketAddr::new(*ip, bound.port())).collect(),
            None => vec![bound],
        };
        anyhow::ensure!(
            !addresses.is_empty(),
            "media is bound to {bound}, and no interface has an address of that family: set --public-ip"
        );
        Ok(Announced { bound, addresses, own })
    }

    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What the kernel is to send from, for a candidate; `None` where it knows better, as behind NAT.
    pub(super) fn sent_from(&self, candidate: IpAddr) -> Option<IpAddr> {
        self.own.contains(&candidate).then_some(candidate)
    }

    /// str0m takes a datagram only at an address that it knows as a candidate; behind NAT, or with a
    /// wildcard, the kernel names another one.
    pub(super) fn reached_at(&self, destination: Option<IpAddr>) -> SocketAddr {
        let exact = self.addresses.iter().find(|candidate| Some(candidate.ip()) == destination);
        exact.or(self.addresses.first()).copied().unwrap_or(self.bound)
    }
}

/// What a wildcard stands for: every address of this machine that others may reach.
fn interface_addresses(ipv4: bool) -> anyhow::Result<Vec<IpAddr>> {
    let interfaces = if_addrs::get_if_addrs().context("listing network interfaces")?;
    let ips = interfaces.iter().filter(|i| !i.is_loopback() && !i.is_link_local()).map(|i| i.ip());
    Ok(ips.filter(|ip| ip.is_ipv4() == ipv4).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_address_takes_the_place_of_the_bound_one_port_and_all() {
        let bound = SocketAddr::from(([10, 0, 0, 5], 50_000));
        let public = SocketAddr::from(([203, 0, 113, 7], 40_000));
        let announced = Announced::new(bound, Some(public)).expect("one is given");
        assert_eq!(announced.addresses(), [public]);
        assert_eq!(announced.reached_at(Some(bound.ip())), public);
        assert_eq!(announced.sent_from(public.ip()), None);
    }

    #[test]
    fn a_wildcard_sends_from_where_it_was_asked_if_that_is_its_own_public_or_not() {
        let any = SocketAddr::from(([0, 0, 0, 0], 50_000));
        let own = interface_addresses(true).expect("interfaces can be listed");
        let elsewhere = SocketAddr::from(([203, 0, 113, 7], 50_000));
        for ip in own {
            for public in [None, Some(SocketAddr::new(ip, 50_000))] {
                let announced = Announced::new(any, public).expect("there is one");
                assert_eq!(announced.sent_from(ip), Some(ip));
                assert_eq!(announced.sent_from(elsewhere.ip()), None);
            }
        }
        let behind_nat = Announced::new(any, Some(elsewhere)).expect("one is given");
        assert_eq!(behind_nat.sent_from(elsewhere.ip()), None);
    }
}
