//! Sessions that outlive their connections: a lost WebSocket, a new network, a new peer connection.

use std::io::Write;
use std::time::Duration;

use tercet_loadtest::{Client, Connection, Voice};
use tercet_protocol::{ErrorCode, LeaveReason, Request, Role, ServerMessage};
use tercet_tests::listening::assert_settles_on;
use tercet_tests::{SOON, Server};

/// Everything that was told about comings and goings so far.
async fn comings_and_goings(client: &mut Client) -> anyhow::Result<Vec<ServerMessage>> {
    let mut seen = Vec::new();
    let end = tokio::time::Instant::now() + Duration::from_millis(500);
    while let Ok(message) = tokio::time::timeout_at(end, client.signalling().next()).await {
        let message = message?;
        if matches!(message, ServerMessage::ParticipantJoined { .. } | ServerMessage::ParticipantLeft { .. })
        {
            seen.push(message);
        }
    }
    Ok(seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_websocket_is_taken_up_again_while_media_goes_on() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut other = server.join("r", "other", Role::Listener).await?;
    let mut speaker = server.join("r", "speaker", Role::Speaker).await?;
    speaker.speak(Voice::new(1, -20)).await?;
    assert_settles_on(&mut other, [1]).await;
    comings_and_goings(&mut other).await?;
    speaker.request(Request::RaiseHand { raised: true }).await?;
    // The socket is dropped without a goodbye, and another one takes the session up.
    let before = speaker.welcome().session.clone();
    speaker.resume().await?;
    let after = speaker.welcome().clone();
    assert_eq!(after.session.id, before.id);
    assert_ne!(after.session.secret, before.secret);
    let own = after.participants.iter().find(|p| p.id == "speaker").expect("the session goes on");
    assert!(own.hand_raised, "the state is told anew");
    assert_eq!(speaker.connection(), Connection::Connected);
    assert_settles_on(&mut other, [1]).await;
    assert!(comings_and_goings(&mut other).await?.is_empty(), "nobody left, nobody came");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_secret_opens_nothing() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut client = server.join("r", "ada", Role::Speaker).await?;
    let used = client.welcome().session.clone();
    client.resume().await?;
    // From the first message on, the client is known to have the new secret.
    client.request(Request::Ping).await?;
    let mut thief = tercet_loadtest::Signalling::connect(&server.url()?).await?;
    let resume = Request::Resume { version: 1, session: used.id, secret: used.secret, may_redirect: false };
    let reply = thief.request(resume).await;
    let refused = matches!(&reply, Err(tercet_loadtest::SignallingError::Refused(error)) if error.code == ErrorCode::NoSuchSession);
    assert!(refused, "{reply:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ice_restart_moves_the_session_to_another_address() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut listener = server.join("r", "listener", Role::Listener).await?;
    let mut speaker = server.join("r", "speaker", Role::Speaker).await?;
    speaker.speak(Voice::new(1, -20)).await?;
    assert_settles_on(&mut listener, [1]).await;
    comings_and_goings(&mut listener).await?;
    listener.move_network().await?;
    speaker.move_network().await?;
    assert_settles_on(&mut listener, [1]).await;
    assert!(comings_and_goings(&mut listener).await?.is_empty(), "nobody left, nobody came");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_peer_connection_takes_the_place_of_a_lost_one() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut listener = server.join("r", "listener", Role::Listener).await?;
    let mut speaker = server.join("r", "speaker", Role::Speaker).await?;
    speaker.speak(Voice::new(1, -20)).await?;
    assert_settles_on(&mut listener, [1]).await;
    speaker.replace_peer().await?;
    speaker.wait_connected(SOON).await?;
    speaker.speak(Voice::new(1, -20)).await?;
    assert_settles_on(&mut listener, [1]).await;
    listener.replace_peer().await?;
    listener.wait_connected(SOON).await?;
    assert_settles_on(&mut listener, [1]).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_not_taken_up_in_time_is_over() -> anyhow::Result<()> {
    let mut config = tempfile::NamedTempFile::new()?;
    writeln!(config, "[session]\nresume_ms = 700")?;
    let path = config.path().to_string_lossy().into_owned();
    let server = Server::start_with(&["--config", &path])?;
    let mut other = server.join("r", "other", Role::Listener).await?;
    let speaker = server.join("r", "speaker", Role::Speaker).await?;
    let session = speaker.welcome().session.clone();
    drop(speaker);
    let reason = other.wait_for(SOON, |message| match message {
        ServerMessage::ParticipantLeft { participant, reason } if participant == "speaker" => Some(*reason),
        _ => None,
    });
    assert_eq!(reason.await?, LeaveReason::TimedOut);
    let mut late = tercet_loadtest::Signalling::connect(&server.url()?).await?;
    assert!(late.resume(&session.id, &session.secret).await.is_err());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_join_of_an_identity_replaces_the_first() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut first = server.join("r", "ada", Role::Speaker).await?;
    let second = server.join("r", "ada", Role::Speaker).await?;
    let reason = first.wait_for(SOON, |message| match message {
        ServerMessage::Left { reason, .. } => Some(*reason),
        _ => None,
    });
    assert_eq!(reason.await?, LeaveReason::Replaced);
    assert_eq!(second.welcome().participants.len(), 1);
    Ok(())
}
