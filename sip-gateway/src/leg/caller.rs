//! What is known of who is on the phone, beside what the phone says.

use std::net::{IpAddr, SocketAddr};

/// Where a call itself comes from, and whether we know who it is: how far what it says of its media is believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Where its signalling comes from; `None` where we don't know, as for somebody whom we called.
    pub address: Option<IpAddr>,
    /// By a password, as a trunk, or because we called them. Anybody else can't have much sent to an address that they
    /// merely name.
    pub is_known: bool,
}

/// Nobody receives RTP below: these are ports of servers, such as those of names and of time.
const PORT_MIN: u16 = 1024;

impl Caller {
    /// What of an address can be sent to for this caller: no group, no port of a server, and not this machine for somebody
    /// who isn't on it.
    pub(super) fn reachable(&self, said: Option<SocketAddr>) -> Option<SocketAddr> {
        said.filter(|said| {
            let ip = said.ip().to_canonical();
            let is_group = ip.is_multicast() || ip == IpAddr::from([255, 255, 255, 255]);
            let is_elsewhere = self.address.is_some_and(|address| !address.to_canonical().is_loopback());
            let is_ours = ip.is_loopback() && is_elsewhere;
            said.port() >= PORT_MIN && !(is_group || ip.is_unspecified() || is_ours)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_be_a_phone_is_sent_to() {
        let near = Caller { address: Some([127, 0, 0, 9].into()), is_known: false };
        let far = Caller { address: Some([192, 0, 2, 1].into()), is_known: true };
        let reached = |caller: Caller, said: &str| {
            caller.reachable(Some(said.parse().expect("an address"))).map(|at| at.to_string()).is_some()
        };
        for said in ["192.0.2.7:4000", "[2001:db8::1]:4000", "10.0.0.1:1024"] {
            assert!(reached(far, said) && reached(near, said), "{said}");
        }
        for said in
            ["224.0.0.1:4000", "255.255.255.255:4000", "[ff02::1]:4000", "192.0.2.7:53", "0.0.0.0:4000"]
        {
            assert!(!reached(far, said) && !reached(near, said), "{said}");
        }
        for said in ["127.0.0.1:4000", "[::1]:4000", "[::ffff:127.0.0.1]:4000"] {
            assert!(!reached(far, said) && reached(near, said), "{said}");
        }
    }
}
