//! How a node ends.

use std::time::{Duration, Instant};

use tercet_loadtest::Signalling;
use tercet_protocol::{ErrorCode, LeaveReason, Role, ServerMessage};
use tercet_tests::{SOON, Server};

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_node_ends_at_once_with_zero() -> anyhow::Result<()> {
    let mut server = Server::start()?;
    let begin = Instant::now();
    server.signal("TERM")?;
    assert_eq!(server.exit_code(SOON).await?, 0);
    assert!(begin.elapsed() < Duration::from_secs(3));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_node_tells_its_clients_takes_nobody_in_and_ends_the_rest() -> anyhow::Result<()> {
    let mut server = Server::start_with(&["--shutdown-ms", "1500"])?;
    let mut client = server.join("r", "ada", Role::Speaker).await?;
    server.signal("TERM")?;
    let deadline_ms = client.wait_for(SOON, |message| match message {
        ServerMessage::Closing { deadline_ms, .. } => Some(*deadline_ms),
        _ => None,
    });
    assert_eq!(deadline_ms.await?, 1500);
    assert_eq!(server.get("/readyz").await?.0, 503);
    assert_eq!(server.get("/healthz").await?.0, 200);
    let late = tercet_loadtest::Client::join(server.ticket("r", "late", Role::Speaker)?).await;
    let refused = late.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.contains("stopping"), "{refused:?} is no {:?}", ErrorCode::ShuttingDown);
    let reason = client.wait_for(SOON, |message| match message {
        ServerMessage::Left { reason, .. } => Some(*reason),
        _ => None,
    });
    assert_eq!(reason.await?, LeaveReason::Shutdown);
    assert_eq!(server.exit_code(SOON).await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_ends_as_soon_as_everybody_has_left() -> anyhow::Result<()> {
    let mut server = Server::start_with(&["--shutdown-ms", "60000"])?;
    let client = server.join("r", "ada", Role::Speaker).await?;
    server.signal("TERM")?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(server.is_running());
    client.leave().await?;
    assert_eq!(server.exit_code(SOON).await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_node_at_once() -> anyhow::Result<()> {
    let mut server = Server::start_with(&["--shutdown-ms", "60000"])?;
    let _client = server.join("r", "ada", Role::Speaker).await?;
    server.signal("TERM")?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let begin = Instant::now();
    server.signal("TERM")?;
    server.exit_code(SOON).await?;
    assert!(begin.elapsed() < Duration::from_secs(2));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_client_is_gone_does_not_hold_up_the_end() -> anyhow::Result<()> {
    let mut server = Server::start()?;
    let ticket = server.ticket("r", "ada", Role::Listener)?;
    let mut socket = Signalling::connect(&ticket.server).await?;
    socket.join(&ticket.token, None).await?;
    drop(socket);
    server.signal("TERM")?;
    // The session would wait 30 s for its client, and the server 10 s for the session.
    assert_eq!(server.exit_code(Duration::from_secs(5)).await?, 0);
    Ok(())
}
