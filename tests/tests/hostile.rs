//! Hostile datagrams, and hostile clients: what they send harms nobody else, and is counted.
//!
//! Strangers send from sockets of their own. A [`Hand`] is a joined client whose datagrams pass
//! through the test, so that it can send what no client should from an address that the server
//! knows. A failure of a randomised test names its seed; `SEED=n` replays it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::NamedTempFile;
use tercet_loadtest::{
    Audio, Client, Codec, Peer, PeerEvent, PeerOptions, PeerOutput, ReceivedPacket, Session, Signalling,
    SignallingError, SyntheticFrame, Voice,
};
use tercet_protocol::{ErrorCode, LeaveReason, Request, Role, ServerMessage};
use tercet_tests::{SOON, Server};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, UdpSocket};
use tokio::time::timeout_at;

const FRAME: Duration = Duration::from_millis(20);
/// Long enough for what was sent to arrive and be answered.
const A_MOMENT: Duration = Duration::from_millis(500);
const SLOTS: u8 = 3;

const DROPPED: &str = "tercet_packets_dropped_total";

/// The first octets by which RFC 7983, section 7, tells protocols apart, and some of none.
const FIRST_OCTETS: [u8; 12] = [0, 1, 2, 3, 20, 22, 23, 63, 64, 128, 144, 255];

fn seed() -> u64 {
    std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random)
}

/// A joined client whose datagrams pass through the test.
struct Hand {
    signalling: Signalling,
    peer: Peer,
    socket: UdpSocket,
    /// Where the server receives its media.
    media: SocketAddr,
    /// The server's session description.
    answer: String,
    connected: bool,
    packets: Vec<ReceivedPacket>,
}

/// What becomes of a datagram that the peer wants to send: what is sent in its place.
type Pass<'a> = &'a mut dyn FnMut(Vec<u8>) -> Vec<Vec<u8>>;

fn unchanged(datagram: Vec<u8>) -> Vec<Vec<u8>> {
    vec![datagram]
}

impl Hand {
    /// Joins and negotiates; nothing of the connection is made yet.
    async fn negotiate(server: &Server, room: &str, identity: &str) -> anyhow::Result<Hand> {
        let as_it_is: fn(&str) -> String = str::to_owned;
        Hand::negotiate_as(server, room, identity, PeerOptions::default(), as_it_is, as_it_is).await
    }

    /// As [`Hand::negotiate`], with session descriptions that are changed on their way.
    async fn negotiate_as(
        server: &Server,
        room: &str,
        identity: &str,
        options: PeerOptions,
        to_server: fn(&str) -> String,
        from_server: fn(&str) -> String,
    ) -> anyhow::Result<Hand> {
        let ticket = server.ticket(room, identity, Role::Speaker)?;
        let mut signalling = Signalling::connect(&ticket.server).await?;
        signalling.join(&ticket.token, None).await?;
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let mut peer = Peer::new(Instant::now(), socket.local_addr()?, options)?;
        let answer = signalling.offer(to_server(&peer.offer(SLOTS)), false).await?;
        peer.accept_answer(&from_server(&answer))?;
        let media = candidate(&answer)?;
        Ok(Hand { signalling, peer, socket, media, answer, connected: false, packets: Vec::new() })
    }

    /// A client like any other, for the time being.
    async fn join(server: &Server, room: &str, identity: &str) -> anyhow::Result<Hand> {
        let mut hand = Hand::negotiate(server, room, identity).await?;
        hand.connect(&mut unchanged).await?;
        Ok(hand)
    }

    async fn connect(&mut self, pass: Pass<'_>) -> anyhow::Result<()> {
        self.run(SOON, pass, |hand| hand.connected).await?;
        anyhow::ensure!(self.connected, "no connection within {SOON:?}");
        Ok(())
    }

    /// Throws the peer away and offers a new one.
    async fn replace_peer(&mut self) -> anyhow::Result<()> {
        self.socket = UdpSocket::bind("127.0.0.1:0").await?;
        self.peer = Peer::new(Instant::now(), self.socket.local_addr()?, PeerOptions::default())?;
        self.answer = self.signalling.offer(self.peer.offer(SLOTS), true).await?;
        self.peer.accept_answer(&self.answer)?;
        self.connected = false;
        self.connect(&mut unchanged).await
    }

    /// Moves datagrams until `done`, or for the time given.
    async fn run(
        &mut self,
        time: Duration,
        pass: Pass<'_>,
        done: impl Fn(&Hand) -> bool,
    ) -> anyhow::Result<()> {
        let end = Instant::now() + time;
        let mut datagram = [0; 2_048];
        loop {
            let deadline = self.drain(pass).await?;
            if done(self) || Instant::now() >= end {
                return Ok(());
            }
            match timeout_at(deadline.min(end).into(), self.socket.recv_from(&mut datagram)).await {
                Ok(Ok((length, from))) => self.peer.handle(Instant::now(), from, &datagram[..length])?,
                // An ICMP error of an earlier send says nothing of this moment.
                Ok(Err(_)) => {}
                Err(_) => self.peer.handle_timeout(Instant::now())?,
            }
        }
    }

    async fn drain(&mut self, pass: Pass<'_>) -> anyhow::Result<Instant> {
        loop {
            match self.peer.poll()? {
                PeerOutput::Timeout(at) => return Ok(at),
                PeerOutput::Transmit { contents, .. } => {
                    for datagram in pass(contents) {
                        self.send_raw(&datagram).await?;
                    }
                }
                PeerOutput::Event(PeerEvent::Connected) => self.connected = true,
                PeerOutput::Event(PeerEvent::PacketReceived(packet)) => self.packets.push(packet),
                PeerOutput::Event(_) => {}
            }
        }
    }

    /// Sends anything from the client's own address.
    async fn send_raw(&self, datagram: &[u8]) -> anyhow::Result<()> {
        self.socket.send_to(datagram, self.media).await?;
        Ok(())
    }

    /// Speaks for so many frames, 20 ms each.
    async fn speak(&mut self, publisher: u32, frames: u32, pass: Pass<'_>) -> anyhow::Result<()> {
        for count in 0..frames {
            let now = Instant::now();
            let frame = SyntheticFrame::new(publisher, count, now).encode(80);
            self.peer.send_audio(now, Audio::new(frame, -20))?;
            self.run(FRAME, pass, |_| false).await?;
        }
        Ok(())
    }

    fn ice_ufrag(&self) -> anyhow::Result<&str> {
        let line = self.answer.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:"));
        line.map(str::trim).context("an answer has a user fragment")
    }
}

/// The first candidate of an answer (RFC 8839, section 5.1): `candidate:F 1 udp PRIORITY ADDRESS PORT typ host`.
fn candidate(answer: &str) -> anyhow::Result<SocketAddr> {
    let line = answer.lines().find(|line| line.starts_with("a=candidate:")).context("a candidate")?;
    let fields: Vec<&str> = line.split_whitespace().collect();
    let address = SocketAddr::new(fields[4].parse()?, fields[5].parse()?);
    anyhow::ensure!(address.ip().is_loopback(), "tests send to loopback only");
    Ok(address)
}

/// An ordinary pair, one of whom speaks throughout: who is to notice nothing.
struct Bystanders {
    speaker: Client,
    listener: Client,
}

impl Bystanders {
    const PUBLISHER: u32 = 999;

    async fn join(server: &Server, room: &str) -> anyhow::Result<Bystanders> {
        let speaker = server.join(room, "bystander-speaks", Role::Speaker).await?;
        let listener = server.join(room, "bystander-listens", Role::Listener).await?;
        speaker.speak(Voice::new(Bystanders::PUBLISHER, -20)).await?;
        Ok(Bystanders { speaker, listener })
    }

    /// The speaker is heard, in a stream without a seam since the last check.
    async fn assert_undisturbed(&mut self) -> anyhow::Result<()> {
        self.listener.skip_packets();
        let packets = self.listener.packets_for(Duration::from_secs(1)).await;
        let heard = packets.iter().filter(|packet| publisher(packet) == Some(Bystanders::PUBLISHER));
        let count = heard.count();
        assert!(count >= 30, "{count} of 50 frames of a bystander are heard");
        assert_continuous(&packets);
        anyhow::ensure!(self.speaker.packets_sent() > 0, "a bystander speaks");
        Ok(())
    }
}

fn publisher(packet: &ReceivedPacket) -> Option<u32> {
    Some(SyntheticFrame::decode(packet.frame()?)?.publisher)
}

/// On each SSRC, sequence numbers without a hole or a repetition, and timestamps that only grow.
fn assert_continuous(packets: &[ReceivedPacket]) {
    let mut streams: BTreeMap<u32, Vec<(u64, u32)>> = BTreeMap::new();
    for packet in packets {
        streams.entry(packet.ssrc).or_default().push((packet.sequence, packet.timestamp));
    }
    for (ssrc, mut numbers) in streams {
        numbers.sort();
        for pair in numbers.windows(2) {
            assert_eq!(pair[1].0, pair[0].0 + 1, "SSRC {ssrc}: a hole or a repetition in {numbers:?}");
            let ticks = pair[1].1.wrapping_sub(pair[0].1) as i32;
            assert!(ticks > 0, "SSRC {ssrc}: time stands still or goes back in {numbers:?}");
        }
    }
}

async fn dropped(server: &Server, reason: &str) -> anyhow::Result<f64> {
    server.metric(DROPPED, &format!("reason=\"{reason}\"")).await
}

/// Waits until a count of dropped packets has grown by `by`.
async fn wait_for_dropped(server: &Server, reason: &str, from: f64, by: f64) -> anyhow::Result<()> {
    let deadline = Instant::now() + SOON;
    loop {
        let grown = dropped(server, reason).await? - from;
        if grown >= by {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < deadline, "{grown} of {by} were dropped as {reason}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn assert_unharmed(server: &Server) -> anyhow::Result<()> {
    assert_eq!(server.metric("tercet_peer_panics_total", "").await?, 0.0);
    server.assert_serves().await
}

/// A STUN message (RFC 8489, section 5) with these attributes.
fn stun(kind: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (attribute, value) in attributes {
        body.extend(attribute.to_be_bytes());
        body.extend((value.len() as u16).to_be_bytes());
        body.extend_from_slice(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    stun_of(kind, body.len() as u16, &body)
}

fn stun_of(kind: u16, length: u16, body: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    message.extend(kind.to_be_bytes());
    message.extend(length.to_be_bytes());
    message.extend([0x21, 0x12, 0xa4, 0x42]);
    message.extend([7; 12]);
    message.extend_from_slice(body);
    message
}

/// A binding request as ICE has it (RFC 8445, section 7.2.2), with an integrity that proves nothing.
fn unproven_request(local_ufrag: &str, remote_ufrag: &str) -> Vec<u8> {
    const USERNAME: u16 = 0x0006;
    const MESSAGE_INTEGRITY: u16 = 0x0008;
    const PRIORITY: u16 = 0x0024;
    const USE_CANDIDATE: u16 = 0x0025;
    const ICE_CONTROLLING: u16 = 0x802a;
    let username = format!("{local_ufrag}:{remote_ufrag}");
    stun(
        0x0001,
        &[
            (USERNAME, username.as_bytes()),
            (PRIORITY, &[0x6e, 0, 0x1e, 0xff]),
            (USE_CANDIDATE, &[]),
            (ICE_CONTROLLING, &[1; 8]),
            (MESSAGE_INTEGRITY, &[0xab; 20]),
        ],
    )
}

/// Garbage of every kind and of many sizes.
fn garbage(rng: &mut StdRng, count: usize) -> Vec<Vec<u8>> {
    let one = |n: usize| {
        let length = if n.is_multiple_of(5) { rng.random_range(0..24) } else { rng.random_range(0..1_500) };
        let mut datagram: Vec<u8> = (0..length).map(|_| rng.random()).collect();
        if let Some(first) = datagram.first_mut() {
            *first = FIRST_OCTETS[n % FIRST_OCTETS.len()];
        }
        datagram
    };
    (0..count).map(one).collect()
}

/// Sends without filling the receive buffer faster than a shared machine empties it.
async fn send_all(socket: &UdpSocket, to: SocketAddr, datagrams: &[Vec<u8>]) -> anyhow::Result<()> {
    for chunk in datagrams.chunks(50) {
        for datagram in chunk {
            socket.send_to(datagram, to).await?;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_of_strangers_go_nowhere_and_are_counted() -> anyhow::Result<()> {
    let seed = seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let server = Server::start()?;
    let mut bystanders = Bystanders::join(&server, "r").await?;
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    let mut datagrams = vec![Vec::new()];
    datagrams.extend(garbage(&mut rng, 1_000));
    for bytes in [2_001, 2_048, 2_049, 9_000, 65_000] {
        datagrams.extend(FIRST_OCTETS.map(|first| vec![first; bytes]));
    }
    let before = dropped(&server, "stranger").await?;
    for &media in &server.media {
        send_all(&socket, media, &datagrams).await?;
    }
    let sent = (datagrams.len() * server.media.len()) as f64;
    wait_for_dropped(&server, "stranger", before, sent * 0.95)
        .await
        .with_context(|| format!("seed {seed}"))?;
    let answered = timeout_at((Instant::now() + A_MOMENT).into(), socket.recv_from(&mut [0; 100])).await;
    assert!(answered.is_err(), "seed {seed}: a stranger is not answered");
    bystanders.assert_undisturbed().await?;
    assert_unharmed(&server).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_fragment_without_its_password_proves_nothing() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut victim = Hand::join(&server, "r", "victim").await?;
    let stranger = UdpSocket::bind("127.0.0.1:0").await?;
    let request = unproven_request(victim.ice_ufrag()?, "any");
    let before = dropped(&server, "unproven").await?;
    for _ in 0..100 {
        stranger.send_to(&request, victim.media).await?;
        // What would be the victim's if the request had proven anything.
        stranger.send_to(&[0x80; 60], victim.media).await?;
    }
    wait_for_dropped(&server, "unproven", before, 95.0).await?;
    let mut listener = server.join("r", "listener", Role::Listener).await?;
    victim.speak(1, 25, &mut unchanged).await?;
    assert!(listener.packets_received() > 15, "the victim is heard: {}", listener.packets_received());
    assert_continuous(&listener.packets_for(A_MOMENT).await);
    let answered = timeout_at(Instant::now().into(), stranger.recv_from(&mut [0; 100])).await;
    assert!(answered.is_err(), "a stranger is not answered");
    assert_unharmed(&server).await
}

#[tokio::test(flavor = "multi_thread")]
async fn stun_with_absurd_lengths_is_nobodys() -> anyhow::Result<()> {
    let server = Server::start()?;
    let victim = Hand::join(&server, "r", "victim").await?;
    let username = format!("{}:any", victim.ice_ufrag()?);
    let mut absurd = vec![
        stun_of(0x0001, 0, &[]),
        stun_of(0x0001, u16::MAX, &[]),
        stun_of(0x0001, 4, &[0, 6, 0xff, 0xff]),
        stun_of(0x0001, 3, &[0, 6, 0]),
        stun_of(0x0001, 8, &[0, 6, 0, 9, b'a', b':', b'b', 0]),
        stun(0x0001, &[(0x0006, username.as_bytes())]),
        stun(0x0001, &[(0x0006, &[0xff; 600])]),
        stun(0x0101, &[(0x0020, &[0, 9, 0, 0])]),
        stun(0x0001, &[(0x0008, &[0; 3])]),
        stun(0x3fff, &[(0x8028, &[0; 4][..]); 200]),
    ];
    // A right message, cut and with each of its lengths replaced.
    let right = unproven_request(victim.ice_ufrag()?, "any");
    absurd.extend((0..right.len()).map(|length| right[..length].to_vec()));
    absurd.extend((0..right.len()).map(|n| {
        let mut wrong = right.clone();
        wrong[n] = 0xff;
        wrong
    }));
    let before = dropped(&server, "stranger").await? + dropped(&server, "unproven").await?;
    let stranger = UdpSocket::bind("127.0.0.1:0").await?;
    send_all(&stranger, victim.media, &absurd).await?;
    tokio::time::sleep(A_MOMENT).await;
    let after = dropped(&server, "stranger").await? + dropped(&server, "unproven").await?;
    assert!(after - before >= absurd.len() as f64 * 0.95, "{} of {}", after - before, absurd.len());
    let before = dropped(&server, "malformed").await?;
    for message in &absurd {
        victim.send_raw(message).await?;
    }
    wait_for_dropped(&server, "malformed", before, 5.0).await?;
    assert_unharmed(&server).await
}

/// What is wrong with a genuine packet: every kind of change that a test can think of.
fn spoilt(rng: &mut StdRng, genuine: &[u8]) -> Vec<Vec<u8>> {
    let mut spoilt = vec![genuine.to_vec(), genuine[..genuine.len() / 2].to_vec()];
    spoilt.extend((1..genuine.len().min(30)).map(|length| genuine[..length].to_vec()));
    for _ in 0..40 {
        let mut flipped = genuine.to_vec();
        // The first two octets decide which protocol it is: they are spoilt by `garbage`.
        let bit = rng.random_range(16..flipped.len() * 8);
        flipped[bit / 8] ^= 1 << (bit % 8);
        spoilt.push(flipped);
    }
    spoilt.push([genuine, genuine].concat());
    spoilt
}

/// DTLS records (RFC 6347, section 4.1) that nobody made with the keys.
fn forged_records(rng: &mut StdRng) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    for kind in [20, 21, 22, 23, 24, 25, 63] {
        for epoch in [0u16, 1, 2, u16::MAX] {
            for length in [0u16, 1, 2, 12, 40, 200] {
                let sequence: [u8; 6] = rng.random();
                let mut record = vec![kind, 0xfe, 0xfd];
                record.extend(epoch.to_be_bytes());
                record.extend(sequence);
                record.extend(length.to_be_bytes());
                record.extend((0..length).map(|_| rng.random::<u8>()));
                records.push(record);
            }
        }
    }
    // A fatal alert and a close_notify in plain text: RFC 6347, section 4.1.2.7, has them ignored.
    for alert in [[2, 40], [1, 0], [2, 0]] {
        records.push([&[21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2], &alert[..]].concat());
    }
    records
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_from_a_clients_own_address_does_not_end_its_connection() -> anyhow::Result<()> {
    let seed = seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let server = Server::start()?;
    let mut bystanders = Bystanders::join(&server, "r").await?;
    let mut hand = Hand::join(&server, "r", "hand").await?;
    let mut genuine: Vec<Vec<u8>> = Vec::new();
    hand.speak(1, 25, &mut |datagram| {
        genuine.push(datagram.clone());
        vec![datagram]
    })
    .await?;
    let mut datagrams = garbage(&mut rng, 600);
    for datagram in genuine.iter().filter(|datagram| datagram.len() > 12).take(40) {
        datagrams.extend(spoilt(&mut rng, datagram));
    }
    datagrams.extend(forged_records(&mut rng));
    for bytes in [2_001, 9_000, 65_000] {
        datagrams.extend(FIRST_OCTETS.map(|first| vec![first; bytes]));
    }
    datagrams.push(Vec::new());
    let before = dropped(&server, "malformed").await?;
    for chunk in datagrams.chunks(40) {
        for datagram in chunk {
            hand.send_raw(datagram).await?;
        }
        hand.speak(1, 1, &mut unchanged).await?;
    }
    hand.packets.clear();
    let received = bystanders.listener.packets_received();
    hand.speak(1, 50, &mut unchanged).await?;
    assert!(
        bystanders.listener.packets_received() - received >= 80,
        "seed {seed}: {} frames of two speakers are heard in a second",
        bystanders.listener.packets_received() - received
    );
    let heard = hand.packets.iter().filter(|packet| publisher(packet) == Some(Bystanders::PUBLISHER));
    assert!(heard.count() >= 30, "seed {seed}: the client goes on hearing");
    assert!(dropped(&server, "malformed").await? > before);
    bystanders.assert_undisturbed().await?;
    assert_unharmed(&server).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_packet_with_another_ssrc_does_not_silence_a_publisher() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut listener = server.join("r", "listener", Role::Listener).await?;
    let mut hand = Hand::join(&server, "r", "hand").await?;
    hand.speak(1, 25, &mut unchanged).await?;
    let mid = hand.peer.send_mid().context("negotiated")?.to_string();
    for ssrc in 1..200u32 {
        // RTP with the header extension `mid` (RFC 8843, section 15), in one-byte form, id 4.
        let mut forged = vec![0x90, 111, 0, 1, 0, 0, 0, 1];
        forged.extend(ssrc.to_be_bytes());
        let mut extensions = vec![0x40 | (mid.len() as u8 - 1)];
        extensions.extend(mid.as_bytes());
        extensions.resize(extensions.len().next_multiple_of(4), 0);
        forged.extend([0xbe, 0xde]);
        forged.extend((extensions.len() as u16 / 4).to_be_bytes());
        forged.extend(extensions);
        forged.extend([0x55; 60]);
        hand.send_raw(&forged).await?;
    }
    hand.run(A_MOMENT, &mut unchanged, |_| false).await?;
    listener.skip_packets();
    hand.speak(1, 50, &mut unchanged).await?;
    let packets = listener.packets_for(A_MOMENT).await;
    assert!(packets.len() >= 40, "{} of 50 frames are heard", packets.len());
    assert_continuous(&packets);
    assert_unharmed(&server).await
}

/// The header of a DTLS record, and of the handshake message that it begins with.
const RECORD_BYTES: usize = 13;
const HANDSHAKE_BYTES: usize = 12;

fn is_client_hello(datagram: &[u8]) -> bool {
    datagram.len() > RECORD_BYTES + HANDSHAKE_BYTES && datagram[0] == 22 && datagram[RECORD_BYTES] == 1
}

/// The same ClientHello (RFC 6347, section 4.2.1), offering nothing but this cipher suite.
fn with_cipher(mut client_hello: Vec<u8>, cipher: [u8; 2]) -> Vec<u8> {
    let session_id = RECORD_BYTES + HANDSHAKE_BYTES + 2 + 32;
    let cookie = session_id + 1 + usize::from(client_hello[session_id]);
    let suites = cookie + 1 + usize::from(client_hello[cookie]);
    let length = usize::from(u16::from_be_bytes([client_hello[suites], client_hello[suites + 1]]));
    for suite in client_hello[suites + 2..suites + 2 + length].chunks_exact_mut(2) {
        suite.copy_from_slice(&cipher);
    }
    client_hello
}

/// A client whose handshake offers nothing but this cipher suite, after it has failed.
async fn hand_without_a_handshake(server: &Server, identity: &str, cipher: [u8; 2]) -> anyhow::Result<Hand> {
    let mut hand = Hand::negotiate(server, "r", identity).await?;
    let mut hellos = 0;
    let mut pass = |datagram: Vec<u8>| {
        if !is_client_hello(&datagram) {
            return vec![datagram];
        }
        hellos += 1;
        vec![with_cipher(datagram, cipher)]
    };
    // The server may say so with an alert, on which the peer gives up.
    let _ = hand.run(Duration::from_secs(2), &mut pass, |hand| hand.connected).await;
    assert!(hellos > 0 && !hand.connected, "{hellos} ClientHellos, connected: {}", hand.connected);
    Ok(hand)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_without_a_common_cipher_ends_alone_and_a_fresh_offer_mends_it() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut bystanders = Bystanders::join(&server, "r").await?;
    // TLS_PSK_WITH_AES_128_CCM_8 is known and can't be had; the session is told on its next offer.
    let mut refused = hand_without_a_handshake(&server, "refused", [0xc0, 0xa8]).await?;
    let sdp = Peer::new(Instant::now(), refused.peer.local(), PeerOptions::default())?.offer(SLOTS);
    match refused.signalling.request(Request::Offer { sdp, fresh: false }).await {
        Err(SignallingError::Refused(error)) => assert_eq!(error.code, ErrorCode::NoConnection),
        other => anyhow::bail!("{other:?} in place of a refusal"),
    }
    // A number that nobody has given to anything: dimpl waits for a ClientHello that it can read.
    let unread = hand_without_a_handshake(&server, "unread", [0x5a, 0x5a]).await?;
    for mut hand in [refused, unread] {
        hand.replace_peer().await?;
        hand.run(A_MOMENT, &mut unchanged, |_| false).await?;
        assert!(hand.packets.len() > 10, "{} packets on the new connection", hand.packets.len());
    }
    bystanders.assert_undisturbed().await?;
    assert_unharmed(&server).await
}

/// A ClientHello in two records (RFC 6347, section 4.2.3), the second numbered one higher.
fn in_two_fragments(client_hello: &[u8]) -> [Vec<u8>; 2] {
    let (header, body) = client_hello.split_at(RECORD_BYTES + HANDSHAKE_BYTES);
    let half = body.len() / 2;
    let fragment = |record_offset: u64, fragment_offset: usize, part: &[u8]| {
        let mut record = header.to_vec();
        renumber(&mut record, record_offset);
        record[11..13].copy_from_slice(&((HANDSHAKE_BYTES + part.len()) as u16).to_be_bytes());
        record[RECORD_BYTES + 6..RECORD_BYTES + 9].copy_from_slice(&u24(fragment_offset));
        record[RECORD_BYTES + 9..RECORD_BYTES + 12].copy_from_slice(&u24(part.len()));
        record.extend_from_slice(part);
        record
    };
    [fragment(0, 0, &body[..half]), fragment(1, half, &body[half..])]
}

fn u24(number: usize) -> [u8; 3] {
    let [_, high, middle, low] = (number as u32).to_be_bytes();
    [high, middle, low]
}

/// Adds to the sequence numbers of the unencrypted records in a datagram.
fn renumber(datagram: &mut [u8], by: u64) {
    let mut at = 0;
    while let Some(record) = datagram.get_mut(at..).filter(|rest| rest.len() >= RECORD_BYTES) {
        let (epoch, length) = (u16::from_be_bytes([record[3], record[4]]), [record[11], record[12]]);
        if epoch == 0 {
            let mut number = [0; 8];
            number[2..].copy_from_slice(&record[5..11]);
            let number = u64::from_be_bytes(number) + by;
            record[5..11].copy_from_slice(&number.to_be_bytes()[2..]);
        }
        at += RECORD_BYTES + usize::from(u16::from_be_bytes(length));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_hello_in_two_datagrams_is_put_together_in_either_order() -> anyhow::Result<()> {
    let server = Server::start()?;
    for (identity, swapped) in [("in-order", false), ("swapped", true)] {
        let mut hand = Hand::negotiate(&server, "r", identity).await?;
        let mut split = 0;
        let mut pass = |mut datagram: Vec<u8>| {
            if !(20..64).contains(&datagram[0]) {
                return vec![datagram];
            }
            renumber(&mut datagram, split);
            if !is_client_hello(&datagram) {
                return vec![datagram];
            }
            split += 1;
            let [first, second] = in_two_fragments(&datagram);
            if swapped { vec![second, first] } else { vec![first, second] }
        };
        hand.connect(&mut pass).await.with_context(|| identity.to_owned())?;
        assert!(split > 0, "{identity}: no ClientHello was split");
    }
    assert_unharmed(&server).await
}

#[tokio::test(flavor = "multi_thread")]
async fn padding_leaves_no_hole_for_listeners() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut listener = server.join("r", "listener", Role::Listener).await?;
    let prober = server.join("r", "prober", Role::Speaker).await?;
    let before = dropped(&server, "padding").await?;
    let mut frames = 0;
    for n in 0..200u32 {
        let is_probe = n % 3 == 1 || (90..110).contains(&n);
        let payload = if is_probe { Vec::new() } else { n.to_be_bytes().to_vec() };
        frames += usize::from(!is_probe);
        prober.send_audio(Audio::new(payload, -20)).await?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let packets = listener.packets_for(A_MOMENT).await;
    assert_eq!(packets.len(), frames);
    assert_continuous(&packets);
    assert_eq!(dropped(&server, "padding").await? - before, (200 - frames) as f64);
    assert_unharmed(&server).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_who_floods_is_cut_and_nobody_else_notices() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut bystanders = Bystanders::join(&server, "r").await?;
    let mut flooder = Hand::join(&server, "r", "flooder").await?;
    let before = dropped(&server, "flood").await?;
    for count in 0..10_000 {
        let now = Instant::now();
        let frame = SyntheticFrame::new(1, count, now).encode(80);
        flooder.peer.send_audio(now, Audio::new(frame, 0))?;
        flooder.drain(&mut unchanged).await?;
    }
    wait_for_dropped(&server, "flood", before, 1_000.0).await?;
    bystanders.assert_undisturbed().await?;
    // Later, and at a usual pace, the flooder is heard again.
    let received = bystanders.listener.packets_received();
    flooder.run(Duration::from_secs(2), &mut unchanged, |_| false).await?;
    flooder.speak(1, 50, &mut unchanged).await?;
    assert!(bystanders.listener.packets_received() - received > 100);
    assert_unharmed(&server).await
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_jump_reach_no_listener() -> anyhow::Result<()> {
    let seed = seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let server = Server::start()?;
    let mut listener = server.join("r", "listener", Role::Listener).await?;
    let mut jumper = Hand::join(&server, "r", "jumper").await?;
    for jump in [0, 1, 499, 500, 501, 600, 20_000, 20_000, 32_000, 30_000, 30_000] {
        jumper.peer.lose_frames(jump);
        jumper.speak(1, 5, &mut unchanged).await?;
        // Time runs on by anything, or back.
        jumper.peer.pause_frames(rng.random());
        jumper.speak(1, 5, &mut unchanged).await?;
    }
    let packets = listener.packets_for(A_MOMENT).await;
    assert!(packets.len() >= 100, "seed {seed}: {} of 110 frames", packets.len());
    let mut numbers: Vec<u64> = packets.iter().map(|packet| packet.sequence).collect();
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), packets.len(), "seed {seed}: a number came twice");
    let widest = numbers.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(widest <= Some(501), "seed {seed}: a listener sees a jump of {widest:?}");
    // A jump of more than 2^15 loses the jumper's own roll-over counter (RFC 3711, section 3.3.1);
    // whoever speaks next is decrypted all the same.
    jumper.peer.lose_frames(40_000);
    jumper.speak(1, 10, &mut unchanged).await?;
    let next = server.join("r", "next", Role::Speaker).await?;
    next.speak(Voice::new(2, -10)).await?;
    listener.skip_packets();
    let packets = listener.packets_for(Duration::from_secs(1)).await;
    let heard = packets.iter().filter(|packet| publisher(packet) == Some(2)).count();
    assert!(heard >= 30, "seed {seed}: {heard} of 50 frames");
    assert_unharmed(&server).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_too_large_to_forward_is_dropped_and_the_largest_that_fits_is_heard() -> anyhow::Result<()>
{
    let server = Server::start()?;
    let mut listener = server.join("r", "listener", Role::Listener).await?;
    let mut speaker = Hand::join(&server, "r", "speaker").await?;
    let before = dropped(&server, "oversized").await?;
    for bytes in [1_200, 1_201, 1_300, 1_400, 1_200] {
        speaker.peer.send_audio(Instant::now(), Audio::new(vec![bytes as u8; bytes], -20))?;
        speaker.run(FRAME, &mut unchanged, |_| false).await?;
    }
    let sizes: Vec<usize> =
        listener.packets_for(A_MOMENT).await.iter().map(|packet| packet.payload.len()).collect();
    assert_eq!(sizes, [1_200, 1_200]);
    assert_eq!(dropped(&server, "oversized").await? - before, 3.0);
    assert_unharmed(&server).await
}

/// To the server, what this client calls Opus with number 63 is RED (RFC 2198) of Opus 111.
fn opus_63_as_red(offer: &str) -> String {
    let line = |line: &str| {
        if line.starts_with("m=audio ") {
            format!("{line} 111\r\n")
        } else if line.starts_with("a=rtpmap:63 ") {
            "a=rtpmap:63 red/48000/2\r\na=rtpmap:111 opus/48000/2\r\n".to_owned()
        } else if line.starts_with("a=fmtp:63 ") {
            "a=fmtp:63 111/111\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n".to_owned()
        } else {
            format!("{line}\r\n")
        }
    };
    offer.lines().map(line).collect()
}

/// To this client, RED with number 63 is Opus again.
fn red_63_as_opus(answer: &str) -> String {
    let line = |line: &str| {
        if line.starts_with("m=audio ") {
            let fields = line.split_whitespace().filter(|field| *field != "111");
            Some(fields.collect::<Vec<_>>().join(" "))
        } else if line.starts_with("a=rtpmap:63 ") {
            Some("a=rtpmap:63 opus/48000/2".to_owned())
        } else if line.starts_with("a=fmtp:63 ") {
            Some("a=fmtp:63 minptime=10;useinbandfec=1".to_owned())
        } else {
            (!line.contains(":111 ")).then(|| line.to_owned())
        }
    };
    answer.lines().filter_map(line).map(|line| line + "\r\n").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_redundancy_harms_no_listener_without_it() -> anyhow::Result<()> {
    let seed = seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let server = Server::start()?;
    let mut plain = server.join("r", "plain", Role::Listener).await?;
    let options = PeerOptions { codec: Codec::Opus(63), ..PeerOptions::default() };
    let mut forger =
        Hand::negotiate_as(&server, "r", "forger", options, opus_63_as_red, red_63_as_opus).await?;
    forger.connect(&mut unchanged).await?;
    let mut payloads = vec![
        vec![0x80],
        vec![0xff; 3],
        vec![0xff; 1_200],
        vec![111 | 0x80, 0, 0, 200, 111, 1],
        vec![111 | 0x80, 0xff, 0xff, 0xff, 111, 1],
        vec![111 | 0x80, 0, 0, 0],
        vec![111],
    ];
    payloads.extend((0..100).map(|_| {
        let length = rng.random_range(1..60);
        (0..length).map(|_| rng.random()).collect()
    }));
    for payload in payloads {
        forger.peer.send_audio(Instant::now(), Audio::new(payload, -20))?;
        forger.run(Duration::from_millis(8), &mut unchanged, |_| false).await?;
    }
    let _ = plain.packets_for(A_MOMENT).await;
    // Sound redundancy: one block, the primary.
    let sound = [&[111][..], b"sound"].concat();
    for _ in 0..25 {
        forger.peer.send_audio(Instant::now(), Audio::new(sound.clone(), -20))?;
        forger.run(FRAME, &mut unchanged, |_| false).await?;
    }
    let packets = plain.packets_for(A_MOMENT).await;
    assert!(packets.len() >= 20, "seed {seed}: {} of 25 frames", packets.len());
    assert!(packets.iter().all(|packet| &*packet.payload == b"sound" && packet.payload_type == 111));
    assert_continuous(&packets);
    assert_unharmed(&server).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_claims_to_be_the_loudest_takes_one_slot_and_no_more() -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut clients = Vec::new();
    for (n, level_dbov) in [0, -20, -25, -30, -35].into_iter().enumerate() {
        let client = server.join("r", &format!("speaker-{n}"), Role::Speaker).await?;
        client.speak(Voice::new(n as u32, level_dbov)).await?;
        clients.push(client);
    }
    let mut listener = server.join("r", "listener", Role::Listener).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    listener.skip_packets();
    let packets = listener.packets_for(Duration::from_secs(1)).await;
    let heard: BTreeSet<u32> = packets.iter().filter_map(publisher).collect();
    assert_eq!(heard, [0, 1, 2].into());
    assert_continuous(&packets);
    assert!(dropped(&server, "not_selected").await? > 0.0);
    assert_unharmed(&server).await
}

fn short_resume() -> anyhow::Result<NamedTempFile> {
    let file = NamedTempFile::new()?;
    std::fs::write(file.path(), "[session]\nresume_ms = 1000\n")?;
    Ok(file)
}

/// A WebSocket client that joins and never reads: its receive window is small, and soon full.
async fn deaf(server: &Server, room: &str, identity: &str) -> anyhow::Result<tokio::net::TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4_096)?;
    let mut stream = socket.connect(server.http).await?;
    let upgrade = format!(
        "GET /v1/ws HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        server.http
    );
    stream.write_all(upgrade.as_bytes()).await?;
    let token = server.ticket(room, identity, Role::Speaker)?.token;
    let join = serde_json::json!({"type": "join", "version": 1, "token": token}).to_string();
    // A text frame (RFC 6455, section 5.2) of 126 to 65,535 bytes, masked with zeros.
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend((join.len() as u16).to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(join.as_bytes());
    stream.write_all(&frame).await?;
    Ok(stream)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_loses_its_socket_and_nobody_else_notices() -> anyhow::Result<()> {
    const CHATTERERS: usize = 12;
    let config = short_resume()?;
    let path = config.path().to_str().context("the temporary folder is UTF-8")?.to_owned();
    let server = Server::start_with(&["--config", &path])?;
    let mut bystanders = Bystanders::join(&server, "r").await?;
    let _deaf = deaf(&server, "r", "deaf").await?;
    let joined = bystanders.listener.wait_for(SOON, |message| match message {
        ServerMessage::ParticipantJoined { participant } if participant.id == "deaf" => Some(()),
        _ => None,
    });
    joined.await?;
    let mut chatterers = Vec::new();
    for n in 0..CHATTERERS {
        // A kilobyte a message: the kernel holds some megabytes for a client that doesn't read.
        let identity = format!("{n:02}{}", "\u{1f600}".repeat(126));
        let ticket = server.ticket("r", &identity, Role::Speaker)?;
        let mut signalling = Signalling::connect(&ticket.server).await?;
        signalling.join(&ticket.token, Some(&"\u{1f600}".repeat(64))).await?;
        chatterers.push(signalling);
    }
    // Everybody is told of every hand. Those who chatter read, or they would lose their sockets too.
    let mut chatter = tokio::task::JoinSet::new();
    for mut signalling in chatterers {
        chatter.spawn(async move {
            for raised in [true, false].into_iter().cycle() {
                signalling.request(Request::RaiseHand { raised }).await?;
                tokio::time::sleep(FRAME).await;
            }
            Ok::<_, SignallingError>(())
        });
    }
    let gone = bystanders.listener.wait_for(Duration::from_secs(40), |message| match message {
        ServerMessage::ParticipantLeft { participant, reason } if participant == "deaf" => Some(*reason),
        _ => None,
    });
    assert_eq!(gone.await?, LeaveReason::TimedOut);
    assert_eq!(chatter.len(), CHATTERERS);
    assert!(chatter.try_join_next().is_none(), "those who read keep their sockets");
    assert_eq!(server.metric("tercet_slow_sockets_total", "").await?, 1.0);
    drop(chatter);
    bystanders.assert_undisturbed().await?;
    assert_unharmed(&server).await
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_sessions_that_never_connect_cost_nobody_anything() -> anyhow::Result<()> {
    let config = short_resume()?;
    let path = config.path().to_str().context("the temporary folder is UTF-8")?.to_owned();
    let server = Server::start_with(&["--config", &path])?;
    let mut bystanders = Bystanders::join(&server, "r").await?;
    let mut half_open = Vec::new();
    for n in 0..300 {
        half_open.push(Session::join(&server.ticket("r", &format!("half-{n}"), Role::Speaker)?).await?);
    }
    assert_eq!(server.metric("tercet_participants", "").await?, 302.0);
    bystanders.assert_undisturbed().await?;
    drop(half_open);
    let deadline = Instant::now() + SOON;
    while server.metric("tercet_worker_endpoints", "").await? > 2.0 {
        anyhow::ensure!(Instant::now() < deadline, "endpoints of ended sessions are left");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(server.metric("tercet_participants", "").await?, 2.0);
    bystanders.assert_undisturbed().await?;
    assert_unharmed(&server).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_cannot_take_over_anothers_by_its_user_fragment() -> anyhow::Result<()> {
    let server = Server::start_with(&["--workers", "1"])?;
    let mut listener = server.join("r", "listener", Role::Listener).await?;
    let mut attacker = Hand::join(&server, "r", "attacker").await?;
    let mut victim = Hand::join(&server, "r", "victim").await?;
    let before = dropped(&server, "unproven").await?;
    for _ in 0..50 {
        attacker.send_raw(&unproven_request(victim.ice_ufrag()?, attacker.ice_ufrag()?)).await?;
        attacker.send_raw(&unproven_request(victim.ice_ufrag()?, "any")).await?;
    }
    wait_for_dropped(&server, "unproven", before, 95.0).await?;
    // The victim's SRTP, on the attacker's way only: what comes from there has the attacker's keys.
    let mut stolen = Vec::new();
    let mut steal = |datagram: Vec<u8>| {
        if datagram[0] < 128 {
            return vec![datagram];
        }
        stolen.push(datagram);
        Vec::new()
    };
    victim.speak(2, 25, &mut steal).await?;
    assert!(stolen.len() >= 25);
    for datagram in &stolen {
        attacker.send_raw(datagram).await?;
    }
    assert!(listener.packets_for(A_MOMENT).await.is_empty(), "stolen packets are heard");
    for (hand, number) in [(&mut attacker, 1), (&mut victim, 2)] {
        hand.speak(number, 25, &mut unchanged).await?;
        let packets = listener.packets_for(A_MOMENT).await;
        assert!(packets.len() >= 20, "{} of 25 frames of {number}", packets.len());
        assert!(packets.iter().all(|packet| publisher(packet) == Some(number)));
    }
    assert_unharmed(&server).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_packet_of_a_room_reaches_another() -> anyhow::Result<()> {
    let server = Server::start()?;
    let (mut speakers, mut listeners) = (Vec::new(), Vec::new());
    for room in 0..3u32 {
        for n in 0..3 {
            let identity = format!("speaker-{n}");
            let speaker = server.join(&format!("room-{room}"), &identity, Role::Speaker).await?;
            speaker.speak(Voice::new(room * 100 + n, -20)).await?;
            speakers.push((room, speaker));
            let listener =
                server.join(&format!("room-{room}"), &format!("listener-{n}"), Role::Listener).await?;
            listeners.push((room, listener));
        }
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    for (room, client) in speakers.iter_mut().chain(&mut listeners) {
        let packets = client.packets_for(A_MOMENT).await;
        let rooms: BTreeSet<u32> = packets.iter().filter_map(publisher).map(|number| number / 100).collect();
        assert_eq!(rooms, [*room].into());
        assert_eq!(client.dropped(), 0);
    }
    assert!(server.metric("tercet_packets_forwarded_total", "worker=\"0\"").await? > 0.0);
    assert!(server.metric("tercet_packets_forwarded_total", "worker=\"1\"").await? > 0.0);
    assert_unharmed(&server).await
}
