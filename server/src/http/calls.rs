//! `/v1/rooms/{room}/calls`: phones that are called into a room by its moderators.

use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tercet_core::RoomId;
use tercet_protocol::{DialOrder, ErrorCode, Role};
use tokio::time::timeout;

use super::demo::refuse;
use super::{Node, bearer};
use crate::access::AccessError;
use crate::config::SipDials;
use crate::control::ControlInput;
use crate::phones::{DialError, Dialler, Order};

/// How long a request may take to arrive whole.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Whom to call.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallRequest {
    /// A number, or a user of `[[sip.user]]`.
    to: String,
    /// Through which trunk.
    trunk: Option<String>,
    /// How they are shown to others.
    name: Option<String>,
    /// What they may do: a speaker by default.
    role: Option<Role>,
    /// The language of prompts.
    language: Option<String>,
}

/// Whom a phone is to call instead.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TransferRequest {
    /// A number or name.
    to: String,
}

pub(super) async fn create(State(node): State<Node>, Path(room): Path<String>, request: Request) -> Response {
    let dialler = match dialler(&node, &room, request.headers()) {
        Ok(dialler) => dialler,
        Err(refusal) => return *refusal,
    };
    let CallRequest { to, trunk, name, role, language } = match read(&node, request).await {
        Ok(request) => request,
        Err(refusal) => return *refusal,
    };
    // By the token they are a moderator of the room, who may call anybody.
    let order = Order { room, scope: SipDials::Anybody, dial: DialOrder { to, trunk, name, role, language } };
    match dialler.dial(order, None).await {
        Ok(call) => (StatusCode::CREATED, Json(call)).into_response(),
        Err(error) => refuse_dial(&error),
    }
}

/// Sends a phone elsewhere: 202, and it goes or stays.
pub(super) async fn transfer(
    State(node): State<Node>,
    Path((room, participant)): Path<(String, String)>,
    request: Request,
) -> Response {
    let dialler = match dialler(&node, &room, request.headers()) {
        Ok(dialler) => dialler,
        Err(refusal) => return *refusal,
    };
    let TransferRequest { to } = match read(&node, request).await {
        Ok(request) => request,
        Err(refusal) => return *refusal,
    };
    match dialler.transfer(&room, &participant, &to) {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(error) => refuse_dial(&error),
    }
}

/// The body of a request, which comes in time or not.
async fn read<T: DeserializeOwned>(node: &Node, request: Request) -> Result<T, Box<Response>> {
    match timeout(BODY_TIMEOUT, Json::<T>::from_request(request, node)).await {
        Ok(Ok(Json(read))) => Ok(read),
        Ok(Err(rejection)) => {
            Err(refuse(StatusCode::BAD_REQUEST, ErrorCode::BadMessage, &rejection.body_text()).into())
        }
        Err(_) => {
            let message = "the body did not come in time";
            Err(refuse(StatusCode::REQUEST_TIMEOUT, ErrorCode::BadMessage, message).into())
        }
    }
}

fn refuse_dial(error: &DialError) -> Response {
    let status = match error {
        DialError::Bad(_) => StatusCode::BAD_REQUEST,
        DialError::Forbidden(_) => StatusCode::FORBIDDEN,
        DialError::NoSuchTrunk(_) | DialError::NoSuchPhone => StatusCode::NOT_FOUND,
        DialError::TooMany => StatusCode::TOO_MANY_REQUESTS,
        DialError::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
    };
    refuse(status, error.code(), &error.to_string())
}

pub(super) async fn list(State(node): State<Node>, Path(room): Path<String>, headers: HeaderMap) -> Response {
    if let Err(refusal) = dialler(&node, &room, &headers) {
        return *refusal;
    }
    let room = RoomId::from(room.as_str());
    match node.control.ask(|reply| ControlInput::Calls { room, reply }).await {
        Some(calls) => Json(calls).into_response(),
        None => stopping(),
    }
}

pub(super) async fn delete(
    State(node): State<Node>,
    Path((room, call)): Path<(String, u64)>,
    headers: HeaderMap,
) -> Response {
    if let Err(refusal) = dialler(&node, &room, &headers) {
        return *refusal;
    }
    let room = RoomId::from(room.as_str());
    match node.control.ask(|reply| ControlInput::HangUp { room, call, reply }).await {
        Some(Ok(())) => StatusCode::NO_CONTENT.into_response(),
        Some(Err((code, message))) => {
            let status = match code {
                ErrorCode::NoSuchCall => StatusCode::NOT_FOUND,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            };
            refuse(status, code, &message)
        }
        None => stopping(),
    }
}

fn stopping() -> Response {
    refuse(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::ShuttingDown, "the node is stopping")
}

/// What makes calls, for a moderator of the room.
fn dialler(node: &Node, room: &str, headers: &HeaderMap) -> Result<Dialler, Box<Response>> {
    let Some(token) = bearer(headers) else {
        let message = "a moderator's token for the room is needed: `Authorization: Bearer TOKEN`";
        return Err(refuse(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, message).into());
    };
    let claims = node.access.verify(token).map_err(|error| {
        let code =
            if error == AccessError::Expired { ErrorCode::TokenExpired } else { ErrorCode::Unauthorized };
        refuse(StatusCode::UNAUTHORIZED, code, &error.to_string())
    })?;
    if claims.room != room || claims.role != Role::Moderator {
        let message = "the token is not that of a moderator of this room";
        return Err(refuse(StatusCode::FORBIDDEN, ErrorCode::Forbidden, message).into());
    }
    node.dialler.clone().ok_or_else(|| {
        refuse(StatusCode::NOT_FOUND, ErrorCode::NoPhones, "this node has no phones: see [sip]").into()
    })
}
