//! Control planes of several nodes and what they tell each other, in virtual time: whatever happens, they come to agree with what is so.
//!
//! `RUNS=6000 cargo test -p tercet elsewhere` for more of it; with `TRACE=1` each event and message is printed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tercet_core::{EndpointId, NodeId, RoomId};
use tercet_protocol::{
    ClientMessage, LeaveReason, Request, Role, ServerMessage, SlotMid, TrackOrigin, WireParticipant,
};
use tokio::sync::{mpsc, oneshot};

use crate::access::Claims;
use crate::cluster::{ClusterCommand, ClusterEvent, RoomMessage};
use crate::config::Config;
use crate::control::elsewhere::Seeking;
use crate::control::tests::join;
use crate::control::{Attached, Control, ControlInput, Outgoing};
use crate::media::{Answer, WorkerEvent, WorkerId};

const ROOM: &str = "hall";

fn node(index: usize) -> NodeId {
    NodeId { zone: 0, index: index as u8 + 1 }
}

/// A client, and the room as it was told of it.
struct Client {
    at: usize,
    identity: usize,
    attached: Attached,
    outbox: mpsc::Receiver<Arc<Outgoing>>,
    seen: BTreeMap<String, WireParticipant>,
    /// Who is in its first video slot.
    watched: Option<String>,
    is_over: Option<LeaveReason>,
}

/// Nodes, the messages between them, and their clients.
struct Nodes {
    now: Instant,
    controls: Vec<Option<Control>>,
    has_room: Vec<bool>,
    /// Those who can't reach each other.
    cut: BTreeSet<(usize, usize)>,
    under_way: BTreeMap<(usize, usize), VecDeque<RoomMessage>>,
    clients: Vec<Client>,
}

fn identity(number: usize) -> String {
    format!("p{number}")
}

impl Nodes {
    fn new(count: usize) -> Nodes {
        let now = Instant::now();
        let mut nodes = Nodes {
            now,
            controls: (0..count).map(|_| None).collect(),
            has_room: vec![false; count],
            cut: BTreeSet::new(),
            under_way: BTreeMap::new(),
            clients: Vec::new(),
        };
        for index in 0..count {
            nodes.start(index);
        }
        nodes
    }

    fn start(&mut self, index: usize) {
        let mut control = Control::new(Arc::new(Config::default()), 1);
        control.join_cluster(node(index), WorkerId(1), (self.now, 1_000_000));
        self.controls[index] = Some(control);
    }

    fn reach(&self, a: usize, b: usize) -> bool {
        a != b
            && self.controls[a].is_some()
            && self.controls[b].is_some()
            && !self.cut.contains(&(a.min(b), a.max(b)))
    }

    /// Tells a node something, and takes what it wants done.
    fn tell(&mut self, index: usize, event: ClusterEvent) {
        if let Some(control) = &mut self.controls[index] {
            control.cluster_event(self.now, event);
        }
        self.settle(index);
    }

    fn room_node(&mut self, at: usize, of: usize, is_present: bool) {
        let event = ClusterEvent::RoomNode { room: ROOM.into(), node: node(of), is_present };
        if std::env::var_os("TRACE").is_some() {
            println!("    {of} has a part, to {at}: {is_present}");
        }
        self.tell(at, event);
    }

    fn settle(&mut self, index: usize) {
        let Some(control) = &mut self.controls[index] else {
            return;
        };
        control.take_commands();
        for command in control.take_cluster_commands() {
            let opens = match command {
                ClusterCommand::OpenRoom(_) => true,
                ClusterCommand::CloseRoom(_) => false,
                ClusterCommand::Tell { to, message, .. } => {
                    let to = usize::from(to.index) - 1;
                    if self.reach(index, to) {
                        self.under_way.entry((index, to)).or_default().push_back(message);
                    }
                    continue;
                }
                _ => continue,
            };
            self.has_room[index] = opens;
            for other in
                (0..self.controls.len()).filter(|&other| self.reach(index, other)).collect::<Vec<_>>()
            {
                if self.has_room[other] {
                    self.room_node(other, index, opens);
                    if opens {
                        self.room_node(index, other, true);
                    }
                }
            }
        }
        self.read_all();
    }

    /// One message arrives, of any that are under way.
    fn deliver(&mut self, rng: &mut SmallRng) -> bool {
        let ways: Vec<(usize, usize)> =
            self.under_way.iter().filter(|(_, queue)| !queue.is_empty()).map(|(way, _)| *way).collect();
        if ways.is_empty() {
            return false;
        }
        let (from, to) = ways[rng.random_range(0..ways.len())];
        let message =
            self.under_way.get_mut(&(from, to)).and_then(VecDeque::pop_front).expect("it isn't empty");
        if std::env::var_os("TRACE").is_some() {
            println!("    {from} to {to}: {message:?}");
        }
        self.tell(to, ClusterEvent::Told { from: node(from), room: ROOM.into(), message });
        true
    }

    fn join(&mut self, at: usize, who: usize, role: Role) {
        let Some(control) = &mut self.controls[at] else {
            return;
        };
        let claims = Claims {
            room: ROOM.to_owned(),
            identity: identity(who),
            name: None,
            role,
            may_send_data: true,
            first_moderates: false,
            expires: 0,
        };
        let Some((attached, outbox)) = join(control, self.now, claims, 1024) else {
            // The node stops.
            return;
        };
        let seen = BTreeMap::new();
        self.clients.push(Client { at, identity: who, attached, outbox, seen, watched: None, is_over: None });
        self.settle(at);
    }

    fn request(&mut self, client: usize, request: Request) {
        let Client { at, attached, .. } = self.clients[client];
        let message = ClientMessage { id: None, request };
        if let Some(control) = &mut self.controls[at] {
            control.input(self.now, ControlInput::Request { from: attached, message });
        }
        self.settle(at);
    }

    fn part(&mut self, a: usize, b: usize) {
        if self.reach(a, b) {
            self.cut.insert((a.min(b), a.max(b)));
            self.miss(a, b);
            self.miss(b, a);
        }
    }

    /// A node takes another for dead.
    fn miss(&mut self, at: usize, of: usize) {
        self.under_way.remove(&(of, at));
        self.tell(at, ClusterEvent::NodeDown(node(of)));
        self.room_node(at, of, false);
    }

    fn meet(&mut self, a: usize, b: usize) {
        if self.cut.remove(&(a.min(b), a.max(b))) && self.reach(a, b) {
            for (at, of) in [(a, b), (b, a)] {
                self.tell(at, ClusterEvent::StreamBegan(node(of)));
            }
            for (at, of) in [(a, b), (b, a)] {
                if self.has_room[at] && self.has_room[of] {
                    self.room_node(at, of, true);
                }
            }
        }
    }

    fn kill(&mut self, index: usize) {
        let others: Vec<usize> = (0..self.controls.len()).filter(|&other| self.reach(index, other)).collect();
        self.controls[index] = None;
        self.has_room[index] = false;
        self.under_way.retain(|(from, to), _| *from != index && *to != index);
        self.clients.retain(|client| client.at != index);
        for other in others {
            self.miss(other, index);
        }
    }

    /// A node stops: it takes nobody new, and its people go elsewhere in their own time.
    fn drain(&mut self, index: usize) {
        if let Some(control) = &mut self.controls[index] {
            let (drained, _) = oneshot::channel();
            control.input(self.now, ControlInput::Drain { deadline: Duration::from_secs(10), drained });
        }
        self.settle(index);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        for index in 0..self.controls.len() {
            if let Some(control) = &mut self.controls[index] {
                control.expire(self.now);
                control.tell_attendance(self.now);
                control.tell_cluster();
                control.show_waiting_cameras(self.now);
            }
            self.settle(index);
        }
    }

    /// A client's worker says something of it.
    fn report(&mut self, client: usize, event: impl FnOnce(EndpointId) -> WorkerEvent) {
        let Client { at, attached, .. } = self.clients[client];
        if let Some(control) = &mut self.controls[at] {
            control.worker_event(self.now, event(attached.endpoint));
        }
        self.settle(at);
    }

    fn films(&mut self, client: usize) {
        self.publishes(client, TrackOrigin::Camera);
    }

    fn publishes(&mut self, client: usize, origin: TrackOrigin) {
        self.report(client, |endpoint| WorkerEvent::PublishingStarted { endpoint, origin });
    }

    /// A client has a video slot.
    fn views(&mut self, client: usize) {
        let (slot_mids, video_mids) = (Vec::new(), vec![SlotMid { index: 0, mid: "v".to_owned() }]);
        let answer = Answer { sdp: String::new(), slot_mids, screen_mid: None, video_mids };
        self.report(client, |endpoint| WorkerEvent::OfferAnswered {
            endpoint,
            request: None,
            result: Ok(answer),
        });
    }

    /// How many cameras of a node are watched on others, as it knows.
    fn watched_of(&self, index: usize) -> usize {
        let live = self.controls[index].as_ref().map(|control| &control.rooms[&RoomId::from(ROOM)]);
        live.map_or(0, |live| live.elsewhere.sought_here(Seeking::Cameras).len())
    }

    /// All that is under way arrives.
    fn arrive(&mut self) {
        let mut rng = SmallRng::seed_from_u64(0);
        while self.deliver(&mut rng) {}
    }

    /// Clients read what they were told.
    fn read_all(&mut self) {
        for client in &mut self.clients {
            while let Ok(outgoing) = client.outbox.try_recv() {
                if let Outgoing::Text(text) = &*outgoing {
                    client.told(serde_json::from_str(text.as_str()).expect("a message of the protocol"));
                }
            }
        }
    }

    /// Who is in the room, by the sessions that there are: where, with which role, hand and mute.
    fn truth(&self) -> BTreeMap<String, (usize, Role, bool, bool)> {
        let mut truth = BTreeMap::new();
        for (index, control) in self.controls.iter().enumerate() {
            let live = control.as_ref().and_then(|control| control.rooms.get(&RoomId::from(ROOM)));
            for id in live.iter().flat_map(|live| live.sessions.keys()) {
                let there =
                    live.and_then(|live| live.room.participant(id)).expect("a session has a participant");
                assert_eq!(there.node, None, "{id} has a session on node {index}");
                let muted = there.tracks.microphone.muted;
                let former = truth.insert(id.to_string(), (index, there.role, there.hand_raised, muted));
                assert_eq!(former, None, "{id} is on two nodes");
            }
        }
        truth
    }

    /// Whether all nodes, and all clients, see what is so.
    fn check(&self, what: &str) {
        let truth = self.truth();
        for (index, control) in self.controls.iter().enumerate() {
            let Some(live) = control.as_ref().and_then(|control| control.rooms.get(&RoomId::from(ROOM)))
            else {
                continue;
            };
            let seen = live.room.participants().map(|it| {
                let at = it.node.map_or(index, |node| usize::from(node.index) - 1);
                (it.id.to_string(), (at, it.role, it.hand_raised, it.tracks.microphone.muted))
            });
            assert_eq!(seen.collect::<BTreeMap<_, _>>(), truth, "{what}: as node {index} sees it");
        }
        for client in self.clients.iter().filter(|client| client.is_over.is_none()) {
            let seen = client.seen.values().map(|it| (it.id.clone(), (it.role, it.hand_raised, it.muted)));
            let truth = truth.iter().map(|(id, (_, role, hand, muted))| (id.clone(), (*role, *hand, *muted)));
            let who = format!("{what}: as p{} on node {} sees it", client.identity, client.at);
            assert_eq!(seen.collect::<BTreeMap<_, _>>(), truth.collect::<BTreeMap<_, _>>(), "{who}");
        }
    }
}

impl Client {
    fn told(&mut self, message: ServerMessage) {
        if self.is_over.is_some() {
            return;
        }
        match message {
            ServerMessage::Joined(welcome) => {
                self.seen = welcome.participants.into_iter().map(|it| (it.id.clone(), it)).collect();
            }
            ServerMessage::ParticipantJoined { participant } => {
                let id = participant.id.clone();
                let known = self.seen.insert(id.clone(), participant);
                assert!(known.is_none(), "p{} is told twice that {id} joined", self.identity);
            }
            ServerMessage::ParticipantUpdated { participant } => {
                let who = participant.id.clone();
                let known = self.seen.insert(who.clone(), participant);
                assert!(
                    known.is_some(),
                    "p{} is told of a change of {who}, whom they don't know",
                    self.identity
                );
            }
            ServerMessage::ParticipantLeft { participant, .. } => {
                let known = self.seen.remove(&participant);
                assert!(known.is_some(), "p{} is told that {participant}, unknown, left", self.identity);
            }
            ServerMessage::Video { slots } => {
                self.watched = slots.into_iter().next().and_then(|slot| slot.participant);
            }
            ServerMessage::Left { reason, .. } => self.is_over = Some(reason),
            _ => {}
        }
    }
}

/// Something happens.
fn happen(nodes: &mut Nodes, rng: &mut SmallRng) {
    let count = nodes.controls.len();
    let (a, b) = (rng.random_range(0..count), rng.random_range(0..count));
    let client = (!nodes.clients.is_empty()).then(|| rng.random_range(0..nodes.clients.len()));
    let whom = identity(rng.random_range(0..6));
    let what = rng.random_range(0..100);
    if std::env::var_os("TRACE").is_some() {
        println!(
            "{what} at {a} and {b}, of {whom}, by {:?}",
            client.map(|c| (nodes.clients[c].identity, nodes.clients[c].at))
        );
    }
    match (what, client) {
        (0..30, _) => {
            let role = [Role::Moderator, Role::Speaker, Role::Listener][rng.random_range(0..3)];
            nodes.join(a, rng.random_range(0..6), role);
        }
        (30..45, Some(client)) => nodes.request(client, Request::Leave),
        (45..55, Some(client)) => nodes.request(client, Request::RaiseHand { raised: rng.random_bool(0.5) }),
        (55..60, Some(client)) => {
            let muted = rng.random_bool(0.5);
            nodes.request(client, Request::Mute { muted, track: TrackOrigin::Microphone });
        }
        (60..75, Some(client)) => {
            let role = [Role::Moderator, Role::Speaker, Role::Listener][rng.random_range(0..3)];
            nodes.request(client, Request::SetRole { participant: whom, role });
        }
        (75..80, Some(client)) => {
            nodes.request(client, Request::RemoveParticipant { participant: whom });
        }
        (80..84, _) => nodes.part(a, b),
        (84..90, _) => nodes.meet(a, b),
        (90..93, _) => nodes.kill(a),
        (93..94, _) => nodes.drain(a),
        (94..97, _) if nodes.controls[a].is_none() => nodes.start(a),
        _ => nodes.pass(Duration::from_millis(rng.random_range(0..3000))),
    }
}

#[test]
fn whatever_happens_nodes_and_clients_come_to_see_what_is_so() {
    let runs = std::env::var("RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(150);
    for seed in 0..runs {
        // A failure is replayed from what is printed last.
        println!("seed {seed}");
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut nodes = Nodes::new(4);
        for _ in 0..rng.random_range(10..120) {
            happen(&mut nodes, &mut rng);
            // What was said arrives meanwhile, or later.
            for _ in 0..rng.random_range(0..12) {
                nodes.deliver(&mut rng);
            }
        }
        for (a, b) in nodes.cut.clone() {
            nodes.meet(a, b);
        }
        for _ in 0..3 {
            while nodes.deliver(&mut rng) {}
            nodes.pass(Duration::from_secs(11));
        }
        while nodes.deliver(&mut rng) {}
        nodes.check(&format!("seed {seed}"));
    }
}

/// Somebody on one node has a camera, and somebody on another watches it.
fn a_camera_and_its_viewer() -> Nodes {
    let mut nodes = Nodes::new(2);
    nodes.join(0, 0, Role::Speaker);
    nodes.join(1, 1, Role::Listener);
    nodes.views(1);
    nodes.films(0);
    nodes.arrive();
    nodes.pass(Duration::from_millis(100));
    nodes
}

#[test]
fn who_is_watched_on_another_node_is_so_after_a_cut() {
    let mut nodes = a_camera_and_its_viewer();
    nodes.arrive();
    assert_eq!(nodes.watched_of(0), 1);
    for cut in [Duration::from_secs(3), Duration::from_secs(30)] {
        nodes.part(0, 1);
        nodes.pass(cut);
        assert_eq!(nodes.watched_of(0), 0);
        nodes.meet(0, 1);
        nodes.arrive();
        nodes.pass(Duration::from_millis(100));
        nodes.arrive();
        assert_eq!(nodes.watched_of(0), 1, "after {cut:?}");
    }
}

#[test]
fn nobody_looks_at_cameras_of_a_node_that_is_gone() {
    let mut nodes = a_camera_and_its_viewer();
    assert_eq!(nodes.clients[1].watched.as_deref(), Some("p0"));
    nodes.part(0, 1);
    nodes.pass(Duration::from_millis(100));
    assert_eq!(nodes.clients[1].watched, None);
    assert!(nodes.clients[1].seen.contains_key("p0"), "they may come back");
    nodes.meet(0, 1);
    nodes.arrive();
    nodes.pass(Duration::from_millis(100));
    assert_eq!(nodes.clients[1].watched.as_deref(), Some("p0"));
}

#[test]
fn all_nodes_look_at_the_screen_that_was_shared_first() {
    let mut nodes = Nodes::new(2);
    for (at, identity, role) in
        [(0, 0, Role::Speaker), (1, 1, Role::Speaker), (0, 2, Role::Listener), (1, 3, Role::Listener)]
    {
        nodes.join(at, identity, role);
    }
    nodes.arrive();
    nodes.views(2);
    nodes.views(3);
    let looked_at = |nodes: &mut Nodes| {
        for _ in 0..2 {
            nodes.arrive();
            nodes.pass(Duration::from_millis(100));
        }
        nodes.read_all();
        [2, 3].map(|viewer: usize| nodes.clients[viewer].watched.clone())
    };
    // Neither node has heard of the other's when it is shared.
    nodes.publishes(1, TrackOrigin::ScreenVideo);
    nodes.now += Duration::from_millis(5);
    nodes.publishes(0, TrackOrigin::ScreenVideo);
    assert_eq!(looked_at(&mut nodes), [Some("p1".to_owned()), Some("p1".to_owned())]);
    // Whatever the order in which they are told.
    nodes.part(0, 1);
    assert_eq!(looked_at(&mut nodes), [Some("p0".to_owned()), Some("p1".to_owned())]);
    nodes.meet(0, 1);
    assert_eq!(looked_at(&mut nodes), [Some("p1".to_owned()), Some("p1".to_owned())]);
    nodes.report(1, |endpoint| WorkerEvent::PublishingEnded { endpoint, origin: TrackOrigin::ScreenVideo });
    assert_eq!(looked_at(&mut nodes), [Some("p0".to_owned()), Some("p0".to_owned())]);
}
