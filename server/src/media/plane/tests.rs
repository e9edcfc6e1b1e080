//! A worker's plane and real WebRTC clients, in virtual time: what hostile and unlucky ones do to it.

use std::collections::BTreeSet;

use str0m::change::{SdpAnswer, SdpApi, SdpPendingOffer};
use str0m::channel::ChannelConfig;
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{Extension, ExtensionMap, ExtensionValues, RtpPacket, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc};
use tercet_core::{Gate, RoomAudio};

use super::*;
use crate::media::OpenEndpoint;

const FRAME: Duration = Duration::from_millis(20);
const FRAME_TICKS: u32 = 960;

fn server() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 50_000))
}

/// A WebRTC client whose datagrams the test carries.
struct Client {
    rtc: Rtc,
    endpoint: EndpointId,
    address: SocketAddr,
    offer: String,
    pending: Option<SdpPendingOffer>,
    /// The lines that it sends on.
    lines: Vec<Mid>,
    connected: bool,
    /// Whether its network is gone.
    cut: bool,
    heard: Vec<RtpPacket>,
    /// How many datagrams were sent to it, arrived or not, and the length of the longest.
    sent_to: u64,
    longest: usize,
    /// Its last STUN request.
    request: Vec<u8>,
}

/// One worker with one room.
struct World {
    now: Instant,
    plane: Plane,
    crypto: SharedCrypto,
    clients: Vec<Client>,
    /// Frames spoken so far.
    frames: u32,
}

impl World {
    fn new() -> World {
        let crypto = SharedCrypto::generate().expect("aws-lc-rs makes a key pair");
        let metrics = WorkerMetrics::register(WorkerId(0));
        let plane = Plane::new(WorkerId(0), crypto.clone(), vec![server()], Vec::new(), metrics);
        World { now: Instant::now(), plane, crypto, clients: Vec::new(), frames: 0 }
    }

    /// A client that sends on some lines and receives on others, connected.
    fn join(&mut self, sends: usize, receives: usize) -> usize {
        let index = self.clients.len();
        let address = SocketAddr::from(([10, 0, 1, index as u8 + 1], 4000));
        let mut extensions = ExtensionMap::empty();
        extensions.set(1, Extension::AudioLevel);
        extensions.set(4, Extension::RtpMid);
        let mut rtc = Rtc::builder()
            .set_crypto_provider(self.crypto.provider.clone())
            .set_dtls_cert(self.crypto.certificate.clone())
            .set_rtp_mode(true)
            .set_extension_map(extensions)
            .clear_codecs()
            .enable_opus(true, false)
            .build(self.now);
        rtc.add_local_candidate(Candidate::host(address, "udp").expect("an address"));
        let endpoint = EndpointId(index as u64 + 1);
        let open = OpenEndpoint {
            endpoint,
            room: RoomId::from("r"),
            audio: RoomAudio::with_slots(3),
            source: SourceId(index as u32 + 1),
            gate: Gate::Open,
            red: false,
        };
        self.plane.command(self.now, WorkerCommand::Open(open));
        self.clients.push(Client {
            rtc,
            endpoint,
            address,
            offer: String::new(),
            pending: None,
            lines: Vec::new(),
            connected: false,
            cut: false,
            heard: Vec::new(),
            sent_to: 0,
            longest: 0,
            request: Vec::new(),
        });
        let mut lines = Vec::new();
        self.negotiate(index, |api| {
            let mut add = |direction| api.add_media(MediaKind::Audio, direction, None, None, None);
            lines.extend((0..sends).map(|_| add(Direction::SendOnly)));
            (0..receives).for_each(|_| {
                add(Direction::RecvOnly);
            });
            api.add_channel("reliable".to_owned());
        });
        self.clients[index].lines = lines;
        for _ in 0..500 {
            self.step(10);
            if self.clients[index].connected {
                break;
            }
        }
        assert!(self.clients[index].connected);
        index
    }

    /// The client changes something, and the server answers its offer.
    fn negotiate(&mut self, client: usize, change: impl FnOnce(&mut SdpApi<'_>)) {
        let client = &mut self.clients[client];
        let mut api = client.rtc.sdp_api();
        change(&mut api);
        let (offer, pending) = api.apply().expect("something changed");
        (client.offer, client.pending) = (offer.to_sdp_string(), Some(pending));
        let (endpoint, sdp) = (client.endpoint, client.offer.clone());
        let offer = WorkerCommand::Offer { endpoint, sdp, fresh: false, request: None };
        self.plane.command(self.now, offer);
        let answer = self.plane.events.iter().rev().find_map(|event| match event {
            WorkerEvent::OfferAnswered { result: Ok(answer), .. } => Some(answer.sdp.clone()),
            _ => None,
        });
        let answer = SdpAnswer::from_sdp_string(&answer.expect("answered")).expect("an SDP");
        let pending = client.pending.take().expect("offered above");
        client.rtc.sdp_api().accept_answer(pending, answer).expect("accepted");
    }

    /// Time passes; datagrams arrive at once.
    fn step(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        for client in &mut self.clients {
            client.rtc.handle_input(Input::Timeout(self.now)).expect("time may pass");
            loop {
                match client.rtc.poll_output().expect("a client has no reason to fail") {
                    Output::Timeout(_) => break,
                    Output::Transmit(transmit) => {
                        if transmit.contents[0] == 0 {
                            client.request = transmit.contents.to_vec();
                        }
                        if !client.cut {
                            self.plane.datagram(self.now, client.address, server(), &transmit.contents);
                        }
                    }
                    Output::Event(Event::Connected) => client.connected = true,
                    Output::Event(Event::RtpPacket(packet)) => client.heard.push(packet),
                    Output::Event(_) => {}
                }
            }
        }
        self.plane.handle_timeouts(self.now);
        self.plane.flush(self.now);
        for transmit in self.plane.outgoing().collect::<Vec<_>>() {
            let to = self.clients.iter_mut().find(|client| client.address == transmit.destination);
            let Some(client) = to else {
                continue;
            };
            client.sent_to += 1;
            client.longest = client.longest.max(transmit.contents.len());
            if !client.cut {
                let receive =
                    Receive::new(Protocol::Udp, transmit.source, client.address, &transmit.contents);
                let receive = receive.expect("the server sends what can be read");
                client.rtc.handle_input(Input::Receive(self.now, receive)).expect("understood");
            }
        }
    }

    /// One frame on one of the client's lines; the test counts the frames.
    fn say(&mut self, client: usize, line: usize, frame: u32) {
        let client = &mut self.clients[client];
        let mid = client.lines[line];
        let levels = ExtensionValues {
            audio_level: Some(-20),
            voice_activity: Some(true),
            mid: Some(mid),
            ..ExtensionValues::default()
        };
        let timestamp = frame.wrapping_mul(FRAME_TICKS);
        let sequence = 1_000 + u64::from(frame);
        let write = RtpWrite::new(111.into(), sequence.into(), timestamp, self.now, vec![line as u8; 80]);
        let mut api = client.rtc.direct_api();
        let stream = api.stream_tx_by_mid(mid, None).expect("the line sends");
        stream.write_rtp(write.ext_vals(levels));
    }

    /// The client speaks on its first line for so many frames.
    fn talk(&mut self, client: usize, frames: u32) {
        for _ in 0..frames {
            self.say(client, 0, self.frames);
            self.frames += 1;
            self.step(FRAME.as_millis() as u64);
        }
    }

    /// How many frames of the next `frames` that one speaks the other hears.
    fn heard_of(&mut self, speaker: usize, listener: usize, frames: u32) -> usize {
        self.clients[listener].heard.clear();
        self.talk(speaker, frames);
        self.clients[listener].heard.len()
    }

    fn is_alive(&self, client: usize) -> bool {
        self.plane.endpoints[&self.clients[client].endpoint].peer.is_some()
    }
}

#[test]
fn an_outage_of_ten_minutes_costs_a_listener_nothing_but_its_time() {
    let mut world = World::new();
    let (speaker, listener) = (world.join(1, 0), world.join(0, 3));
    assert!(world.heard_of(speaker, listener, 100) >= 99);
    world.clients[listener].cut = true;
    world.talk(speaker, 50 * 60);
    world.clients[listener].sent_to = 0;
    // More than 2^15 packets that it doesn't get.
    world.talk(speaker, 50 * 60 * 11);
    let sent_to = world.clients[listener].sent_to;
    assert!(sent_to < 1_000, "{sent_to} datagrams to an address where nobody is");
    world.clients[listener].cut = false;
    world.negotiate(listener, |api| {
        api.ice_restart(true);
    });
    world.talk(speaker, 50);
    assert!(world.heard_of(speaker, listener, 500) >= 499);
}

#[test]
fn a_second_line_is_not_the_microphone() {
    let mut world = World::new();
    let (speaker, listener) = (world.join(2, 0), world.join(0, 3));
    for frame in 0..100 {
        world.say(speaker, 0, frame);
        world.say(speaker, 1, frame + 1_000);
        world.step(20);
    }
    let heard = &world.clients[listener].heard;
    assert!((99..=100).contains(&heard.len()), "{} packets", heard.len());
    assert!(heard.iter().all(|packet| packet.payload[0] == 0));
    assert_eq!(heard.iter().filter(|packet| packet.header.marker).count(), 1);
}

#[test]
fn a_client_that_seems_to_be_everywhere_is_held_to_some_addresses() {
    let mut world = World::new();
    let client = world.join(1, 3);
    let request = world.clients[client].request.clone();
    let mut answered = BTreeSet::new();
    for port in 1_024..9_024 {
        let from = SocketAddr::from(([10, 9, 0, 1], port));
        world.plane.datagram(world.now, from, server(), &request);
        world.plane.flush(world.now);
        answered.extend(world.plane.outgoing().map(|transmit| transmit.destination));
    }
    assert!(answered.len() <= 16, "{} addresses were answered", answered.len());
    assert!(world.heard_of(client, client, 50) == 0 && world.is_alive(client));
}

#[test]
fn a_forged_source_does_not_take_an_address_away() {
    let mut world = World::new();
    let (speaker, listener, forger) = (world.join(1, 0), world.join(0, 3), world.join(0, 3));
    let request = world.clients[forger].request.clone();
    let victim = world.clients[speaker].address;
    let mut heard = 0;
    for _ in 0..100 {
        world.plane.datagram(world.now, victim, server(), &request);
        heard += world.heard_of(speaker, listener, 5);
    }
    assert!(heard >= 499, "{heard} of 500");
}

#[test]
fn a_client_with_hundreds_of_channels_ends_alone() {
    let mut world = World::new();
    let (client, other) = (world.join(1, 0), world.join(1, 3));
    for _ in 0..100 {
        let config = ChannelConfig { label: "x".to_owned(), ..ChannelConfig::default() };
        world.clients[client].rtc.direct_api().create_data_channel(config);
    }
    for _ in 0..100 {
        world.step(10);
    }
    assert!(!world.is_alive(client) && world.is_alive(other));
}

#[test]
fn a_flood_of_data_is_refused_once_a_second() {
    let mut world = World::new();
    let client = world.join(1, 0);
    let config = ChannelConfig { label: "reliable".to_owned(), ..ChannelConfig::default() };
    let id = world.clients[client].rtc.direct_api().create_data_channel(config);
    world.plane.events.clear();
    for _ in 0..300 {
        world.step(10);
        if let Some(mut channel) = world.clients[client].rtc.channel(id) {
            for _ in 0..20 {
                channel.write(false, b"{}").expect("written");
            }
        }
    }
    let refused = world.plane.events.iter().filter(|e| matches!(e, WorkerEvent::DataRefused { .. }));
    let refused = refused.count();
    assert!((1..=4).contains(&refused), "{refused} refusals in 3 s");
}

#[test]
fn a_line_that_was_stopped_gets_no_media_until_it_is_started_again() {
    let mut world = World::new();
    let (speaker, listener) = (world.join(1, 0), world.join(0, 3));
    assert!(world.heard_of(speaker, listener, 50) >= 49);
    let offer = world.clients[listener].offer.clone();
    let mids = offer.lines().filter_map(|line| line.strip_prefix("a=mid:"));
    let slots: Vec<Mid> = mids.take(3).map(|mid| Mid::from(mid.trim())).collect();
    let set = |world: &mut World, direction| {
        world.negotiate(listener, |api| slots.iter().for_each(|&mid| api.set_direction(mid, direction)));
    };
    set(&mut world, Direction::Inactive);
    // What was said last is still under way.
    assert!(world.heard_of(speaker, listener, 50) <= 1);
    set(&mut world, Direction::RecvOnly);
    assert!(world.heard_of(speaker, listener, 50) >= 49);
    // Stopped for good, and replaced.
    world.negotiate(listener, |api| {
        slots.iter().for_each(|&mid| api.stop_media(mid));
        for _ in 0..3 {
            api.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
        }
    });
    world.talk(speaker, 10);
    assert!(world.heard_of(speaker, listener, 50) >= 49);
}

#[test]
fn the_largest_packet_fits_the_smallest_path() {
    let mut world = World::new();
    let (speaker, listener) = (world.join(1, 0), world.join(0, 3));
    world.talk(speaker, 5);
    let mid = world.clients[speaker].lines[0];
    for (bytes, heard) in [(1_180, 1), (1_181, 0)] {
        world.step(20);
        world.clients[listener].heard.clear();
        let (number, time) = (1_000 + u64::from(world.frames), world.frames * FRAME_TICKS);
        world.frames += 1;
        let levels = ExtensionValues {
            audio_level: Some(-20),
            voice_activity: Some(true),
            ..ExtensionValues::default()
        };
        let write = RtpWrite::new(111.into(), number.into(), time, world.now, vec![1; bytes]);
        let mut api = world.clients[speaker].rtc.direct_api();
        api.stream_tx_by_mid(mid, None).expect("the line sends").write_rtp(write.ext_vals(levels));
        world.step(20);
        world.step(20);
        assert_eq!(world.clients[listener].heard.len(), heard, "{bytes} bytes");
        // RFC 8200, section 5: every path takes 1,280 bytes, 48 of them for IPv6 and UDP.
        let longest = world.clients[listener].longest;
        assert!(longest <= 1_280 - 48, "a datagram of {longest} bytes");
    }
}
