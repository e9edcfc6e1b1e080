//! Tokens for the demo page, where the operator lets anybody in.

use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tercet_protocol::{ErrorCode, Role};
use tokio::time::timeout;

use super::Node;
use crate::access::{Grant, display_name};
use crate::config::is_name;

/// Long enough for a meeting.
const TOKEN_TTL: Duration = Duration::from_secs(12 * 3600);

/// How long a request may take to arrive whole.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Serialize)]
struct Description {
    open: bool,
    version: &'static str,
}

#[derive(Deserialize)]
pub(super) struct TokenRequest {
    room: String,
    name: String,
    role: Option<Role>,
}

#[derive(Serialize)]
struct TokenReply {
    token: String,
    identity: String,
    role: Role,
}

#[derive(Serialize)]
struct Refusal {
    code: ErrorCode,
    message: String,
}

pub(super) async fn describe(State(node): State<Node>) -> impl IntoResponse {
    Json(Description { open: node.config.demo_open(), version: env!("CARGO_PKG_VERSION") })
}

pub(super) async fn token(State(node): State<Node>, request: Request) -> Response {
    if !node.config.demo_open() {
        let message = "demo tokens are off on this server: bring a token of your own (`tercet token`)";
        return refuse(StatusCode::FORBIDDEN, ErrorCode::Forbidden, message);
    }
    let read = timeout(BODY_TIMEOUT, Json::<TokenRequest>::from_request(request, &node));
    let Json(request) = match read.await {
        Ok(Ok(request)) => request,
        Ok(Err(rejection)) => {
            return refuse(StatusCode::BAD_REQUEST, ErrorCode::BadMessage, &rejection.body_text());
        }
        Err(_) => {
            let message = "the body did not come in time";
            return refuse(StatusCode::REQUEST_TIMEOUT, ErrorCode::BadMessage, message);
        }
    };
    let bad = |message| refuse(StatusCode::BAD_REQUEST, ErrorCode::BadMessage, message);
    let Some(name) = display_name(&request.name) else {
        return bad("`name` has to have a character that can be shown");
    };
    if !is_name(&request.room) {
        return bad("`room` has to have 1 to 128 characters, none of them a control character");
    }
    let role = match request.role {
        Some(Role::Moderator) => {
            return bad("`role` is \"speaker\" or \"listener\": the first in a room moderates");
        }
        Some(Role::Listener) => Role::Listener,
        Some(Role::Speaker) | None => Role::Speaker,
    };
    let identity = format!("{}-{:06x}", slug(&name), rand::random::<u32>() & 0xff_ffff);
    // Who is first is found out when they enter: a token for later makes nobody a moderator.
    let first_moderates = role == Role::Speaker;
    let grant =
        Grant { room: request.room, identity, name: Some(name), role, may_send_data: true, first_moderates };
    match node.access.mint(&grant, TOKEN_TTL) {
        Ok(token) => Json(TokenReply { token, identity: grant.identity, role }).into_response(),
        Err(error) => {
            tracing::error!(%error, "minting a demo token");
            refuse(
                StatusCode::INTERNAL_SERVER_ERROR,
                ErrorCode::Internal,
                "the server could not make a token",
            )
        }
    }
}

/// A name as the readable part of an identity.
fn slug(name: &str) -> String {
    let kept: String = name.chars().filter(|c| c.is_alphanumeric()).take(24).collect();
    if kept.is_empty() { "guest".to_owned() } else { kept.to_lowercase() }
}

pub(super) fn refuse(status: StatusCode, code: ErrorCode, message: &str) -> Response {
    (status, Json(Refusal { code, message: message.to_owned() })).into_response()
}
