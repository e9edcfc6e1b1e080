//! atm0s-sdn, driven from outside: datagrams of links and the time in, datagrams and events out.
//!
//! Its own handshake, signatures and encryption are left empty: all that it sends is sealed below it (`noise.rs`), and a
//! peer of it is an authenticated link. It never sees an address of the real network: a link is one of its addresses, so
//! the next life of a node comes from another one and isn't taken for the former
//! (docs/adr/0024-atm0s-sdn-behind-one-boundary.md).

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use atm0s_sdn::base::{
    Authorization, Buffer, DecryptionError, Decryptor, EncryptionError, Encryptor, HandshakeBuilder,
    HandshakeError, HandshakeRequester, HandshakeResponder, NeighboursControl, NeighboursControlCmds,
    NeighboursDisconnectReason, NetOutgoingMeta,
};
use atm0s_sdn::features::{FeaturesControl, FeaturesEvent, data, dht_kv, neighbours, pubsub, router_sync};
use atm0s_sdn::{
    ConnId, ControllerPlaneCfg, DataPlaneCfg, DataWorkerHistory, NetInput, NetOutput, NodeAddrBuilder,
    Protocol, RouteRule, SdnExtIn, SdnExtOut, SdnWorker, SdnWorkerBusEvent, SdnWorkerCfg, SdnWorkerInput,
    SdnWorkerOutput,
};
use atm0s_sdn_network::data_plane::NetPair;
use rand08::SeedableRng;
use rand08::rngs::StdRng;
use rustc_hash::FxHashMap;

use tercet_core::NodeId;

use crate::ids::{from_sdn, to_sdn};
use crate::link::LinkId;

/// Keys and routes are told again at this pace, and lost messages sent again.
const TICK_MS: u64 = 500;

/// Where messages to a node go (the data feature has ports).
const MESSAGES_PORT: u16 = 1;

/// Nodes that a message may pass on its way.
const HOPS_MAX: u8 = 16;

/// What its messages to a neighbour begin with. All others have a header, whose second byte is how many hops are left.
const NEIGHBOUR: u8 = 255;

/// Who asked, and gets the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Actor {
    Node,
    Channel(u64),
    Map(u64),
}

type Worker = SdnWorker<Actor, (), (), (), ()>;

/// What atm0s-sdn tells.
#[derive(Debug)]
pub(crate) enum SdnEvent {
    Datagram {
        link: LinkId,
        datagram: Vec<u8>,
        is_media: bool,
    },
    /// Something came on a channel that we subscribed to.
    Channel {
        channel: u64,
        source: NodeId,
        data: Vec<u8>,
    },
    /// A value of a map that we subscribed to, or `None` for one that was deleted.
    Map {
        map: u64,
        key: u64,
        node: NodeId,
        value: Option<Vec<u8>>,
    },
    /// A message for us.
    Message {
        from: NodeId,
        data: Vec<u8>,
    },
    /// There is a way to a neighbour.
    Neighbour(NodeId),
    Routes(Box<router_sync::Event>),
}

/// The network of nodes, as one of them sees it.
pub(crate) struct Sdn {
    /// Half a megabyte of tables.
    worker: Box<Worker>,
    /// The connection that it has over a link.
    connections: FxHashMap<LinkId, Connection>,
    by_node: FxHashMap<u32, LinkId>,
    events: VecDeque<SdnEvent>,
    /// Datagrams that had no hops left.
    pub(crate) circled: u64,
}

struct Connection {
    node: NodeId,
    /// Once it is there.
    id: Option<ConnId>,
}

/// The address that it binds, as far as it knows.
const HERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 1);

fn address_of(link: LinkId) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from_bits(link.0), 1))
}

fn link_of(address: SocketAddr) -> Option<LinkId> {
    match address {
        SocketAddr::V4(address) => Some(LinkId(address.ip().to_bits())),
        SocketAddr::V6(_) => None,
    }
}

impl Sdn {
    pub(crate) fn new(now_ms: u64, node: NodeId, seed: u64) -> Sdn {
        let history = Arc::new(DataWorkerHistory::default());
        let controller = ControllerPlaneCfg {
            session: seed,
            bind_addrs: vec![HERE],
            services: vec![],
            authorization: Arc::new(Sealed),
            handshake_builder: Arc::new(Sealed),
            random: Box::new(StdRng::seed_from_u64(seed)),
            history: history.clone(),
        };
        let worker = Box::new(SdnWorker::new(SdnWorkerCfg {
            node_id: to_sdn(node),
            tick_ms: TICK_MS,
            controller: Some(controller),
            data: DataPlaneCfg { worker_id: 0, services: vec![], history },
        }));
        let mut sdn = Sdn {
            worker,
            connections: FxHashMap::default(),
            by_node: FxHashMap::default(),
            events: VecDeque::new(),
            circled: 0,
        };
        sdn.control(now_ms, Actor::Node, FeaturesControl::Neighbours(neighbours::Control::Sub));
        let listen = data::Control::DataListen(MESSAGES_PORT);
        sdn.control(now_ms, Actor::Node, FeaturesControl::Data(listen));
        sdn
    }

    /// Due every few milliseconds: it looks at most once a tick.
    pub(crate) fn handle_timeout(&mut self, now_ms: u64) {
        self.worker.on_tick(now_ms);
        self.pump(now_ms);
    }

    /// A link is up. The side that `asks` connects over it.
    pub(crate) fn link_up(&mut self, now_ms: u64, link: LinkId, node: NodeId, asks: bool) {
        self.connections.insert(link, Connection { node, id: None });
        if asks {
            self.connect(now_ms, link, node);
        }
    }

    /// Asks again over those links on which a connection was asked for, and isn't there.
    pub(crate) fn connect_again(&mut self, now_ms: u64, asks: impl Fn(NodeId) -> bool) {
        let missing = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.id.is_none() && asks(connection.node));
        for (link, node) in missing.map(|(link, connection)| (*link, connection.node)).collect::<Vec<_>>() {
            self.connect(now_ms, link, node);
        }
    }

    fn connect(&mut self, now_ms: u64, link: LinkId, node: NodeId) {
        let mut address = NodeAddrBuilder::new(to_sdn(node));
        address.add_protocol(Protocol::Ip4(Ipv4Addr::from_bits(link.0)));
        address.add_protocol(Protocol::Udp(1));
        let connect = neighbours::Control::ConnectTo(address.addr(), false);
        self.control(now_ms, Actor::Node, FeaturesControl::Neighbours(connect));
    }

    /// A link is down: its connection ends now, not when it would notice.
    pub(crate) fn link_down(&mut self, now_ms: u64, link: LinkId) {
        let Some(Connection { node, id }) = self.connections.remove(&link) else {
            return;
        };
        self.by_node.remove(&to_sdn(node));
        let Some(id) = id else {
            return;
        };
        let reason = NeighboursDisconnectReason::Other;
        let goodbye = NeighboursControlCmds::DisconnectRequest { session: id.session(), reason };
        let goodbye = NeighboursControl::build(now_ms, to_sdn(node), goodbye, &Sealed);
        if let Ok(datagram) = TryInto::<Vec<u8>>::try_into(&goodbye) {
            self.handle_datagram(now_ms, link, datagram);
        }
    }

    pub(crate) fn handle_datagram(&mut self, now_ms: u64, link: LinkId, datagram: Vec<u8>) {
        // It counts the hops, and sends on what has none left: while routes point in a circle, for as long as they do.
        if matches!(datagram[..], [kind, 0, ..] if kind != NEIGHBOUR) {
            self.circled += 1;
            return;
        }
        let pair = NetPair::new(HERE, address_of(link));
        self.input(now_ms, SdnWorkerInput::Net(NetInput::UdpPacket(pair, Buffer::from(datagram))));
    }

    /// Sends to a node, by whatever way there is. It may be lost.
    pub(crate) fn send_message(&mut self, now_ms: u64, to: NodeId, message: Vec<u8>) {
        let meta = NetOutgoingMeta::new(true, HOPS_MAX.into(), 0, false);
        let rule = RouteRule::ToNode(to_sdn(to));
        let send = data::Control::DataSendRule(MESSAGES_PORT, rule, meta, message);
        self.control(now_ms, Actor::Node, FeaturesControl::Data(send));
    }

    /// Begins to publish on a channel.
    pub(crate) fn publish(&mut self, now_ms: u64, channel: u64) {
        self.channel(now_ms, channel, pubsub::ChannelControl::PubStart);
    }

    /// Ceases to.
    pub(crate) fn unpublish(&mut self, now_ms: u64, channel: u64) {
        self.channel(now_ms, channel, pubsub::ChannelControl::PubStop);
    }

    /// Publishes.
    pub(crate) fn send(&mut self, now_ms: u64, channel: u64, data: Vec<u8>) {
        self.channel(now_ms, channel, pubsub::ChannelControl::PubData(data));
    }

    /// Subscribes to what a node publishes on a channel.
    pub(crate) fn subscribe(&mut self, now_ms: u64, channel: u64, source: NodeId) {
        self.channel(now_ms, channel, pubsub::ChannelControl::SubSource(to_sdn(source)));
    }

    /// Ceases to.
    pub(crate) fn unsubscribe(&mut self, now_ms: u64, channel: u64, source: NodeId) {
        self.channel(now_ms, channel, pubsub::ChannelControl::UnsubSource(to_sdn(source)));
    }

    /// Wants to hear of a map's values.
    pub(crate) fn watch(&mut self, now_ms: u64, map: u64) {
        self.map(now_ms, map, dht_kv::MapControl::Sub);
    }

    /// No longer does.
    pub(crate) fn unwatch(&mut self, now_ms: u64, map: u64) {
        self.map(now_ms, map, dht_kv::MapControl::Unsub);
    }

    /// Sets our value under a key.
    pub(crate) fn set(&mut self, now_ms: u64, map: u64, key: u64, value: Vec<u8>) {
        self.map(now_ms, map, dht_kv::MapControl::Set(dht_kv::Key(key), value));
    }

    /// Deletes it.
    pub(crate) fn delete(&mut self, now_ms: u64, map: u64, key: u64) {
        self.map(now_ms, map, dht_kv::MapControl::Del(dht_kv::Key(key)));
    }

    /// Asks for the routing table: [`SdnEvent::Routes`].
    pub(crate) fn dump_routes(&mut self, now_ms: u64) {
        let dump = router_sync::Control::DumpRouter;
        self.control(now_ms, Actor::Node, FeaturesControl::RouterSync(dump));
    }

    pub(crate) fn poll_event(&mut self) -> Option<SdnEvent> {
        self.events.pop_front()
    }

    fn channel(&mut self, now_ms: u64, channel: u64, control: pubsub::ChannelControl) {
        let control = pubsub::Control(pubsub::ChannelId(channel), control);
        self.control(now_ms, Actor::Channel(channel), FeaturesControl::PubSub(control));
    }

    fn map(&mut self, now_ms: u64, map: u64, control: dht_kv::MapControl) {
        let control = dht_kv::Control::MapCmd(dht_kv::Map(map), control);
        self.control(now_ms, Actor::Map(map), FeaturesControl::DhtKv(control));
    }

    fn control(&mut self, now_ms: u64, actor: Actor, control: FeaturesControl) {
        self.input(now_ms, SdnWorkerInput::ExtWorker(SdnExtIn::FeaturesControl(actor, control)));
    }

    fn input(&mut self, now_ms: u64, input: SdnWorkerInput<Actor, (), (), (), ()>) {
        self.worker.on_event(now_ms, input);
        self.pump(now_ms);
    }

    /// Takes all out that there is: after each input.
    fn pump(&mut self, now_ms: u64) {
        while let Some(output) = self.worker.pop_output2(now_ms) {
            match output {
                SdnWorkerOutput::Ext(event) | SdnWorkerOutput::ExtWorker(event) => self.event(event),
                SdnWorkerOutput::Net(NetOutput::UdpPacket(pair, datagram)) => self.transmit(pair, &datagram),
                SdnWorkerOutput::Net(NetOutput::UdpPackets(pairs, datagram)) => {
                    for pair in pairs {
                        self.transmit(pair, &datagram);
                    }
                }
                // There is one worker: what is for any is for this one.
                SdnWorkerOutput::Bus(SdnWorkerBusEvent::Worker(worker, _)) if worker != 0 => {}
                SdnWorkerOutput::Bus(event) => self.worker.on_event(now_ms, SdnWorkerInput::Bus(event)),
                SdnWorkerOutput::Continue | SdnWorkerOutput::OnResourceEmpty => {}
            }
        }
    }

    fn transmit(&mut self, pair: NetPair, datagram: &[u8]) {
        if let Some(link) = link_of(pair.remote) {
            let mut datagram = datagram.to_vec();
            let is_media = datagram.first() != Some(&NEIGHBOUR);
            if is_media && let Some(hops) = datagram.get_mut(1) {
                *hops = HOPS_MAX.min(*hops);
            }
            self.events.push_back(SdnEvent::Datagram { link, datagram, is_media });
        }
    }

    fn event(&mut self, event: SdnExtOut<Actor, ()>) {
        let SdnExtOut::FeaturesEvent(actor, event) = event else {
            return;
        };
        if let FeaturesEvent::Neighbours(neighbours::Event::Disconnected(_, id)) = &event {
            // The link is there: see `connect_again`.
            for connection in self.connections.values_mut().filter(|connection| connection.id == Some(*id)) {
                connection.id = None;
            }
        }
        let event = match (actor, event) {
            (Actor::Node, FeaturesEvent::Neighbours(neighbours::Event::Connected(node, id))) => {
                let Some(node) = from_sdn(node) else {
                    return;
                };
                // The connection is the newest link's to that node: an older one has ended.
                let connection = self.connections.iter_mut().filter(|(_, c)| c.node == node);
                let Some((&link, connection)) = connection.max_by_key(|(link, _)| **link) else {
                    return;
                };
                connection.id = Some(id);
                self.by_node.insert(to_sdn(node), link);
                SdnEvent::Neighbour(node)
            }
            (Actor::Node, FeaturesEvent::Data(data::Event::Recv(MESSAGES_PORT, meta, data))) => {
                let Some(from) = meta.source.and_then(from_sdn) else {
                    return;
                };
                SdnEvent::Message { from, data }
            }
            (Actor::Node, FeaturesEvent::RouterSync(routes)) => SdnEvent::Routes(Box::new(routes)),
            (Actor::Channel(channel), FeaturesEvent::PubSub(pubsub::Event(_, event))) => {
                let pubsub::ChannelEvent::SourceData(source, data) = event else {
                    return;
                };
                let Some(source) = from_sdn(source) else {
                    return;
                };
                SdnEvent::Channel { channel, source, data }
            }
            (Actor::Map(map), FeaturesEvent::DhtKv(dht_kv::Event::MapEvent(_, event))) => {
                let (key, node, value) = match event {
                    dht_kv::MapEvent::OnSet(key, node, value) => (key, node, Some(value)),
                    dht_kv::MapEvent::OnDel(key, node) => (key, node, None),
                    dht_kv::MapEvent::OnRelaySelected(_) => return,
                };
                let Some(node) = from_sdn(node) else {
                    return;
                };
                SdnEvent::Map { map, key: key.0, node, value }
            }
            _ => return,
        };
        self.events.push_back(event);
    }
}

/// What a link has done already: everybody on it has shown that they know the secret, and nobody else can read it.
#[derive(Clone, Debug)]
struct Sealed;

impl Authorization for Sealed {
    fn sign(&self, _: &[u8]) -> Vec<u8> {
        Vec::new()
    }

    fn validate(&self, _: u32, _: &[u8], _: &[u8]) -> Option<()> {
        Some(())
    }
}

/// A handshake is told from another by what it says: the same each time that it is sent, or it would be refused as another one.
struct Handshake([u8; 8]);

fn handshake() -> [u8; 8] {
    rand::random::<u64>().to_be_bytes()
}

impl HandshakeBuilder for Sealed {
    fn requester(&self) -> Box<dyn HandshakeRequester> {
        Box::new(Handshake(handshake()))
    }

    fn responder(&self) -> Box<dyn HandshakeResponder> {
        Box::new(Sealed)
    }
}

impl HandshakeRequester for Handshake {
    fn create_public_request(&self) -> Result<Vec<u8>, HandshakeError> {
        Ok(self.0.to_vec())
    }

    fn process_public_response(
        &mut self,
        _: &[u8],
    ) -> Result<(Box<dyn Encryptor>, Box<dyn Decryptor>), HandshakeError> {
        Ok((Box::new(Sealed), Box::new(Sealed)))
    }
}

impl HandshakeResponder for Sealed {
    fn process_public_request(
        &mut self,
        _: &[u8],
    ) -> Result<(Box<dyn Encryptor>, Box<dyn Decryptor>, Vec<u8>), HandshakeError> {
        Ok((Box::new(Sealed), Box::new(Sealed), handshake().to_vec()))
    }
}

impl Encryptor for Sealed {
    fn encrypt(&mut self, _: u64, _: &mut Buffer) -> Result<(), EncryptionError> {
        Ok(())
    }

    fn clone_box(&self) -> Box<dyn Encryptor> {
        Box::new(Sealed)
    }
}

impl Decryptor for Sealed {
    fn decrypt(&mut self, _: u64, _: &mut Buffer) -> Result<(), DecryptionError> {
        Ok(())
    }

    fn clone_box(&self) -> Box<dyn Decryptor> {
        Box::new(Sealed)
    }
}
