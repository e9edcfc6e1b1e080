//! A worker's plane and real WebRTC clients, in virtual time.

mod hostile;
mod lines;
mod liveness;
mod roaming;
mod sending;
mod video;
mod width;

use std::collections::BTreeSet;

use str0m::change::{SdpAnswer, SdpApi, SdpPendingOffer};
use str0m::channel::ChannelConfig;
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{Extension, ExtensionMap, ExtensionValues, RtpPacket, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc};
use tercet_core::{Gate, RoomAudio};
use tercet_protocol::{ByOrigin, TrackOrigin};

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
    /// Its own, and as it is seen by the server: others where NAT is between them.
    own_address: SocketAddr,
    address: SocketAddr,
    offer: String,
    pending: Option<SdpPendingOffer>,
    /// The lines that it sends on, cameras last.
    lines: Vec<Mid>,
    connected: bool,
    /// How often it was asked for a keyframe, and of what is sent on which lines.
    keyframes_asked: usize,
    lines_asked: BTreeSet<Mid>,
    /// Whether its network is gone.
    cut: bool,
    /// Whether it sends STUN.
    checks: bool,
    heard: Vec<RtpPacket>,
    /// Sender reports that it got: of which line, and how many packets and octets they speak of.
    reports: Vec<(Mid, u32, u32)>,
    outgoing: Vec<Vec<u8>>,
    /// How many datagrams were sent to it, arrived or not, and the length of the longest.
    sent_to: u64,
    longest: usize,
    /// Its last STUN request.
    request: Vec<u8>,
    /// What its network takes, if that is not everything.
    link: Option<Link>,
}

/// A network that takes so much a second, and keeps some of what is too much for the moment.
struct Link {
    kbps: u64,
    queue: VecDeque<(Path, Vec<u8>)>,
    /// Bits that may pass by now.
    credit: u64,
}

/// What waits is no longer than what passes in so long; the rest is lost.
const LINK_QUEUE_MS: u64 = 200;

impl Link {
    fn new(kbps: u64) -> Link {
        Link { kbps, queue: VecDeque::new(), credit: 0 }
    }

    fn push(&mut self, datagram: (Path, Vec<u8>)) {
        let waiting: usize = self.queue.iter().map(|(_, datagram)| datagram.len()).sum();
        if (waiting as u64 * 8) < self.kbps * LINK_QUEUE_MS {
            self.queue.push_back(datagram);
        }
    }

    /// What arrives after so many milliseconds.
    fn pass(&mut self, ms: u64) -> Vec<(Path, Vec<u8>)> {
        self.credit += self.kbps * ms;
        let mut passed = Vec::new();
        while let Some(bits) = self.queue.front().map(|(_, datagram)| datagram.len() as u64 * 8)
            && bits <= self.credit
        {
            self.credit -= bits;
            passed.extend(self.queue.pop_front());
        }
        if self.queue.is_empty() {
            self.credit = self.credit.min(12_000);
        }
        passed
    }
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
                Output::Event(Event::KeyframeRequest(request)) => {
                    self.keyframes_asked += 1;
                    self.lines_asked.insert(request.mid);
                }
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
        let plane = Plane::new(
            WorkerId(0),
            crypto.clone(),
            vec![Candidate::host(server(), "udp").expect("an address")],
            Vec::new(),
            metrics,
        );
        World { now: Instant::now(), plane, crypto, clients: Vec::new(), frames: 0, sent: Vec::new() }
    }

    /// A client that sends on some lines and receives on others, connected.
    fn join(&mut self, sends: usize, receives: usize) -> usize {
        self.join_with_video((sends, receives), (0, 0))
    }

    /// An encoder, or a player.
    fn join_over_http(&mut self, sends: usize, receives: usize) -> usize {
        self.join_as(true, (sends, receives), (0, 0))
    }

    /// The same, with as many lines for video besides.
    fn join_with_video(&mut self, audio: (usize, usize), video: (usize, usize)) -> usize {
        self.join_as(false, audio, video)
    }

    fn join_as(&mut self, is_over_http: bool, audio: (usize, usize), video: (usize, usize)) -> usize {
        let index = self.clients.len();
        let address = SocketAddr::from(([10, 0, 1, index as u8 + 1], 4000));
        let mut extensions = ExtensionMap::empty();
        extensions.set(1, Extension::AudioLevel);
        extensions.set(4, Extension::RtpMid);
        extensions.set(3, Extension::TransportSequenceNumber);
        let mut rtc = Rtc::builder()
            .set_crypto_provider(self.crypto.provider.clone())
            .set_dtls_cert(self.crypto.certificate.clone())
            .set_rtp_mode(true)
            .set_extension_map(extensions)
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(true)
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
            video_slots_max: 4,
            video_kbps_max: 6_000,
            is_over_http,
        };
        self.plane.command(self.now, WorkerCommand::Open(Box::new(open)));
        self.clients.push(Client {
            rtc,
            endpoint,
            own_address: address,
            address,
            offer: String::new(),
            pending: None,
            lines: Vec::new(),
            connected: false,
            keyframes_asked: 0,
            lines_asked: BTreeSet::new(),
            cut: false,
            checks: true,
            heard: Vec::new(),
            reports: Vec::new(),
            outgoing: Vec::new(),
            sent_to: 0,
            longest: 0,
            request: Vec::new(),
            link: None,
        });
        let mut lines = Vec::new();
        self.negotiate(index, |api| {
            for (kind, (sends, receives)) in [(MediaKind::Audio, audio), (MediaKind::Video, video)] {
                let mut add = |direction| api.add_media(kind, direction, None, None, None);
                lines.extend((0..sends).map(|_| add(Direction::SendOnly)));
                (0..receives).for_each(|_| {
                    add(Direction::RecvOnly);
                });
            }
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
            let (cut, checks) = (client.cut, client.checks);
            let leaves = |datagram: &Vec<u8>| !cut && (checks || datagram[0] > 3);
            for datagram in client.outgoing.drain(..).filter(leaves) {
                self.plane.datagram(self.now, client.address, server(), &datagram);
            }
        }
        self.plane.handle_timeouts(self.now);
        let mut arriving = Vec::new();
        for (path, datagram) in self.flush() {
            let to = self.clients.iter_mut().find(|client| client.address == path.destination);
            let Some(client) = to else {
                continue;
            };
            client.sent_to += 1;
            client.longest = client.longest.max(datagram.len());
            match &mut client.link {
                Some(link) => link.push((path, datagram)),
                None => arriving.push((path, datagram)),
            }
        }
        let links = self.clients.iter_mut().filter_map(|client| client.link.as_mut());
        arriving.extend(links.flat_map(|link| link.pass(ms)));
        for (path, datagram) in arriving {
            let to = self.clients.iter_mut().find(|client| client.address == path.destination);
            if let Some(client) = to.filter(|client| !client.cut) {
                let receive = Receive::new(Protocol::Udp, path.source, client.own_address, &datagram);
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
            (Path::udp(source, destination), contents.to_vec())
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
