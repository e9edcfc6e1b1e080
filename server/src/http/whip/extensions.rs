//! What a player may ask for besides its media: to be told of its broadcast, and how much of a picture it gets (the extensions of WHEP
//! in draft-murillo-whep-02).

use axum::extract::{Path, Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use tokio::sync::oneshot;

use super::{JSON, body, check_type, place_at_the_door, respond, session, too_many_at_once};
use crate::http::Node;
use crate::whip::{Ask, Entry, Kind, LayerChoice, Problem, WantedEvents};

/// A player asks to be told how its broadcast stands. What it wants to know is in the body; the stream has a URL of its own.
pub(super) async fn follow(
    State(node): State<Node>,
    Path((room, id)): Path<(String, String)>,
    request: Request,
) -> Response {
    let path = request.uri().path().to_owned();
    let followed = async {
        let Entry { asks, door, .. } = session(&node, &room, &id, &request)?;
        check_type(request.headers(), &JSON)?;
        let _own = door.try_acquire().map_err(|_| too_many_at_once())?;
        let _place = place_at_the_door(&node)?;
        let wanted = WantedEvents::read(&body(request).await?)?;
        let (reply, secret) = oneshot::channel();
        asks.send(Ask::Follow { wanted, reply }).await.map_err(|_| Problem::gone())?;
        let secret = secret.await.unwrap_or_else(|_| Err(Problem::gone()))?;
        HeaderValue::from_str(&format!("{path}/{secret}")).map_err(|_| Problem::gone())
    };
    match followed.await {
        Ok(location) => (StatusCode::CREATED, [(LOCATION, location)]).into_response(),
        Err(problem) => respond(problem),
    }
}

/// The stream. Browsers ask for it without a token: its URL is the proof.
pub(super) async fn stream(
    State(node): State<Node>,
    Path((room, id, secret)): Path<(String, String, String)>,
) -> Response {
    let feed = async {
        let entry = node.whip.table.find(&id).filter(|entry| entry.kind == Kind::Whep && entry.room == room);
        let (reply, feed) = oneshot::channel();
        let asks = entry.ok_or_else(Problem::gone)?.asks;
        asks.send(Ask::Stream { secret, reply }).await.map_err(|_| Problem::gone())?;
        feed.await.unwrap_or_else(|_| Err(Problem::gone()))
    };
    match feed.await {
        Ok(feed) => Sse::new(feed.into_events()).keep_alive(KeepAlive::default()).into_response(),
        Err(problem) => respond(problem),
    }
}

/// A player chooses how much of a picture it gets.
pub(super) async fn choose(
    State(node): State<Node>,
    Path((room, id)): Path<(String, String)>,
    request: Request,
) -> Response {
    let chosen = async {
        let entry = session(&node, &room, &id, &request)?;
        check_type(request.headers(), &JSON)?;
        let door = entry.door.clone();
        let _own = door.try_acquire().map_err(|_| too_many_at_once())?;
        let _place = place_at_the_door(&node)?;
        pass_on(&entry, LayerChoice::read(&body(request).await?)?).await
    };
    answer(chosen.await)
}

/// It leaves that to the server again. The text has an empty choice for that; medooze's player asks in this way.
pub(super) async fn release(
    State(node): State<Node>,
    Path((room, id)): Path<(String, String)>,
    request: Request,
) -> Response {
    let entry = session(&node, &room, &id, &request);
    let released = async {
        let entry = entry?;
        let door = entry.door.clone();
        let _own = door.try_acquire().map_err(|_| too_many_at_once())?;
        pass_on(&entry, LayerChoice::default()).await
    };
    answer(released.await)
}

async fn pass_on(entry: &Entry, choice: LayerChoice) -> Result<(), Problem> {
    let (reply, chosen) = oneshot::channel();
    entry.asks.send(Ask::Choose { choice, reply }).await.map_err(|_| Problem::gone())?;
    chosen.await.unwrap_or_else(|_| Err(Problem::gone()))
}

fn answer(outcome: Result<(), Problem>) -> Response {
    match outcome {
        Ok(()) => StatusCode::OK.into_response(),
        Err(problem) => respond(problem),
    }
}
