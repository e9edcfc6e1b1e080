//! What the workers report: answers to offers, audio that begins and ends, who is heard, data.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use selector::SourceId;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tercet_core::{EndpointId, RoomId, SessionId};
use tercet_protocol::{
    AudioOrigin, DATA_BYTES_MAX, ErrorCode, MediaOrigin, ServerMessage, SlotMid, TrackOrigin,
};
use tracing::debug;

use super::Control;
use super::live_room::wire_track;
use super::session::{Outgoing, protocol_error, text};
use super::slot_texts::SlotTexts;
use crate::cluster::RoomMessage;
use crate::media::{Answer, OfferError, Selection, WorkerCommand, WorkerEvent, WorkerId};

/// [`tercet_protocol::DataFrameIn`] as the server reads it: what is passed on stays as it was written.
#[derive(Deserialize)]
struct ForwardedIn<'a> {
    to: Option<Vec<String>>,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// [`tercet_protocol::DataFrameOut`] as the server writes it.
#[derive(Serialize)]
struct ForwardedOut<'a> {
    from: &'a str,
    data: &'a RawValue,
}

impl Control {
    /// A worker reports. What it says of sessions that have ended meanwhile is of no interest.
    pub(crate) fn worker_event(&mut self, now: Instant, event: WorkerEvent) {
        match event {
            WorkerEvent::OfferAnswered { endpoint, request, result } => {
                if let Some(&session) = self.by_endpoint.get(&endpoint) {
                    self.answered(now, session, request, result);
                }
            }
            WorkerEvent::Connected { endpoint } => {
                debug!(%endpoint, "media connected");
                self.media_flows(now, endpoint, true);
            }
            WorkerEvent::Disconnected { endpoint } => {
                debug!(%endpoint, "media disconnected");
                self.media_flows(now, endpoint, false);
            }
            WorkerEvent::PublishingStarted { endpoint, origin } => {
                // An encoder that checks its connection no more sends all the same.
                self.media_flows(now, endpoint, true);
                self.publishing(now, endpoint, origin, true)
            }
            WorkerEvent::PublishingEnded { endpoint, origin } => {
                self.publishing(now, endpoint, origin, false)
            }
            WorkerEvent::LevelMissing { endpoint, origin } => {
                if let Some(&session) = self.by_endpoint.get(&endpoint) {
                    let unheard = match origin {
                        AudioOrigin::Microphone => "nobody hears you: your packets have",
                        AudioOrigin::Screen => "nobody hears what you share: its packets have",
                    };
                    let message = format!(
                        "{unheard} no audio level (RFC 6464); offer the header extension \
                         urn:ietf:params:rtp-hdrext:ssrc-audio-level"
                    );
                    let error = protocol_error(None, ErrorCode::NoAudioLevel, message, false);
                    self.send(now, session, &ServerMessage::Error(error));
                }
            }
            WorkerEvent::VideoWanted { endpoint, origin, layers } => {
                if let Some(&session) = self.by_endpoint.get(&endpoint) {
                    self.send(now, session, &ServerMessage::VideoWanted { origin, layers });
                }
            }
            WorkerEvent::LayersChanged { endpoint, slots } => {
                let session = self.by_endpoint.get(&endpoint).and_then(|id| self.sessions.get_mut(id));
                if let Some(session) = session.filter(|session| session.transport.is_over_http()) {
                    session.send(now, Outgoing::Layers(slots));
                }
            }
            WorkerEvent::DataReceived { endpoint, reliable, frame } => {
                if let Some(&session) = self.by_endpoint.get(&endpoint)
                    && let Err((code, message)) = self.data(session, reliable, &frame)
                {
                    self.data_refused(now, session, code, message);
                }
            }
            WorkerEvent::DataRefused { endpoint, too_large } => {
                if let Some(&session) = self.by_endpoint.get(&endpoint) {
                    let (code, message) = if too_large {
                        (ErrorCode::BadMessage, format!("a data frame holds at most {DATA_BYTES_MAX} bytes"))
                    } else {
                        (ErrorCode::RateLimited, "too many data frames: 50 a second are forwarded".to_owned())
                    };
                    self.data_refused(now, session, code, message);
                }
            }
            WorkerEvent::Strained { worker, is_strained } => {
                if is_strained {
                    self.strained.insert(worker);
                } else {
                    self.strained.remove(&worker);
                }
                self.at_limit.store(self.strained.len() == self.load.len(), Ordering::Relaxed);
            }
            WorkerEvent::Selected(selection) => self.selected(now, selection),
            WorkerEvent::ScreenChanged { worker, room, source } => {
                self.screen_changed(now, worker, &room, source)
            }
        }
    }

    fn media_flows(&mut self, now: Instant, endpoint: EndpointId, flows: bool) {
        let session = self.by_endpoint.get(&endpoint).and_then(|id| self.sessions.get_mut(id));
        if let Some(session) = session.filter(|session| session.transport.is_over_http()) {
            session.media_flows = flows;
            session.send(now, Outgoing::Media(flows));
        }
    }

    fn answered(&mut self, now: Instant, id: SessionId, re: Option<u32>, result: Result<Answer, OfferError>) {
        let answer = match result {
            Ok(answer) => answer,
            Err(error) => {
                let code = match error {
                    OfferError::BadSdp(_) => ErrorCode::BadSdp,
                    OfferError::UnsupportedCodec => ErrorCode::UnsupportedCodec,
                    OfferError::NoConnection => ErrorCode::NoConnection,
                    OfferError::Internal => ErrorCode::Internal,
                };
                return self.acknowledge(now, id, re, Err((code, error.to_string())));
            }
        };
        let slots = slot_mids(&answer.slot_mids);
        let (sdp, screen, video) = (answer.sdp, answer.screen_mid, answer.video_mids.clone());
        self.send(now, id, &ServerMessage::Answer { re, sdp, slots, screen, video });
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if session.slot_mids != answer.slot_mids {
            session.slot_mids = answer.slot_mids;
            // Told without mids before: they are told again.
            session.slots_told.clear();
        }
        if let Some(live) = self.rooms.get(&session.room) {
            let slots = live.slots_of(session);
            let message = ServerMessage::Slots { slots: live.wire_slots(&slots, &session.slot_mids) };
            session.slots_told = slots;
            session.send(now, Outgoing::Text(text(&message)));
        }
        self.has_video_slots(now, id, answer.video_mids);
    }

    fn publishing(&mut self, now: Instant, endpoint: EndpointId, origin: TrackOrigin, publishing: bool) {
        let session = self.by_endpoint.get(&endpoint).and_then(|id| self.sessions.get(id));
        let Some((room, participant)) = session.map(|s| (s.room.clone(), s.participant.clone())) else {
            return;
        };
        let time_ms = self.own_node.as_ref().map_or(0, |own| own.time_ms(now));
        let Some(live) = self.rooms.get_mut(&room) else {
            return;
        };
        if live.room.participant(&participant).is_none_or(|it| it.node.is_some()) {
            // They are on another node by now, which says what they publish.
            return;
        }
        let former = live.former(&participant);
        let changed = live.room.set_publishing(&participant, origin, publishing);
        let changed = changed.map(|track| (track.source, wire_track(origin, track)));
        let Some((former, (source, track))) = former.zip(changed) else {
            return;
        };
        let id = participant.to_string();
        let event = if publishing {
            ServerMessage::TrackPublished { participant: id, track }
        } else {
            ServerMessage::TrackUnpublished { participant: id, track: track.id }
        };
        let is_seen_otherwise = match origin.media() {
            MediaOrigin::Audio(_) => false,
            // Before other nodes are told: since when a screen is shared they are told too.
            MediaOrigin::Video(origin) if publishing => {
                let turn = live.elsewhere.next_turn(time_ms);
                live.cameras.begins(origin, source, turn)
            }
            MediaOrigin::Video(_) => live.cameras.focus.remove(source),
        };
        self.tell_of(now, &room, &participant, former, &event);
        if is_seen_otherwise {
            self.cameras_changed(now, &room);
        }
    }

    fn selected(&mut self, now: Instant, selection: Selection) {
        let (room, worker, at) = (selection.room.clone(), selection.worker, selection.at);
        let Some(live) = self.rooms.get_mut(&room) else {
            return;
        };
        for (endpoint, speakers) in &selection.views {
            let session = self.by_endpoint.get(endpoint).and_then(|id| self.sessions.get_mut(id));
            let session = session.filter(|session| session.wishes.is_some());
            if let Some(session) = session.filter(|session| session.view.as_ref() != Some(speakers)) {
                session.view = Some(speakers.clone());
                live.slots_changed.insert(worker);
            }
        }
        let loudest = live.loudest_camera(&selection);
        let levels = live.select(now, selection);
        if live.cameras.focus.hear(at, loudest) {
            self.cameras_changed(now, &room);
        }
        self.tell_wanted(now, &room);
        self.tell_slots(now, &room, worker);
        if let Some(levels) = levels {
            let bytes = text(&ServerMessage::Speakers { levels });
            self.broadcast_text(now, &room, &bytes, |session| session.worker == worker);
        }
    }

    /// All clients of a worker hear the same screen, but for the sharer, who is told so and hears none.
    fn screen_changed(&mut self, now: Instant, worker: WorkerId, room: &RoomId, source: Option<SourceId>) {
        let Some(live) = self.rooms.get_mut(room) else {
            return;
        };
        live.share(worker, source);
        let bytes = text(&ServerMessage::Screen { participant: live.wire_screen(worker) });
        self.broadcast_text(now, room, &bytes, |session| session.worker == worker);
    }

    /// Tells each client of a worker who is in its slots, if that changed. Those who don't talk hear the same.
    fn tell_slots(&mut self, now: Instant, room: &RoomId, worker: WorkerId) {
        let Some(live) = self.rooms.get_mut(room).filter(|live| live.slots_changed.contains(&worker)) else {
            return;
        };
        live.slots_changed.remove(&worker);
        let mut texts = SlotTexts::default();
        for id in live.sessions.values() {
            let Some(session) = self.sessions.get_mut(id).filter(|session| session.worker == worker) else {
                continue;
            };
            let slots = live.slots_of(session);
            if slots == session.slots_told {
                continue;
            }
            let mids = &session.slot_mids;
            let message = || ServerMessage::Slots { slots: live.wire_slots(&slots, mids) };
            let text = texts.get(&slots, mids, message);
            session.slots_told = slots;
            session.send(now, Outgoing::Text(text));
        }
    }

    fn data(&mut self, from: SessionId, reliable: bool, frame: &[u8]) -> Result<(), (ErrorCode, String)> {
        let Some(session) = self.sessions.get(&from) else {
            return Ok(());
        };
        if !session.may_send_data {
            return Err((ErrorCode::Forbidden, "the token doesn't allow data messages".to_owned()));
        }
        let frame: ForwardedIn<'_> = serde_json::from_slice(frame)
            .map_err(|error| (ErrorCode::BadMessage, format!("not a data frame: {error}")))?;
        let out = ForwardedOut { from: session.participant.as_str(), data: frame.data };
        let bytes = serde_json::to_vec(&out).expect("an object with string keys can be written");
        let room = session.room.clone();
        if let Some(live) = self.rooms.get(&room).filter(|live| !live.elsewhere.nodes.is_empty()) {
            let is_here = |id: &String| live.sessions.contains_key(&id.as_str().into());
            let is_for_others = frame.to.as_ref().is_none_or(|to| !to.iter().all(is_here));
            if is_for_others {
                let (to, frame) = (frame.to.clone(), bytes.clone());
                self.tell_nodes(&room, &RoomMessage::Data { to, reliable, frame });
            }
        }
        self.deliver_data(&room, Some(from), frame.to.as_deref(), reliable, bytes.into());
        Ok(())
    }

    /// Passes a data frame on to those in a room who are on this node, or to those of `to`; not back to whom it is from.
    pub(super) fn deliver_data(
        &mut self,
        room: &RoomId,
        from: Option<SessionId>,
        to: Option<&[String]>,
        reliable: bool,
        frame: Arc<[u8]>,
    ) {
        let Some(live) = self.rooms.get(room) else {
            return;
        };
        let mut by_worker: BTreeMap<WorkerId, BTreeSet<EndpointId>> = BTreeMap::new();
        let mut add = |id: &SessionId| {
            if let Some(to) = self.sessions.get(id).filter(|to| Some(to.id) != from) {
                by_worker.entry(to.worker).or_default().insert(to.endpoint);
            }
        };
        match to {
            None => live.sessions.values().for_each(&mut add),
            Some(to) => to.iter().filter_map(|id| live.sessions.get(&id.as_str().into())).for_each(&mut add),
        }
        for (worker, endpoints) in by_worker {
            let endpoints = endpoints.into_iter().collect();
            self.command(worker, WorkerCommand::SendData { endpoints, reliable, frame: frame.clone() });
        }
    }

    fn data_refused(&mut self, now: Instant, session: SessionId, code: ErrorCode, message: String) {
        let error = protocol_error(None, code, message, false);
        self.send(now, session, &ServerMessage::Error(error));
    }
}

fn slot_mids(mids: &[String]) -> Vec<SlotMid> {
    mids.iter().enumerate().map(|(index, mid)| SlotMid { index: index as u8, mid: mid.clone() }).collect()
}
