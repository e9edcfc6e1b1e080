//! What clients are told, from the outboxes of their sockets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use selector::Level;
use tercet_core::{EndpointId, Speaker};
use tercet_protocol::{
    ClientMessage, Request, Role, ServerMessage, SlotMid, TrackKind, TrackOrigin, Transport, VideoOrigin,
    Welcome, WireVideoSlot,
};
use tokio::sync::{mpsc, oneshot};

use super::session::Session;
use super::{Attached, Control, ControlInput, Outgoing};
use crate::access::Claims;
use crate::config::Config;
use crate::media::{Answer, Selection, WorkerCommand, WorkerEvent, WorkerId};

/// A browser comes in whose socket has room for so many messages; the welcome waits to be read. `None` if it isn't let in.
pub(super) fn join(
    control: &mut Control,
    now: Instant,
    claims: Claims,
    messages_max: usize,
) -> Option<(Attached, mpsc::Receiver<Arc<Outgoing>>)> {
    let (socket, outbox) = mpsc::channel(messages_max);
    let (reply, mut attached) = oneshot::channel();
    let transport = Transport::Webrtc;
    control.input(now, ControlInput::Join { claims, transport, name: None, request: None, socket, reply });
    let attached = attached.try_recv().expect("answered at once").ok()?;
    Some((attached, outbox))
}

/// A moderator, `mod`, and in this order the listeners `a`, `b`, `c` and `d`, of whom two are listed.
struct Hall {
    control: Control,
    now: Instant,
    clients: BTreeMap<&'static str, (Attached, mpsc::Receiver<Arc<Outgoing>>)>,
}

impl Hall {
    fn new() -> Hall {
        Hall::with_together(Config::default().room.together_max)
    }

    /// A worker takes so many before the other does.
    fn with_together(together_max: u32) -> Hall {
        let mut config = Config::default();
        config.room.listed_listeners_max = 2;
        config.room.together_max = together_max;
        let control = Control::new(Arc::new(config), 2);
        let mut hall = Hall { control, now: Instant::now(), clients: BTreeMap::new() };
        hall.join("mod", Role::Moderator);
        for listener in ["a", "b", "c", "d"] {
            hall.join(listener, Role::Listener);
        }
        hall
    }

    /// Comes in; the welcome waits to be read.
    fn join(&mut self, identity: &'static str, role: Role) {
        let claims = Claims {
            room: "hall".to_owned(),
            identity: identity.to_owned(),
            name: None,
            role,
            may_send_data: true,
            first_moderates: false,
            expires: 0,
        };
        let joined = join(&mut self.control, self.now, claims, 64).expect("there is place");
        self.clients.insert(identity, joined);
    }

    fn resume(&mut self, identity: &'static str, former: &Welcome) -> Welcome {
        let (socket, outbox) = mpsc::channel(64);
        let (reply, mut attached) = oneshot::channel();
        let (session, secret) = (former.session.id.clone(), former.session.secret.clone());
        let resume = ControlInput::Resume { session, secret, request: None, socket, reply };
        self.control.input(self.now, resume);
        let attached = attached.try_recv().expect("answered at once").expect("the session goes on");
        self.clients.insert(identity, (attached, outbox));
        let ServerMessage::Resumed(welcome) = self.told(identity).remove(0) else {
            panic!("the reply to a resume comes first");
        };
        welcome
    }

    fn request(&mut self, identity: &str, request: Request) {
        let from = self.clients[identity].0;
        let message = ClientMessage { id: None, request };
        self.control.input(self.now, ControlInput::Request { from, message });
    }

    fn publishes(&mut self, identity: &str) {
        let endpoint = self.endpoint(identity);
        let event = WorkerEvent::PublishingStarted { endpoint, origin: TrackOrigin::Microphone };
        self.control.worker_event(self.now, event);
    }

    fn films(&mut self, identity: &str) {
        let endpoint = self.endpoint(identity);
        let event = WorkerEvent::PublishingStarted { endpoint, origin: TrackOrigin::Camera };
        self.control.worker_event(self.now, event);
    }

    /// The picture of somebody's screen begins to come, or ends.
    fn shares(&mut self, identity: &str, shares: bool) {
        let (endpoint, origin) = (self.endpoint(identity), TrackOrigin::ScreenVideo);
        let event = match shares {
            true => WorkerEvent::PublishingStarted { endpoint, origin },
            false => WorkerEvent::PublishingEnded { endpoint, origin },
        };
        self.control.worker_event(self.now, event);
        self.tick(100);
    }

    /// What a client sees in its video slots by the last that it was told, if it was told anything.
    fn sees(&mut self, identity: &str) -> Option<Vec<String>> {
        let mut told = self.told(identity).into_iter().filter_map(|message| match message {
            ServerMessage::Video { slots } => Some(slots),
            _ => None,
        });
        let name = |slot: WireVideoSlot| match (slot.participant, slot.origin) {
            (Some(id), VideoOrigin::Camera) => id,
            (Some(id), VideoOrigin::ScreenVideo) => format!("screen of {id}"),
            (None, _) => String::new(),
        };
        told.next_back().map(|slots| slots.into_iter().map(name).collect())
    }

    /// An offer with so many video slots is answered.
    fn offers_video(&mut self, identity: &str, slots: u8) {
        self.has_video_slots(identity, 0..slots);
    }

    /// The m-lines of these video slots aren't stopped.
    fn has_video_slots(&mut self, identity: &str, slots: impl IntoIterator<Item = u8>) {
        let endpoint = self.endpoint(identity);
        let video_mids = slots.into_iter().map(|index| SlotMid { index, mid: index.to_string() }).collect();
        let answer = Answer { sdp: String::new(), slot_mids: Vec::new(), screen_mid: None, video_mids };
        let event = WorkerEvent::OfferAnswered { endpoint, request: None, result: Ok(answer) };
        self.control.worker_event(self.now, event);
    }

    fn endpoint(&self, identity: &str) -> EndpointId {
        self.session(identity).endpoint
    }

    fn session(&self, identity: &str) -> &Session {
        &self.control.sessions[&self.clients[identity].0.session]
    }

    /// Whom a client was told to have in its video slots, each time.
    fn watched(&mut self, identity: &str) -> Vec<Vec<Option<String>>> {
        let told = self.told(identity).into_iter().filter_map(|message| match message {
            ServerMessage::Video { slots } => Some(slots.into_iter().map(|slot| slot.participant).collect()),
            _ => None,
        });
        told.collect()
    }

    /// What workers were told since of who watches, and of what slots are to show.
    fn told_workers(&mut self) -> (usize, usize) {
        let commands = self.control.take_commands();
        let watched = |(_, command): &&_| matches!(command, WorkerCommand::SetWatched { .. });
        let watch = |(_, command): &&_| matches!(command, WorkerCommand::Watch { .. });
        (commands.iter().filter(watched).count(), commands.iter().filter(watch).count())
    }

    /// On every worker, somebody is heard at this level.
    fn hears(&mut self, speaker: &str, level_dbov: i8) {
        self.hears_all(&[(speaker, level_dbov, 0)]);
    }

    /// On every worker, they have the positions: how loud their voices are, and how many milliseconds ago they spoke.
    fn hears_all(&mut self, speakers: &[(&str, i8, u64)]) {
        let speakers: Vec<_> =
            speakers.iter().map(|(who, level, ago)| (*who, *level, Some(*ago), *ago)).collect();
        self.hears_them(&speakers);
    }

    /// The same, of some who don't speak: how many milliseconds ago they did, if ever, and were to be heard.
    fn hears_them(&mut self, speakers: &[(&str, i8, Option<u64>, u64)]) {
        let mut positions = vec![None; 4];
        for (position, (speaker, level_dbov, spoke_ago_ms, ago_ms)) in speakers.iter().enumerate() {
            let ago = |ms| self.now.checked_sub(Duration::from_millis(ms));
            positions[position] = Some(Speaker {
                position,
                source: self.session(speaker).source,
                level: Level::from_dbov(*level_dbov),
                sounded_at: ago(*ago_ms),
                active_at: spoke_ago_ms.and_then(ago),
            });
        }
        for worker in [WorkerId(0), WorkerId(1)] {
            let positions = positions.clone();
            let selection =
                Selection { at: self.now, worker, room: "hall".into(), positions, views: Vec::new() };
            self.control.worker_event(self.now, WorkerEvent::Selected(selection));
        }
    }

    /// What a client was told since it was last asked.
    fn told(&mut self, identity: &str) -> Vec<ServerMessage> {
        let (_, outbox) = self.clients.get_mut(identity).expect("joined before");
        let mut told = Vec::new();
        while let Ok(outgoing) = outbox.try_recv() {
            if let Outgoing::Text(text) = &*outgoing {
                told.push(serde_json::from_str(text.as_str()).expect("a message of the protocol"));
            }
        }
        told
    }

    fn welcome(&mut self, identity: &str) -> Welcome {
        match self.told(identity).remove(0) {
            ServerMessage::Joined(welcome) => welcome,
            other => panic!("{other:?} instead of a welcome"),
        }
    }

    /// What clients were told since, in short; nothing of those who were told nothing.
    fn all_told(&mut self) -> BTreeMap<&'static str, Vec<String>> {
        let clients: Vec<&'static str> = self.clients.keys().copied().collect();
        let told = clients.into_iter().map(|client| (client, self.told(client).iter().map(short).collect()));
        told.filter(|(_, told): &(_, Vec<_>)| !told.is_empty()).collect()
    }

    fn tick(&mut self, after_ms: u64) {
        self.now += Duration::from_millis(after_ms);
        self.control.tell_attendance(self.now);
        self.control.show_waiting_cameras(self.now);
    }
}

fn short(message: &ServerMessage) -> String {
    match message {
        ServerMessage::ParticipantJoined { participant: who } => {
            format!("{} joined, {:?}, hand {}", who.id, who.role, who.hand_raised)
        }
        ServerMessage::ParticipantUpdated { participant: who } => {
            format!("{} is {:?}, hand {}", who.id, who.role, who.hand_raised)
        }
        ServerMessage::ParticipantLeft { participant, .. } => format!("{participant} left"),
        ServerMessage::TrackPublished { participant, .. } => format!("{participant} publishes"),
        ServerMessage::Attendance { participant_count } => format!("{participant_count} are there"),
        ServerMessage::Left { .. } => "over".to_owned(),
        other => format!("{other:?}"),
    }
}

fn ids(welcome: &Welcome) -> Vec<&str> {
    welcome.participants.iter().map(|participant| participant.id.as_str()).collect()
}

/// The same for each of these clients.
fn each<const N: usize>(clients: [&'static str; N], told: &[&str]) -> BTreeMap<&'static str, Vec<String>> {
    clients.map(|client| (client, told.iter().map(|it| (*it).to_owned()).collect())).into()
}

#[test]
fn a_welcome_lists_who_is_listed_and_its_receiver_and_counts_all() {
    let mut hall = Hall::new();
    for (client, listed, count) in [("mod", &["mod"][..], 1), ("b", &["a", "b", "mod"], 3)] {
        let welcome = hall.welcome(client);
        assert_eq!((ids(&welcome), welcome.participant_count), (listed.to_vec(), count));
    }
    let welcome = hall.welcome("d");
    assert_eq!((ids(&welcome), welcome.participant_count), (vec!["a", "b", "mod", "d"], 5));
}

#[test]
fn one_who_only_listens_beyond_the_bound_comes_and_goes_as_a_number() {
    let mut hall = Hall::new();
    hall.tick(0);
    hall.all_told();
    for newcomer in ["e", "f", "g"] {
        hall.join(newcomer, Role::Listener);
        hall.welcome(newcomer);
    }
    hall.request("e", Request::Leave);
    assert_eq!(hall.all_told(), each(["e"], &["over"]));
    hall.clients.remove("e");
    hall.tick(999);
    assert_eq!(hall.all_told(), each([], &[]), "a second has to pass");
    hall.tick(1);
    assert_eq!(hall.all_told(), each(["a", "b", "c", "d", "f", "g", "mod"], &["7 are there"]));
    hall.tick(5000);
    assert_eq!(hall.all_told(), each([], &[]), "nothing changed");
}

#[test]
fn where_everybody_is_listed_the_list_is_the_number() {
    let mut hall = Hall::new();
    for leaver in ["c", "d"] {
        hall.request(leaver, Request::Leave);
        hall.clients.remove(leaver);
    }
    hall.tick(0);
    assert!(hall.told("a").contains(&ServerMessage::Attendance { participant_count: 3 }));
    hall.all_told();
    hall.request("a", Request::Leave);
    hall.clients.remove("a");
    hall.join("s", Role::Speaker);
    hall.welcome("s");
    hall.tick(5000);
    assert_eq!(hall.all_told(), each(["b", "mod"], &["a left", "s joined, Speaker, hand false"]));
}

#[test]
fn whoever_raises_a_hand_is_introduced_first_and_stays_listed() {
    let mut hall = Hall::new();
    hall.tick(0);
    hall.all_told();
    hall.request("c", Request::RaiseHand { raised: true });
    let introduced = ["c joined, Listener, hand false", "c is Listener, hand true"];
    let mut expected = each(["a", "b", "d", "mod"], &introduced);
    expected.append(&mut each(["c"], &introduced[1..]));
    assert_eq!(hall.all_told(), expected);
    hall.request("c", Request::RaiseHand { raised: false });
    let everybody = ["a", "b", "c", "d", "mod"];
    assert_eq!(hall.all_told(), each(everybody, &["c is Listener, hand false"]));
    hall.tick(5000);
    assert_eq!(hall.all_told(), each([], &[]), "as many are there as before");
    hall.request("c", Request::Leave);
    hall.clients.remove("c");
    assert_eq!(hall.all_told(), each(["a", "b", "d", "mod"], &["c left"]));
}

#[test]
fn the_room_knows_a_promoted_listener_before_the_worker_lets_them_speak() {
    let mut hall = Hall::new();
    hall.tick(0);
    hall.all_told();
    hall.control.take_commands();
    hall.request("mod", Request::SetRole { participant: "d".to_owned(), role: Role::Speaker });
    let opens = |(_, command): &_| matches!(command, WorkerCommand::SetGates { .. });
    // The sockets have it while the command hasn't left yet.
    let promoted = ["d joined, Listener, hand false", "d is Speaker, hand false"];
    assert_eq!(hall.all_told()["a"], promoted);
    assert!(hall.control.take_commands().iter().any(opens));
}

#[test]
fn whoever_publishes_is_introduced_first() {
    let mut hall = Hall::new();
    hall.tick(0);
    hall.all_told();
    hall.publishes("d");
    assert_eq!(hall.all_told()["mod"], ["d joined, Listener, hand false", "d publishes"]);
}

#[test]
fn what_a_moderator_does_to_one_who_is_not_listed_they_alone_are_told() {
    let mut hall = Hall::new();
    hall.tick(0);
    hall.all_told();
    let (participant, track) = ("d".to_owned(), TrackOrigin::Microphone);
    hall.request("mod", Request::MuteParticipant { participant: participant.clone(), track });
    assert_eq!(hall.all_told(), each(["d"], &["d is Listener, hand false"]));
    hall.request("mod", Request::RemoveParticipant { participant });
    assert_eq!(hall.all_told(), each(["d"], &["over"]));
}

#[test]
fn whoever_comes_back_is_told_the_list_and_the_number_of_now() {
    let mut hall = Hall::new();
    let welcome = hall.welcome("d");
    hall.request("a", Request::Leave);
    hall.request("c", Request::RaiseHand { raised: true });
    hall.join("e", Role::Listener);
    hall.join("f", Role::Listener);
    // The place of `a` went to `e`; `d`, who was there before, stays unlisted.
    let resumed = hall.resume("d", &welcome);
    assert_eq!((ids(&resumed), resumed.participant_count), (vec!["b", "c", "e", "mod", "d"], 6));
    hall.all_told();
    hall.request("d", Request::RaiseHand { raised: true });
    let resumed = hall.resume("d", &resumed);
    assert_eq!(ids(&resumed), ["b", "c", "d", "e", "mod"], "once, and in its place");
}

#[test]
fn one_who_replaces_themselves_is_told_of_as_somebody_new() {
    let mut hall = Hall::new();
    hall.tick(0);
    hall.all_told();
    hall.join("c", Role::Listener);
    hall.welcome("c");
    assert_eq!(hall.all_told(), each([], &[]));
    hall.join("a", Role::Listener);
    hall.welcome("a");
    let again = ["a left", "a joined, Listener, hand false"];
    assert_eq!(hall.all_told(), each(["b", "c", "d", "mod"], &again));
}

#[test]
fn slots_are_told_when_another_speaker_is_in_one_and_not_with_each_level() {
    let mut hall = Hall::new();
    hall.join("s", Role::Speaker);
    hall.all_told();
    let slots = |hall: &mut Hall, client| {
        let told = hall.told(client);
        told.iter().filter(|message| matches!(message, ServerMessage::Slots { .. })).count()
    };
    hall.hears("s", -20);
    assert_eq!(["a", "b", "c", "mod"].map(|client| slots(&mut hall, client)), [1; 4]);
    assert_eq!(slots(&mut hall, "s"), 0, "nobody is in their own slot");
    hall.hears("s", -30);
    hall.hears("mod", -20);
    assert_eq!(["a", "b", "c", "mod", "s"].map(|client| slots(&mut hall, client)), [1; 5]);
    // Whom one chose to hear is another matter than who is heard, until the choice ends.
    hall.request("a", Request::Listen { only: Some(["d".to_owned()].into()), except: [].into() });
    let endpoint = hall.control.sessions[&hall.clients["a"].0.session].endpoint;
    let worker = hall.control.sessions[&hall.clients["a"].0.session].worker;
    let chosen = Selection {
        at: hall.now,
        worker,
        room: "hall".into(),
        positions: vec![None; 4],
        views: vec![(endpoint, vec![None; 3])],
    };
    hall.control.worker_event(hall.now, WorkerEvent::Selected(chosen));
    assert_eq!(slots(&mut hall, "a"), 1);
    hall.hears("mod", -20);
    assert_eq!(slots(&mut hall, "a"), 0);
    hall.request("a", Request::Listen { only: None, except: [].into() });
    hall.hears("mod", -20);
    assert_eq!(slots(&mut hall, "a"), 1);
}

#[test]
fn cameras_that_come_in_a_row_are_looked_at_twice() {
    let mut hall = Hall::new();
    for speaker in ["s", "t", "u"] {
        hall.join(speaker, Role::Speaker);
    }
    hall.offers_video("a", 4);
    hall.offers_video("mod", 4);
    hall.all_told();
    let some = |id: &str| Some(id.to_owned());
    for speaker in ["s", "t", "u"] {
        hall.films(speaker);
    }
    assert_eq!(hall.watched("a"), [[some("s"), None, None, None]], "at once");
    hall.tick(99);
    assert!(hall.watched("a").is_empty());
    hall.tick(1);
    assert_eq!(hall.watched("a"), [[some("s"), some("t"), some("u"), None]]);
    hall.tick(1_000);
    assert!(hall.watched("a").is_empty(), "nothing changed");
    assert_eq!(hall.watched("mod").len(), 2);
}

#[test]
fn whoever_fell_silent_is_neither_looked_at_nor_told_to_be_loud() {
    let mut hall = Hall::new();
    for speaker in ["s", "t"] {
        hall.join(speaker, Role::Speaker);
        hall.films(speaker);
    }
    hall.offers_video("a", 1);
    hall.tick(100);
    assert_eq!(hall.sees("a"), Some(vec!["s".to_owned()]));
    let loud = |hall: &mut Hall| {
        let mut told = hall.told("a").into_iter().filter_map(|message| match message {
            ServerMessage::Speakers { levels } => Some(levels),
            _ => None,
        });
        told.next_back().map(|levels| levels.into_iter().map(|it| it.participant).collect::<Vec<_>>())
    };
    // The louder one has the position still, and no longer speaks.
    for ago_ms in (0..=400).step_by(100) {
        hall.hears_all(&[("s", -20, ago_ms), ("t", -40, 0)]);
        hall.tick(100);
    }
    assert_eq!(loud(&mut hall), Some(vec!["s".to_owned(), "t".to_owned()]), "a pause within a sentence");
    hall.hears_all(&[("s", -20, 500), ("t", -40, 0)]);
    assert_eq!(hall.sees("a"), Some(vec!["t".to_owned()]), "it leads since a while");
    hall.hears_all(&[("s", -20, 600), ("t", -40, 0)]);
    assert_eq!(loud(&mut hall), Some(vec!["t".to_owned()]));
    hall.hears_all(&[("s", -20, 1_100), ("t", -40, 500)]);
    assert_eq!(loud(&mut hall), Some(vec![]));
    hall.hears_all(&[("s", -20, 1_200), ("t", -40, 600)]);
    assert_eq!(loud(&mut hall), None, "it was said");
}

#[test]
fn who_is_heard_but_does_not_speak_is_looked_at_until_somebody_speaks() {
    let mut hall = Hall::new();
    for speaker in ["s", "t", "u"] {
        hall.join(speaker, Role::Speaker);
        hall.films(speaker);
    }
    hall.offers_video("a", 1);
    hall.tick(100);
    assert_eq!(hall.sees("a"), Some(vec!["s".to_owned()]));
    let mut seen_after = |positions: &[(&str, i8, Option<u64>, u64)]| {
        for _ in 0..12 {
            hall.hears_them(positions);
            hall.tick(100);
        }
        hall.sees("a")
    };
    assert_eq!(seen_after(&[("t", -20, None, 0), ("s", -30, None, 0)]), Some(vec!["t".to_owned()]));
    assert_eq!(seen_after(&[("t", -20, None, 0), ("u", -50, Some(0), 0)]), Some(vec!["u".to_owned()]));
}

#[test]
fn whom_one_watches_is_nothing_to_the_others() {
    let mut hall = Hall::new();
    for speaker in ["s", "t"] {
        hall.join(speaker, Role::Speaker);
        hall.films(speaker);
    }
    for viewer in ["a", "b", "c"] {
        hall.offers_video(viewer, 1);
    }
    hall.tick(100);
    hall.all_told();
    hall.told_workers();
    // The second of each two is no news.
    for participant in ["t", "t", "s", "s"].repeat(10) {
        hall.request(
            "a",
            Request::Watch { participant: Some(participant.to_owned()), participants: Vec::new() },
        );
    }
    assert_eq!(hall.watched("a").len(), 20);
    assert_eq!((hall.watched("b").len(), hall.watched("c").len()), (0, 0));
    let (watched, watch) = hall.told_workers();
    assert!(watched <= 1 && watch == 20, "{watched}, {watch}");
}

#[test]
fn a_camera_crosses_for_as_long_as_anybody_of_the_other_worker_watches_it() {
    let mut hall = Hall::with_together(1);
    hall.join("s", Role::Speaker);
    let publisher = hall.session("s").worker;
    hall.films("s");
    let is_there = |hall: &Hall, id: &&&str| hall.session(id).worker != publisher;
    let [first, second] = [0, 1].map(|at| {
        let there = ["a", "b", "c", "d"].iter().filter(|id| is_there(&hall, id)).nth(at);
        *there.expect("half of them are on the other worker")
    });
    let told = |hall: &mut Hall| {
        hall.tick(100);
        let commands = hall.control.take_commands().into_iter();
        let told = commands.filter_map(|(worker, command)| match command {
            WorkerCommand::SetWatched { watched_by, .. } => Some((worker, watched_by.len())),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    told(&mut hall);
    hall.offers_video(first, 1);
    assert_eq!(told(&mut hall), [(publisher, 1)]);
    hall.offers_video(second, 1);
    hall.request(first, Request::Leave);
    assert_eq!(told(&mut hall), []);
    hall.request(second, Request::Leave);
    assert_eq!(told(&mut hall), [(publisher, 0)]);
}

#[test]
fn a_stopped_video_line_takes_no_camera_from_the_others() {
    let mut hall = Hall::new();
    for speaker in ["s", "t", "u"] {
        hall.join(speaker, Role::Speaker);
        hall.films(speaker);
    }
    hall.tick(100);
    hall.has_video_slots("a", [0, 2]);
    let slots = hall.told("a").into_iter().find_map(|message| match message {
        ServerMessage::Video { slots } => Some(slots),
        _ => None,
    });
    let slots = slots.expect("told who is seen").into_iter();
    let seen: Vec<_> = slots.map(|slot| (slot.index, slot.participant)).collect();
    assert_eq!(seen, [(0, Some("s".to_owned())), (2, Some("t".to_owned()))]);
    let watch = hall.control.take_commands().into_iter().rev().find_map(|(_, command)| match command {
        WorkerCommand::Watch { sources, .. } => Some(sources.iter().map(Option::is_some).collect::<Vec<_>>()),
        _ => None,
    });
    assert_eq!(watch, Some(vec![true, false, true]));
}

#[test]
fn a_shared_screen_has_the_first_slot_of_all_but_its_sharer_until_it_ends() {
    let mut hall = Hall::new();
    for speaker in ["s", "t"] {
        hall.join(speaker, Role::Speaker);
        hall.films(speaker);
    }
    hall.tick(100);
    for viewer in ["a", "s", "t"] {
        hall.offers_video(viewer, 3);
    }
    hall.all_told();
    hall.shares("s", true);
    assert_eq!(hall.sees("a").as_deref(), Some(&["screen of s".into(), "s".into(), "t".into()][..]));
    assert_eq!(hall.sees("t").as_deref(), Some(&["screen of s".into(), "s".into(), String::new()][..]));
    assert_eq!(hall.sees("s"), None, "nothing changes for them");
    // Whom one watches comes after it, and who is the loudest too.
    let watch = |participant: &str| Request::Watch {
        participant: Some(participant.to_owned()),
        participants: Vec::new(),
    };
    hall.request("a", watch("t"));
    assert_eq!(hall.sees("a").as_deref(), Some(&["screen of s".into(), "t".into(), "s".into()][..]));
    // Another waits, and even the first sharer isn't shown it.
    hall.shares("t", true);
    assert_eq!((hall.sees("a"), hall.sees("s"), hall.sees("t")), (None, None, None));
    hall.shares("s", false);
    assert_eq!(hall.sees("a").as_deref(), Some(&["screen of t".into(), "t".into(), "s".into()][..]));
    assert_eq!(hall.sees("s").as_deref(), Some(&["screen of t".into(), "t".into(), String::new()][..]));
    assert_eq!(hall.sees("t").as_deref(), Some(&["s".into(), String::new(), String::new()][..]));
    hall.request("t", Request::Leave);
    hall.tick(100);
    assert_eq!(hall.sees("a").as_deref(), Some(&["s".into(), String::new(), String::new()][..]));
}

#[test]
fn a_screen_is_shared_where_there_is_no_camera_and_told_in_a_welcome() {
    let mut hall = Hall::new();
    hall.join("s", Role::Speaker);
    hall.offers_video("a", 1);
    let welcome = hall.welcome("a");
    hall.all_told();
    hall.shares("s", true);
    let told = hall.told("a");
    let published = told.iter().find_map(|message| match message {
        ServerMessage::TrackPublished { participant, track } => Some((participant.as_str(), track.clone())),
        _ => None,
    });
    let track = published.filter(|(of, _)| *of == "s").expect("told who shares").1;
    assert_eq!((track.kind, track.origin), (TrackKind::Video, TrackOrigin::ScreenVideo));
    let resumed = hall.resume("a", &welcome);
    let [slot] = &resumed.video[..] else {
        panic!("{:?}", resumed.video);
    };
    assert_eq!((slot.participant.as_deref(), slot.origin), (Some("s"), VideoOrigin::ScreenVideo));
    let sharer = resumed.participants.iter().find(|it| it.id == "s").expect("they are listed");
    assert_eq!(track.id, format!("v{}", sharer.screen_video_source));
}
