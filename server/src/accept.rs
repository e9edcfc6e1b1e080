//! The connections of a TCP listener, one after the other.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tracing::warn;

/// How long to wait when no connection can be accepted, usually because too many files are open.
const RETRY: Duration = Duration::from_secs(1);

/// The next connection, whenever it comes. What is not waited for to the end loses none. `of` is what the log calls the listener.
pub(crate) async fn accept(listener: &TcpListener, of: &str) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // The client gave up before its turn.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => {
                warn!(%error, of, "accepting a TCP connection");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}
