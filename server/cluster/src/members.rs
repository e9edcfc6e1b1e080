//! Which nodes there are, and what each says of itself: SWIM (Das, Gupta and Motivala, 2002), as foca has it.
//!
//! A node asks a few others now and then whether they are there, and through others if they don't answer, so nobody has to hear of
//! all. It goes over the routed network, so a node that we have no link to is a member too.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU8, NonZeroUsize};
use std::rc::Rc;
use std::time::{Duration, Instant};

use foca::{
    BroadcastHandler, Config, Foca, Identity, Invalidates, Member, Notification, PeriodicParams,
    PostcardCodec, Runtime, State, Timer,
};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde::{Deserialize, Serialize};

use tercet_core::NodeId;

use crate::ids::BootId;

/// A message of SWIM and what it carries along: within what the network carries.
const PACKET_BYTES_MAX: usize = 1100;

/// How often a node tells again what it says of itself, for those who missed it.
const TELL_INTERVAL: Duration = Duration::from_secs(2);

/// What so many former lives of nodes said of themselves is kept: it may come once more.
const FORMER_LIVES_MAX: usize = 64;

/// What a node does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeRole {
    /// Both.
    #[default]
    All,
    /// It has sessions, and serves those that it is sent.
    Media,
    /// It has none, and sends them to others.
    Gateway,
    /// It has phones, and sends everybody else to others.
    Sip,
}

impl NodeRole {
    /// Whether it has sessions.
    pub fn has_media(self) -> bool {
        !matches!(self, NodeRole::Gateway | NodeRole::Sip)
    }

    /// Whether it knows other zones, and speaks with them.
    pub fn is_gateway(self) -> bool {
        self != NodeRole::Media
    }
}

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// Where other nodes reach it.
    pub cluster: SocketAddr,
    /// Where clients reach its HTTP: a URL without a path.
    pub http: String,
    /// Where other nodes reach it, past any proxy; `None` if they can't.
    pub inside: Option<SocketAddr>,
    /// What it does.
    pub role: NodeRole,
    /// The sessions that it has.
    pub sessions: u32,
    /// The most that it may have.
    pub sessions_max: u32,
    /// Rooms that are open there.
    pub rooms: u32,
    /// It can't take more for now.
    pub is_strained: bool,
    /// It is about to stop, and takes nobody new.
    pub is_draining: bool,
    /// The version of the program.
    pub version: String,
    /// Its links: to whom, the round trip in microseconds, and how many of a thousand datagrams to it are lost.
    pub links: Vec<(NodeId, u32, u16)>,
}

/// Somebody in the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeState {
    /// Which life of the node it is.
    pub boot: BootId,
    /// What it said of itself last; `None` until it has said something.
    pub info: Option<NodeInfo>,
}

/// What became of a node.
#[derive(Debug, PartialEq)]
pub(crate) enum MemberEvent {
    Up(NodeId, BootId),
    Down(NodeId, BootId),
    /// It said something else of itself; perhaps of where it is, and what it does.
    Changed {
        node: NodeId,
        is_reached_otherwise: bool,
    },
}

/// What decides who has links to whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    pub(crate) node: NodeId,
    pub(crate) address: SocketAddr,
    pub(crate) role: NodeRole,
}

/// A node as SWIM knows it. Whoever was taken for dead, and isn't, comes back under the next number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Life {
    node: NodeId,
    boot: BootId,
    renewal: u16,
}

impl Identity for Life {
    type Addr = NodeId;

    fn renew(&self) -> Option<Life> {
        Some(Life { renewal: self.renewal.wrapping_add(1), ..*self })
    }

    fn addr(&self) -> NodeId {
        self.node
    }

    fn win_addr_conflict(&self, adversary: &Life) -> bool {
        (self.boot, self.renewal) > (adversary.boot, adversary.renewal)
    }
}

/// What a node says of itself, on its way to all.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    node: NodeId,
    boot: BootId,
    /// A later one is greater.
    version: u64,
    info: NodeInfo,
}

struct ToldKey {
    node: NodeId,
    newness: (BootId, u64),
}

impl Invalidates for ToldKey {
    fn invalidates(&self, other: &ToldKey) -> bool {
        self.node == other.node && self.newness > other.newness
    }
}

/// What was said last, by whom.
#[derive(Default)]
struct Sayings {
    /// Each life of a node speaks for itself: the clock that tells a later one may have been set back.
    by_life: BTreeMap<(NodeId, BootId), Told>,
    changed: Vec<MemberEvent>,
}

#[derive(Debug)]
struct Unreadable;

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what a node said of itself can't be read")
    }
}

impl std::error::Error for Unreadable {}

/// Foca has one end of it, and we the other.
#[derive(Clone, Default)]
struct Board(Rc<RefCell<Sayings>>);

impl BroadcastHandler<Life> for Board {
    type Key = ToldKey;
    type Error = Unreadable;

    fn receive_item(&mut self, data: &[u8], _: Option<&Life>) -> Result<Option<ToldKey>, Unreadable> {
        let told: Told = postcard::from_bytes(data).map_err(|_| Unreadable)?;
        let (node, newness) = (told.node, (told.boot, told.version));
        let mut sayings = self.0.borrow_mut();
        let life = (node, told.boot);
        if sayings.by_life.get(&life).is_some_and(|known| known.version >= told.version) {
            return Ok(None);
        }
        let reach = |told: &Told| (told.boot, told.info.cluster, told.info.role);
        let new = reach(&told);
        let is_reached_otherwise = sayings.by_life.insert(life, told).is_none_or(|old| reach(&old) != new);
        sayings.changed.push(MemberEvent::Changed { node, is_reached_otherwise });
        Ok(Some(ToldKey { node, newness }))
    }
}

/// What foca wants done.
#[derive(Default)]
struct Wishes {
    send: VecDeque<(NodeId, Vec<u8>)>,
    timers: Vec<(Timer<Life>, Duration)>,
    noted: Vec<MemberEvent>,
}

impl Runtime<Life> for &mut Wishes {
    fn notify(&mut self, notification: Notification<'_, Life>) {
        match notification {
            Notification::MemberUp(life) => self.noted.push(MemberEvent::Up(life.node, life.boot)),
            Notification::MemberDown(life) => self.noted.push(MemberEvent::Down(life.node, life.boot)),
            Notification::Rename(former, life) if former.boot != life.boot => {
                self.noted.push(MemberEvent::Down(former.node, former.boot));
                self.noted.push(MemberEvent::Up(life.node, life.boot));
            }
            _ => {}
        }
    }

    fn send_to(&mut self, to: Life, data: &[u8]) {
        self.send.push_back((to.node, data.to_vec()));
    }

    fn submit_after(&mut self, event: Timer<Life>, after: Duration) {
        self.timers.push((event, after));
    }
}

/// Who is in the cluster.
pub(crate) struct Members {
    foca: Foca<Life, PostcardCodec, SmallRng, Board>,
    board: Board,
    wishes: Wishes,
    /// What is due when; there are a handful.
    timers: Vec<(Instant, Timer<Life>)>,
    own: Life,
    info: NodeInfo,
    version: u64,
    tell_at: Instant,
    up: BTreeMap<NodeId, BootId>,
    events: VecDeque<MemberEvent>,
}

impl Members {
    pub(crate) fn new(now: Instant, node: NodeId, boot: BootId, info: NodeInfo, seed: u64) -> Members {
        let own = Life { node, boot, renewal: 0 };
        let rng = SmallRng::seed_from_u64(seed);
        let board = Board::default();
        let foca = Foca::with_custom_broadcast(own, config(), rng, PostcardCodec, board.clone());
        Members {
            foca,
            board,
            wishes: Wishes::default(),
            timers: Vec::new(),
            own,
            info,
            version: 0,
            tell_at: now,
            up: BTreeMap::new(),
            events: VecDeque::new(),
        }
    }

    /// The others that are up.
    pub(crate) fn up(&self) -> impl Iterator<Item = (NodeId, NodeState)> {
        self.up.iter().map(|(&node, &boot)| (node, NodeState { boot, info: self.info_of(node, boot) }))
    }

    /// Where all are that are up, this node included, as far as they have said so.
    pub(crate) fn reach(&self) -> Vec<Reach> {
        let reach = |node, info: &NodeInfo| Reach { node, address: info.cluster, role: info.role };
        let sayings = self.board.0.borrow();
        let others = self.up.iter().filter_map(|(node, boot)| {
            let told = sayings.by_life.get(&(*node, *boot))?;
            Some(reach(*node, &told.info))
        });
        let mut all: Vec<Reach> = others.chain([reach(self.own.node, &self.info)]).collect();
        all.sort_by_key(|reach| reach.node);
        all
    }

    pub(crate) fn boot_of(&self, node: NodeId) -> Option<BootId> {
        self.up.get(&node).copied()
    }

    fn info_of(&self, node: NodeId, boot: BootId) -> Option<NodeInfo> {
        let sayings = self.board.0.borrow();
        sayings.by_life.get(&(node, boot)).map(|told| told.info.clone())
    }

    /// What we say of ourselves.
    pub(crate) fn own_info(&self) -> &NodeInfo {
        &self.info
    }

    /// Says something else of ourselves: at once, if it matters to whoever sends people here.
    pub(crate) fn set_info(&mut self, now: Instant, info: NodeInfo) {
        let may_take = |info: &NodeInfo| (info.is_draining, info.is_strained);
        let is_urgent = may_take(&info) != may_take(&self.info);
        self.info = info;
        if is_urgent {
            self.tell(now);
        }
    }

    /// There is a way to a node: it may not know us yet.
    pub(crate) fn meet(&mut self, now: Instant, node: NodeId, boot: BootId) {
        let life = Life { node, boot, renewal: 0 };
        // It fails if the node is ourselves, which it isn't.
        let _ = self.foca.announce(life, &mut self.wishes);
        self.settle(now);
    }

    /// A node doesn't answer by any way: the others are to know.
    pub(crate) fn lose(&mut self, now: Instant, node: NodeId, boot: BootId) {
        let gone =
            self.foca.iter_members().find(|member| member.id().node == node && member.id().boot == boot);
        let Some(gone) = gone.map(|member| Member::new(*member.id(), member.incarnation(), State::Down))
        else {
            return;
        };
        let _ = self.foca.apply_many(std::iter::once(gone), true, &mut self.wishes);
        self.settle(now);
    }

    /// Says goodbye.
    pub(crate) fn leave(&mut self, now: Instant) {
        let _ = self.foca.leave_cluster(&mut self.wishes);
        self.settle(now);
    }

    pub(crate) fn handle_message(&mut self, now: Instant, message: &[u8]) {
        // What can't be read is dropped: a node of another version may have sent it.
        let _ = self.foca.handle_data(message, &mut self.wishes);
        self.settle(now);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let due: Vec<Timer<Life>> =
            self.timers.extract_if(.., |(at, _)| *at <= now).map(|(_, t)| t).collect();
        for timer in due {
            let _ = self.foca.handle_timer(timer, &mut self.wishes);
        }
        if self.tell_at <= now {
            self.tell(now);
        }
        self.settle(now);
    }

    /// When [`Members::handle_timeout`] is due.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.timers.iter().map(|(at, _)| *at).chain([self.tell_at]).min()
    }

    /// A message to a node.
    pub(crate) fn poll_transmit(&mut self) -> Option<(NodeId, Vec<u8>)> {
        self.wishes.send.pop_front()
    }

    pub(crate) fn poll_event(&mut self) -> Option<MemberEvent> {
        self.events.pop_front()
    }

    fn tell(&mut self, now: Instant) {
        self.version += 1;
        self.tell_at = now + TELL_INTERVAL;
        let Life { node, boot, .. } = self.own;
        let told = Told { node, boot, version: self.version, info: self.info.clone() };
        let told = postcard::to_stdvec(&told).expect("it can be written");
        let _ = self.foca.add_broadcast(&told);
        let _ = self.foca.broadcast(&mut self.wishes);
        self.settle(now);
    }

    /// Takes note of what foca wanted.
    fn settle(&mut self, now: Instant) {
        self.timers.extend(self.wishes.timers.drain(..).map(|(timer, after)| (now + after, timer)));
        let mut is_new = false;
        for event in self.wishes.noted.drain(..) {
            match event {
                MemberEvent::Up(node, boot) => {
                    is_new = true;
                    let former = self.up.insert(node, boot);
                    if former == Some(boot) {
                        continue;
                    }
                    if let Some(former) = former {
                        self.events.push_back(MemberEvent::Down(node, former));
                    }
                }
                MemberEvent::Down(node, boot) if self.up.get(&node) == Some(&boot) => {
                    self.up.remove(&node);
                }
                _ => continue,
            }
            self.events.push_back(event);
        }
        let mut sayings = self.board.0.borrow_mut();
        let changed = std::mem::take(&mut sayings.changed);
        if sayings.by_life.len() > 2 * self.up.len() + FORMER_LIVES_MAX {
            let up = &self.up;
            sayings.by_life.retain(|(node, boot), _| up.get(node) == Some(boot));
        }
        drop(sayings);
        self.events.extend(changed);
        if is_new {
            // Who is new has not heard us.
            self.tell_at = now;
        }
    }
}

/// A node that is gone is known to be within four seconds by all, or as soon as one who had a link to it has asked in vain.
fn config() -> Config {
    let few = |count| NonZeroUsize::new(count).expect("it isn't zero");
    let periodic = |seconds, count| {
        Some(PeriodicParams { frequency: Duration::from_secs(seconds), num_members: few(count) })
    };
    Config {
        probe_period: Duration::from_millis(1000),
        probe_rtt: Duration::from_millis(400),
        num_indirect_probes: few(3),
        max_transmissions: NonZeroU8::new(12).expect("it isn't zero"),
        suspect_to_down_after: Duration::from_millis(2500),
        // A node whose clock was set back is let in once its former life is forgotten.
        remove_down_after: Some(Duration::from_secs(30)),
        max_packet_size: few(PACKET_BYTES_MAX),
        notify_down_members: true,
        periodic_announce: periodic(10, 1),
        // What a cut parted is whole within seconds of its end.
        periodic_announce_to_down_members: periodic(1, 3),
        periodic_gossip: Some(PeriodicParams { frequency: Duration::from_millis(200), num_members: few(3) }),
    }
}
