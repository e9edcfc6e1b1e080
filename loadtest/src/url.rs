//! A URL comes in, the address of a server on this machine goes out, or a refusal.
//!
//! A load tester pointed at somebody else's server is an attack, so [`ServerUrl`] holds loopback
//! addresses only; and private ones in a network namespace from which there is no way out, such as a test makes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::OnceLock;

/// The port of `tercet serve` where the URL names none.
const PORT_DEFAULT: u16 = 8080;

/// A server on this machine: on loopback, or in a namespace without a way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerUrl(SocketAddr);

/// Why a URL isn't that of a server to test. The operator's mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not a URL of the form `http://ADDRESS:PORT`.
    #[error("{0:?} isn't of the form http://ADDRESS:PORT")]
    Malformed(String),
    /// The host is not on the loopback interface.
    #[error("{0:?} isn't a loopback address: this tool sends its traffic to 127.0.0.0/8 and ::1 only")]
    NotLoopback(String),
}

impl ServerUrl {
    /// The server at an address of this machine.
    pub fn new(address: SocketAddr) -> Result<Self, UrlError> {
        if !is_on_this_machine(address.ip()) {
            return Err(UrlError::NotLoopback(address.ip().to_string()));
        }
        Ok(ServerUrl(address))
    }

    /// Where HTTP and WebSocket connections go.
    pub fn address(&self) -> SocketAddr {
        self.0
    }

    /// The signalling endpoint.
    pub fn websocket(&self) -> String {
        format!("ws://{}/v1/ws", self.0)
    }

    /// The URL of a path on the server, such as `/healthz`.
    pub fn http(&self, path: &str) -> String {
        format!("http://{}{path}", self.0)
    }
}

/// Whether what is sent to an address stays on this machine.
pub(crate) fn is_on_this_machine(ip: IpAddr) -> bool {
    let is_private = matches!(ip, IpAddr::V4(ip) if ip.is_private());
    ip.is_loopback() || (is_private && is_enclosed())
}

/// Whether this network namespace has interfaces, and no default route.
fn is_enclosed() -> bool {
    static IS_ENCLOSED: OnceLock<bool> = OnceLock::new();
    *IS_ENCLOSED.get_or_init(|| {
        let Ok(routes) = std::fs::read_to_string("/proc/net/route") else {
            return false;
        };
        // Each line: interface, destination, gateway, ... in hexadecimal.
        let mut destinations = routes.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1));
        !routes.is_empty() && destinations.all(|destination| destination != "00000000")
    })
}

impl FromStr for ServerUrl {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        let malformed = || UrlError::Malformed(url.to_owned());
        let rest =
            ["http://", "ws://"].iter().find_map(|scheme| url.strip_prefix(scheme)).ok_or_else(malformed)?;
        let authority = rest.split('/').next().unwrap_or_default();
        if authority.is_empty() {
            return Err(malformed());
        }
        if let Ok(address) = authority.parse::<SocketAddr>() {
            return ServerUrl::new(address);
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') => (host, port.parse().map_err(|_| malformed())?),
            _ => (authority, PORT_DEFAULT),
        };
        // RFC 6761, section 6.3: the name always means loopback; whatever /etc/hosts says of it.
        if host == "localhost" {
            return ServerUrl::new((Ipv4Addr::LOCALHOST, port).into());
        }
        match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(ip) => ServerUrl::new((ip, port).into()),
            // A name is not resolved: today's loopback may be tomorrow's somebody else.
            Err(_) => Err(UrlError::NotLoopback(host.to_owned())),
        }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_understood() {
        for (url, address) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("ws://127.0.0.1:18080/v1/ws", "127.0.0.1:18080"),
            ("http://localhost:9", "127.0.0.1:9"),
            ("http://127.0.0.1/", "127.0.0.1:8080"),
            ("http://[::1]:81", "[::1]:81"),
            ("http://[::1]", "[::1]:8080"),
        ] {
            assert_eq!(
                url.parse::<ServerUrl>().map(|u| u.address().to_string()),
                Ok(address.to_owned()),
                "{url}"
            );
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for url in [
            "http://192.0.2.1:8080",
            "http://example.org",
            "http://0.0.0.0:1",
            "http://127.0.0.1.example.org:80",
        ] {
            assert!(matches!(url.parse::<ServerUrl>(), Err(UrlError::NotLoopback(_))), "{url}");
        }
        for url in ["https://127.0.0.1", "127.0.0.1:8080", "http://", "http://localhost:x"] {
            assert!(matches!(url.parse::<ServerUrl>(), Err(UrlError::Malformed(_))), "{url}");
        }
    }
}
