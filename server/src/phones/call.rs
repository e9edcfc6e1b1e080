//! One call, from its first message to its last: a client of the control plane that happens to be a phone.
//!
//! Events of signalling, of its media, of the room and of the voice menu come in; commands to all of them go out. What a caller
//! hears and keys is the menu's ([`Menu`]), and no state of it is here.

use std::sync::Arc;
use std::time::Instant;

use tercet_core::RoomId;
use tercet_protocol::{
    ClientMessage, ErrorCode, LeaveReason, Request, Role, ServerMessage, TrackOrigin, Transport,
};
use tercet_sip_gateway::menu::{Menu, MenuConfig, MenuEnd, MenuOutput, Refused};
use tercet_sip_gateway::prompts::Language;
use tercet_sip_gateway::sdp::{Direction, Session};
use tercet_sip_gateway::signalling::{CallId, EndReason, Event, HangUp, Incoming, Rejection};
use tokio::sync::mpsc;
use tracing::{debug, info};

use super::dialling::{DialState, Dialled};
use super::gateway::Shared;
use super::routes::{Destination, destination, shown_name};
use super::{LineCommand, LineEvent, PortPair};
use crate::access::Claims;
use crate::control::{Attached, ControlInput, Outgoing, RETRY_AFTER};

/// What a phone's session has yet to look at: as many messages as a browser's.
const MESSAGES_MAX: usize = 64;

/// Keys and other news of a line: more than a thumb makes in a second.
const LINE_EVENTS_MAX: usize = 32;

/// One call.
pub(super) struct Call {
    shared: Arc<Shared>,
    id: CallId,
    events: mpsc::Receiver<Event>,
}

/// How a call ended, for its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    reason: &'static str,
    status: Option<u16>,
}

impl Call {
    pub(super) fn new(shared: Arc<Shared>, id: CallId, events: mpsc::Receiver<Event>) -> Call {
        Call { shared, id, events }
    }

    /// Serves a call in.
    pub(super) async fn serve(mut self, incoming: Incoming) {
        let began = Instant::now();
        let name = shown_name(
            self.shared.config.sip.caller_id,
            incoming.from.display.as_deref(),
            &incoming.from.user,
        );
        let (room, end) = match self.take(&incoming, name).await {
            Ok(mut live) => {
                let end = live.run(&mut self.events).await;
                live.leave().await;
                (live.destination.room, end)
            }
            Err((room, rejection)) => {
                let status = Some(rejection.status);
                // A gateway that is too busy to refuse lets the call time out.
                let _ = self.shared.sip.reject(self.id, rejection);
                (room.unwrap_or_default(), End { reason: "rejected", status })
            }
        };
        let took = began.elapsed();
        metrics::counter!("tercet_calls_ended_total", "direction" => "in", "reason" => end.reason)
            .increment(1);
        metrics::counter!("tercet_call_seconds_total").increment(took.as_secs());
        info!(
            call = %self.id, %room, peer = ?incoming.peer, source = %incoming.source, reason = end.reason,
            status = end.status, seconds = took.as_secs(), sip_call_id = incoming.sip_call_id, "call ended"
        );
    }

    /// Serves a call out, which has been dialled: once it is answered, whoever it is joins the room.
    pub(super) async fn serve_out(mut self, dialled: Dialled, media: (PortPair, Session)) {
        let began = Instant::now();
        let room = dialled.destination.room.clone();
        let report = dialled.report.clone();
        let end = match self.wait_for_answer(dialled, media).await {
            Ok(mut live) => {
                report.set(DialState::Talking, Some(live.identity.clone()));
                let end = live.run(&mut self.events).await;
                live.leave().await;
                end
            }
            Err(end) => end,
        };
        report.set(DialState::Ended { reason: end.reason, status: end.status }, None);
        let took = began.elapsed();
        metrics::counter!("tercet_calls_ended_total", "direction" => "out", "reason" => end.reason)
            .increment(1);
        metrics::counter!("tercet_call_seconds_total").increment(took.as_secs());
        info!(
            call = %self.id, %room, reason = end.reason, status = end.status, seconds = took.as_secs(),
            "call out ended"
        );
    }

    async fn wait_for_answer(&mut self, dialled: Dialled, media: (PortPair, Session)) -> Result<Live, End> {
        let (ports, session) = media;
        let (line_sender, line_events) = mpsc::channel(LINE_EVENTS_MAX);
        let Dialled { destination, name, report } = dialled;
        let mut live = Live::new(self.shared.clone(), self.id, destination, name, session, line_events, true);
        live.line(|call| LineCommand::Open { call, ports, events: line_sender }).await;
        let end = loop {
            match self.events.recv().await {
                Some(Event::Progress { sdp, .. }) => {
                    report.set(DialState::Ringing, None);
                    if let Some(agreed) = sdp.and_then(|answer| live.session.accept(&answer).ok()) {
                        live.agree(agreed).await;
                    }
                }
                Some(Event::Answered { sdp, .. }) => {
                    let accepted = sdp.map(|answer| live.session.accept(&answer)).transpose();
                    match accepted {
                        Ok(agreed) => {
                            if let Some(agreed) = agreed {
                                live.agree(agreed).await;
                            }
                            live.begin().await;
                            return Ok(live);
                        }
                        Err(error) => {
                            let _ = self.shared.sip.hang_up(self.id, HangUp::Normal);
                            break End { reason: "no_media", status: Some(error.status()) };
                        }
                    }
                }
                Some(Event::Ended { reason, status, .. }) => break End { reason: word_for(reason), status },
                Some(_) => {}
                None => break End { reason: "overloaded", status: None },
            }
        };
        live.leave().await;
        Err(end)
    }

    /// Looks whether the call can be taken, and takes it.
    async fn take(&mut self, incoming: &Incoming, name: String) -> Result<Live, (Option<String>, Rejection)> {
        let shared = &self.shared;
        let busy = || Rejection { status: 503, retry_after_s: Some(RETRY_AFTER.as_secs() as u32) };
        if shared.is_draining() || shared.lines.is_strained() {
            return Err((None, busy()));
        }
        let destination = destination(&shared.config.sip, incoming).ok_or((None, Rejection::with(404)))?;
        let room = Some(destination.room.clone());
        let refused = |rejection| (room.clone(), rejection);
        let _ = shared.sip.ring(self.id);
        let (ports, mut session) = shared.media().map_err(|error| {
            debug!(%error, "no ports for a call");
            refused(busy())
        })?;
        let (answer, agreed) = match &incoming.offer {
            Some(offer) => {
                let answered =
                    session.answer(offer).map_err(|error| refused(Rejection::with(error.status())))?;
                (answered.0, Some(answered.1))
            }
            None => (session.offer(Direction::SendRecv), None),
        };
        let (line_sender, line_events) = mpsc::channel(LINE_EVENTS_MAX);
        let has_pin = destination.pin.is_some() || destination.moderator_pin.is_some();
        let announces = has_pin || destination.waits_for_moderator;
        let mut live = Live::new(shared.clone(), self.id, destination, name, session, line_events, announces);
        if !has_pin {
            // Who can't be let in is told so by the status of the call, not after it was answered.
            let role = live.destination.role;
            live.join(role).await.map_err(|code| refused(rejection_for(code)))?;
        }
        shared.lines.send(LineCommand::Open { call: self.id, ports, events: line_sender }).await;
        if let Some(agreed) = agreed {
            live.agree(agreed).await;
        }
        let _ = shared.sip.answer(self.id, answer);
        live.begin().await;
        Ok(live)
    }
}

/// A call that was answered.
struct Live {
    shared: Arc<Shared>,
    id: CallId,
    destination: Destination,
    /// Of this call alone, on whichever node: nobody takes another's place by calling.
    identity: String,
    name: String,
    session: Session,
    menu: Menu,
    language: Language,
    line_events: mpsc::Receiver<LineEvent>,
    /// Its session in the room, once it has one.
    attached: Option<Attached>,
    messages: Option<mpsc::Receiver<Arc<Outgoing>>>,
    role: Role,
    /// It has asked for it, and not been told yet that it is so.
    asked_to_be_muted: bool,
    /// Who moderates the room, of those that we know of.
    moderators: Vec<String>,
    /// We hang up, for this reason.
    ending: Option<(End, HangUp)>,
}

impl Live {
    fn new(
        shared: Arc<Shared>,
        id: CallId,
        destination: Destination,
        name: String,
        session: Session,
        line_events: mpsc::Receiver<LineEvent>,
        announces: bool,
    ) -> Live {
        let menu = Menu::new(MenuConfig {
            pin: destination.pin.clone(),
            moderator_pin: destination.moderator_pin.clone(),
            waits_for_moderator: destination.waits_for_moderator,
            announces,
            ..MenuConfig::default()
        });
        Live {
            shared,
            id,
            language: destination.language,
            destination,
            identity: format!("phone-{:016x}", rand::random::<u64>()),
            name,
            session,
            menu,
            line_events,
            attached: None,
            messages: None,
            role: Role::Listener,
            asked_to_be_muted: false,
            moderators: Vec::new(),
            ending: None,
        }
    }

    async fn begin(&mut self) {
        let now = Instant::now();
        self.menu.start(now);
        self.act().await;
    }

    /// Until the call is over.
    async fn run(&mut self, events: &mut mpsc::Receiver<Event>) -> End {
        loop {
            tokio::select! {
                event = events.recv() => {
                    if let Some(end) = self.signalled(event).await {
                        return end;
                    }
                }
                Some(event) = self.line_events.recv() => self.heard(event),
                message = next_of(&mut self.messages) => self.told(message.as_deref()),
                () = sleep_until(self.menu.poll_timeout()) => self.menu.handle_timeout(Instant::now()),
            }
            self.act().await;
            if let Some((end, cause)) = self.ending.take() {
                let _ = self.shared.sip.hang_up(self.id, cause);
                return end;
            }
        }
    }

    /// Something became of the call itself. Returns how it ended.
    async fn signalled(&mut self, event: Option<Event>) -> Option<End> {
        match event {
            None => {
                let _ = self.shared.sip.hang_up(self.id, HangUp::Normal);
                return Some(End { reason: "overloaded", status: None });
            }
            Some(Event::Ended { reason, status, .. }) => {
                return Some(End { reason: word_for(reason), status });
            }
            Some(Event::Confirmed { sdp: Some(answer), .. }) => match self.session.accept(&answer) {
                Ok(agreed) => self.agree(agreed).await,
                Err(error) => {
                    let _ = self.shared.sip.hang_up(self.id, HangUp::Normal);
                    return Some(End { reason: "no_media", status: Some(error.status()) });
                }
            },
            Some(Event::Offered { sdp: Some(offer), .. }) => {
                let answer = match self.session.answer(&offer) {
                    Ok((answer, agreed)) => {
                        self.agree(agreed).await;
                        Ok(answer)
                    }
                    Err(error) => Err(error.status()),
                };
                let _ = self.shared.sip.answer_offer(self.id, answer);
            }
            Some(Event::Offered { sdp: None, .. }) => {
                let offer = self.session.offer(Direction::SendRecv);
                let _ = self.shared.sip.answer_offer(self.id, Ok(offer));
            }
            Some(Event::Dtmf { digit, .. }) => self.menu.key(Instant::now(), digit),
            // A caller may leave for somebody else; whom they name is called by their own phone or not at all.
            Some(Event::TransferAsked { .. }) => {
                let _ = self.shared.sip.answer_transfer(self.id, false);
            }
            Some(_) => {}
        }
        None
    }

    /// Something became of its media.
    fn heard(&mut self, event: LineEvent) {
        let now = Instant::now();
        match event {
            LineEvent::Heard => {}
            LineEvent::Key(key) => self.menu.key(now, key.as_char()),
            LineEvent::Said => self.menu.played(now),
            LineEvent::Silent => {
                let end = End { reason: "media_lost", status: None };
                self.ending = Some((end, HangUp::MediaLost));
            }
        }
    }

    /// The room says something, or has nothing more to say.
    fn told(&mut self, message: Option<&Outgoing>) {
        let now = Instant::now();
        let Some(Outgoing::Text(text)) = message else {
            self.messages = None;
            self.attached = None;
            self.menu.removed(now);
            return;
        };
        let message = match serde_json::from_str(text.as_str()) {
            Ok(message) => message,
            Err(error) => return debug!(%error, "a message of our own that can't be read"),
        };
        match message {
            ServerMessage::Joined(welcome) => {
                let moderators = welcome.participants.iter().filter(|it| it.role == Role::Moderator);
                self.moderators = moderators.map(|it| it.id.clone()).collect();
                self.tell_menu_of_moderators(now);
            }
            ServerMessage::ParticipantJoined { participant }
            | ServerMessage::ParticipantUpdated { participant } => {
                self.moderators.retain(|id| *id != participant.id);
                if participant.role == Role::Moderator {
                    self.moderators.push(participant.id.clone());
                }
                self.tell_menu_of_moderators(now);
                if participant.id == self.identity {
                    let by_moderator = participant.muted && !std::mem::take(&mut self.asked_to_be_muted);
                    self.menu.muted(now, participant.muted, by_moderator);
                    self.menu.hand(now, participant.hand_raised);
                    if std::mem::replace(&mut self.role, participant.role) != participant.role {
                        self.menu.role(now, participant.role.may_speak());
                    }
                }
            }
            ServerMessage::ParticipantLeft { participant, .. } => {
                self.moderators.retain(|id| *id != participant);
            }
            ServerMessage::Left { reason, .. } => {
                self.attached = None;
                self.messages = None;
                match reason {
                    LeaveReason::Shutdown => self.menu.closing(now),
                    _ => self.menu.removed(now),
                }
            }
            ServerMessage::Closing { .. } => self.menu.closing(now),
            _ => {}
        }
    }

    fn tell_menu_of_moderators(&mut self, now: Instant) {
        self.menu.moderator_present(now, !self.moderators.is_empty());
    }

    /// Does what the menu wants.
    async fn act(&mut self) {
        while let Some(output) = self.menu.poll() {
            match output {
                MenuOutput::Say(prompt) => {
                    let sound = Some(self.shared.prompts.get(self.language, prompt));
                    self.line(|call| LineCommand::Say { call, sound }).await;
                }
                MenuOutput::Tone(tone) => {
                    let sound = Some(self.shared.prompts.tone(tone));
                    self.line(|call| LineCommand::Say { call, sound }).await;
                }
                MenuOutput::Interrupt => self.line(|call| LineCommand::Say { call, sound: None }).await,
                MenuOutput::Music(is_on) => {
                    let sound = is_on.then(|| self.shared.prompts.hold_music());
                    self.line(|call| LineCommand::Music { call, sound }).await;
                }
                MenuOutput::Enter { is_moderator } => {
                    let role = if is_moderator { Role::Moderator } else { self.destination.role };
                    let joined = if self.attached.is_some() { Ok(()) } else { self.join(role).await };
                    let now = Instant::now();
                    match joined {
                        Ok(()) => {
                            self.menu.joined(now);
                            self.tell_menu_of_moderators(now);
                        }
                        Err(ErrorCode::RoomFull) => self.menu.refused(now, Refused::Full),
                        Err(_) => self.menu.refused(now, Refused::Other),
                    }
                }
                MenuOutput::TakePart => {
                    if let Some(attached) = &self.attached {
                        let room = RoomId::from(self.destination.room.as_str());
                        let endpoint = attached.endpoint;
                        self.line(|call| LineCommand::Enter { call, room, endpoint }).await;
                    }
                }
                MenuOutput::SetMuted(muted) => {
                    self.asked_to_be_muted = muted;
                    self.request(Request::Mute { muted, track: TrackOrigin::Microphone }).await;
                }
                MenuOutput::RaiseHand(raised) => self.request(Request::RaiseHand { raised }).await,
                MenuOutput::Volume { gain_db } => {
                    self.line(|call| LineCommand::SetVolume { call, gain_db }).await;
                }
                MenuOutput::Leave => {
                    self.line(|call| LineCommand::Leave { call }).await;
                    self.request(Request::Leave).await;
                    (self.attached, self.messages) = (None, None);
                }
                MenuOutput::End(end) => {
                    let (reason, cause) = match end {
                        MenuEnd::WrongPin => ("wrong_pin", HangUp::Normal),
                        MenuEnd::NoInput => ("no_input", HangUp::Normal),
                        MenuEnd::Left => ("left", HangUp::Normal),
                        MenuEnd::Removed => ("removed", HangUp::Removed),
                        MenuEnd::Refused(_) => ("refused", HangUp::Normal),
                        MenuEnd::Closed => ("closing", HangUp::ShuttingDown),
                    };
                    self.ending = Some((End { reason, status: None }, cause));
                }
            }
        }
    }

    async fn line(&self, command: impl FnOnce(CallId) -> LineCommand) {
        self.shared.lines.send(command(self.id)).await;
    }

    async fn agree(&self, agreed: tercet_sip_gateway::sdp::Negotiated) {
        self.line(|call| LineCommand::Agree { call, agreed: Box::new(agreed) }).await;
    }

    async fn join(&mut self, role: Role) -> Result<(), ErrorCode> {
        let (socket, messages) = mpsc::channel(MESSAGES_MAX);
        let claims = Claims {
            room: self.destination.room.clone(),
            identity: self.identity.clone(),
            name: Some(self.name.clone()),
            role,
            may_send_data: false,
            first_moderates: false,
            expires: u64::MAX,
        };
        let transport = Transport::Sip;
        let join = |reply| ControlInput::Join { claims, transport, name: None, request: None, socket, reply };
        let attached = self.shared.control.ask(join).await.ok_or(ErrorCode::ShuttingDown)?;
        self.attached = Some(attached.map_err(|error| error.code)?);
        self.messages = Some(messages);
        self.role = role;
        Ok(())
    }

    async fn request(&self, request: Request) {
        if let Some(from) = self.attached {
            let message = ClientMessage { id: None, request };
            self.shared.control.send(ControlInput::Request { from, message }).await;
        }
    }

    async fn leave(&mut self) {
        self.request(Request::Leave).await;
        self.line(|call| LineCommand::Close { call }).await;
    }
}

/// The next message of the room; never, where there is none.
async fn next_of(messages: &mut Option<mpsc::Receiver<Arc<Outgoing>>>) -> Option<Arc<Outgoing>> {
    match messages {
        Some(messages) => messages.recv().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// The status of a call that the room doesn't take.
fn rejection_for(code: ErrorCode) -> Rejection {
    let retry = |status| Rejection { status, retry_after_s: Some(RETRY_AFTER.as_secs() as u32) };
    match code {
        ErrorCode::RoomFull => Rejection::with(486),
        ErrorCode::Overloaded | ErrorCode::ShuttingDown => retry(503),
        _ => Rejection::with(500),
    }
}

fn word_for(reason: EndReason) -> &'static str {
    match reason {
        EndReason::PeerHungUp => "peer_hung_up",
        EndReason::HungUp => "hung_up",
        EndReason::Cancelled => "cancelled",
        EndReason::Rejected => "rejected",
        EndReason::NotAnswered => "not_answered",
        EndReason::NotConfirmed => "not_confirmed",
        EndReason::PeerGone => "peer_gone",
        EndReason::Transferred => "transferred",
        EndReason::Protocol => "protocol",
        EndReason::ShutDown => "shut_down",
    }
}
