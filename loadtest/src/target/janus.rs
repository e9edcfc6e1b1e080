//! Janus with its VideoRoom plugin: a WebSocket with JSON, and a peer connection for each direction. Everybody hears
//! every track.
//!
//! A participant is a *session* with two *handles* of the plugin. One is in the room, and publishes if the participant
//! speaks: the client offers. The other subscribes, on a single connection, to the tracks of all others: Janus offers,
//! and offers again when a track is added. So that there is something to subscribe to from the start, a room is made
//! with a track of silence of its own, the plugin's `dummy_publisher`.
//!
//! ```text
//! client                                           Janus
//!   │ create, attach, join as publisher ───────────► │
//!   │ ◄──────────────────────────── joined, who's in │
//!   │ publish + offer ─────────────────────────────► │   if it speaks
//!   │ ◄────────────────────────── configured + answer│
//!   │ attach, join as subscriber to who's in ──────► │
//!   │ ◄────────────────────────────── attached, offer│
//!   │ start + answer ──────────────────────────────► │
//!   │ ◄────────────────────────── event, publishers  │   for each who comes later
//!   │ subscribe ───────────────────────────────────► │
//!   │ ◄────────────────────────────── updated, offer │
//!   │ start + answer ──────────────────────────────► │
//! ```

mod messages;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use self::messages::{Description, Incoming};
use super::websocket::{self, WebSocket};
use super::{JoinRequest, Joined, Leg};
use crate::{Driver, Peer, PeerKey, PeerOptions};

/// Well within Janus's default `session_timeout`, 60 s.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(20);

/// How many may publish in a room; Janus's default is 3.
const PUBLISHERS_MAX: u32 = 10_000;

/// The session of somebody who is in a room.
pub struct Link {
    session: Session,
    /// The handle that subscribes.
    subscriber: u64,
}

pub(super) async fn join(request: &JoinRequest, driver: &Driver) -> anyhow::Result<Joined> {
    let started = Instant::now();
    let mut session = Session::open(request).await?;
    let member = session.attach().await?;
    session.make_room(member, &request.room).await?;
    let join =
        json!({ "request": "join", "ptype": "publisher", "room": request.room, "display": request.name });
    let feeds = session.ask(member, join, None).await?.feeds();
    ensure!(!feeds.is_empty(), "Janus's room lacks its dummy publisher");

    let mut legs = Vec::new();
    let subscriber = session.attach().await?;
    // Those who leave would cost each of the others a negotiation.
    let join = json!({
        "request": "join", "ptype": "subscriber", "room": request.room, "autoupdate": false,
        "streams": streams(feeds),
    });
    let offer = session.ask(subscriber, join, None).await?.description()?;
    let mut leg = leg(driver, false)?;
    session.start(subscriber, leg.peer.answer(&offer)?).await?;
    legs.push(leg);

    if request.speaks {
        let mut leg = self::leg(driver, true)?;
        let offer = Description::Offer(leg.peer.offer(0));
        let reply = session.ask(member, json!({ "request": "publish" }), Some(offer)).await?;
        leg.peer.accept_answer(&reply.description()?)?;
        legs.push(leg);
    }
    Ok(Joined { started, legs, link: super::Link::Janus(Link { session, subscriber }) })
}

impl Link {
    /// Keeps the session alive, and has the first leg's peer subscribe to those who come.
    pub(super) async fn attend(
        mut self,
        driver: &Driver,
        legs: &[PeerKey],
        mut leaving: watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let leg = *legs.first().context("everybody subscribes")?;
        let mut keep_alive = tokio::time::interval(KEEP_ALIVE_EVERY);
        loop {
            tokio::select! {
                event = self.session.event() => {
                    let feeds = event?.feeds();
                    if !feeds.is_empty() {
                        self.subscribe(feeds, driver, leg).await?;
                    }
                }
                _ = keep_alive.tick() => {
                    let request = json!({ "janus": "keepalive", "session_id": self.session.id });
                    self.session.send(request).await?;
                }
                () = super::told_to_leave(&mut leaving) => return self.session.close().await,
            }
        }
    }

    async fn subscribe(&mut self, feeds: Vec<Value>, driver: &Driver, leg: PeerKey) -> anyhow::Result<()> {
        let subscribe = json!({ "request": "subscribe", "streams": streams(feeds) });
        // No offer if the feeds are known or have gone again.
        let Some(offer) = self.session.ask(self.subscriber, subscribe, None).await?.jsep else {
            return Ok(());
        };
        let answer = driver.with_peer(leg, move |peer| peer.answer(&offer.sdp)).await?;
        self.session.start(self.subscriber, answer).await
    }
}

/// All tracks of these publishers, as the plugin wants them listed.
fn streams(feeds: Vec<Value>) -> Value {
    feeds.into_iter().map(|feed| json!({ "feed": feed })).collect()
}

fn leg(driver: &Driver, publishes: bool) -> anyhow::Result<Leg> {
    let place = driver.place()?;
    let options = PeerOptions { data_channels: false, ..PeerOptions::default() };
    Ok(Leg { peer: Peer::new(Instant::now(), place.address(), options)?, place, publishes })
}

/// A WebSocket with one of Janus's sessions: requests go out, replies and events come in.
struct Session {
    socket: WebSocket,
    id: u64,
    /// How many requests there were: each has a number.
    requests: u64,
    /// Events that came while a reply was waited for.
    events: VecDeque<Incoming>,
}

impl Session {
    async fn open(request: &JoinRequest) -> anyhow::Result<Session> {
        let mut upgrade = format!("ws://{}/", request.server.address()).into_client_request()?;
        upgrade.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("janus-protocol"));
        let socket = websocket::connect(&request.server, upgrade).await?;
        let mut session = Session { socket, id: 0, requests: 0, events: VecDeque::new() };
        session.id = session.request(json!({ "janus": "create" })).await?.id()?;
        Ok(session)
    }

    /// A new handle of the plugin's.
    async fn attach(&mut self) -> anyhow::Result<u64> {
        let attach = json!({ "janus": "attach", "session_id": self.id, "plugin": "janus.plugin.videoroom" });
        self.request(attach).await?.id()
    }

    /// Makes the room, unless another participant has.
    async fn make_room(&mut self, handle: u64, room: &str) -> anyhow::Result<()> {
        let create = json!({
            "request": "create", "room": room, "is_private": true, "publishers": PUBLISHERS_MAX,
            "audiocodec": "opus", "dummy_publisher": true, "dummy_streams": [{ "codec": "opus" }],
        });
        let reply = self.message(handle, create, None).await?;
        if reply.room_exists() { Ok(()) } else { reply.accepted().map(drop) }
    }

    /// Answers the offer of a subscription.
    async fn start(&mut self, handle: u64, answer: String) -> anyhow::Result<()> {
        self.ask(handle, json!({ "request": "start" }), Some(Description::Answer(answer))).await.map(drop)
    }

    /// Says goodbye: handles and connections end with the session.
    async fn close(&mut self) -> anyhow::Result<()> {
        let destroy = json!({ "janus": "destroy", "session_id": self.id });
        self.request(destroy).await?;
        Ok(self.socket.close(None).await?)
    }

    /// Sends the plugin a message, and gives its reply unless it refuses.
    async fn ask(
        &mut self,
        handle: u64,
        body: Value,
        description: Option<Description>,
    ) -> anyhow::Result<Incoming> {
        self.message(handle, body, description).await?.accepted()
    }

    async fn message(
        &mut self,
        handle: u64,
        body: Value,
        description: Option<Description>,
    ) -> anyhow::Result<Incoming> {
        let mut message =
            json!({ "janus": "message", "session_id": self.id, "handle_id": handle, "body": body });
        if let Some(description) = description {
            message["jsep"] = description.to_json();
        }
        self.request(message).await
    }

    /// Sends a request and waits for its reply. Events that come meanwhile are kept for [`Session::event`].
    async fn request(&mut self, request: Value) -> anyhow::Result<Incoming> {
        let transaction = self.send(request).await?;
        loop {
            let incoming = self.read().await?;
            if incoming.transaction.as_ref() != Some(&transaction) {
                if incoming.janus == "event" {
                    self.events.push_back(incoming);
                }
                continue;
            }
            match incoming.janus.as_str() {
                // It was received; the reply follows.
                "ack" => {}
                "error" => bail!("Janus refuses: {}", incoming.error.unwrap_or_default()),
                _ => return Ok(incoming),
            }
        }
    }

    /// The next event that is no reply. Safe to drop before it is done.
    async fn event(&mut self) -> anyhow::Result<Incoming> {
        if let Some(event) = self.events.pop_front() {
            return Ok(event);
        }
        loop {
            let incoming = self.read().await?;
            match incoming.janus.as_str() {
                "event" => return Ok(incoming),
                "timeout" => bail!("Janus ends the session: it heard nothing of it"),
                // A keep-alive was received; news of the connections.
                _ => {}
            }
        }
    }

    async fn send(&mut self, mut request: Value) -> anyhow::Result<String> {
        self.requests += 1;
        let transaction = self.requests.to_string();
        request["transaction"] = transaction.as_str().into();
        self.socket.send(Message::text(request.to_string())).await?;
        Ok(transaction)
    }

    async fn read(&mut self) -> anyhow::Result<Incoming> {
        loop {
            match self.socket.next().await.context("Janus closed the WebSocket")?? {
                Message::Text(text) => {
                    return serde_json::from_str(&text)
                        .with_context(|| format!("not a message of Janus's: {text}"));
                }
                Message::Close(frame) => bail!("Janus closed the WebSocket: {frame:?}"),
                _ => {}
            }
        }
    }
}
