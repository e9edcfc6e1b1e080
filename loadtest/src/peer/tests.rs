//! A peer against a str0m server in virtual time: no socket, no clock, both sides see a network
//! that takes 5 ms.

use std::time::Duration;

use str0m::IceConnectionState;
use str0m::change::SdpOffer;
use str0m::media::Mid;
use str0m::rtp::Ssrc;

use super::options::CRYPTO;
use super::*;

const TICK: Duration = Duration::from_millis(5);
const SERVER: &str = "10.0.0.1:50000";
const CLIENT: &str = "10.0.0.2:4000";

/// What a Tercet server's side of a connection does, with none of its decisions.
struct Server {
    rtc: Rtc,
    send_mids: Vec<Mid>,
    packets: Vec<RtpPacket>,
    data: Vec<(String, Vec<u8>)>,
    channels: Vec<(ChannelId, String)>,
}

struct World {
    now: Instant,
    peer: Peer,
    server: Server,
    events: Vec<PeerEvent>,
}

impl World {
    /// Negotiated and connected.
    fn connected(options: PeerOptions, red: bool) -> World {
        let now = Instant::now();
        let mut peer = Peer::new(now, CLIENT.parse().unwrap(), options).unwrap();
        let mut rtc = Rtc::builder()
            .set_crypto_provider(CRYPTO.provider.clone())
            .set_rtp_mode(true)
            .set_ice_lite(true)
            .clear_codecs()
            .enable_opus(true, red)
            .build(now);
        rtc.add_local_candidate(Candidate::host(SERVER.parse().unwrap(), "udp").unwrap());
        let mut server = Server { rtc, send_mids: vec![], packets: vec![], data: vec![], channels: vec![] };
        let answer = server.answer(&peer.offer(3));
        peer.accept_answer(&answer).unwrap();
        let mut world = World { now, peer, server, events: vec![] };
        world.run(Duration::from_secs(2));
        assert!(world.peer.is_connected() && world.server.rtc.is_connected());
        world
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += TICK;
            self.peer.handle_timeout(self.now).unwrap();
            self.server.rtc.handle_input(Input::Timeout(self.now)).unwrap();
            // What is sent within a tick arrives within it, whichever side answers how often.
            loop {
                let to_server = self.poll_peer();
                let to_peer = self.server.poll();
                if to_server.is_empty() && to_peer.is_empty() {
                    break;
                }
                for datagram in to_server {
                    self.server.handle(self.now, self.peer.local(), &datagram);
                }
                for datagram in to_peer {
                    self.peer.handle(self.now, SERVER.parse().unwrap(), &datagram).unwrap();
                }
            }
        }
    }

    fn poll_peer(&mut self) -> Vec<Vec<u8>> {
        let mut datagrams = vec![];
        loop {
            match self.peer.poll().unwrap() {
                PeerOutput::Timeout(_) => return datagrams,
                PeerOutput::Event(event) => self.events.push(event),
                PeerOutput::Transmit { contents, .. } => datagrams.push(contents),
            }
        }
    }

    fn speak(&mut self, frames: u8) {
        for n in 0..frames {
            let mut audio = Audio::new(vec![n; 80], -25);
            audio.marker = n == 0;
            self.peer.send_audio(self.now, audio).unwrap();
            self.run(Duration::from_millis(20));
        }
    }

    fn received(&self) -> Vec<&ReceivedPacket> {
        self.events
            .iter()
            .filter_map(|event| match event {
                PeerEvent::PacketReceived(packet) => Some(packet),
                _ => None,
            })
            .collect()
    }

    fn has(&self, wanted: impl Fn(&PeerEvent) -> bool) -> bool {
        self.events.iter().any(wanted)
    }
}

impl Server {
    fn answer(&mut self, offer: &str) -> String {
        let offer = SdpOffer::from_sdp_string(offer).unwrap();
        self.rtc.sdp_api().accept_offer(offer).unwrap().to_sdp_string()
    }

    fn handle(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        let receive = Receive::new(Protocol::Udp, source, SERVER.parse().unwrap(), datagram).unwrap();
        self.rtc.handle_input(Input::Receive(now, receive)).unwrap();
    }

    fn poll(&mut self) -> Vec<Vec<u8>> {
        let mut datagrams = vec![];
        loop {
            match self.rtc.poll_output().unwrap() {
                Output::Timeout(_) => return datagrams,
                Output::Transmit(transmit) => datagrams.push(transmit.contents.into()),
                Output::Event(Event::MediaAdded(media)) if media.direction == Direction::SendOnly => {
                    self.send_mids.push(media.mid);
                }
                Output::Event(Event::RtpPacket(packet)) => self.packets.push(packet),
                Output::Event(Event::ChannelOpen(id, label)) => self.channels.push((id, label)),
                Output::Event(Event::ChannelData(data)) => {
                    let (_, label) = self.channels.iter().find(|(id, _)| *id == data.id).unwrap();
                    self.data.push((label.clone(), data.data));
                }
                Output::Event(_) => {}
            }
        }
    }

    fn forward(&mut self, now: Instant, slot: usize, sequence: u64, csrc: u32, level_dbov: i8) -> Ssrc {
        let mid = self.send_mids[slot];
        let pt = self.rtc.media(mid).unwrap().remote_pts()[0];
        let mut api = self.rtc.direct_api();
        let stream = api.stream_tx_by_mid(mid, None).unwrap();
        let extensions = ExtensionValues {
            audio_level: Some(level_dbov),
            voice_activity: Some(true),
            ..ExtensionValues::default()
        };
        let packet = RtpWrite::new(pt, sequence.into(), 960 * sequence as u32, now, vec![0xf8; 80]);
        stream.write_rtp(packet.csrc(&[csrc]).ext_vals(extensions).marker(true));
        let ssrc = stream.ssrc();
        self.rtc.handle_input(Input::Timeout(now)).unwrap();
        ssrc
    }
}

#[test]
fn audio_arrives_with_level_and_marker() {
    let mut world = World::connected(PeerOptions::default(), false);
    assert!(world.has(|event| matches!(event, PeerEvent::Connected)));
    world.speak(5);
    let packets = &world.server.packets;
    assert_eq!(packets.len(), 5);
    assert_eq!(packets[0].header.ext_vals.audio_level, Some(-25));
    assert_eq!(packets[0].header.ext_vals.voice_activity, Some(true));
    assert!(packets[0].header.marker && !packets[1].header.marker);
    assert_eq!(*packets[4].seq_no, *packets[0].seq_no + 4);
    assert_eq!(packets[4].header.timestamp.wrapping_sub(packets[0].header.timestamp), 4 * FRAME_TICKS);
    assert_eq!(&packets[4].payload[..], &[4; 80]);
}

#[test]
fn the_payload_type_is_the_clients_choice() {
    for payload_type in [96, 109, 111] {
        let codec = Codec::Opus(payload_type);
        let mut world = World::connected(PeerOptions { codec, ..PeerOptions::default() }, false);
        world.speak(1);
        assert_eq!(*world.server.packets[0].header.payload_type, payload_type);
    }
}

#[test]
fn the_levels_extension_id_is_the_clients_choice() {
    for level_extension_id in [3, 4, 10] {
        let options = PeerOptions { level_extension_id, ..PeerOptions::default() };
        let mut world = World::connected(options, false);
        world.speak(1);
        assert_eq!(world.server.packets[0].header.ext_vals.audio_level, Some(-25));
    }
}

#[test]
fn a_frame_without_level_has_no_extension() {
    let mut world = World::connected(PeerOptions::default(), false);
    let audio = Audio { level_dbov: None, ..Audio::new(vec![1; 80], 0) };
    world.peer.send_audio(world.now, audio).unwrap();
    world.run(TICK);
    assert_eq!(world.server.packets[0].header.ext_vals.audio_level, None);
    assert_eq!(world.server.packets[0].header.ext_vals.voice_activity, None);
}

#[test]
fn red_carries_the_frame_before() {
    let mut world =
        World::connected(PeerOptions { codec: Codec::OpusAndRed, ..PeerOptions::default() }, true);
    world.speak(2);
    let packet = &world.server.packets[1];
    assert_eq!(*packet.header.payload_type, 63);
    assert_eq!(&packet.payload[..], &red::encode(111, &[1; 80], Some((960, &[0; 80])))[..]);
}

#[test]
fn red_is_not_sent_to_a_server_without_it() {
    let mut world =
        World::connected(PeerOptions { codec: Codec::OpusAndRed, ..PeerOptions::default() }, false);
    world.speak(1);
    assert_eq!(*world.server.packets[0].header.payload_type, 111);
    assert_eq!(&world.server.packets[0].payload[..], &[0; 80]);
}

#[test]
fn a_slot_is_received_with_its_source_and_level() {
    let mut world = World::connected(PeerOptions::default(), false);
    assert_eq!(world.server.send_mids, world.peer.slot_mids());
    let ssrc = world.server.forward(world.now, 1, 1_000, 42, -31);
    world.run(TICK);
    let packets = world.received();
    assert_eq!(packets.len(), 1);
    let packet = packets[0];
    assert_eq!(packet.mid, world.peer.slot_mids()[1]);
    assert_eq!((packet.ssrc, packet.sequence, packet.timestamp), (*ssrc, 1_000, 960_000));
    assert_eq!((packet.level_dbov, packet.voice, packet.marker), (Some(-31), Some(true), true));
    assert_eq!((packet.csrc.as_slice(), packet.payload_type), (&[42][..], 111));
    assert_eq!(packet.frame(), Some(&[0xf8; 80][..]));
}

#[test]
fn losses_and_pauses_show_in_sequence_and_timestamp() {
    let options = PeerOptions { first_sequence: Some(65_534), ..PeerOptions::default() };
    let mut world = World::connected(options, false);
    world.speak(1);
    world.peer.lose_frames(2);
    world.speak(1);
    world.peer.pause_frames(10);
    world.speak(1);
    let packets = &world.server.packets;
    let sequences: Vec<u16> = packets.iter().map(|packet| packet.header.sequence_number).collect();
    assert_eq!(sequences, [65_534, 1, 2]);
    let since_first = |n: usize| packets[n].header.timestamp.wrapping_sub(packets[0].header.timestamp);
    assert_eq!((since_first(1), since_first(2)), (3 * FRAME_TICKS, 14 * FRAME_TICKS));
}

#[test]
fn data_frames_go_both_ways_on_both_channels() {
    let mut world = World::connected(PeerOptions::default(), false);
    for (channel, label) in [(Channel::Reliable, "reliable"), (Channel::Lossy, "lossy")] {
        assert!(world.has(|event| matches!(event, PeerEvent::ChannelOpened(c) if *c == channel)));
        assert!(world.peer.send_data(world.now, channel, "{\"data\":1}").unwrap());
        world.run(TICK);
        assert_eq!(world.server.data.pop(), Some((label.to_owned(), b"{\"data\":1}".to_vec())));

        let (id, _) = *world.server.channels.iter().find(|(_, l)| l == label).unwrap();
        let config = world.server.rtc.channel(id).unwrap().config().cloned().unwrap();
        assert_eq!(config, channel.config());
        assert!(world.server.rtc.channel(id).unwrap().write(false, b"hello").unwrap());
        world.run(TICK);
        assert!(world.has(
            |event| matches!(event, PeerEvent::DataReceived(c, frame) if *c == channel && frame == b"hello")
        ));
    }
}

#[test]
fn a_peer_without_data_channels_sends_no_data() {
    let mut world = World::connected(PeerOptions { data_channels: false, ..PeerOptions::default() }, false);
    assert!(!world.peer.send_data(world.now, Channel::Reliable, "{}").unwrap());
}

#[test]
fn media_goes_on_after_an_ice_restart() {
    for moved_to in [None, Some("10.0.0.3:4001".parse().unwrap())] {
        let mut world = World::connected(PeerOptions::default(), false);
        world.speak(1);
        let before = world.server.rtc.direct_api().local_ice_credentials();
        let offer = world.peer.restart_ice(moved_to).unwrap();
        let answer = world.server.answer(&offer);
        assert_ne!(world.server.rtc.direct_api().local_ice_credentials(), before);
        world.peer.accept_answer(&answer).unwrap();
        world.events.clear();
        world.run(Duration::from_secs(2));
        assert!(world.peer.is_connected());
        assert!(
            world.has(|event| matches!(
                event,
                PeerEvent::IceChanged(IceConnectionState::Connected | IceConnectionState::Completed)
            )),
            "{:?}",
            world.events
        );
        world.speak(3);
        assert_eq!(world.server.packets.len(), 4);
        world.server.forward(world.now, 0, 1, 7, -20);
        world.run(TICK);
        assert_eq!(world.received().len(), 1);
    }
}

#[test]
fn a_server_may_offer() {
    let now = Instant::now();
    let mut peer = Peer::new(now, CLIENT.parse().unwrap(), PeerOptions::default()).unwrap();
    let mut rtc = Rtc::builder()
        .set_crypto_provider(CRYPTO.provider.clone())
        .set_rtp_mode(true)
        .clear_codecs()
        .enable_opus(true, false)
        .build(now);
    rtc.add_local_candidate(Candidate::host(SERVER.parse().unwrap(), "udp").unwrap());
    let mut server = Server { rtc, send_mids: vec![], packets: vec![], data: vec![], channels: vec![] };
    let mut changes = server.rtc.sdp_api();
    let mid = changes.add_media(MediaKind::Audio, Direction::SendOnly, None, None, None);
    let (offer, pending) = changes.apply().unwrap();
    let answer = peer.answer(&offer.to_sdp_string()).unwrap();
    server.rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&answer).unwrap()).unwrap();
    server.send_mids.push(mid);

    let mut world = World { now, peer, server, events: vec![] };
    world.run(Duration::from_secs(2));
    assert!(world.peer.is_connected());
    world.server.forward(world.now, 0, 1, 42, -31);
    world.run(TICK);
    assert_eq!(world.received().len(), 1);
    assert!(matches!(world.peer.answer("nonsense"), Err(PeerError::Offer(_))));
}

#[test]
fn what_comes_out_of_order_is_refused() {
    let now = Instant::now();
    let mut peer = Peer::new(now, CLIENT.parse().unwrap(), PeerOptions::default()).unwrap();
    assert!(matches!(peer.accept_answer("v=0"), Err(PeerError::NotNegotiated)));
    assert!(matches!(peer.send_audio(now, Audio::new(vec![1], -20)), Err(PeerError::NotNegotiated)));
    peer.offer(3);
    assert!(matches!(peer.accept_answer("nonsense"), Err(PeerError::Answer(_))));
    assert!(peer.handle(now, SERVER.parse().unwrap(), b"").is_ok(), "an empty datagram is ignored");
}

#[test]
fn a_goodbye_reaches_the_server() {
    let mut world = World::connected(PeerOptions::default(), false);
    world.peer.close().unwrap();
    world.run(Duration::from_millis(500));
    assert!(!world.peer.is_alive());
    assert!(!world.server.rtc.is_connected() || !world.server.rtc.is_alive());
}

#[test]
fn a_camera_in_three_sizes_is_offered_as_browsers_do() {
    let video = VideoOffer { camera: true, slots: 2, is_simulcast: true };
    let options = PeerOptions { video: Some(video), data_channels: false, ..PeerOptions::default() };
    let mut peer = Peer::new(Instant::now(), CLIENT.parse().unwrap(), options).unwrap();
    let offer = peer.offer(1);
    assert_eq!(offer.matches("m=video ").count(), 3);
    for attribute in [
        "a=simulcast:send l;m;h",
        "a=rid:l send",
        "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
        "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
        "transport-wide-cc-extensions",
        "a=rtpmap:97 rtx/90000",
        "a=rtcp-fb:96 nack pli",
    ] {
        assert!(offer.contains(attribute), "{attribute} is not in {offer}");
    }
    let watched = peer.watched.clone();
    peer.set_video_slots(watched.iter().rev().copied());
    assert_eq!([0, 1].map(|at| peer.video_slot(watched[at])), [Some(1), Some(0)], "as the answer has it");
}
