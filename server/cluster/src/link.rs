//! Links to other nodes: datagrams of addresses in, datagrams of nodes out, and the reverse.
//!
//! ```text
//!            ┌─ wanted, or our own seed ─▶ Initiating ── answer ─┐
//!  unknown ──┤                                                  ├─▶ Up ── silent, another life, unneeded ─▶ Down
//!            └─ a handshake that is right ─▶ Pending ── datagram ┘
//! ```
//!
//! A link is to one life of one node. Each side says now and then that it is there, by which round trip and loss are measured,
//! and a dead node is noticed five times sooner than atm0s-sdn does.

mod beat;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use tercet_core::{Allowance, NodeId};

use crate::clock::ClusterClock;
use crate::ids::BootId;
use crate::noise::{Initiation, Seal, Secret, initiate, respond};
pub use beat::LinkQuality;
use beat::{Beat, Pulse};

/// A link of which nothing was heard for so long is down: six beats in a row were lost.
pub const DEAD_AFTER: Duration = Duration::from_millis(2000);

/// A link that neither side has needed for so long is given up.
const UNNEEDED_AFTER: Duration = Duration::from_secs(10);

/// Handshakes that are closer are of the same beginning: a link is given up after twice that, or later.
const SUPERSEDED_AFTER_MS: u64 = 1000;

/// How long an answer is waited for, at first, and at most.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Handshakes that are answered: each costs as much as a hundred datagrams.
const HANDSHAKES_PER_S: u32 = 200;

/// Addresses that answered a handshake of theirs, and have yet to say something.
const PENDING_MAX: usize = 64;

/// What a datagram begins with.
const INITIATE: u8 = 1;
const ANSWER: u8 = 2;
const SEALED: u8 = 3;

/// What the inside of a sealed one begins with.
const NETWORK: u8 = 0;
const BEAT: u8 = 1;
const BYE: u8 = 2;
const MESSAGE: u8 = 3;

/// A link, by a number that is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LinkId(pub(crate) u32);

/// What a node says of itself in a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) node: NodeId,
    pub(crate) boot: BootId,
    time_ms: u64,
}

/// Why a link ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Farewell {
    /// Nothing came any more.
    Silent,
    /// The node stopped.
    Stopped,
    /// The node was started anew.
    Restarted,
    /// There is another node of that id.
    IdTaken,
    /// Neither side needs it: there are other ways.
    Unneeded,
    /// The other side had given it up, and began a new one.
    Superseded,
}

/// What became of the links.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    Up {
        link: LinkId,
        node: NodeId,
    },
    Down {
        link: LinkId,
        node: NodeId,
        boot: BootId,
        address: SocketAddr,
        why: Farewell,
    },
    /// A datagram of the network above.
    Network {
        link: LinkId,
        datagram: Vec<u8>,
    },
    /// A message of the node itself.
    Message {
        from: NodeId,
        message: Vec<u8>,
    },
    /// The cluster's clock went forward.
    ClockMoved(Duration),
    /// The cluster has another node of our id: somebody at this address says so.
    Refused(SocketAddr),
}

/// A link to a node.
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) node: NodeId,
    pub(crate) boot: BootId,
    pub(crate) address: SocketAddr,
    pub(crate) up_since: Instant,
    session: Session,
    /// The session before: what it sealed may still be under way.
    former: Option<Session>,
    pulse: Pulse,
    /// When either side last needed it.
    needed_at: Instant,
}

impl Link {
    pub(crate) fn quality(&self) -> LinkQuality {
        self.pulse.quality()
    }

    /// When anything of the other side came last.
    pub(crate) fn heard_at(&self) -> Instant {
        self.pulse.heard_at()
    }
}

struct Session {
    /// When its handshake was, by the cluster's clock: both sides have the same.
    at_ms: u64,
    /// By which number the other side names it, and we.
    own: u32,
    theirs: u32,
    seal: Seal,
    hello: Hello,
}

/// Somebody at an address.
#[derive(Default)]
struct Peer {
    link: Option<Link>,
    initiating: Option<Initiating>,
    pending: Option<(Instant, Session)>,
    /// Whether we go on asking.
    is_wanted: bool,
    retry_at: Option<Instant>,
    retry_after: Duration,
    /// It is another address of a node that we have a link to, or our own.
    is_alias: bool,
}

struct Initiating {
    own: u32,
    at_ms: u64,
    initiation: Initiation,
}

/// All links of a node.
pub(crate) struct Links {
    secret: Secret,
    node: NodeId,
    boot: BootId,
    peers: FxHashMap<SocketAddr, Peer>,
    /// By which address a session is found, by our number of it.
    sessions: FxHashMap<u32, SocketAddr>,
    by_link: FxHashMap<LinkId, SocketAddr>,
    session_next: u32,
    link_next: u32,
    handshakes: Allowance,
    /// The last handshake of each node, so that a recorded one isn't answered.
    last_hellos: FxHashMap<NodeId, (BootId, u64)>,
    out: VecDeque<(SocketAddr, Vec<u8>)>,
    events: VecDeque<LinkEvent>,
    /// Datagrams that nobody with the secret can have sent.
    pub(crate) forged: u64,
}

impl Links {
    pub(crate) fn new(now: Instant, node: NodeId, boot: BootId, secret: Secret) -> Links {
        Links {
            secret,
            node,
            boot,
            peers: FxHashMap::default(),
            sessions: FxHashMap::default(),
            by_link: FxHashMap::default(),
            // A number that another life of ours used names another session: its datagrams are not for us.
            session_next: boot.0 as u32,
            link_next: 1,
            handshakes: Allowance::new(HANDSHAKES_PER_S, HANDSHAKES_PER_S, now),
            last_hellos: FxHashMap::default(),
            out: VecDeque::new(),
            events: VecDeque::new(),
            forged: 0,
        }
    }

    /// Whom to ask, again and again until they answer. Those that are no longer wanted are no longer asked.
    pub(crate) fn set_wanted(&mut self, now: Instant, addresses: impl IntoIterator<Item = SocketAddr>) {
        for peer in self.peers.values_mut() {
            peer.is_wanted = false;
        }
        for address in addresses {
            let peer = self.peers.entry(address).or_default();
            peer.is_wanted = true;
            if peer.link.is_none() && !peer.is_alias && peer.retry_at.is_none() {
                peer.retry_at = Some(now);
                peer.retry_after = RETRY_FIRST;
            }
        }
        self.peers.retain(|_, peer| peer.is_wanted || peer.link.is_some() || peer.pending.is_some());
    }

    /// The links that are up.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Link> {
        self.peers.values().filter_map(|peer| peer.link.as_ref())
    }

    pub(crate) fn get(&self, link: LinkId) -> Option<&Link> {
        self.peers.get(self.by_link.get(&link)?)?.link.as_ref()
    }

    /// The link to a node.
    pub(crate) fn to(&self, node: NodeId) -> Option<&Link> {
        self.iter().find(|link| link.node == node)
    }

    /// Sends a datagram of the network above.
    pub(crate) fn send(&mut self, link: LinkId, datagram: &[u8]) {
        self.send_kind(link, NETWORK, datagram);
    }

    /// Sends a message to the node at the other end.
    pub(crate) fn send_message(&mut self, link: LinkId, message: &[u8]) {
        self.send_kind(link, MESSAGE, message);
    }

    fn send_kind(&mut self, link: LinkId, kind: u8, inside: &[u8]) {
        let Some(address) = self.by_link.get(&link) else {
            return;
        };
        let Some(link) = self.peers.get_mut(address).and_then(|peer| peer.link.as_mut()) else {
            return;
        };
        let mut plain = Vec::with_capacity(1 + inside.len());
        plain.push(kind);
        plain.extend_from_slice(inside);
        self.out.push_back((*address, link.session.sealed(&plain)));
    }

    /// Says goodbye to everybody.
    pub(crate) fn stop(&mut self) {
        let links: Vec<LinkId> = self.by_link.keys().copied().collect();
        for link in links {
            self.say_goodbye(link, Farewell::Stopped);
        }
    }

    fn say_goodbye(&mut self, link: LinkId, why: Farewell) {
        let why = postcard::to_stdvec(&why).expect("it can be written");
        self.send_kind(link, BYE, &why);
    }

    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        clock: &mut ClusterClock,
        from: SocketAddr,
        datagram: &[u8],
    ) {
        let handled = match datagram.split_first() {
            Some((&INITIATE, rest)) => self.initiated(now, clock, from, rest),
            Some((&ANSWER, rest)) => self.answered(now, clock, from, rest),
            Some((&SEALED, rest)) => self.sealed(now, clock, from, rest),
            _ => None,
        };
        if handled.is_none() {
            self.forged += 1;
        }
    }

    /// Somebody wants a link.
    fn initiated(
        &mut self,
        now: Instant,
        clock: &mut ClusterClock,
        from: SocketAddr,
        rest: &[u8],
    ) -> Option<()> {
        let (theirs, message) = rest.split_first_chunk::<4>()?;
        let (at_ms, own_hello) = self.hello(now, clock);
        let Links { handshakes, last_hellos, .. } = self;
        let is_new = |said: &[u8]| {
            let hello = postcard::from_bytes::<Hello>(said).ok();
            hello.is_some_and(|hello| {
                let last = last_hellos.get(&hello.node);
                last.is_none_or(|(boot, ms)| *boot != hello.boot || *ms < hello.time_ms)
                    && handshakes.take(now)
            })
        };
        let (seal, said, answer) = respond(&self.secret, message, &own_hello, is_new)?;
        let hello: Hello = postcard::from_bytes(&said).ok()?;
        self.last_hellos.insert(hello.node, (hello.boot, hello.time_ms));
        let own = self.number_session(from);
        let at_ms = at_ms.max(hello.time_ms);
        let session = Session { at_ms, own, theirs: u32::from_be_bytes(*theirs), seal, hello };
        let mut datagram = vec![ANSWER];
        datagram.extend(session.theirs.to_be_bytes());
        datagram.extend(own.to_be_bytes());
        datagram.extend(answer);
        self.out.push_back((from, datagram));
        self.keep_pending(now, from, session);
        Some(())
    }

    /// A handshake that is right may be one from before, sent again by a stranger: it counts once its sender says something
    /// under the new keys.
    fn keep_pending(&mut self, now: Instant, from: SocketAddr, session: Session) {
        let pending = self.peers.iter().filter(|(_, peer)| peer.pending.is_some());
        if pending.clone().count() >= PENDING_MAX
            && let Some(oldest) =
                pending.min_by_key(|(_, p)| p.pending.as_ref().map(|(at, _)| *at)).map(|(a, _)| *a)
            && let Some((_, dropped)) = self.peers.get_mut(&oldest).and_then(|peer| peer.pending.take())
        {
            self.sessions.remove(&dropped.own);
            self.forget(oldest);
        }
        let former = self.peers.entry(from).or_default().pending.replace((now, session));
        if let Some((_, former)) = former {
            self.sessions.remove(&former.own);
        }
    }

    /// Somebody answered.
    fn answered(
        &mut self,
        now: Instant,
        clock: &mut ClusterClock,
        from: SocketAddr,
        rest: &[u8],
    ) -> Option<()> {
        let (own, rest) = rest.split_first_chunk::<4>()?;
        let (theirs, answer) = rest.split_first_chunk::<4>()?;
        let own = u32::from_be_bytes(*own);
        let peer = self.peers.get_mut(&from)?;
        // Whoever forges an answer, and guesses the number, costs one of the attempts.
        let initiating = peer.initiating.take_if(|initiating| initiating.own == own)?;
        let Some((seal, said)) = initiating.initiation.finish(answer) else {
            self.sessions.remove(&own);
            return None;
        };
        let hello: Hello = postcard::from_bytes(&said).ok()?;
        let at_ms = initiating.at_ms.max(hello.time_ms);
        let session = Session { at_ms, own, theirs: u32::from_be_bytes(*theirs), seal, hello };
        self.establish(now, clock, from, session);
        Some(())
    }

    /// A datagram under the keys of a session.
    fn sealed(
        &mut self,
        now: Instant,
        clock: &mut ClusterClock,
        from: SocketAddr,
        rest: &[u8],
    ) -> Option<()> {
        let (own, sealed) = rest.split_first_chunk::<4>()?;
        let own = u32::from_be_bytes(*own);
        if self.sessions.get(&own) != Some(&from) {
            return None;
        }
        let peer = self.peers.get_mut(&from)?;
        let plain = if let Some((_, session)) = peer.pending.as_mut().filter(|(_, s)| s.own == own) {
            let plain = session.seal.open(sealed)?;
            let (_, session) = peer.pending.take().expect("it was there just now");
            self.establish(now, clock, from, session);
            plain
        } else {
            let link = peer.link.as_mut()?;
            let former = link.former.as_mut();
            let session = [&mut link.session].into_iter().chain(former).find(|session| session.own == own)?;
            session.seal.open(sealed)?
        };
        let link = self.peers.get_mut(&from)?.link.as_mut()?;
        link.pulse.heard(now);
        let (&kind, inside) = plain.split_first()?;
        match kind {
            NETWORK => {
                let (link, datagram) = (link.id, inside.to_vec());
                self.events.push_back(LinkEvent::Network { link, datagram });
            }
            MESSAGE => {
                let (from, message) = (link.node, inside.to_vec());
                self.events.push_back(LinkEvent::Message { from, message });
            }
            BEAT => {
                let beat: Beat = postcard::from_bytes(inside).ok()?;
                link.pulse.beaten(now, &beat);
                if beat.is_wanted {
                    link.needed_at = now;
                }
                self.hear_time(now, clock, beat.time_ms);
            }
            BYE => {
                let why: Farewell = postcard::from_bytes(inside).ok()?;
                if why == Farewell::IdTaken {
                    self.events.push_back(LinkEvent::Refused(from));
                }
                self.end(now, from, why);
            }
            _ => return None,
        }
        Some(())
    }

    /// Both sides have proven themselves.
    fn establish(&mut self, now: Instant, clock: &mut ClusterClock, from: SocketAddr, session: Session) {
        let Hello { node, boot, time_ms } = session.hello;
        if node == self.node {
            // Our own address, or another of our id: the one that is older stays.
            if boot < self.boot {
                self.events.push_back(LinkEvent::Refused(from));
            }
            return self.refuse(now, from, session, boot <= self.boot);
        }
        self.hear_time(now, clock, time_ms);
        let elsewhere = self.to(node).filter(|link| link.address != from);
        if let Some((address, known, heard_at)) = elsewhere.map(|l| (l.address, l.boot, l.pulse.heard_at())) {
            if known == boot {
                // One link to a node is enough.
                return self.refuse(now, from, session, true);
            }
            if now.saturating_duration_since(heard_at) < DEAD_AFTER / 2 && known < boot {
                return self.refuse(now, from, session, false);
            }
            self.end(now, address, Farewell::Restarted);
        }
        let peer = self.peers.entry(from).or_default();
        (peer.retry_at, peer.is_alias) = (None, false);
        let link = peer.link.as_ref();
        let is_another = link.is_some_and(|link| (link.node, link.boot) != (node, boot));
        // Of two handshakes at once either serves. A later one means that the other side knows of no link any more.
        let is_later = link.is_some_and(|link| session.at_ms > link.session.at_ms + SUPERSEDED_AFTER_MS);
        if is_another {
            self.end(now, from, Farewell::Restarted);
        } else if is_later {
            self.end(now, from, Farewell::Superseded);
        }
        let peer = self.peers.entry(from).or_default();
        if let Some(link) = peer.link.as_mut() {
            let former = std::mem::replace(&mut link.session, session);
            if let Some(oldest) = link.former.replace(former) {
                self.sessions.remove(&oldest.own);
            }
        } else {
            let id = LinkId(self.link_next);
            self.link_next += 1;
            let pulse = Pulse::new(now);
            let (up_since, needed_at, former) = (now, now, None);
            let link = Link { id, node, boot, address: from, up_since, session, former, pulse, needed_at };
            peer.link = Some(link);
            peer.retry_at = None;
            self.by_link.insert(id, from);
            self.events.push_back(LinkEvent::Up { link: id, node });
        }
        // The other side may count on the session only once it hears us.
        self.beat(now, clock, from);
    }

    /// A session that comes to nothing. Whoever is no alias is told why.
    fn refuse(&mut self, now: Instant, from: SocketAddr, mut session: Session, is_alias: bool) {
        self.sessions.remove(&session.own);
        if !is_alias {
            let why = postcard::to_stdvec(&(BYE, Farewell::IdTaken)).expect("it can be written");
            self.out.push_back((from, session.sealed(&why)));
        }
        let peer = self.peers.entry(from).or_default();
        peer.is_alias = is_alias;
        // Who has our id may be gone soon; an alias stays one for as long as the link is up.
        peer.retry_at = (peer.is_wanted && !is_alias).then(|| now + RETRY_MAX);
        self.forget(from);
    }

    /// The link at an address ends.
    fn end(&mut self, now: Instant, address: SocketAddr, why: Farewell) {
        let Some(peer) = self.peers.get_mut(&address) else {
            return;
        };
        let Some(link) = peer.link.take() else {
            return;
        };
        peer.retry_at = peer.is_wanted.then_some(now + RETRY_FIRST);
        peer.retry_after = RETRY_FIRST;
        self.by_link.remove(&link.id);
        for session in [Some(&link.session), link.former.as_ref()].into_iter().flatten() {
            self.sessions.remove(&session.own);
        }
        let Link { id: link, node, boot, .. } = link;
        self.events.push_back(LinkEvent::Down { link, node, boot, address, why });
        self.forget(address);
        // Another address of the node may serve now.
        for peer in self.peers.values_mut().filter(|peer| peer.is_alias) {
            peer.is_alias = false;
            peer.retry_at = peer.is_wanted.then_some(now);
        }
    }

    fn forget(&mut self, address: SocketAddr) {
        let is_idle = |peer: &Peer| !peer.is_wanted && peer.link.is_none() && peer.pending.is_none();
        if self.peers.get(&address).is_some_and(is_idle) {
            self.peers.remove(&address);
        }
    }

    /// Beats, retries, and links that are silent.
    pub(crate) fn handle_timeout(&mut self, now: Instant, clock: &ClusterClock) {
        let addresses: Vec<SocketAddr> = self.peers.keys().copied().collect();
        for address in addresses {
            let Some(peer) = self.peers.get_mut(&address) else {
                continue;
            };
            if peer.retry_at.is_some_and(|at| at <= now) {
                self.initiate(now, clock, address);
            }
            let Some(peer) = self.peers.get_mut(&address) else {
                continue;
            };
            let Some(link) = peer.link.as_mut() else {
                continue;
            };
            if peer.is_wanted {
                link.needed_at = now;
            }
            let (id, needed_at) = (link.id, link.needed_at);
            if now.saturating_duration_since(link.pulse.heard_at()) >= DEAD_AFTER {
                self.end(now, address, Farewell::Silent);
            } else if now.saturating_duration_since(needed_at) >= UNNEEDED_AFTER {
                self.say_goodbye(id, Farewell::Unneeded);
                self.end(now, address, Farewell::Unneeded);
            } else if link.pulse.next_beat() <= now {
                self.beat(now, clock, address);
            }
        }
    }

    /// When [`Links::handle_timeout`] is due.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let of_peer = |peer: &Peer| {
            let link = peer.link.as_ref();
            let beat = link.map(|link| link.pulse.next_beat().min(link.pulse.heard_at() + DEAD_AFTER));
            peer.retry_at.into_iter().chain(beat).min()
        };
        self.peers.values().filter_map(of_peer).min()
    }

    fn initiate(&mut self, now: Instant, clock: &ClusterClock, address: SocketAddr) {
        let (at_ms, hello) = self.hello(now, clock);
        let Some((initiation, message)) = initiate(&self.secret, &hello) else {
            return;
        };
        let own = self.number_session(address);
        let peer = self.peers.entry(address).or_default();
        if let Some(unanswered) = peer.initiating.replace(Initiating { own, at_ms, initiation }) {
            self.sessions.remove(&unanswered.own);
        }
        peer.retry_at = Some(now + peer.retry_after);
        peer.retry_after = (peer.retry_after * 2).clamp(RETRY_FIRST, RETRY_MAX);
        let mut datagram = vec![INITIATE];
        datagram.extend(own.to_be_bytes());
        datagram.extend(message);
        self.out.push_back((address, datagram));
    }

    fn beat(&mut self, now: Instant, clock: &ClusterClock, address: SocketAddr) {
        let Some(peer) = self.peers.get_mut(&address) else {
            return;
        };
        let Some(link) = peer.link.as_mut() else {
            return;
        };
        let beat = link.pulse.beat(now, clock.ms(now), link.session.seal.received(), peer.is_wanted);
        let beat = postcard::to_stdvec(&(BEAT, beat)).expect("it can be written");
        self.out.push_back((address, link.session.sealed(&beat)));
    }

    fn hear_time(&mut self, now: Instant, clock: &mut ClusterClock, time_ms: u64) {
        if let Some(by) = clock.hear(now, time_ms) {
            self.events.push_back(LinkEvent::ClockMoved(by));
        }
    }

    /// What this node says of itself, and when.
    fn hello(&self, now: Instant, clock: &ClusterClock) -> (u64, Vec<u8>) {
        let time_ms = clock.ms(now);
        let hello = Hello { node: self.node, boot: self.boot, time_ms };
        (time_ms, postcard::to_stdvec(&hello).expect("it can be written"))
    }

    fn number_session(&mut self, address: SocketAddr) -> u32 {
        loop {
            self.session_next = self.session_next.wrapping_add(1);
            if !self.sessions.contains_key(&self.session_next) {
                self.sessions.insert(self.session_next, address);
                return self.session_next;
            }
        }
    }

    pub(crate) fn poll_event(&mut self) -> Option<LinkEvent> {
        self.events.pop_front()
    }

    /// A datagram to be sent, and where to.
    pub(crate) fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.out.pop_front()
    }
}

impl Session {
    fn sealed(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut datagram = Vec::with_capacity(1 + 4 + 8 + plain.len() + crate::noise::TAG_BYTES);
        datagram.push(SEALED);
        datagram.extend(self.theirs.to_be_bytes());
        self.seal.seal(plain, &mut datagram);
        datagram
    }
}

#[cfg(test)]
mod tests;
