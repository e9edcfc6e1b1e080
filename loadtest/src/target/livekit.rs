//! LiveKit: a WebSocket with Protocol Buffers, and a peer connection for each direction. Everybody hears every track.
//!
//! The server offers the connection that one *subscribes* on, and offers it again when a track is added; the client
//! offers the one that it *publishes* on. Candidates come apart from the descriptions.
//!
//! ```text
//! client                                           server
//!   │ WebSocket /rtc?access_token=… ───────────────► │
//!   │ ◄─────────────────────────────────────── join  │
//!   │ ◄────────────────────── offer, trickle (subs.) │
//!   │ answer (subs.) ──────────────────────────────► │
//!   │ add_track ───────────────────────────────────► │   if it speaks
//!   │ ◄──────────────────────────── track_published  │
//!   │ offer (publ.) ───────────────────────────────► │
//!   │ ◄───────────────────── answer, trickle (publ.) │
//! ```

mod messages;

use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use prost::Message as _;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

use self::messages::{
    AddTrack, Leave, Ping, Request, Response, SessionDescription, SignalRequest, SignalResponse,
    SignalTarget, Trickle,
};
use super::websocket::{self, WebSocket};
use super::{JoinRequest, Joined, Leg};
use crate::{Driver, Peer, PeerKey, PeerOptions};

/// The API key of `livekit-server --dev`, which `--secret` is the secret of.
const KEY: &str = "devkey";
const SECRET_DEFAULT: &str = "secret";

/// The last version in which a participant has two connections without asking for them.
const PROTOCOL: u32 = 15;

/// How long a token is valid.
const TTL: Duration = Duration::from_secs(3600);

/// The WebSocket of somebody who is in a room.
pub struct Link {
    socket: WebSocket,
    ping_every: Duration,
}

pub(super) async fn join(request: &JoinRequest, driver: &Driver) -> anyhow::Result<Joined> {
    let token = Claims::new(request).sign(request.secret.as_deref().unwrap_or(SECRET_DEFAULT))?;
    let started = Instant::now();
    let url = format!(
        "ws://{}/rtc?access_token={token}&auto_subscribe=1&protocol={PROTOCOL}&sdk=rust",
        request.server.address()
    );
    let socket = websocket::connect(&request.server, url).await?;
    let mut link = Link { socket, ping_every: Duration::MAX };
    let Response::Join(welcome) = link.next().await? else { bail!("LiveKit's first message isn't a join") };
    ensure!(welcome.subscriber_primary, "LiveKit offers no connection to subscribe on");
    link.ping_every = Duration::from_secs(welcome.ping_interval.max(1).unsigned_abs().into());

    let mut subscriber = Connection::new(driver, false)?;
    let mut publisher = request.speaks.then(|| Connection::new(driver, true)).transpose()?;
    let mut offer = None;
    if let Some(connection) = &mut publisher {
        let sdp = connection.leg.peer.offer(0);
        let track = track_id(&sdp).context("an offer names its track")?;
        link.send(Request::AddTrack(AddTrack::microphone(track))).await?;
        offer = Some(sdp);
    }
    while !(subscriber.is_ready() && publisher.as_ref().is_none_or(Connection::is_ready)) {
        match (link.next().await?, &mut publisher) {
            (Response::Offer(offer), _) => {
                let answer = subscriber.leg.peer.answer(&offer.sdp)?;
                link.answer(offer.id, answer).await?;
                subscriber.is_described = true;
            }
            (Response::TrackPublished(_), _) => {
                let offer = offer.take().context("LiveKit publishes a track that nobody asked for")?;
                link.send(Request::Offer(SessionDescription::offer(offer))).await?;
            }
            (Response::Answer(answer), Some(publisher)) => {
                publisher.leg.peer.accept_answer(&answer.sdp)?;
                publisher.is_described = true;
            }
            (Response::Trickle(trickle), publisher) => match (trickle.target(), publisher) {
                (SignalTarget::Subscriber, _) => subscriber.add_candidate(&trickle)?,
                (SignalTarget::Publisher, Some(publisher)) => publisher.add_candidate(&trickle)?,
                (SignalTarget::Publisher, None) => {}
            },
            (Response::Leave(leave), _) => bail!("LiveKit ends the session, reason {}", leave.reason),
            (Response::Join(_) | Response::Answer(_), _) => bail!("LiveKit sends what nobody asked for"),
        }
    }
    let legs = [Some(subscriber), publisher].into_iter().flatten().map(|connection| connection.leg).collect();
    Ok(Joined { started, legs, link: super::Link::LiveKit(link) })
}

impl Link {
    /// Pings, and has the first leg's peer answer the server's offers.
    pub(super) async fn attend(
        mut self,
        driver: &Driver,
        legs: &[PeerKey],
        mut leaving: watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let subscriber = *legs.first().context("everybody subscribes")?;
        let mut ping = tokio::time::interval(self.ping_every);
        loop {
            tokio::select! {
                response = self.next() => match response? {
                    Response::Offer(offer) => {
                        let answer = driver.with_peer(subscriber, move |peer| peer.answer(&offer.sdp)).await?;
                        self.answer(offer.id, answer).await?;
                    }
                    Response::Leave(leave) => bail!("LiveKit ends the session, reason {}", leave.reason),
                    // Both connections have a candidate of the server's, and need no second one.
                    _ => {}
                },
                _ = ping.tick() => {
                    let timestamp = since_epoch().as_millis() as i64;
                    self.send(Request::Ping(Ping { timestamp, rtt: 0 })).await?;
                }
                () = super::told_to_leave(&mut leaving) => {
                    self.send(Request::Leave(Leave::by_client())).await?;
                    return Ok(self.socket.close(None).await?);
                }
            }
        }
    }

    async fn answer(&mut self, id: u32, sdp: String) -> anyhow::Result<()> {
        self.send(Request::Answer(SessionDescription::answer(id, sdp))).await
    }

    async fn send(&mut self, request: Request) -> anyhow::Result<()> {
        let request = SignalRequest { message: Some(request) };
        Ok(self.socket.send(Message::binary(request.encode_to_vec())).await?)
    }

    /// The next message that a tester has a use for. Safe to drop before it is done.
    async fn next(&mut self) -> anyhow::Result<Response> {
        loop {
            match self.socket.next().await.context("LiveKit closed the WebSocket")?? {
                Message::Binary(bytes) => {
                    let response = SignalResponse::decode(bytes).context("not a message of LiveKit's")?;
                    if let Some(message) = response.message {
                        return Ok(message);
                    }
                }
                Message::Close(frame) => bail!("LiveKit closed the WebSocket: {frame:?}"),
                _ => {}
            }
        }
    }
}

/// One of the two peer connections while it is negotiated.
struct Connection {
    leg: Leg,
    is_described: bool,
    is_reachable: bool,
}

impl Connection {
    fn new(driver: &Driver, publishes: bool) -> anyhow::Result<Connection> {
        let place = driver.place()?;
        let options = PeerOptions { data_channels: false, ..PeerOptions::default() };
        let peer = Peer::new(Instant::now(), place.address(), options)?;
        Ok(Connection { leg: Leg { peer, place, publishes }, is_described: false, is_reachable: false })
    }

    /// Whether both sides know all that they need to connect.
    fn is_ready(&self) -> bool {
        self.is_described && self.is_reachable
    }

    fn add_candidate(&mut self, trickle: &Trickle) -> anyhow::Result<()> {
        if let Some(candidate) = usable_candidate(&trickle.candidate_init, self.leg.place.address().ip())? {
            self.leg.peer.add_candidate(&candidate)?;
            self.is_reachable = true;
        }
        Ok(())
    }
}

/// What an access token says.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    exp: u64,
    video: Grant<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Grant<'a> {
    room: &'a str,
    room_join: bool,
    can_publish: bool,
    can_subscribe: bool,
}

impl<'a> Claims<'a> {
    fn new(request: &'a JoinRequest) -> Self {
        let video =
            Grant { room: &request.room, room_join: true, can_publish: request.speaks, can_subscribe: true };
        Claims { iss: KEY, sub: &request.name, exp: (since_epoch() + TTL).as_secs(), video }
    }

    fn sign(&self, secret: &str) -> anyhow::Result<String> {
        let key = EncodingKey::from_secret(secret.as_bytes());
        Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), self, &key)?)
    }
}

/// An `RTCIceCandidateInit`.
#[derive(Deserialize)]
struct CandidateInit {
    candidate: String,
}

/// The candidate, if a client at `local` reaches it: no datagram is sent anywhere but to loopback.
fn usable_candidate(init: &str, local: IpAddr) -> anyhow::Result<Option<String>> {
    let CandidateInit { candidate } = serde_json::from_str(init).context("not a candidate of LiveKit's")?;
    // RFC 8839, section 5.1: candidate:FOUNDATION COMPONENT TRANSPORT PRIORITY ADDRESS PORT ...
    let words: Vec<_> = candidate.split_ascii_whitespace().collect();
    let is_udp = words.get(2).is_some_and(|transport| transport.eq_ignore_ascii_case("udp"));
    let address = words.get(4).and_then(|address| address.parse::<IpAddr>().ok());
    let is_reached =
        address.is_some_and(|address| address.is_loopback() && address.is_ipv4() == local.is_ipv4());
    Ok((is_udp && is_reached).then_some(candidate))
}

/// What the first track of a description is called in its `a=msid:STREAM TRACK` (RFC 8830).
fn track_id(sdp: &str) -> Option<&str> {
    sdp.lines().find_map(|line| line.strip_prefix("a=msid:")?.split_ascii_whitespace().nth(1))
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn only_candidates_that_are_reached_are_used() {
        let usable = |rest: &str| {
            let init = format!(r#"{{"candidate":"candidate:1 1 {rest} typ host","sdpMid":"0"}}"#);
            usable_candidate(&init, Ipv4Addr::LOCALHOST.into()).unwrap()
        };
        let candidate = "candidate:1 1 udp 2130706431 127.0.0.1 7882 typ host";
        assert_eq!(usable("udp 2130706431 127.0.0.1 7882").as_deref(), Some(candidate));
        assert_eq!(usable("tcp 1671430143 127.0.0.1 7881"), None);
        assert_eq!(usable("udp 2130706431 192.0.2.1 7882"), None);
        assert_eq!(usable("udp 2130706431 ::1 7882"), None);
        assert_eq!(usable("udp 2130706431 x.local 7882"), None);
        // The end of the candidates.
        assert_eq!(usable_candidate(r#"{"candidate":""}"#, Ipv4Addr::LOCALHOST.into()).unwrap(), None);
        assert!(usable_candidate("candidate:1", Ipv4Addr::LOCALHOST.into()).is_err());
    }

    #[test]
    fn the_track_of_an_offer_has_the_name_that_it_is_announced_by() {
        let address = "127.0.0.1:9".parse().unwrap();
        let mut peer = Peer::new(Instant::now(), address, PeerOptions::default()).unwrap();
        let sdp = peer.offer(0);
        let track = track_id(&sdp).unwrap();
        assert!(sdp.contains(&format!(" {track}\r\n")), "{sdp}");
        assert_eq!(track_id("v=0\r\na=msid:-\r\n"), None);
    }

    #[test]
    fn a_listeners_token_does_not_let_them_publish() {
        let server = "http://127.0.0.1:7880".parse().unwrap();
        let (room, name) = ("lounge".to_owned(), "ada".to_owned());
        let request =
            JoinRequest { server, secret: None, room, name, speaks: false, video: None, is_standard: false };
        let claims = serde_json::to_value(Claims::new(&request)).unwrap();
        assert_eq!(claims["sub"], "ada");
        let grant = serde_json::json!({
            "room": "lounge", "roomJoin": true, "canPublish": false, "canSubscribe": true,
        });
        assert_eq!(claims["video"], grant);
    }
}
