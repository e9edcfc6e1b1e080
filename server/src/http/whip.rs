//! `/whip/{room}` and `/whep/{room}`: encoders and players (RFC 9725, draft-ietf-wish-whep-04).
//!
//! This file reads and bounds requests and writes answers; what they mean is `whip`'s. What players may ask for besides is in
//! `extensions.rs`.

mod extensions;

use std::error::Error as _;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, IF_MATCH, LINK, LOCATION,
    RETRY_AFTER, USER_AGENT, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http_body_util::LengthLimitError;
use serde::Deserialize;
use tercet_core::{ParticipantId, RoomId};
use tercet_protocol::{ErrorCode, Role};
use tokio::sync::{SemaphorePermit, oneshot};
use tokio::time::timeout;
use tower_http::cors::CorsLayer;

use super::demo::refuse;
use super::listener::Sender;
use super::relay::{self, Other, Posted, Unanswered};
use super::routing::{self, Caller};
use super::{Node, allowed_origins, bearer, from_this_machine};
use crate::access::{AccessError, Claims};
use crate::cluster::Placement;
use crate::control::{ControlInput, RETRY_AFTER as SOON};
use crate::whip::{
    Ask, Attempt, Entry, Fragment, Kind, Offer, Opened, Opening, Patched, Precondition, Problem, events_link,
    layer_link, open, relay_links,
};
use extensions::{choose, follow, release, stream};

const SDP: HeaderValue = HeaderValue::from_static("application/sdp");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const FRAGMENT: HeaderValue = HeaderValue::from_static("application/trickle-ice-sdpfrag");

/// Eyevinn's client asks by OPTIONS, which is a method to ask leave for then.
const METHODS: [Method; 6] =
    [Method::GET, Method::HEAD, Method::POST, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// RFC 9725, section 4.2: which bodies an endpoint takes.
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");

/// An offer of two dozen m-lines, twice over.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// How long a body may take to arrive whole.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Nodes that are tried in turn, until one is reached.
const NODES_TRIED_MAX: usize = 3;

/// What a player may ask for in its URL.
#[derive(Deserialize)]
struct Wanted {
    /// Whom to hear, and nobody else.
    participant: Option<String>,
}

/// The routes of both.
pub(super) fn router(node: &Node) -> Router<Node> {
    // The layer answers each OPTIONS itself. Eyevinn's client sends `ETag` where `If-Match` is meant.
    let cors = CorsLayer::new()
        .allow_methods(METHODS)
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, IF_MATCH, ETAG, ACCEPT])
        .expose_headers([LOCATION, ETAG, LINK, RETRY_AFTER])
        .allow_origin(allowed_origins(&node.config));
    let whip = |node, path, query, request| begin(Kind::Whip, node, path, query, request);
    let whep = |node, path, query, request| begin(Kind::Whep, node, path, query, request);
    let session = get(look).patch(patch).delete(end);
    Router::new()
        .route("/whip/{room}", post(whip).get(no_content))
        .route("/whep/{room}", post(whep).get(no_content).head(description))
        .route("/whip", post(roomless))
        .route("/whip/", post(roomless))
        .route("/whep", post(roomless))
        .route("/whep/", post(roomless))
        .route("/whip/{room}/{session}", session.clone())
        .route("/whep/{room}/{session}", session)
        .route("/whep/{room}/{session}/events", post(follow))
        .route("/whep/{room}/{session}/events/{secret}", get(stream))
        .route("/whep/{room}/{session}/layer", post(choose).delete(release))
        .route_layer(from_fn_with_state(node.clone(), from_this_machine))
        .route_layer(cors)
        .route_layer(from_fn(accept_post))
}

/// RFC 9725, section 4.2: "SHOULD include an "Accept-Post" header", in what answers OPTIONS.
async fn accept_post(request: Request, next: Next) -> Response {
    let is_options = request.method() == Method::OPTIONS;
    // Below `/whep/{room}/{session}`: a room may have any name.
    let below = request.uri().path().split('/').nth(4);
    let taken = if matches!(below, Some("events" | "layer")) { JSON } else { SDP };
    let mut response = next.run(request).await;
    if is_options {
        response.headers_mut().insert(ACCEPT_POST, taken);
    }
    response
}

/// A URL that lacks its end.
async fn roomless() -> Response {
    let message = "the URL has to name the room: /whip/ROOM to publish, /whep/ROOM to play";
    respond(Problem::new(StatusCode::NOT_FOUND, ErrorCode::NoSuchRoom, message))
}

/// What is kept free for later versions of the protocol.
async fn no_content(State(node): State<Node>, Path(room): Path<String>, headers: HeaderMap) -> Response {
    match claims_of(&node, &headers).and_then(|(claims, _)| for_room(claims, &room)) {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(problem) => respond(problem),
    }
}

/// Whether there is something to play here, for a player that asks before it offers.
async fn description(state: State<Node>, path: Path<String>, headers: HeaderMap) -> Response {
    let response = no_content(state, path, headers).await;
    match response.status() {
        StatusCode::NO_CONTENT => (StatusCode::OK, [(CONTENT_TYPE, SDP)]).into_response(),
        _ => response,
    }
}

/// A new session.
async fn begin(
    kind: Kind,
    State(node): State<Node>,
    Path(room): Path<String>,
    wanted: Result<Query<Wanted>, QueryRejection>,
    request: Request,
) -> Response {
    let path = request.uri().path().to_owned();
    let Opened { id, user, etag, answer } = match try_begin(kind, &node, &room, wanted, request).await {
        Ok(Begun::Here(opened)) => opened,
        Ok(Begun::Elsewhere(response)) => return response,
        Err(problem) => return respond(problem),
    };
    let mut response = (StatusCode::CREATED, answer).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, SDP);
    for (name, value) in [(LOCATION, format!("{path}/{id}")), (ETAG, etag)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    let session = format!("{path}/{id}");
    let extensions = match kind {
        Kind::Whip => Vec::new(),
        Kind::Whep => vec![events_link(&session), layer_link(&session)],
    };
    for link in relay_links(&node.config, &user).into_iter().chain(extensions) {
        if let Ok(value) = HeaderValue::from_str(&link) {
            headers.append(LINK, value);
        }
    }
    response
}

/// Where a session is.
enum Begun {
    Here(Opened),
    /// Another node made it, and answered so.
    Elsewhere(Response),
}

async fn try_begin(
    kind: Kind,
    node: &Node,
    room: &str,
    wanted: Result<Query<Wanted>, QueryRejection>,
    request: Request,
) -> Result<Begun, Problem> {
    let sender = request.extensions().get::<Sender>().copied();
    let source = routing::source_of(node, request.headers(), sender.as_ref());
    let (claims, token) = claims_of(node, request.headers())?;
    let claims = for_room(claims, room)?;
    // Of those who may: whoever has no token takes nothing from others behind the same address.
    let attempt = attempt(node, source)?;
    let _place = place_at_the_door(node)?;
    let Query(wanted) = wanted.map_err(|rejection| Problem::bad(rejection.body_text()))?;
    if kind == Kind::Whip && claims.role == Role::Listener {
        let message = "the token is a listener's, who may not publish";
        return Err(Problem::new(StatusCode::FORBIDDEN, ErrorCode::Forbidden, message));
    }
    let token = token.to_owned();
    check_type(request.headers(), &SDP)?;
    let caller = Caller::of(request.headers(), sender.as_ref());
    let (target, user_agent) = (request.uri().clone(), request.headers().get(USER_AGENT).cloned());
    let text = body(request).await?;
    let offer = Offer::read(kind, &text)?;
    let posted =
        Posted { target: &target, token: &token, source, content_type: SDP, user_agent, body: &text };
    if let Some(response) = elsewhere(node, room, caller, &posted).await? {
        if response.status().is_success() {
            attempt.succeed();
        }
        return Ok(Begun::Elsewhere(response));
    }
    if node.is_draining() || !node.config.cluster.role.has_sessions() {
        let message = "this node takes no encoders and players: go to another";
        return Err(Problem::unavailable(ErrorCode::Overloaded, message));
    }
    let players_max = node.config.limits.players_of_token_max as usize;
    let player = match kind {
        Kind::Whip => None,
        Kind::Whep => {
            let counted = node.whip.table.count_player(&claims, players_max);
            Some(counted.ok_or_else(|| Problem::too_many("players with this token"))?)
        }
    };
    if kind == Kind::Whep && !is_live(node, room, wanted.participant.as_deref()).await {
        // To wait is what it is told: that is no attempt.
        attempt.succeed();
        let message = "nobody publishes here at the moment";
        return Err(Problem::new(StatusCode::CONFLICT, ErrorCode::NoSuchRoom, message).retry_after(SOON));
    }
    let participant = wanted.participant.filter(|_| kind == Kind::Whep);
    let resume = Duration::from_millis(node.config.session.resume_ms);
    let opening = Opening { kind, claims, token, offer, participant, attempt, player, resume };
    open(node.control.clone(), node.whip.table.clone(), opening).await.map(Begun::Here)
}

/// The answer of another node, if one serves the room better than this.
async fn elsewhere(
    node: &Node,
    room: &str,
    caller: Caller,
    posted: &Posted<'_>,
) -> Result<Option<Response>, Problem> {
    let mut tried = Vec::new();
    loop {
        match routing::of_room(node, room, caller, false, &tried).await {
            Placement::Here => return Ok(None),
            Placement::Nowhere => {
                let message = "no node that this one reaches by HTTP takes anybody at the moment";
                return Err(Problem::unavailable(ErrorCode::Overloaded, message));
            }
            Placement::There { node: other, http, inside } => {
                let unanswered =
                    match relay::post(node, &Other { node: other, inside, http: &http }, posted).await {
                        Ok(response) => return Ok(Some(response)),
                        Err(unanswered) => unanswered,
                    };
                tried.push(other);
                if unanswered == Unanswered::Silent || tried.len() >= NODES_TRIED_MAX {
                    let message = format!("node {other} serves this, and doesn't answer this one");
                    return Err(Problem::unavailable(ErrorCode::Overloaded, message));
                }
            }
        }
    }
}

/// Whether there is something to hear. Of a room that is on other nodes only, this one knows no more than that.
async fn is_live(node: &Node, room: &str, participant: Option<&str>) -> bool {
    let (id, participant) = (RoomId::from(room), participant.map(ParticipantId::from));
    let ask = |reply| ControlInput::Broadcast { room: id, participant, reply };
    let broadcast = node.control.ask(ask).await;
    broadcast.is_some_and(|it| it.is_live) || routing::is_elsewhere(node, room).await
}

/// Requests whose body and answer are awaited are bounded.
fn place_at_the_door(node: &Node) -> Result<SemaphorePermit<'_>, Problem> {
    node.whip
        .door
        .try_acquire()
        .map_err(|_| Problem::unavailable(ErrorCode::Overloaded, "too many others are waiting for an answer"))
}

fn too_many_at_once() -> Problem {
    Problem::too_many("requests of this session at once")
}

/// One more attempt of whoever asks, or too many.
fn attempt(node: &Node, from: IpAddr) -> Result<Attempt, Problem> {
    node.whip.attempts.begin(Instant::now(), from).map_err(|wait| {
        let message = "too many requests from this address came to nothing";
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::RateLimited, message);
        problem.retry_after(wait)
    })
}

/// A look at a session, which says no more than that it is there.
async fn look(
    State(node): State<Node>,
    Path((room, id)): Path<(String, String)>,
    request: Request,
) -> Response {
    match session(&node, &room, &id, &request) {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(problem) => respond(problem),
    }
}

/// The end of a session. Entity-tags don't matter here.
async fn end(
    State(node): State<Node>,
    Path((room, id)): Path<(String, String)>,
    request: Request,
) -> Response {
    let entry = session(&node, &room, &id, &request);
    let ended = async {
        let (ended, end) = oneshot::channel();
        let asks = entry?.asks;
        asks.send(Ask::End { ended }).await.map_err(|_| Problem::gone())?;
        end.await.map_err(|_| Problem::gone())
    };
    match ended.await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(problem) => respond(problem),
    }
}

/// More of ICE: candidates, or a restart.
async fn patch(
    State(node): State<Node>,
    Path((room, id)): Path<(String, String)>,
    request: Request,
) -> Response {
    let patched = async {
        let Entry { asks, door, .. } = session(&node, &room, &id, &request)?;
        check_type(request.headers(), &FRAGMENT)?;
        let _own = door.try_acquire().map_err(|_| too_many_at_once())?;
        let _place = place_at_the_door(&node)?;
        let precondition = precondition(request.headers());
        let fragment = Fragment::read(&body(request).await?)?;
        let (reply, patched) = oneshot::channel();
        asks.send(Ask::Patch { precondition, fragment, reply }).await.map_err(|_| Problem::gone())?;
        patched.await.unwrap_or_else(|_| Err(Problem::gone()))
    };
    match patched.await {
        Ok(Patched::Trickled) => StatusCode::NO_CONTENT.into_response(),
        Ok(Patched::Restarted { etag, fragment }) => {
            let mut response = (StatusCode::OK, [(CONTENT_TYPE, FRAGMENT)], fragment).into_response();
            if let Ok(etag) = HeaderValue::from_str(&etag) {
                response.headers_mut().insert(ETAG, etag);
            }
            response
        }
        Err(problem) => respond(problem),
    }
}

/// The session of a URL, for whoever made it.
fn session(node: &Node, room: &str, id: &str, request: &Request) -> Result<Entry, Problem> {
    let token = bearer(request.headers()).ok_or_else(unauthorized)?;
    let entry = node.whip.table.find(id).filter(|entry| {
        let kind = if request.uri().path().starts_with("/whip/") { Kind::Whip } else { Kind::Whep };
        entry.kind == kind && entry.room == room
    });
    if entry.as_ref().is_some_and(|entry| entry.was_made_with(token)) {
        return entry.ok_or_else(Problem::gone);
    }
    let (claims, _) = claims_of(node, request.headers())?;
    let claims = for_room(claims, room)?;
    let entry = entry.ok_or_else(Problem::gone)?;
    if !entry.is_of(&claims) {
        let message = "the session is somebody else's";
        return Err(Problem::new(StatusCode::FORBIDDEN, ErrorCode::Forbidden, message));
    }
    Ok(entry)
}

/// RFC 9110, section 13.1.1; a strong comparison, so weak entity-tags match nothing.
fn precondition(headers: &HeaderMap) -> Precondition {
    let mut values = headers.get_all(IF_MATCH).iter().peekable();
    if values.peek().is_none() {
        return match headers.get(ETAG).and_then(|value| value.to_str().ok()) {
            Some(tag) => Precondition::Tags(vec![tag.trim().to_owned()]),
            None => Precondition::None,
        };
    }
    let values = values.filter_map(|value| value.to_str().ok());
    let tags: Vec<String> =
        values.flat_map(|value| value.split(',')).map(|tag| tag.trim().to_owned()).collect();
    if tags.iter().any(|tag| tag == "*") { Precondition::Any } else { Precondition::Tags(tags) }
}

/// RFC 9725, section 4.2: 415 for what is of another type.
fn check_type(headers: &HeaderMap, wanted: &HeaderValue) -> Result<(), Problem> {
    let wanted = wanted.to_str().unwrap_or_default();
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    let message = format!("the body has to be {wanted}");
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorCode::BadMessage, message))
}

/// The body of a request: text, not too long, in time.
async fn body(request: Request) -> Result<String, Problem> {
    let too_large = || {
        let message = format!("a body has at most {BODY_BYTES_MAX} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::BadMessage, message)
    };
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: usize| length > BODY_BYTES_MAX) {
        return Err(too_large());
    }
    match timeout(BODY_TIMEOUT, to_bytes(request.into_body(), BODY_BYTES_MAX)).await {
        Ok(Ok(bytes)) => String::from_utf8(bytes.into()).map_err(|_| Problem::bad("the body is not UTF-8")),
        Ok(Err(error)) if is_length_limit(&error) => Err(too_large()),
        Ok(Err(_)) => Err(Problem::bad("the body can't be read")),
        Err(_) => {
            let message = "the body did not come in time";
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, ErrorCode::BadMessage, message))
        }
    }
}

fn is_length_limit(error: &axum::Error) -> bool {
    error.source().is_some_and(|source| source.is::<LengthLimitError>())
}

/// Who asks, and the token that says so.
fn claims_of<'a>(node: &Node, headers: &'a HeaderMap) -> Result<(Claims, &'a str), Problem> {
    let token = bearer(headers).ok_or_else(unauthorized)?;
    let claims = node.access.verify(token).map_err(|error| {
        let code = match error {
            AccessError::Expired => ErrorCode::TokenExpired,
            AccessError::Invalid(_) => ErrorCode::Unauthorized,
        };
        Problem::new(StatusCode::UNAUTHORIZED, code, error.to_string())
    })?;
    Ok((claims, token))
}

fn for_room(claims: Claims, room: &str) -> Result<Claims, Problem> {
    if claims.room == room {
        return Ok(claims);
    }
    Err(Problem::new(StatusCode::FORBIDDEN, ErrorCode::Forbidden, "the token is for another room"))
}

fn unauthorized() -> Problem {
    let message = "an access token is needed: `Authorization: Bearer TOKEN`";
    Problem::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, message)
}

fn respond(problem: Problem) -> Response {
    let Problem { status, code, message, retry_after } = problem;
    let mut response = refuse(status, code, &message);
    let headers = response.headers_mut();
    if let Some(after) = retry_after {
        // Rounded up: whoever comes then is not told once more to wait.
        headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs_f64().ceil() as u64));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
