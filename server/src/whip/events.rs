//! What a player may be told while it plays: how the broadcast stands in, server-sent events out (the extension of that name in
//! draft-murillo-whep-02). Of what changes faster than it is read, only the latest is told.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::response::sse::Event;
use futures_util::{Stream, stream};
use subtle::ConstantTimeEq;
use tercet_protocol::ErrorCode;
use tokio::sync::{oneshot, watch};

use super::problem::Problem;
use crate::control::Broadcast;

/// Streams of one player at a time, whose connections may be gone without anybody knowing: a further one ends the oldest.
const STREAMS_MAX: usize = 4;

/// The room is looked at no more often than this.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Where events are asked for: a value of `Link`. `session` is the path of the session.
pub(crate) fn events_link(session: &str) -> String {
    format!(
        "<{session}/events>; rel=\"urn:ietf:params:whep:ext:core:server-sent-events\"; \
         events=\"active,inactive,layers,viewercount\""
    )
}

/// Which events a player wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WantedEvents {
    active: bool,
    inactive: bool,
    layers: bool,
    viewer_count: bool,
}

/// What is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Standing {
    broadcast: Broadcast,
    /// The data of the latest event of that name, once there is one.
    layers: Option<Arc<str>>,
}

pub(super) fn malformed(status: StatusCode, message: impl Into<String>) -> Problem {
    Problem::new(status, ErrorCode::BadMessage, message)
}

impl WantedEvents {
    /// Reads an array of their names. Those that this server doesn't have are skipped.
    ///
    /// # Errors
    /// It is no such array, or has none of ours.
    pub(crate) fn read(body: &str) -> Result<WantedEvents, Problem> {
        let names: Vec<String> = serde_json::from_str(body).map_err(|error| {
            malformed(StatusCode::BAD_REQUEST, format!("not an array of names of events: {error}"))
        })?;
        let has = |name| names.iter().any(|it| it == name);
        let (active, inactive, layers) = (has("active"), has("inactive"), has("layers"));
        let wanted = WantedEvents { active, inactive, layers, viewer_count: has("viewercount") };
        if wanted == WantedEvents::default() {
            let message = "there are the events active, inactive, layers and viewercount";
            return Err(malformed(StatusCode::UNPROCESSABLE_ENTITY, message));
        }
        Ok(wanted)
    }

    /// What is to be told, of what stood otherwise before, or of which nothing was told.
    fn events(self, now: &Standing, before: Option<&Standing>) -> VecDeque<Event> {
        let mut events = VecDeque::new();
        let (standing, told) = (now, before);
        let (now, before) = (now.broadcast, before.map(|before| before.broadcast));
        let mut tell = |name: &str, data: String| events.push_back(Event::default().event(name).data(data));
        if before.is_none_or(|before| before.is_live != now.is_live) {
            match now.is_live {
                true if self.active => tell("active", "{}".to_owned()),
                false if self.inactive => tell("inactive", "{}".to_owned()),
                _ => {}
            }
        }
        if let Some(layers) = standing.layers.as_deref().filter(|_| self.layers)
            && told.is_none_or(|told| told.layers != standing.layers)
        {
            tell("layers", layers.to_owned());
        }
        let viewers = now.participant_count;
        if self.viewer_count && before.is_none_or(|before| before.participant_count != viewers) {
            tell("viewercount", serde_json::json!({ "viewercount": viewers }).to_string());
        }
        events
    }
}

/// That a player is told how its broadcast stands, from the side of its session.
pub(super) struct Following {
    /// 128 random bits of the stream's URL: browsers ask for it without a token.
    secret: String,
    wanted: WantedEvents,
    told: watch::Sender<Standing>,
    /// Each ends its stream when it is dropped.
    streams: VecDeque<oneshot::Sender<()>>,
    looked_at: Instant,
    look_at: Option<Instant>,
}

impl Following {
    pub(super) fn new(now: Instant, wanted: WantedEvents, broadcast: Broadcast) -> Following {
        Following {
            secret: format!("{:032x}", rand::random::<u128>()),
            wanted,
            told: watch::Sender::new(Standing { broadcast, layers: None }),
            streams: VecDeque::new(),
            looked_at: now,
            look_at: None,
        }
    }

    pub(super) fn secret(&self) -> &str {
        &self.secret
    }

    /// A stream for whoever knows the secret.
    pub(super) fn stream(&mut self, secret: &str) -> Result<Feed, Problem> {
        if !bool::from(self.secret.as_bytes().ct_eq(secret.as_bytes())) {
            return Err(Problem::gone());
        }
        let (end, ended) = oneshot::channel();
        self.streams.push_back(end);
        if self.streams.len() > STREAMS_MAX {
            self.streams.pop_front();
        }
        Ok(Feed { wanted: self.wanted, standing: self.told.subscribe(), ended })
    }

    /// Whether somebody reads a stream that tells of layers.
    pub(super) fn tells_layers(&self) -> bool {
        self.wanted.layers && self.told.receiver_count() > 0
    }

    /// Which layers there are: the data of an event.
    pub(super) fn layers_changed(&mut self, data: String) {
        self.told.send_modify(|told| told.layers = Some(data.into()));
    }

    /// Something happened in the room: it is to be looked at soon.
    pub(super) fn look_soon(&mut self, now: Instant) {
        let earliest = self.looked_at + LOOK_INTERVAL;
        self.look_at.get_or_insert(earliest.max(now));
    }

    /// When the room is to be looked at.
    pub(super) fn look_at(&self) -> Option<Instant> {
        self.look_at
    }

    /// How it stands.
    pub(super) fn looked(&mut self, now: Instant, broadcast: Broadcast) {
        (self.looked_at, self.look_at) = (now, None);
        self.told.send_if_modified(|told| std::mem::replace(&mut told.broadcast, broadcast) != broadcast);
    }
}

/// The events of one stream. It ends with the session.
#[derive(Debug)]
pub(crate) struct Feed {
    wanted: WantedEvents,
    standing: watch::Receiver<Standing>,
    /// Another has taken its place.
    ended: oneshot::Receiver<()>,
}

impl Feed {
    /// How the broadcast stands, and each change of that.
    pub(crate) fn into_events(mut self) -> impl Stream<Item = Result<Event, Infallible>> {
        let now = self.standing.borrow_and_update().clone();
        let first = self.wanted.events(&now, None);
        stream::unfold((self, now, first), |(mut feed, mut told, mut events)| async move {
            loop {
                if let Some(event) = events.pop_front() {
                    return Some((Ok(event), (feed, told, events)));
                }
                tokio::select! {
                    changed = feed.standing.changed() => changed.ok()?,
                    _ = &mut feed.ended => return None,
                }
                let now = feed.standing.borrow_and_update().clone();
                events = feed.wanted.events(&now, Some(&told));
                told = now;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    fn broadcast(is_live: bool, participant_count: usize) -> Broadcast {
        Broadcast { is_live, participant_count }
    }

    #[tokio::test]
    async fn a_stream_begins_with_how_it_stands_and_tells_changes_until_the_session_ends() {
        let now = Instant::now();
        let wanted = WantedEvents::read(r#"["active", "inactive", "viewercount", "scte35"]"#).unwrap();
        let mut following = Following::new(now, wanted, broadcast(true, 2));
        assert!(following.stream("guessed").is_err());
        let feed = following.stream(&following.secret.clone()).unwrap();
        let mut events = Box::pin(feed.into_events());
        let mut next = async || format!("{:?}", events.next().await);
        assert!(next().await.contains("event: active"));
        assert!(next().await.contains(r#"{\"viewercount\":2}"#));
        // Of what happens meanwhile only the latest is told.
        following.looked(now, broadcast(true, 3));
        following.looked(now, broadcast(false, 4));
        assert!(next().await.contains("event: inactive"));
        assert!(next().await.contains(r#"{\"viewercount\":4}"#));
        drop(following);
        assert_eq!(next().await, "None");
    }

    #[tokio::test]
    async fn streams_are_few_and_a_further_one_ends_the_oldest() {
        let wanted = WantedEvents::read(r#"["active"]"#).unwrap();
        let mut following = Following::new(Instant::now(), wanted, broadcast(true, 1));
        let secret = following.secret().to_owned();
        let mut streams: Vec<_> =
            (0..=STREAMS_MAX).map(|_| Box::pin(following.stream(&secret).unwrap().into_events())).collect();
        for stream in &mut streams {
            assert!(stream.next().await.is_some(), "how it stands");
        }
        assert!(streams[0].next().await.is_none());
        following.looked(Instant::now(), broadcast(false, 1));
        following.looked(Instant::now(), broadcast(true, 1));
        drop(following);
        assert!(streams[1].next().await.is_none(), "the session is over");
    }

    #[tokio::test]
    async fn layers_are_told_to_those_who_asked_for_them() {
        let follow = |names| {
            let wanted = WantedEvents::read(names).unwrap();
            Following::new(Instant::now(), wanted, broadcast(true, 1))
        };
        let mut following = follow(r#"["layers"]"#);
        assert!(!following.tells_layers(), "nobody reads yet");
        let feed = following.stream(&following.secret.clone()).unwrap();
        assert!(following.tells_layers());
        following.layers_changed("{}".to_owned());
        following.layers_changed(r#"{"1":{}}"#.to_owned());
        let mut events = Box::pin(feed.into_events());
        let event = format!("{:?}", events.next().await);
        assert!(event.contains(r#"event: layers\ndata: {\"1\":{}}"#), "the latest: {event}");
        drop(events);
        assert!(!following.tells_layers(), "nobody reads any more");

        let mut other = follow(r#"["viewercount"]"#);
        let mut events = Box::pin(other.stream(&other.secret.clone()).unwrap().into_events());
        assert!(!other.tells_layers());
        other.layers_changed("{}".to_owned());
        assert!(format!("{:?}", events.next().await).contains("event: viewercount"));
        drop(other);
        assert!(events.next().await.is_none());
    }

    #[test]
    fn a_busy_room_is_looked_at_twice_a_second() {
        let start = Instant::now();
        let mut following = Following::new(start, WantedEvents::default(), broadcast(true, 1));
        following.look_soon(start);
        assert_eq!(following.look_at(), Some(start + LOOK_INTERVAL));
        following.looked(start + LOOK_INTERVAL, broadcast(true, 1));
        assert_eq!(following.look_at(), None);
        let later = start + Duration::from_secs(60);
        following.look_soon(later);
        assert_eq!(following.look_at(), Some(later), "in a calm one at once");
    }

    #[test]
    fn names_that_mean_nothing_here_are_refused() {
        for body in ["", "{}", "[]", r#"["scte35"]"#, "[1]"] {
            assert!(WantedEvents::read(body).is_err(), "{body}");
        }
    }
}
