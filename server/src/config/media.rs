//! Where media is bound, and which addresses clients are told: what stands in the file, as the workers need it.

use std::net::{IpAddr, SocketAddr};

use super::validate::ensure;
use super::{Config, ConfigError};

impl Config {
    /// Where media comes over TCP.
    pub(crate) fn media_tcp(&self) -> &[SocketAddr] {
        self.media_tcp.as_deref().unwrap_or(&self.media_udp)
    }

    /// What clients are told instead of a UDP socket's own address, if it is a worker's and is bound there.
    pub(crate) fn public_udp(&self, worker: usize, bound: SocketAddr) -> Option<SocketAddr> {
        let mapped = of_family(&self.media_udp_public, bound);
        let mapped = mapped.map(|first| SocketAddr::new(first.ip(), first.port() + worker as u16));
        mapped.or_else(|| self.public_at(bound))
    }

    /// What clients are told instead of a TCP listener's own address.
    pub(crate) fn public_tcp(&self, bound: SocketAddr) -> Option<SocketAddr> {
        of_family(&self.media_tcp_public, bound).or_else(|| self.public_at(bound))
    }

    fn public_at(&self, bound: SocketAddr) -> Option<SocketAddr> {
        let ip = self.public_ip.iter().find(|ip| ip.is_ipv4() == bound.is_ipv4())?;
        Some(SocketAddr::new(*ip, bound.port()))
    }

    pub(super) fn check_media_tcp(&self) -> Result<(), ConfigError> {
        let fixed: Vec<_> = self.media_tcp().iter().filter(|media| media.port() != 0).collect();
        let twice = fixed.iter().enumerate().find(|(index, media)| fixed[..*index].contains(media));
        ensure(twice.is_none(), || {
            format!(
                "media_tcp has {} twice: name it once",
                twice.map(|(_, m)| m.to_string()).unwrap_or_default()
            )
        })
    }

    pub(super) fn check_public(&self) -> Result<(), ConfigError> {
        let (udp, tcp) = (&self.media_udp_public, &self.media_tcp_public);
        let ips = |public: &[SocketAddr]| public.iter().map(SocketAddr::ip).collect::<Vec<_>>();
        check_one_a_family("public_ip", &self.public_ip)?;
        check_one_a_family("media_udp_public", &ips(udp))?;
        check_one_a_family("media_tcp_public", &ips(tcp))?;
        for (key, public, last) in udp
            .iter()
            .map(|it| ("media_udp_public", it, self.worker_count()))
            .chain(tcp.iter().map(|it| ("media_tcp_public", it, 1)))
        {
            ensure(
                public.port() != 0 && usize::from(public.port()) + last <= 1 + usize::from(u16::MAX),
                || {
                    format!(
                        "{key} {public} has no port for each worker: set the first of the ports that clients reach"
                    )
                },
            )?;
        }
        self.check_ports_apart()
    }

    /// Two sockets of one family would be announced by one address: their ports have to differ.
    fn check_ports_apart(&self) -> Result<(), ConfigError> {
        for is_ipv4 in [true, false] {
            let of = |bound: &[SocketAddr]| -> Vec<SocketAddr> {
                bound.iter().filter(|media| media.is_ipv4() == is_ipv4).copied().collect()
            };
            let (udp, tcp) = (of(&self.media_udp), of(self.media_tcp()));
            for (key, bound, mapped) in [
                ("media_udp", &udp, udp.first().and_then(|it| of_family(&self.media_udp_public, *it))),
                ("media_tcp", &tcp, tcp.first().and_then(|it| of_family(&self.media_tcp_public, *it))),
            ] {
                ensure(mapped.is_none() || bound.len() <= 1, || {
                    format!(
                        "{key}_public would announce one address for several of {key}: bind to one of each family"
                    )
                })?;
                let apart = if key == "media_udp" { self.worker_count() } else { 1 };
                let Some(ip) = bound.first().and_then(|it| self.public_at(*it)).filter(|_| mapped.is_none())
                else {
                    continue;
                };
                let mut ports: Vec<u16> =
                    bound.iter().map(SocketAddr::port).filter(|&port| port != 0).collect();
                ports.sort_unstable();
                ensure(ports.windows(2).all(|pair| usize::from(pair[1] - pair[0]) >= apart), || {
                    format!(
                        "public_ip {} would announce the same ports for two addresses of {key}: give them \
                         ports that are at least {apart} apart",
                        ip.ip()
                    )
                })?;
            }
        }
        Ok(())
    }
}

fn of_family(public: &[SocketAddr], bound: SocketAddr) -> Option<SocketAddr> {
    public.iter().find(|public| public.is_ipv4() == bound.is_ipv4()).copied()
}

fn check_one_a_family(key: &str, ips: &[IpAddr]) -> Result<(), ConfigError> {
    for family in [IpAddr::is_ipv4, IpAddr::is_ipv6] {
        ensure(ips.iter().filter(|ip| family(ip)).count() <= 1, || {
            format!("{key} has several addresses of one family: set at most one IPv4 and one IPv6 address")
        })?;
    }
    for ip in ips {
        ensure(!ip.is_unspecified() && !ip.is_multicast(), || {
            format!("{key} {ip} is no address to send to: set the one that clients reach")
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCESS: &str = "[access]\nsecret = '0123456789abcdef0123456789abcdef'";

    fn config(text: &str) -> Config {
        toml::from_str(&format!("workers = 2\n{text}\n{ACCESS}")).unwrap()
    }

    #[track_caller]
    fn refused(text: &str, mentions: &str) {
        let error = config(text).validate().expect_err("should be refused").to_string();
        assert!(error.contains(mentions), "{mentions:?} is not in: {error}");
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn tcp_is_where_udp_is_unless_told_otherwise() {
        assert_eq!(config("").media_tcp(), [address("127.0.0.1:50000")]);
        assert_eq!(config("media_udp = ['[::1]:7']").media_tcp(), [address("[::1]:7")]);
        assert_eq!(config("media_tcp = ['0.0.0.0:443']").media_tcp(), [address("0.0.0.0:443")]);
        assert!(config("media_tcp = []").media_tcp().is_empty());
        refused("media_tcp = ['127.0.0.1:7', '127.0.0.1:7']", "media_tcp has 127.0.0.1:7 twice");
    }

    #[test]
    fn an_address_with_its_port_goes_before_one_without() {
        let mapped = config(
            "public_ip = ['203.0.113.7', '2001:db8::7']\nmedia_udp_public = ['203.0.113.8:40000']\nmedia_tcp_public = ['203.0.113.9:443']",
        );
        let (v4, v6) = (address("10.0.0.5:50001"), address("[::1]:50001"));
        assert_eq!(mapped.public_udp(1, v4), Some(address("203.0.113.8:40001")));
        assert_eq!(mapped.public_udp(1, v6), Some(address("[2001:db8::7]:50001")));
        assert_eq!(mapped.public_tcp(v4), Some(address("203.0.113.9:443")));
        assert_eq!(config("").public_udp(0, v4), None);
        mapped.validate().unwrap();
    }

    #[test]
    fn public_addresses_are_sent_to_and_one_of_each_family() {
        config("public_ip = ['203.0.113.7', '2001:db8::7']").validate().unwrap();
        refused("public_ip = ['203.0.113.7', '203.0.113.8']", "public_ip has several");
        refused("media_udp_public = ['203.0.113.7:1', '203.0.113.7:9']", "media_udp_public has several");
        refused("public_ip = ['0.0.0.0']", "public_ip 0.0.0.0");
        refused("media_tcp_public = ['[::]:5']", "media_tcp_public ::");
        refused("media_tcp_public = ['203.0.113.7:0']", "media_tcp_public 203.0.113.7:0");
        config("media_udp_public = ['203.0.113.7:65534']").validate().unwrap();
        refused("media_udp_public = ['203.0.113.7:65535']", "media_udp_public 203.0.113.7:65535");
    }

    #[test]
    fn one_public_address_stands_for_one_socket() {
        let two = "media_udp = ['10.0.0.1:50000', '10.0.0.2:PORT']\n";
        let public = "public_ip = ['203.0.113.7']";
        config(&(two.replace("PORT", "50002") + public)).validate().unwrap();
        refused(&(two.replace("PORT", "50001") + public), "at least 2 apart");
        refused(
            &(two.replace("PORT", "50002") + "media_udp_public = ['203.0.113.7:40000']"),
            "media_udp_public",
        );
    }
}
