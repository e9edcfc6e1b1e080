//! atm0s-media-server: two HTTP requests, one of them with Protocol Buffers, and one peer connection, offered by the
//! client. A *mixer* picks the loudest for its outputs, as Tercet's slots do.
//!
//! ```text
//! client                                           server
//!   │ POST /token/webrtc ──────────────────────────► │
//!   │ POST /webrtc/connect: offer, tracks, mixer ──► │
//!   │ ◄────────────────────────────────────── answer │
//!   │ ICE, DTLS, SCTP: the room is joined once data channel 0 is open
//! ```
//!
//! Nothing has to be kept alive; a participant has left when their connection is closed.

mod messages;

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use prost::Message;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;

use self::messages::{ConnectRequest, ConnectResponse};
use super::{JoinRequest, Joined, Leg};
use crate::{Driver, Peer, PeerOptions, ServerUrl};

/// The secret of a server that was given none.
const SECRET_DEFAULT: &str = "insecure";

/// As many as the mixer has outputs: as a room of Tercet's has slots.
const OUTPUTS: u8 = 3;

/// How long a request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a token is valid, milliseconds.
const TTL_MS: u64 = 3_600_000;

pub(super) async fn join(request: &JoinRequest, driver: &Driver) -> anyhow::Result<Joined> {
    let token = on_a_thread({
        let request = request.clone();
        move || token(&request)
    })
    .await?;
    let started = Instant::now();
    let place = driver.place()?;
    let options = PeerOptions { data_channels: false, channel_zero: Some("data"), ..PeerOptions::default() };
    let mut peer = Peer::new(Instant::now(), place.address(), options)?;
    let connect = ConnectRequest::new(request, peer.offer(OUTPUTS), OUTPUTS);
    let server = request.server;
    let answer = on_a_thread(move || self::connect(&server, &token, &connect)).await?;
    peer.accept_answer(&answer.sdp)?;
    Ok(Joined { started, legs: vec![Leg { peer, place, publishes: true }], link: super::Link::Atm0s })
}

/// Waits for the end: the connection's own close is the goodbye.
pub(super) async fn attend(mut leaving: watch::Receiver<bool>) -> anyhow::Result<()> {
    super::told_to_leave(&mut leaving).await;
    Ok(())
}

/// What the server answers to a request for a token.
#[derive(Deserialize)]
struct TokenReply {
    data: Option<Token>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

fn token(request: &JoinRequest) -> anyhow::Result<String> {
    let secret = request.secret.as_deref().unwrap_or(SECRET_DEFAULT);
    let body = json!({ "room": request.room, "peer": request.name, "ttl": TTL_MS }).to_string();
    let reply = post(&request.server, "/token/webrtc", secret, "application/json", body.as_bytes())?;
    let reply: TokenReply = serde_json::from_slice(&reply).context("not a token of atm0s-media-server's")?;
    let token = reply.data.with_context(|| format!("no token: {}", reply.error.unwrap_or_default()))?;
    Ok(token.token)
}

fn connect(server: &ServerUrl, token: &str, request: &ConnectRequest) -> anyhow::Result<ConnectResponse> {
    let reply = post(server, "/webrtc/connect", token, "application/grpc", &request.encode_to_vec())?;
    ConnectResponse::decode(reply.as_slice()).context("not an answer of atm0s-media-server's")
}

/// Posts, and gives the body of the reply. Blocks. The server insists on a user agent, which ureq sends by itself.
fn post(server: &ServerUrl, path: &str, bearer: &str, kind: &str, body: &[u8]) -> anyhow::Result<Vec<u8>> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(REQUEST_TIMEOUT))
        .http_status_as_error(false)
        // A proxy from the environment would take the request off this machine.
        .proxy(None)
        .max_redirects(0)
        .build()
        .into();
    let request = agent.post(server.http(path)).content_type(kind);
    let mut response = request.header("authorization", format!("Bearer {bearer}")).send(body)?;
    let status = response.status();
    let body = response.body_mut().read_to_vec()?;
    ensure!(status.is_success(), "{path}: HTTP {status}: {}", String::from_utf8_lossy(&body));
    Ok(body)
}

async fn on_a_thread<T: Send + 'static>(
    action: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(action).await.context("a request panicked")?
}
