//! A call with media, to the control plane a client like any other.
//!
//! Events of signalling, of its media, of the room and of the voice menu come in; commands to all of them go out. What a caller
//! hears and keys is the menu's ([`Menu`]), and no state of it is here.

use std::sync::Arc;
use std::time::Instant;

use tercet_core::{Allowance, RoomId};
use tercet_protocol::{
    ClientMessage, ErrorCode, LeaveReason, Request, Role, ServerMessage, TrackOrigin, Transport, Welcome,
    WireParticipant,
};
use tercet_sip_gateway::menu::{Menu, MenuConfig, MenuEnd, MenuOutput, Refused};
use tercet_sip_gateway::prompts::Language;
use tercet_sip_gateway::sdp::{Direction, Negotiated, Session};
use tercet_sip_gateway::signalling::{CallId, Event, HangUp};
use tokio::sync::mpsc;
use tracing::{debug, info};

use super::gateway::Shared;
use super::pins::Guesser;
use super::record::End;
use super::routes::Destination;
use super::transfers::Presence;
use super::{LineCommand, LineEvent};
use crate::access::Claims;
use crate::control::{Attached, ControlInput, Outgoing};

/// What a phone's session has yet to look at: as many messages as a browser's.
const MESSAGES_MAX: usize = 64;

/// Keys a second that are looked at, and at once: faster than any thumb, and a PIN that a phone dials by itself. A machine that
/// toggles something is not to keep a whole room busy.
const KEYS_PER_S: u32 = 5;
const KEYS_BURST: u32 = 40;

/// A call that has media: it was answered, or rings and may be heard.
pub(super) struct Live {
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
    presence: Option<Presence>,
    role: Role,
    /// It has asked for it, and not been told yet that it is so.
    asked_to_be_muted: bool,
    /// Who moderates the room, of those that we know of.
    moderators: Vec<String>,
    keys: Allowance,
    /// What resumes its session in the room.
    resumption: Option<(String, String)>,
    /// Whose wrong PINs are counted, and how many were.
    wrong_pins: Option<(Guesser, u8)>,
    /// We hang up, for this reason.
    ending: Option<(End, HangUp)>,
}

impl Live {
    pub(super) fn new(
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
            presence: None,
            role: Role::Listener,
            asked_to_be_muted: false,
            moderators: Vec::new(),
            keys: Allowance::new(KEYS_PER_S, KEYS_BURST, Instant::now()),
            resumption: None,
            wrong_pins: None,
            ending: None,
        }
    }

    /// The caller's wrong PINs count for their next calls too.
    pub(super) fn count_wrong_pins_of(&mut self, guesser: Guesser) {
        self.wrong_pins = Some((guesser, self.menu.tries()));
    }

    /// Whose identity it has in the room: of this call alone.
    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    /// It is answered: the menu has the word.
    pub(super) async fn begin(&mut self) {
        let now = Instant::now();
        self.menu.start(now);
        self.act().await;
    }

    /// Both sides know that the call stands: from now on its phone can be asked for something.
    pub(super) fn stands(&mut self) {
        let presence = || Presence::new(self.shared.clone(), &self.identity, &self.destination.room, self.id);
        self.presence.get_or_insert_with(presence);
    }

    /// Until the call is over.
    pub(super) async fn run(mut self, events: &mut mpsc::Receiver<Event>) -> End {
        let end = loop {
            tokio::select! {
                event = events.recv() => {
                    if let Some(end) = self.signalled(event).await {
                        break end;
                    }
                }
                Some(event) = self.line_events.recv() => self.heard(event),
                message = next_of(&mut self.messages) => match message {
                    Some(message) => self.told(&message),
                    None => self.resume().await,
                },
                () = sleep_until(self.menu.poll_timeout()) => self.menu.handle_timeout(Instant::now()),
            }
            self.act().await;
            if let Some((end, cause)) = self.ending.take() {
                let _ = self.shared.sip.hang_up(self.id, cause);
                break end;
            }
        };
        self.leave().await;
        end
    }

    /// Something became of the call itself. Returns how it ended.
    async fn signalled(&mut self, event: Option<Event>) -> Option<End> {
        match event {
            None => {
                let _ = self.shared.sip.hang_up(self.id, HangUp::Normal);
                return Some(End::by("overloaded"));
            }
            Some(Event::Ended { reason, status, .. }) => {
                return Some(End::signalled(reason, status));
            }
            Some(Event::Confirmed { sdp, .. }) => {
                self.stands();
                if let Some(answer) = sdp
                    && let Err(end) = self.accept(&answer).await
                {
                    let _ = self.shared.sip.hang_up(self.id, HangUp::Normal);
                    return Some(end);
                }
            }
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
            Some(Event::Dtmf { digit, .. }) => self.key(digit),
            // A caller may leave for somebody else; whom they name is called by their own phone or not at all.
            Some(Event::TransferAsked { .. }) => {
                let _ = self.shared.sip.answer_transfer(self.id, false);
            }
            Some(Event::TransferProgress { status, is_final: true, .. }) => {
                info!(call = %self.id, status, "a phone was asked to call somebody else");
            }
            Some(_) => {}
        }
        None
    }

    /// A key was pressed, however it came.
    fn key(&mut self, key: char) {
        let now = Instant::now();
        if self.keys.take(now) {
            self.menu.key(now, key);
        } else {
            metrics::counter!("tercet_phone_keys_dropped_total").increment(1);
        }
    }

    /// Something became of its media.
    fn heard(&mut self, event: LineEvent) {
        let now = Instant::now();
        match event {
            LineEvent::Heard => {}
            LineEvent::Key(key) => self.key(key.as_char()),
            LineEvent::Said => self.menu.played(now),
            LineEvent::Silent => {
                self.ending = Some((End::by("media_lost"), HangUp::MediaLost));
            }
        }
    }

    /// The room says something.
    fn told(&mut self, message: &Outgoing) {
        let now = Instant::now();
        let Outgoing::Text(text) = message else {
            return;
        };
        let message = match serde_json::from_str(text.as_str()) {
            Ok(message) => message,
            Err(error) => return debug!(%error, "a message of our own that can't be read"),
        };
        match message {
            ServerMessage::Joined(welcome) => self.welcomed(now, welcome),
            ServerMessage::Resumed(mut welcome) => {
                let own = welcome.participants.iter().position(|it| it.id == self.identity);
                let own = own.map(|at| welcome.participants.swap_remove(at));
                self.welcomed(now, welcome);
                if let Some(own) = own {
                    self.changed(now, &own);
                }
            }
            ServerMessage::ParticipantJoined { participant }
            | ServerMessage::ParticipantUpdated { participant } => {
                self.moderators.retain(|id| *id != participant.id);
                if participant.role == Role::Moderator {
                    self.moderators.push(participant.id.clone());
                }
                self.tell_menu_of_moderators(now);
                if participant.id == self.identity {
                    self.changed(now, &participant);
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

    /// It is in the room: what holds there.
    fn welcomed(&mut self, now: Instant, welcome: Welcome) {
        self.resumption = Some((welcome.session.id, welcome.session.secret));
        let moderators = welcome.participants.into_iter().filter(|it| it.role == Role::Moderator);
        self.moderators = moderators.map(|it| it.id).collect();
        self.tell_menu_of_moderators(now);
    }

    /// What others see of it is this now.
    fn changed(&mut self, now: Instant, own: &WireParticipant) {
        let by_moderator = own.muted && !std::mem::take(&mut self.asked_to_be_muted);
        self.menu.muted(now, own.muted, by_moderator);
        self.menu.hand(now, own.hand_raised);
        if std::mem::replace(&mut self.role, own.role) != own.role {
            self.menu.role(now, own.role.may_speak());
        }
    }

    fn tell_menu_of_moderators(&mut self, now: Instant) {
        self.menu.moderator_present(now, !self.moderators.is_empty());
    }

    /// Does what the menu wants.
    async fn act(&mut self) {
        if let Some((guesser, counted)) = &mut self.wrong_pins
            && std::mem::replace(counted, self.menu.tries()) < self.menu.tries()
            && !self.shared.wrong_pins.count(Instant::now(), guesser)
        {
            self.ending = Some((End::by("wrong_pin"), HangUp::Normal));
            return;
        }
        while let Some(output) = self.menu.poll() {
            match output {
                MenuOutput::Say(prompt) => {
                    let sound = Some(self.shared.prompts.get(self.language, prompt));
                    self.line(LineCommand::Say(sound)).await;
                }
                MenuOutput::Tone(tone) => {
                    let sound = Some(self.shared.prompts.tone(tone));
                    self.line(LineCommand::Say(sound)).await;
                }
                MenuOutput::Interrupt => self.line(LineCommand::Say(None)).await,
                MenuOutput::Music(is_on) => {
                    let sound = is_on.then(|| self.shared.prompts.hold_music());
                    self.line(LineCommand::Music(sound)).await;
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
                        self.line(LineCommand::Enter { room, endpoint }).await;
                    }
                }
                MenuOutput::SetMuted(muted) => {
                    self.asked_to_be_muted = muted;
                    self.request(Request::Mute { muted, track: TrackOrigin::Microphone }).await;
                }
                MenuOutput::RaiseHand(raised) => self.request(Request::RaiseHand { raised }).await,
                MenuOutput::Volume { gain_db } => {
                    self.line(LineCommand::SetVolume { gain_db }).await;
                }
                MenuOutput::Leave => {
                    self.line(LineCommand::Leave).await;
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
                    self.ending = Some((End::by(reason), cause));
                }
            }
        }
    }

    pub(super) async fn line(&self, command: LineCommand) {
        self.shared.lines.send(self.id, command).await;
    }

    /// Takes the peer's answer to our offer.
    pub(super) async fn accept(&mut self, answer: &str) -> Result<(), End> {
        let agreed = self.session.accept(answer);
        let agreed = agreed.map_err(|error| End { reason: "no_media", status: Some(error.status()) })?;
        self.agree(agreed).await;
        Ok(())
    }

    pub(super) async fn agree(&self, agreed: Negotiated) {
        self.line(LineCommand::Agree(Box::new(agreed))).await;
    }

    /// Joins the room, where it waits or is heard as the menu has it.
    pub(super) async fn join(&mut self, role: Role) -> Result<(), ErrorCode> {
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

    /// The room has given up telling it what happens, since it was too slow: it goes on from what holds now. Whoever has been
    /// removed meanwhile has no session to go on with.
    async fn resume(&mut self) {
        (self.messages, self.attached) = (None, None);
        let (socket, messages) = mpsc::channel(MESSAGES_MAX);
        if let Some((session, secret)) = self.resumption.take() {
            let resume = |reply| ControlInput::Resume { session, secret, request: None, socket, reply };
            if let Some(Ok(attached)) = self.shared.control.ask(resume).await {
                (self.messages, self.attached) = (Some(messages), Some(attached));
                return;
            }
        }
        self.menu.removed(Instant::now());
    }

    async fn request(&self, request: Request) {
        if let Some(from) = self.attached {
            let message = ClientMessage { id: None, request };
            self.shared.control.send(ControlInput::Request { from, message }).await;
        }
    }

    /// Leaves the room, and closes what carries its sound.
    pub(super) async fn leave(&mut self) {
        self.request(Request::Leave).await;
        self.line(LineCommand::Close).await;
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
