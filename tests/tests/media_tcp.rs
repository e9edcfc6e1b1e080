//! Media over TCP: clients that have no UDP hear and are heard, and what strangers do to the port harms nobody.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use tercet_loadtest::{Client, Connection, Voice};
use tercet_protocol::Role;
use tercet_tests::listening::{assert_continuous, assert_settles_on, publisher};
use tercet_tests::{SOON, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

async fn join(server: &Server, at: SocketAddr, number: u32) -> anyhow::Result<Client> {
    let mut options = server.ticket("r", &format!("tcp-{number}"), Role::Speaker)?;
    options.media_tcp = Some(at);
    let client = server.join_with(options).await?;
    client.speak(Voice::new(number, -20)).await?;
    Ok(client)
}

fn port(server: &Server) -> anyhow::Result<SocketAddr> {
    server.media_tcp.first().copied().context("the server takes media over TCP")
}

/// Two clients of TCP, who are to notice nothing.
struct Pair(Client, Client);

impl Pair {
    async fn join(server: &Server) -> anyhow::Result<Pair> {
        let at = port(server)?;
        Ok(Pair(join(server, at, 1).await?, join(server, at, 2).await?))
    }

    async fn assert_undisturbed(&mut self) {
        for (client, other) in [(&mut self.0, 2), (&mut self.1, 1)] {
            client.skip_packets();
            let packets = client.packets_for(Duration::from_secs(1)).await;
            let count = packets.iter().filter(|packet| publisher(packet) == Some(other)).count();
            assert!(count >= 40, "{count} of 50 frames of the other are heard");
            assert_continuous(&packets);
        }
    }
}

/// Whether the server ends a connection within a time.
async fn is_closed(stream: &mut TcpStream, within: Duration) -> bool {
    let mut buffer = [0; 64];
    matches!(timeout(within, stream.read(&mut buffer)).await, Ok(Ok(0) | Err(_)))
}

async fn refused(server: &Server, reason: &str) -> anyhow::Result<f64> {
    server.metric("tercet_tcp_refused_total", &format!("reason=\"{reason}\"")).await
}

async fn wait_for_connections(server: &Server, count: f64) -> anyhow::Result<()> {
    let deadline = Instant::now() + SOON;
    while server.metric("tercet_tcp_connections", "").await? != count {
        anyhow::ensure!(Instant::now() < deadline, "there are never {count} connections");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_tcp_and_of_udp_hear_each_other() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut pair = Pair::join(&server).await?;
    let mut udp = server.join("r", "udp", Role::Speaker).await?;
    udp.speak(Voice::new(3, -20)).await?;
    assert_settles_on(&mut pair.0, [2, 3]).await;
    assert_settles_on(&mut udp, [1, 2]).await;
    pair.assert_undisturbed().await;
    wait_for_connections(&server, 2.0).await?;
    pair.0.leave().await?;
    // Whoever left has no connection, whether their client closes it or not.
    wait_for_connections(&server, 1.0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn media_over_tcp_comes_by_ipv6_too() -> anyhow::Result<()> {
    let server = Server::start_with(&["--http", "[::1]:0", "--media-udp", "[::1]:0"])?;
    anyhow::ensure!(port(&server)?.is_ipv6() && server.http.is_ipv6());
    let mut pair = Pair::join(&server).await?;
    let mut udp = server.join("r", "udp", Role::Listener).await?;
    assert_settles_on(&mut udp, [1, 2]).await;
    pair.assert_undisturbed().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_replaces_its_connection_is_heard_again() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut pair = Pair::join(&server).await?;
    pair.assert_undisturbed().await;
    pair.0.replace_peer().await?;
    pair.0.wait_connected(SOON).await?;
    pair.0.speak(Voice::new(1, -20)).await?;
    assert_settles_on(&mut pair.1, [1]).await;
    pair.assert_undisturbed().await;
    wait_for_connections(&server, 2.0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_huge_lengths_and_half_frames_end_their_own_connection_only() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut pair = Pair::join(&server).await?;
    let at = port(&server)?;
    // A length over the limit; garbage; a frame that is no STUN; an empty one; a page's request.
    for sent in [&[0xFF; 2][..], &[0x55; 4_096], &[0, 4, 1, 2, 3, 4], &[0, 0], b"GET / HTTP/1.1\r\n\r\n"] {
        let mut stream = TcpStream::connect(at).await?;
        stream.write_all(sent).await?;
        assert!(is_closed(&mut stream, Duration::from_secs(2)).await, "{sent:02x?}");
    }
    assert!(refused(&server, "stranger").await? >= 5.0);
    // Half a frame, and then nothing.
    let mut half = TcpStream::connect(at).await?;
    half.write_all(&[0, 100, 0, 1]).await?;
    let mut silent = TcpStream::connect(at).await?;
    pair.assert_undisturbed().await;
    assert!(is_closed(&mut half, Duration::from_secs(8)).await);
    assert!(is_closed(&mut silent, Duration::from_secs(8)).await);
    assert!(refused(&server, "silent").await? >= 2.0);
    assert_eq!(server.metric("tercet_peer_panics_total", "").await?, 0.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_idle_connections_keep_nobody_out() -> anyhow::Result<()> {
    let server = Server::start()?;
    let at = port(&server)?;
    let mut idle = Vec::new();
    for _ in 0..1_000 {
        idle.push(TcpStream::connect(at).await?);
    }
    let mut pair = Pair::join(&server).await?;
    pair.assert_undisturbed().await;
    assert!(refused(&server, "evicted").await? >= 900.0);
    // Those that were let in had their time.
    for stream in &mut idle {
        assert!(is_closed(stream, Duration::from_secs(8)).await);
    }
    pair.assert_undisturbed().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_loses_packets_and_then_its_connection() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut pair = Pair::join(&server).await?;
    let at = port(&server)?;
    let deaf = join(&server, at, 3).await?;
    assert_settles_on(&mut pair.0, [2, 3]).await;
    // Enough to fill the buffers on the way in seconds.
    for (client, number) in [(&pair.0, 1), (&pair.1, 2)] {
        client.speak(Voice { payload_bytes: 1_000, ..Voice::new(number, -20) }).await?;
    }
    deaf.stop_reading();
    wait_for_connections(&server, 3.0).await?;
    // Before its WebSocket, on which nobody answers either, would be missed.
    let deadline = Instant::now() + Duration::from_secs(28);
    while server.metric("tercet_tcp_connections", "").await? > 2.0 {
        anyhow::ensure!(Instant::now() < deadline, "it is served for ever");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!((pair.0.connection(), pair.1.connection()), (Connection::Connected, Connection::Connected));
    assert!(server.metric("tercet_packets_dropped_total", "reason=\"send_refused\"").await? > 0.0);
    server.assert_serves().await
}
