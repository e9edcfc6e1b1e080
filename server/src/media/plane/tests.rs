//! A worker's plane and real WebRTC clients, in virtual time: what hostile and unlucky ones do to it.

use std::collections::BTreeSet;

use str0m::change::{SdpAnswer, SdpApi, SdpPendingOffer};
use str0m::channel::ChannelConfig;
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{Extension, ExtensionMap, ExtensionValues, RtpPacket, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc};
use tercet_core::{Gate, RoomAudio};
use tercet_protocol::TrackOrigin;

use super::*;
use crate::media::OpenEndpoint;
use crate::media::fanout::Path;

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
    /// Sender reports that it got: of which line, and how many packets and octets they speak of.
    reports: Vec<(Mid, u32, u32)>,
    outgoing: Vec<Vec<u8>>,
    /// How many datagrams were sent to it, arrived or not, and the length of the longest.
    sent_to: u64,
    longest: usize,
    /// Its last STUN request.
    request: Vec<u8>,
}

impl Client {
    /// Takes everything out that the client has to say; its datagrams wait for the next step.
    fn drain(&mut self) {
        loop {
            match self.rtc.poll_output().expect("a client has no reason to fail") {
                Output::Timeout(_) => return,
                Output::Transmit(transmit) => {
                    if transmit.contents[0] == 0 {
                        self.request = transmit.contents.to_vec();
                    }
                    self.outgoing.push(transmit.contents.to_vec());
                }
                Output::Event(Event::Connected) => self.connected = true,
                Output::Event(Event::RtpPacket(packet)) => self.heard.push(packet),
                Output::Event(Event::SenderFeedback(feedback)) => {
                    let sender = feedback.sender_info;
                    let counts = (sender.sender_packet_count, sender.sender_octet_count);
                    self.reports.push((feedback.mid, counts.0, counts.1));
                }
                Output::Event(_) => {}
            }
        }
    }
}

/// One worker with one room.
struct World {
    now: Instant,
    plane: Plane,
    crypto: SharedCrypto,
    clients: Vec<Client>,
    /// Frames spoken so far.
    frames: u32,
    /// What was sent with the last step, and how long it was.
    sent: Vec<(Path, usize)>,
}

impl World {
    fn new() -> World {
        let crypto = SharedCrypto::generate().expect("aws-lc-rs makes a key pair");
        let metrics = WorkerMetrics::register(WorkerId(0));
        let plane = Plane::new(WorkerId(0), crypto.clone(), vec![server()], Vec::new(), metrics);
        World { now: Instant::now(), plane, crypto, clients: Vec::new(), frames: 0, sent: Vec::new() }
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
            sources: ByOrigin::each(|origin| SourceId(index as u32 + 1 + 100 * origin as u32)),
            gates: ByOrigin::each(|_| Gate::Open),
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
            reports: Vec::new(),
            outgoing: Vec::new(),
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
            client.drain();
            for datagram in client.outgoing.drain(..).filter(|_| !client.cut) {
                self.plane.datagram(self.now, client.address, server(), &datagram);
            }
        }
        self.plane.handle_timeouts(self.now);
        for (path, datagram) in self.flush() {
            let to = self.clients.iter_mut().find(|client| client.address == path.destination);
            let Some(client) = to else {
                continue;
            };
            client.sent_to += 1;
            client.longest = client.longest.max(datagram.len());
            if !client.cut {
                let receive = Receive::new(Protocol::Udp, path.source, client.address, &datagram);
                let receive = receive.expect("the server sends what can be read");
                client.rtc.handle_input(Input::Receive(self.now, receive)).expect("understood");
                // str0m holds one packet: the next datagram would take its place.
                client.drain();
            }
        }
    }

    /// What the plane has to send.
    fn flush(&mut self) -> Vec<(Path, Vec<u8>)> {
        let mut sent = Vec::new();
        self.plane.flush(self.now, |path, datagram| sent.push((path, datagram.to_vec())));
        let queued = self.plane.outgoing();
        sent.extend(queued.map(|Transmit { source, destination, contents, .. }| {
            (Path { source, destination }, contents.to_vec())
        }));
        self.sent = sent.iter().map(|(path, datagram)| (*path, datagram.len())).collect();
        sent
    }

    /// One frame on one of the client's lines; the test counts the frames.
    fn say(&mut self, client: usize, line: usize, frame: u32) {
        self.send(client, line, frame, vec![line as u8; 80]);
    }

    fn send(&mut self, client: usize, line: usize, frame: u32, payload: Vec<u8>) {
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
        let write = RtpWrite::new(111.into(), sequence.into(), timestamp, self.now, payload);
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

    /// The lines of a client's first three slots.
    fn slots_of(&self, listener: usize) -> Vec<Mid> {
        let mids = self.clients[listener].offer.lines().filter_map(|line| line.strip_prefix("a=mid:"));
        mids.take(3).map(|mid| Mid::from(mid.trim())).collect()
    }

    /// What a client heard of what was said on the line of that number.
    fn heard_on(&self, listener: usize, line: u8) -> Vec<&RtpPacket> {
        self.clients[listener].heard.iter().filter(|packet| packet.payload[0] == line).collect()
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
fn packets_arrive_as_they_were_said() {
    let mut world = World::new();
    let (speaker, listener) = (world.join(1, 0), world.join(0, 3));
    let frames = 2_000;
    for frame in 0..frames {
        world.send(speaker, 0, frame, vec![7; 40 + frame as usize % 90]);
        world.step(20);
    }
    let heard = &world.clients[listener].heard;
    assert!(heard.len() as u32 >= frames - 1);
    let first = &heard[0];
    for (n, packet) in heard.iter().enumerate() {
        assert_eq!(*packet.seq_no, *first.seq_no + n as u64);
        let ticks = FRAME_TICKS.wrapping_mul(n as u32);
        assert_eq!(packet.header.timestamp.wrapping_sub(first.header.timestamp), ticks);
        assert_eq!(packet.header.csrc[..packet.header.csrc_count], [speaker as u32 + 1]);
        assert_eq!(packet.header.ext_vals.audio_level, Some(-20));
        assert_eq!(packet.header.ext_vals.voice_activity, Some(true));
        let frame = frames as usize - heard.len() + n;
        assert_eq!(packet.payload[..], vec![7; 40 + frame % 90]);
    }
}

#[test]
fn a_listener_is_told_how_much_was_sent_in_each_slot() {
    let mut world = World::new();
    let (speaker, listener) = (world.join(1, 0), world.join(0, 3));
    for frame in 0..1_000 {
        world.say(speaker, 0, frame);
        world.step(20);
    }
    let slots = world.slots_of(listener);
    let Client { reports, heard, .. } = &world.clients[listener];
    // Every 2.5 to 7.5 s, and at the beginning.
    assert!((3..=9).contains(&reports.len()), "{reports:?}");
    for (mid, packets, octets) in reports {
        assert_eq!((*mid, *octets), (slots[0], packets * 80));
    }
    let counts: Vec<u32> = reports.iter().map(|(_, packets, _)| *packets).collect();
    assert!(counts.is_sorted() && counts[0] == 1, "{counts:?}");
    let last = *counts.last().expect("there are some") as usize;
    assert!((heard.len() - 7_500 / 20..=heard.len()).contains(&last), "{last} of {}", heard.len());
}

#[test]
fn packets_of_one_turn_are_of_one_length_but_for_the_last_and_arrive_as_they_were_sent() {
    let mut world = World::new();
    let speakers = [world.join(1, 0), world.join(1, 0), world.join(1, 0)];
    let listener = world.join(0, 3);
    let mut lengths = Vec::new();
    for frame in 0..100 {
        for (n, &speaker) in speakers.iter().enumerate() {
            world.send(speaker, 0, frame, vec![n as u8; [120, 40, 80][n]]);
        }
        let to = world.clients[listener].address;
        world.step(20);
        lengths = world.sent.iter().filter(|(path, _)| path.destination == to).map(|(_, len)| *len).collect();
    }
    // Header, level and MID (of three characters), and tag.
    assert_eq!(lengths, [120, 120, 80].map(|payload| 16 + 12 + payload + 16));
    for (n, length) in [120, 40, 80].into_iter().enumerate() {
        let heard = world.heard_on(listener, n as u8);
        assert!(heard.len() >= 99 && heard.iter().all(|packet| packet.payload.len() == length));
    }
}

#[test]
fn a_second_line_is_the_screen_and_a_third_is_nobodys() {
    let mut world = World::new();
    let speaker = world.join(3, 0);
    let (with_screen, without) = (world.join(0, 5), world.join(0, 3));
    for frame in 0..100 {
        for line in 0..3u8 {
            world.say(speaker, line.into(), frame + 1_000 * u32::from(line));
        }
        world.step(20);
    }
    for (listener, lines) in [(with_screen, &[0, 1][..]), (without, &[0])] {
        for line in 0..3 {
            let heard = world.heard_on(listener, line);
            let is_heard = lines.contains(&line);
            assert_eq!((99..=100).contains(&heard.len()), is_heard, "line {line}: {} packets", heard.len());
            assert_eq!(heard.iter().filter(|p| p.header.marker).count(), usize::from(is_heard));
        }
    }
    // Each on a stream of its own.
    let ssrcs: BTreeSet<u32> =
        world.clients[with_screen].heard.iter().map(|packet| *packet.header.ssrc).collect();
    assert_eq!(ssrcs.len(), 2);
}

#[test]
fn what_is_wrong_on_the_screens_line_leaves_the_voice_as_it_is() {
    let mut world = World::new();
    let (speaker, listener) = (world.join(2, 0), world.join(0, 4));
    let mid = world.clients[speaker].lines[1];
    for frame in 0..200u32 {
        world.say(speaker, 0, frame);
        // Numbers and times at random, payloads of any size, and no level: 50 of them for each frame of voice.
        for n in 0..50 {
            let noise = (frame * 50 + n).wrapping_mul(2_654_435_761);
            let payload = vec![9; (noise % 1_300) as usize];
            let mut api = world.clients[speaker].rtc.direct_api();
            let stream = api.stream_tx_by_mid(mid, None).expect("the line sends");
            let sequence = u64::from(noise >> 8);
            let write = RtpWrite::new(111.into(), sequence.into(), noise, world.now, payload);
            stream
                .write_rtp(write.ext_vals(ExtensionValues { mid: Some(mid), ..ExtensionValues::default() }));
        }
        world.step(20);
    }
    let heard = world.heard_on(listener, 0).len();
    assert!((199..=200).contains(&heard), "{heard} of 200 frames of the voice");
    assert_eq!(world.clients[listener].heard.len(), heard);
    assert!(world.is_alive(speaker));
}

#[test]
fn a_microphone_that_is_stopped_leaves_the_screen_what_it_is() {
    let mut world = World::new();
    let (speaker, listener) = (world.join(2, 0), world.join(0, 3));
    world.talk(speaker, 10);
    let microphone = world.clients[speaker].lines[0];
    world.negotiate(speaker, |api| api.set_direction(microphone, Direction::Inactive));
    // What was said last is still under way.
    world.step(20);
    world.clients[listener].heard.clear();
    for frame in 0..100 {
        world.say(speaker, 1, frame);
        world.step(20);
    }
    // The listener has no screen slot, and the sound of the screen is no voice.
    assert_eq!(world.clients[listener].heard.len(), 0);
}

#[test]
fn a_share_that_stops_is_told_to_be_over_and_one_that_is_only_muted_is_not() {
    let mut world = World::new();
    let sharer = world.join(2, 0);
    let endpoint = world.clients[sharer].endpoint;
    let told = |world: &mut World| {
        let events = std::mem::take(&mut world.plane.events);
        let of_screen = events.into_iter().filter_map(|event| match event {
            WorkerEvent::PublishingStarted { origin: TrackOrigin::Screen, .. } => Some("started"),
            WorkerEvent::PublishingEnded { origin: TrackOrigin::Screen, .. } => Some("ended"),
            WorkerEvent::ScreenChanged { source: Some(_), .. } => Some("heard"),
            WorkerEvent::ScreenChanged { source: None, .. } => Some("unheard"),
            _ => None,
        });
        of_screen.collect::<Vec<_>>()
    };
    let share = |world: &mut World, frames: std::ops::Range<u32>| {
        for frame in frames {
            world.say(sharer, 1, frame);
            world.step(20);
        }
    };
    let set_gate = |world: &mut World, gate| {
        let gates = ByOrigin { microphone: Gate::Open, screen: gate };
        world.plane.command(world.now, WorkerCommand::SetGates { endpoint, gates });
    };
    share(&mut world, 0..50);
    assert_eq!(told(&mut world), ["started", "heard"]);
    for _ in 0..24 {
        world.step(100);
    }
    assert!(told(&mut world).is_empty());
    world.step(100);
    world.step(100);
    assert_eq!(told(&mut world), ["ended", "unheard"]);
    share(&mut world, 200..250);
    assert_eq!(told(&mut world), ["started", "heard"]);
    set_gate(&mut world, Gate::Muted);
    share(&mut world, 250..500);
    assert_eq!(told(&mut world), ["unheard"]);
    set_gate(&mut world, Gate::Open);
    share(&mut world, 500..510);
    assert_eq!(told(&mut world), ["heard"]);
    set_gate(&mut world, Gate::Muted);
    for _ in 0..27 {
        world.step(100);
    }
    assert_eq!(told(&mut world), ["unheard", "ended"]);
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
        answered.extend(world.flush().into_iter().map(|(path, _)| path.destination));
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
    let slots = world.slots_of(listener);
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

#[test]
fn what_waits_for_a_line_that_is_stopped_is_not_sent() {
    let mut world = World::new();
    let (speaker, listener) = (world.join(1, 0), world.join(0, 3));
    assert!(world.heard_of(speaker, listener, 50) >= 49);
    let slots = world.slots_of(listener);
    world.say(speaker, 0, world.frames);
    world.now += FRAME;
    world.clients[speaker].rtc.handle_input(Input::Timeout(world.now)).expect("time may pass");
    world.clients[speaker].drain();
    let from = world.clients[speaker].address;
    for datagram in std::mem::take(&mut world.clients[speaker].outgoing) {
        world.plane.datagram(world.now, from, server(), &datagram);
    }
    // A busy worker has yet to come round to the listener.
    assert!(world.plane.rounds.due(Duration::ZERO).is_some());
    world.negotiate(listener, |api| {
        slots.iter().for_each(|&mid| api.set_direction(mid, Direction::Inactive));
    });
    let to = world.clients[listener].address;
    let sent = world.flush().into_iter().filter(|(path, datagram)| {
        path.destination == to && matches!(datagram[..], [128..192, _, ..]) && !is_rtcp(datagram)
    });
    assert_eq!(sent.count(), 0);
}

#[test]
fn a_line_on_which_a_client_ceased_to_send_names_one_stream() {
    let mut world = World::new();
    let client = world.join(1, 0);
    let mut lines = Vec::new();
    world.negotiate(client, |api| {
        lines.push(api.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None));
    });
    world.negotiate(client, |api| api.set_direction(lines[0], Direction::RecvOnly));
    let answer = world.plane.events.iter().rev().find_map(|event| match event {
        WorkerEvent::OfferAnswered { result: Ok(answer), .. } => Some(&answer.sdp),
        _ => None,
    });
    let mid = format!("a=mid:{}", lines[0]);
    let section = answer.and_then(|sdp| sdp.split("\r\nm=").find(|section| section.contains(&mid)));
    let attributes: Vec<&str> = section.expect("it is answered").lines().collect();
    assert!(attributes.contains(&"a=sendonly"));
    let ssrcs: Vec<_> = attributes.iter().filter(|line| line.starts_with("a=ssrc:")).collect();
    assert_eq!(ssrcs.len(), 1, "{ssrcs:?}");
}

#[test]
fn data_for_thousands_leaves_the_worker_time_for_other_things() {
    let mut world = World::new();
    world.plane.spoken_to.extend((0..1_000).map(|n| (world.now, EndpointId(n))));
    for left in [744, 488, 232, 0] {
        // More waits: there is no sleep.
        assert!(world.plane.next_deadline().is_some_and(|at| at <= world.now));
        world.flush();
        assert_eq!(world.plane.spoken_to.len(), left);
    }
}

#[test]
fn packets_of_one_turn_are_of_one_length_however_long_the_names_of_their_lines() {
    let mut world = World::new();
    let speakers = [world.join(1, 0), world.join(1, 0), world.join(1, 0)];
    let listener = world.join(0, 2);
    // A third line, which the server knows by a longer name, as a browser's tenth is.
    let client = &mut world.clients[listener];
    let mut api = client.rtc.sdp_api();
    let mid = api.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None).to_string();
    let (offer, _) = api.apply().expect("something changed");
    let (endpoint, sdp) = (client.endpoint, offer.to_sdp_string().replace(&mid, "longer"));
    world.plane.command(world.now, WorkerCommand::Offer { endpoint, sdp, fresh: false, request: None });
    let (to, mut lengths) = (world.clients[listener].address, Vec::new());
    for frame in 0..100 {
        for speaker in speakers {
            world.say(speaker, 0, frame);
        }
        world.step(20);
        lengths = world.sent.iter().filter(|(path, _)| path.destination == to).map(|(_, len)| *len).collect();
    }
    assert_eq!(lengths, [16 + 16 + 80 + 16; 3]);
}
