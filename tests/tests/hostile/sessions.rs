//! Clients that take more than their share, or what is not theirs.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Context;
use tempfile::NamedTempFile;
use tercet_loadtest::{Session, Signalling, SignallingError, Voice};
use tercet_protocol::{LeaveReason, Request, Role, ServerMessage};
use tercet_tests::listening::publisher;
use tercet_tests::{SOON, Server};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;

use crate::hand::{Hand, unchanged};
use crate::stun::unproven_request;
use crate::{A_MOMENT, Bystanders, FRAME, assert_unharmed, dropped, wait_for_dropped};

fn short_resume() -> anyhow::Result<NamedTempFile> {
    let file = NamedTempFile::new()?;
    std::fs::write(file.path(), "[session]\nresume_ms = 1000\n")?;
    Ok(file)
}

/// A WebSocket client that joins and never reads: its receive window is small, and soon full.
async fn deaf(server: &Server, room: &str, identity: &str) -> anyhow::Result<tokio::net::TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4_096)?;
    let mut stream = socket.connect(server.http).await?;
    let upgrade = format!(
        "GET /v1/ws HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        server.http
    );
    stream.write_all(upgrade.as_bytes()).await?;
    let token = server.ticket(room, identity, Role::Speaker)?.token;
    let join = serde_json::json!({"type": "join", "version": 1, "token": token}).to_string();
    // A text frame (RFC 6455, section 5.2) of 126 to 65,535 bytes, masked with zeros.
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend((join.len() as u16).to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(join.as_bytes());
    stream.write_all(&frame).await?;
    Ok(stream)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_loses_its_socket_and_nobody_else_notices() -> anyhow::Result<()> {
    const CHATTERERS: usize = 12;
    let config = short_resume()?;
    let path = config.path().to_str().context("the temporary folder is UTF-8")?.to_owned();
    let server = Server::start_with(&["--config", &path])?;
    let mut bystanders = Bystanders::join(&server, "r").await?;
    let _deaf = deaf(&server, "r", "deaf").await?;
    let joined = bystanders.listener.wait_for(SOON, |message| match message {
        ServerMessage::ParticipantJoined { participant } if participant.id == "deaf" => Some(()),
        _ => None,
    });
    joined.await?;
    let mut chatterers = Vec::new();
    for n in 0..CHATTERERS {
        // A kilobyte a message: the kernel holds some megabytes for a client that doesn't read.
        let identity = format!("{n:02}{}", "\u{1f600}".repeat(126));
        let ticket = server.ticket("r", &identity, Role::Speaker)?;
        let mut signalling = Signalling::connect(&ticket.server).await?;
        signalling.join(&ticket.token, Some(&"\u{1f600}".repeat(64))).await?;
        chatterers.push(signalling);
    }
    // Everybody is told of every hand. Those who chatter read, or they would lose their sockets too.
    let mut chatter = tokio::task::JoinSet::new();
    for mut signalling in chatterers {
        chatter.spawn(async move {
            for raised in [true, false].into_iter().cycle() {
                signalling.request(Request::RaiseHand { raised }).await?;
                tokio::time::sleep(FRAME).await;
            }
            Ok::<_, SignallingError>(())
        });
    }
    let gone = bystanders.listener.wait_for(Duration::from_secs(40), |message| match message {
        ServerMessage::ParticipantLeft { participant, reason } if participant == "deaf" => Some(*reason),
        _ => None,
    });
    assert_eq!(gone.await?, LeaveReason::TimedOut);
    assert_eq!(chatter.len(), CHATTERERS);
    assert!(chatter.try_join_next().is_none(), "those who read keep their sockets");
    assert_eq!(server.metric("tercet_slow_sockets_total", "").await?, 1.0);
    drop(chatter);
    bystanders.assert_undisturbed().await?;
    assert_unharmed(&server).await
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_sessions_that_never_connect_cost_nobody_anything() -> anyhow::Result<()> {
    let config = short_resume()?;
    let path = config.path().to_str().context("the temporary folder is UTF-8")?.to_owned();
    let server = Server::start_with(&["--config", &path])?;
    let mut bystanders = Bystanders::join(&server, "r").await?;
    let mut half_open = Vec::new();
    for n in 0..300 {
        half_open.push(Session::join(&server.ticket("r", &format!("half-{n}"), Role::Speaker)?).await?);
    }
    assert_eq!(server.metric("tercet_participants", "").await?, 302.0);
    bystanders.assert_undisturbed().await?;
    drop(half_open);
    let deadline = Instant::now() + SOON;
    while server.metric("tercet_worker_endpoints", "").await? > 2.0 {
        anyhow::ensure!(Instant::now() < deadline, "endpoints of ended sessions are left");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(server.metric("tercet_participants", "").await?, 2.0);
    bystanders.assert_undisturbed().await?;
    assert_unharmed(&server).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_cannot_take_over_that_of_another_by_its_user_fragment() -> anyhow::Result<()> {
    let server = Server::start_with(&["--workers", "1"])?;
    let mut listener = server.join("r", "listener", Role::Listener).await?;
    let mut attacker = Hand::join(&server, "r", "attacker").await?;
    let mut victim = Hand::join(&server, "r", "victim").await?;
    let before = dropped(&server, "unproven").await?;
    for _ in 0..50 {
        attacker.send_raw(&unproven_request(victim.ice_ufrag()?, attacker.ice_ufrag()?)).await?;
        attacker.send_raw(&unproven_request(victim.ice_ufrag()?, "any")).await?;
    }
    wait_for_dropped(&server, "unproven", before, 95.0).await?;
    // The victim's SRTP, on the attacker's way only: what comes from there has the attacker's keys.
    let mut stolen = Vec::new();
    let mut steal = |datagram: Vec<u8>| {
        if datagram[0] < 128 {
            return vec![datagram];
        }
        stolen.push(datagram);
        Vec::new()
    };
    victim.speak(2, 25, &mut steal).await?;
    assert!(stolen.len() >= 25);
    for datagram in &stolen {
        attacker.send_raw(datagram).await?;
    }
    assert!(listener.packets_for(A_MOMENT).await.is_empty(), "stolen packets are heard");
    for (hand, number) in [(&mut attacker, 1), (&mut victim, 2)] {
        hand.speak(number, 25, &mut unchanged).await?;
        let packets = listener.packets_for(A_MOMENT).await;
        assert!(packets.len() >= 20, "{} of 25 frames of {number}", packets.len());
        assert!(packets.iter().all(|packet| publisher(packet) == Some(number)));
    }
    assert_unharmed(&server).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_packet_of_a_room_reaches_another() -> anyhow::Result<()> {
    let server = Server::start()?;
    let (mut speakers, mut listeners) = (Vec::new(), Vec::new());
    for room in 0..3u32 {
        for n in 0..3 {
            let identity = format!("speaker-{n}");
            let speaker = server.join(&format!("room-{room}"), &identity, Role::Speaker).await?;
            speaker.speak(Voice::new(room * 100 + n, -20)).await?;
            speakers.push((room, speaker));
            let listener =
                server.join(&format!("room-{room}"), &format!("listener-{n}"), Role::Listener).await?;
            listeners.push((room, listener));
        }
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    for (room, client) in speakers.iter_mut().chain(&mut listeners) {
        let packets = client.packets_for(A_MOMENT).await;
        let rooms: BTreeSet<u32> = packets.iter().filter_map(publisher).map(|number| number / 100).collect();
        assert_eq!(rooms, [*room].into());
        assert_eq!(client.dropped(), 0);
    }
    assert!(server.metric("tercet_packets_forwarded_total", "worker=\"0\"").await? > 0.0);
    assert!(server.metric("tercet_packets_forwarded_total", "worker=\"1\"").await? > 0.0);
    assert_unharmed(&server).await
}
