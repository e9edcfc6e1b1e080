//! The WebSocket of an adapter's signalling: a request in, a connection to the server out.

use anyhow::Context;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::ServerUrl;

/// A WebSocket over TCP.
pub(super) type WebSocket = WebSocketStream<TcpStream>;

/// Connects to the server, wherever the request's URL points: no name is resolved.
pub(super) async fn connect(
    server: &ServerUrl,
    request: impl IntoClientRequest + Unpin,
) -> anyhow::Result<WebSocket> {
    let stream = TcpStream::connect(server.address()).await.context("the server takes no connection")?;
    stream.set_nodelay(true)?;
    let (socket, _) = tokio_tungstenite::client_async(request, stream).await.context("no WebSocket")?;
    Ok(socket)
}
