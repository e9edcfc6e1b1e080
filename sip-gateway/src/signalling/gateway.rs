//! The gateway: binds, runs until it is told to stop.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{Config, Counters, Event, Handle, Transport};

/// Why a gateway can't start: the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address that can't be bound.
    #[error("SIP can't listen on {address} ({transport:?})")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// By what.
        transport: Transport,
        /// What the system says.
        source: std::io::Error,
    },
    /// Certificate or key that can't be read or don't fit.
    #[error("TLS of SIP: {0}")]
    Tls(String),
    /// A setting that makes no sense, or contradicts another.
    #[error("configuration of SIP: {0}")]
    Config(String),
}

/// A running gateway. Dropping it stops everything at once; [`shut_down`](Gateway::shut_down) says goodbye first.
#[derive(Debug)]
pub struct Gateway {
    handle: Handle,
}

impl Gateway {
    /// Binds all listeners and starts, on the current tokio runtime.
    ///
    /// # Errors
    /// Nothing was started.
    pub async fn start(config: Config) -> Result<(Gateway, mpsc::Receiver<Event>), StartError> {
        let _ = config;
        todo!()
    }

    /// For commands.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// What was bound, in the order of the configuration.
    pub fn addresses(&self) -> &[(Transport, SocketAddr)] {
        todo!()
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        todo!()
    }

    /// Takes no new calls (503), hangs up all that there are, takes back registrations, and waits for the peers to confirm
    /// it, but no longer than this.
    pub async fn shut_down(self, patience: Duration) {
        let _ = patience;
        todo!()
    }
}
