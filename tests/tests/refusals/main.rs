//! Bad input of clients and of operators: whatever is refused is refused with a code and a sentence,
//! never by a silent close, and the server goes on serving.

mod data;
mod entering;
mod http;
mod requests;
mod start;

use std::io::Write;
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;
use tercet_loadtest::token::Claims;
use tercet_loadtest::{Signalling, SignallingError};
use tercet_protocol::{ErrorCode, ProtocolError, Request, Role, ServerMessage};
use tercet_tests::{SECRET, SOON, Server};
use tokio::time::timeout;

/// RFC 6455, section 7.4.1: the other side broke a rule.
const CLOSE_POLICY: u16 = 1008;

async fn next_error(socket: &mut Signalling) -> anyhow::Result<ProtocolError> {
    let error = socket.wait_for(SOON, |message| match message {
        ServerMessage::Error(error) => Some(error.clone()),
        _ => None,
    });
    let error = error.await?;
    assert!(error.message.contains(' '), "{:?} is no sentence", error.message);
    Ok(error)
}

/// Waits for an error that ends the socket, and for the end.
async fn closed_with(socket: &mut Signalling, code: ErrorCode) -> anyhow::Result<ProtocolError> {
    let error = next_error(socket).await?;
    assert_eq!((error.code, error.fatal), (code, true), "{}", error.message);
    assert_eq!(close_code(socket).await?, Some(CLOSE_POLICY));
    Ok(error)
}

/// Reads on to the end of the socket.
async fn close_code(socket: &mut Signalling) -> anyhow::Result<Option<u16>> {
    loop {
        match timeout(SOON, socket.next()).await? {
            Ok(_) => {}
            Err(SignallingError::Closed { code, .. }) => return Ok(code),
            Err(other) => return Err(other.into()),
        }
    }
}

/// Sends a first message that has to be refused.
async fn refused_at_the_door(server: &Server, first: &str, code: ErrorCode) -> anyhow::Result<ProtocolError> {
    let mut socket = Signalling::connect(&server.url()?).await?;
    socket.send_text(first.to_owned()).await?;
    closed_with(&mut socket, code).await
}

fn join_message(version: u32, token: &str) -> String {
    serde_json::json!({"type": "join", "id": 7, "version": version, "token": token}).to_string()
}

fn token(room: &str, identity: &str) -> anyhow::Result<String> {
    Ok(Claims::new(room, identity, Role::Speaker).sign(SECRET.as_bytes())?)
}

/// What a refused request was refused with.
async fn refusal(socket: &mut Signalling, request: Request) -> anyhow::Result<ProtocolError> {
    match socket.request(request).await {
        Err(SignallingError::Refused(error)) => {
            assert!(error.message.contains(' '), "{:?} is no sentence", error.message);
            Ok(error)
        }
        other => anyhow::bail!("{other:?} in place of a refusal"),
    }
}

/// A session without a peer connection.
async fn joined(server: &Server, room: &str, identity: &str, role: Role) -> anyhow::Result<Signalling> {
    let ticket = server.ticket(room, identity, role)?;
    let mut socket = Signalling::connect(&ticket.server).await?;
    socket.join(&ticket.token, None).await?;
    Ok(socket)
}

fn config_file(text: &str) -> anyhow::Result<NamedTempFile> {
    let mut file = NamedTempFile::new()?;
    file.write_all(text.as_bytes())?;
    Ok(file)
}

fn path(file: &NamedTempFile) -> anyhow::Result<&str> {
    file.path().to_str().ok_or_else(|| anyhow::anyhow!("the temporary folder is not UTF-8"))
}

async fn participants(server: &Server) -> anyhow::Result<f64> {
    server.metric("tercet_participants", "").await
}

/// The session count is told by the control plane a moment after the fact.
async fn wait_for_participants(server: &Server, count: f64) -> anyhow::Result<()> {
    let deadline = Instant::now() + SOON;
    while participants(server).await? != count {
        anyhow::ensure!(
            Instant::now() < deadline,
            "{} participants, not {count}",
            participants(server).await?
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
