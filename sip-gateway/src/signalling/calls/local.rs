//! Our own addresses, as peers are told.

use std::net::SocketAddr;

use super::super::Transport;

/// What was bound, and how it is reached.
#[derive(Clone, Debug, Default)]
pub(crate) struct Local {
    listeners: Vec<(Transport, SocketAddr)>,
}

impl Local {
    /// Public addresses, in the order of the configuration.
    pub(crate) fn new(listeners: Vec<(Transport, SocketAddr)>) -> Local {
        Local { listeners }
    }

    /// The first of that transport and family, or of that transport, or any.
    pub(crate) fn address(&self, transport: Transport, near: Option<SocketAddr>) -> SocketAddr {
        let of_transport = || self.listeners.iter().filter(|(of, _)| *of == transport);
        let of_family = near.and_then(|near| of_transport().find(|(_, at)| at.is_ipv6() == near.is_ipv6()));
        of_family
            .or_else(|| of_transport().next())
            .or(self.listeners.first())
            .map_or(SocketAddr::from(([127, 0, 0, 1], 5060)), |(_, address)| *address)
    }

    /// A `Contact` that leads back here.
    pub(crate) fn contact(&self, user: &str, transport: Transport, near: Option<SocketAddr>) -> String {
        let address = self.address(transport, near);
        let at = if user.is_empty() { String::new() } else { format!("{user}@") };
        match transport {
            Transport::Udp => format!("<sip:{at}{address}>"),
            Transport::Tcp => format!("<sip:{at}{address};transport=tcp>"),
            Transport::Tls => format!("<sip:{at}{address};transport=tls>"),
        }
    }
}
