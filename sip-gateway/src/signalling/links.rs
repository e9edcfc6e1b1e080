//! The connections that requests of ours leave by.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use rsipstack::platform::CancellationToken;
use rsipstack::transport::{SipConnection, TransportLayer};

use super::stack::{Link, Links};
use super::udp::Gate;
use super::{Config, Listener, StartError, Transport};

/// All of them.
pub(super) struct Connections {
    datagrams: Vec<Link>,
}

impl Connections {
    pub(super) fn new(
        _config: &Config,
        _layer: &TransportLayer,
        _gate: Arc<Gate>,
        _kill: CancellationToken,
    ) -> Result<Connections, StartError> {
        Ok(Connections { datagrams: Vec::new() })
    }

    pub(super) fn add_datagrams(&mut self, public: SocketAddr, connection: SipConnection) {
        self.datagrams.push(Link { transport: Transport::Udp, public, connection });
    }

    pub(super) async fn listen(
        &mut self,
        _transport: Transport,
        listener: &Listener,
        _public: impl Fn(&Listener, SocketAddr) -> SocketAddr,
    ) -> Result<SocketAddr, StartError> {
        Ok(listener.bind)
    }
}

#[async_trait]
impl Links for Connections {
    async fn connect(&self, transport: Transport, address: SocketAddr, _name: Option<&str>) -> Option<Link> {
        self.existing(transport, address)
    }

    fn existing(&self, transport: Transport, address: SocketAddr) -> Option<Link> {
        match transport {
            Transport::Udp => {
                self.datagrams.iter().find(|link| link.public.is_ipv6() == address.is_ipv6()).cloned()
            }
            Transport::Tcp | Transport::Tls => None,
        }
    }
}
