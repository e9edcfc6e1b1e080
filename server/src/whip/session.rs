//! The session of an encoder or player: a task that joins as a client does, and answers what HTTP asks of it.
//!
//! It ends when it is asked to, when the room ends it, or when no media has flowed for as long as a browser's session
//! outlives its WebSocket (`session.resume_ms`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tercet_core::{Allowance, ParticipantId, RoomId};
use tercet_protocol::{ClientMessage, ErrorCode, ProtocolError, Request, Role, ServerMessage};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::debug;

use super::events::{Feed, Following, WantedEvents};
use super::layers::{LayerChoice, VideoLines};
use super::offer::Offer;
use super::problem::Problem;
use super::table::{Entry, Listed, Player, Table};
use super::{Attempt, Fragment, Kind, fragment};
use crate::access::Claims;
use crate::config::NAME_CHARS_MAX;
use crate::control::{Attached, Broadcast, ControlHandle, ControlInput, Outgoing};
use crate::turn::user_of;

/// Messages of the room that wait to be read, which is at once but for the time of an answer.
const MESSAGES_MAX: usize = 512;

/// How long the room may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How long a session that was just begun may take to connect, however short a time it would outlive its media.
const CONNECT_WITHIN: Duration = Duration::from_secs(15);

/// Restarts of ICE: one a second, and some at once.
const RESTARTS_PER_S: u32 = 1;
const RESTARTS_BURST: u32 = 5;

/// Choices of layers: each may take a keyframe of the camera.
const CHOICES_PER_S: u32 = 5;
const CHOICES_BURST: u32 = 20;

/// Requests that wait for the one before; whoever comes beyond waits on their connection.
const ASKS_MAX: usize = 4;

/// What HTTP asks of a session.
pub(crate) enum Ask {
    Patch {
        precondition: Precondition,
        fragment: Fragment,
        reply: oneshot::Sender<Result<Patched, Problem>>,
    },
    End {
        ended: oneshot::Sender<()>,
    },
    /// A player wants to be told how its broadcast stands. Returns the secret of the stream.
    Follow {
        wanted: WantedEvents,
        reply: oneshot::Sender<Result<String, Problem>>,
    },
    /// It wants the stream.
    Stream {
        secret: String,
        reply: oneshot::Sender<Result<Feed, Problem>>,
    },
    /// A player chooses how much of a picture it gets.
    Choose {
        choice: LayerChoice,
        reply: oneshot::Sender<Result<(), Problem>>,
    },
}

/// Which ICE session a PATCH is for (RFC 9725, section 4.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Precondition {
    /// It doesn't say.
    None,
    /// `*`: a new one.
    Any,
    /// That of one of these entity-tags.
    Tags(Vec<String>),
}

/// What a PATCH did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Patched {
    Trickled,
    Restarted { etag: String, fragment: String },
}

/// What a session is made of.
pub(crate) struct Opening {
    pub(crate) kind: Kind,
    pub(crate) claims: Claims,
    /// As it came.
    pub(crate) token: String,
    pub(crate) offer: Offer,
    /// Whom a player wants to hear, if not whoever speaks.
    pub(crate) participant: Option<String>,
    pub(crate) attempt: Attempt,
    /// Of a player: that it is counted.
    pub(crate) player: Option<Player>,
    /// How long it outlives its media.
    pub(crate) resume: Duration,
}

/// A session that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) id: String,
    /// Whom relays know it as: an encoder is the same with each session, of a token's players each is another.
    pub(crate) user: String,
    pub(crate) etag: String,
    pub(crate) answer: String,
}

/// Begins a session, which goes on in a task of its own; if whoever asked has gone meanwhile, it ends at once.
///
/// # Errors
/// The room or the media plane refuses it.
pub(crate) async fn open(control: ControlHandle, table: Table, opening: Opening) -> Result<Opened, Problem> {
    let (reply, opened) = oneshot::channel();
    tokio::spawn(async move {
        let mut opening = opening;
        let player = opening.player.take();
        match Live::open(control, opening).await {
            Ok((mut live, answer, entry)) => {
                let (asks, queue) = mpsc::channel(ASKS_MAX);
                let listed = table.add(entry(asks), player);
                let (id, user) = (listed.id().to_owned(), live.user.clone());
                let opened = Opened { id, user, etag: live.etag.clone(), answer };
                if reply.send(Ok(opened)).is_ok() {
                    live.run(queue).await;
                }
                live.leave(listed).await;
            }
            Err(problem) => {
                let _ = reply.send(Err(problem));
            }
        }
    });
    let stopping = || Problem::unavailable(ErrorCode::ShuttingDown, "the node is stopping");
    opened.await.unwrap_or_else(|_| Err(stopping()))
}

/// A session in its room.
struct Live {
    control: ControlHandle,
    attached: Attached,
    messages: mpsc::Receiver<Arc<Outgoing>>,
    /// Of the latest welcome: id and secret.
    resumption: Option<(String, String)>,
    request_next: u32,
    user: String,
    offer: Offer,
    etag: String,
    restarts: Allowance,
    choices: Allowance,
    attempt: Option<Attempt>,
    room: RoomId,
    /// Whom a player hears, if not whoever speaks.
    participant: Option<ParticipantId>,
    following: Option<Following>,
    /// Of a player: what it sees, and how much of that at most.
    video: VideoLines,
    /// Since when no media flows.
    stopped_at: Option<Instant>,
    resume: Duration,
    is_over: bool,
}

impl Live {
    /// Joins and offers. Returns the answer too, and what makes its entry in the table.
    async fn open(
        control: ControlHandle,
        opening: Opening,
    ) -> Result<(Live, String, impl FnOnce(mpsc::Sender<Ask>) -> Entry), Problem> {
        let Opening { kind, claims, token, offer, participant, attempt, resume, .. } = opening;
        let (socket, messages) = mpsc::channel(MESSAGES_MAX);
        let transport = kind.transport();
        let as_known = claims.clone();
        let claims = as_joined(kind, claims);
        let user = user_of(&claims.room, &claims.identity);
        let join = |reply| ControlInput::Join { claims, transport, name: None, request: None, socket, reply };
        let joined = control.ask(join).await;
        let stopping = || Problem::unavailable(ErrorCode::ShuttingDown, "the node is stopping");
        let attached = joined.ok_or_else(stopping)??;
        let mut live = Live {
            control,
            attached,
            messages,
            resumption: None,
            request_next: 1,
            user,
            offer: offer.clone(),
            etag: new_etag(),
            restarts: Allowance::new(RESTARTS_PER_S, RESTARTS_BURST, Instant::now()),
            choices: Allowance::new(CHOICES_PER_S, CHOICES_BURST, Instant::now()),
            attempt: Some(attempt),
            room: RoomId::from(as_known.room.as_str()),
            participant: participant.as_deref().map(ParticipantId::from),
            following: None,
            video: VideoLines::default(),
            // Whatever the time that media may be gone: until it is there for the first time, it has some.
            stopped_at: Some(Instant::now() + CONNECT_WITHIN.saturating_sub(resume)),
            resume,
            is_over: false,
        };
        match live.begin(participant, &offer).await {
            Ok(answer) => Ok((live, answer, move |asks| Entry::new(kind, &as_known, &token, asks))),
            Err(problem) => {
                live.request(Request::Leave).await;
                Err(problem)
            }
        }
    }

    async fn begin(&mut self, participant: Option<String>, offer: &Offer) -> Result<String, Problem> {
        if let Some(participant) = participant {
            let only = Some(BTreeSet::from([participant.clone()]));
            self.carry_out(Request::Listen { only, except: BTreeSet::new() }).await?;
            let (participant, participants) = (Some(participant), Vec::new());
            self.carry_out(Request::Watch { participant, participants }).await?;
        }
        self.negotiate(offer).await
    }

    /// Until it is over.
    async fn run(&mut self, mut asks: mpsc::Receiver<Ask>) {
        while !self.is_over {
            let ends_at = self.stopped_at.map(|at| at + self.resume);
            let look_at = self.following.as_ref().and_then(Following::look_at);
            tokio::select! {
                message = self.messages.recv() => self.told(message).await,
                Some(ask) = asks.recv() => match ask {
                    Ask::Patch { precondition, fragment, reply } => {
                        let _ = reply.send(self.patch(precondition, &fragment).await);
                    }
                    Ask::End { ended } => {
                        self.request(Request::Leave).await;
                        self.is_over = true;
                        let _ = ended.send(());
                    }
                    Ask::Follow { wanted, reply } => {
                        let _ = reply.send(self.follow(wanted).await);
                    }
                    Ask::Stream { secret, reply } => {
                        let following = self.following.as_mut().ok_or_else(Problem::gone);
                        let _ = reply.send(following.and_then(|it| it.stream(&secret)));
                        self.follow_layers().await;
                    }
                    Ask::Choose { choice, reply } => {
                        let _ = reply.send(self.choose(&choice).await);
                    }
                },
                () = sleep_until(look_at) => self.look().await,
                () = sleep_until(ends_at) => {
                    debug!(session = %self.attached.session, "no media for too long");
                    break;
                }
            }
        }
    }

    /// Leaves the room, if it is in there still, and gives up its URL.
    async fn leave(self, listed: Listed) {
        drop(listed);
        if !self.is_over {
            self.request(Request::Leave).await;
        }
    }

    /// The room says something. Returns what it was, if it is an answer to a request.
    fn heard(&mut self, message: &Outgoing) -> Option<ServerMessage> {
        let text = match message {
            Outgoing::Media(flows) => {
                if *flows {
                    self.stopped_at = None;
                } else {
                    self.stopped_at.get_or_insert_with(Instant::now);
                }
                if let Some(attempt) = self.attempt.take_if(|_| *flows) {
                    attempt.succeed();
                }
                return None;
            }
            Outgoing::Close(_) => {
                self.is_over = true;
                return None;
            }
            Outgoing::Layers(slots) => {
                if let Some(following) = &mut self.following {
                    following.layers_changed(self.video.event(slots));
                }
                return None;
            }
            Outgoing::Text(text) => text.as_str(),
        };
        let kind = kind_of(text);
        if is_about_others(kind)
            && let Some(following) = &mut self.following
        {
            following.look_soon(Instant::now());
        }
        if !is_for_oneself(kind) {
            return None;
        }
        match serde_json::from_str(text) {
            Ok(ServerMessage::Joined(welcome) | ServerMessage::Resumed(welcome)) => {
                self.resumption = Some((welcome.session.id, welcome.session.secret));
                None
            }
            Ok(ServerMessage::Left { .. }) => {
                self.is_over = true;
                None
            }
            Ok(message) => Some(message),
            Err(error) => {
                debug!(%error, "a message of our own that can't be read");
                None
            }
        }
    }

    async fn told(&mut self, message: Option<Arc<Outgoing>>) {
        let Some(message) = message else {
            return self.come_back().await;
        };
        if let Some(ServerMessage::Error(error)) = self.heard(&message) {
            debug!(session = %self.attached.session, %error.message, "of a session over HTTP");
        }
        if matches!(*message, Outgoing::Layers(_)) && !self.tells_layers() {
            let (from, follows) = (self.attached, false);
            self.control.send(ControlInput::FollowLayers { from, follows }).await;
        }
    }

    /// The room has given up telling it what happens, since it was too slow: it goes on from what holds now.
    async fn come_back(&mut self) {
        let (socket, messages) = mpsc::channel(MESSAGES_MAX);
        if let Some((session, secret)) = self.resumption.take() {
            let resume = |reply| ControlInput::Resume { session, secret, request: None, socket, reply };
            if let Some(Ok(attached)) = self.control.ask(resume).await {
                (self.messages, self.attached) = (messages, attached);
                if let Some(following) = &mut self.following {
                    following.look_soon(Instant::now());
                }
                self.follow_layers().await;
                return;
            }
        }
        self.is_over = true;
    }

    async fn request(&self, request: Request) {
        let message = ClientMessage { id: Some(self.request_next), request };
        self.control.send(ControlInput::Request { from: self.attached, message }).await;
    }

    /// Sends a request, and waits for what is answered.
    async fn carry_out(&mut self, request: Request) -> Result<ServerMessage, Problem> {
        timeout(ANSWER_WITHIN, self.try_carry_out(request)).await.unwrap_or_else(|_| {
            Err(Problem::unavailable(ErrorCode::Overloaded, "the room did not answer in time"))
        })
    }

    async fn try_carry_out(&mut self, request: Request) -> Result<ServerMessage, Problem> {
        self.request_next += 1;
        let own = self.request_next;
        self.request(request).await;
        while !self.is_over {
            let Some(message) = self.messages.recv().await else {
                // The answer may have been among what was said to nobody.
                self.come_back().await;
                return Err(Problem::unavailable(ErrorCode::Overloaded, "too much happened in the room"));
            };
            match self.heard(&message) {
                Some(ServerMessage::Error(error)) if error.re == Some(own) => return Err(error.into()),
                Some(reply) if answers(&reply, own) => return Ok(reply),
                _ => {}
            }
        }
        Err(Problem::gone())
    }

    /// Has an offer answered.
    async fn negotiate(&mut self, offer: &Offer) -> Result<String, Problem> {
        match self.carry_out(Request::Offer { sdp: offer.sdp().to_owned(), fresh: false }).await? {
            ServerMessage::Answer { sdp, video, .. } => {
                self.video.seat(offer.sdp(), &video);
                Ok(offer.answer(&sdp))
            }
            _ => Err(internal().into()),
        }
    }

    /// The player is told from now on how its broadcast stands, by a new stream.
    async fn follow(&mut self, wanted: WantedEvents) -> Result<String, Problem> {
        let broadcast = self.broadcast().await.ok_or_else(Problem::gone)?;
        let following = Following::new(Instant::now(), wanted, broadcast);
        Ok(self.following.insert(following).secret().to_owned())
    }

    fn tells_layers(&self) -> bool {
        self.following.as_ref().is_some_and(Following::tells_layers)
    }

    /// Has the media plane tell which layers there are, from the beginning, if somebody wants to know.
    async fn follow_layers(&self) {
        if self.tells_layers() {
            let (from, follows) = (self.attached, true);
            self.control.send(ControlInput::FollowLayers { from, follows }).await;
        }
    }

    /// How much of a picture the player gets at most, from now on.
    async fn choose(&mut self, choice: &LayerChoice) -> Result<(), Problem> {
        if !self.choices.take(Instant::now()) {
            return Err(Problem::too_many("choices of layers: five a second"));
        }
        self.video.choose(choice)?;
        let (from, limits) = (self.attached, self.video.limits());
        self.control.send(ControlInput::LimitLayers { from, limits }).await;
        Ok(())
    }

    /// Looks how the broadcast stands.
    async fn look(&mut self) {
        let broadcast = self.broadcast().await;
        if let Some((following, broadcast)) = self.following.as_mut().zip(broadcast) {
            following.looked(Instant::now(), broadcast);
        }
    }

    async fn broadcast(&self) -> Option<Broadcast> {
        let (room, participant) = (self.room.clone(), self.participant.clone());
        self.control.ask(|reply| ControlInput::Broadcast { room, participant, reply }).await
    }

    /// More of ICE came: candidates of the ICE session that there is, or credentials of a new one.
    async fn patch(&mut self, precondition: Precondition, fragment: &Fragment) -> Result<Patched, Problem> {
        let is_current = fragment.ufrag.as_deref().is_none_or(|ufrag| ufrag == self.offer.ufrag());
        match precondition {
            // medooze's player never stores the entity-tag: the user fragment says as well what is meant.
            Precondition::None if fragment.ufrag.is_some() && is_current => Ok(Patched::Trickled),
            Precondition::None => Err(Problem::new(
                axum::http::StatusCode::PRECONDITION_REQUIRED,
                ErrorCode::BadMessage,
                "If-Match is missing: the ETag of the ICE session, or * for a new one",
            )),
            Precondition::Tags(tags) if !tags.contains(&self.etag) => Err(Problem::new(
                axum::http::StatusCode::PRECONDITION_FAILED,
                ErrorCode::BadMessage,
                "If-Match names another ICE session",
            )),
            Precondition::Tags(_) if is_current => Ok(Patched::Trickled),
            Precondition::Tags(_) => Err(Problem::unprocessable(
                "the user fragment is of another ICE session: restart ICE with If-Match: *",
            )),
            Precondition::Any => self.restart(fragment).await,
        }
    }

    async fn restart(&mut self, fragment: &Fragment) -> Result<Patched, Problem> {
        let (Some(ufrag), Some(pwd)) = (&fragment.ufrag, &fragment.pwd) else {
            return Err(Problem::unprocessable("a restart of ICE takes a new user fragment and password"));
        };
        if ufrag == self.offer.ufrag() {
            return Err(Problem::unprocessable(
                "a restart of ICE takes a new user fragment (RFC 8839, section 4.4.1.1.1)",
            ));
        }
        if !self.restarts.take(Instant::now()) {
            return Err(Problem::too_many("restarts of ICE: one a second"));
        }
        let offer = self.offer.restarted(ufrag, pwd);
        let answer = self.negotiate(&offer).await?;
        // str0m waits for the first check of a new ICE session for ever.
        let connecting = Instant::now() + CONNECT_WITHIN.saturating_sub(self.resume);
        self.stopped_at.get_or_insert(connecting);
        self.offer = offer;
        self.etag = new_etag();
        Ok(Patched::Restarted { etag: self.etag.clone(), fragment: fragment::of_answer(&answer) })
    }
}

/// As whom they come in. A publisher is who the token says. One token may serve many players, none of which is heard: each
/// is a listener of its own, whose id begins with that of the token.
fn as_joined(kind: Kind, claims: Claims) -> Claims {
    let claims = Claims { first_moderates: false, ..claims };
    if kind == Kind::Whip {
        return claims;
    }
    let suffix = format!("~{:08x}", rand::random::<u32>());
    let prefix: String = claims.identity.chars().take(NAME_CHARS_MAX - suffix.len()).collect();
    let name = claims.name.or(Some(claims.identity));
    Claims { identity: prefix + &suffix, name, role: Role::Listener, may_send_data: false, ..claims }
}

fn answers(reply: &ServerMessage, request: u32) -> bool {
    match reply {
        ServerMessage::Answer { re, .. } => *re == Some(request),
        ServerMessage::Ok { re } => *re == request,
        _ => false,
    }
}

/// The type of a message, which comes first in ours.
fn kind_of(text: &str) -> &str {
    text.strip_prefix("{\"type\":\"").and_then(|rest| rest.split('"').next()).unwrap_or_default()
}

/// Whether a message is for a session over HTTP. Most are of other participants, and not worth reading.
fn is_for_oneself(kind: &str) -> bool {
    matches!(kind, "joined" | "resumed" | "answer" | "ok" | "error" | "left")
}

/// Whether others may have begun or ceased to publish, come or gone.
fn is_about_others(kind: &str) -> bool {
    matches!(
        kind,
        "track_published" | "track_unpublished" | "participant_joined" | "participant_left" | "attendance"
    )
}

fn internal() -> ProtocolError {
    crate::control::protocol_error(
        None,
        ErrorCode::Internal,
        "an offer was acknowledged, not answered",
        false,
    )
}

/// A strong entity-tag (RFC 9110, section 8.8.3).
fn new_etag() -> String {
    format!("\"{:016x}\"", rand::random::<u64>())
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
