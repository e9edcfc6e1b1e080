//! TCP connections of those who know a client's user fragment, and nothing else.

use anyhow::Context;
use tercet_protocol::Role;
use tercet_tests::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::hand::{Hand, unchanged};
use crate::stun::unproven_request;
use crate::{A_MOMENT, assert_unharmed, dropped, wait_for_dropped};

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_proves_nothing_is_closed() -> anyhow::Result<()> {
    const CONNECTIONS: usize = 20;
    let server = Server::start()?;
    let at = *server.media_tcp.first().context("the server takes media over TCP")?;
    let mut victim = Hand::join(&server, "r", "victim").await?;
    let mut listener = server.join("r", "listener", Role::Listener).await?;
    let request = unproven_request(victim.ice_ufrag()?, "any");
    let before = dropped(&server, "unproven").await?;
    for _ in 0..CONNECTIONS {
        let mut stranger = TcpStream::connect(at).await?;
        // And at once, for it may be closed before another could be sent, what would be the victim's if the request had proven
        // anything.
        let framed = |frame: &[u8]| [&(frame.len() as u16).to_be_bytes(), frame].concat();
        stranger.write_all(&[framed(&request), framed(&[0x80; 60])].concat()).await?;
        let ended = timeout(A_MOMENT * 4, stranger.read(&mut [0; 100])).await?;
        assert!(!matches!(ended, Ok(1..)), "a stranger is answered");
    }
    wait_for_dropped(&server, "unproven", before, CONNECTIONS as f64).await?;
    assert_eq!(server.metric("tercet_tcp_connections", "").await?, 0.0);
    victim.speak(1, 25, &mut unchanged).await?;
    assert!(listener.packets_received() > 15, "the victim is heard: {}", listener.packets_received());
    listener.skip_packets();
    assert_unharmed(&server).await
}
