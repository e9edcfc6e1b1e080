//! Datagrams that are nothing, from strangers and from the addresses of clients.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tercet_protocol::Role;
use tercet_tests::Server;
use tercet_tests::listening::{assert_continuous, publisher};
use tokio::net::UdpSocket;
use tokio::time::timeout_at;

use crate::hand::{Hand, unchanged};
use crate::stun::{stun, stun_of, unproven_request};
use crate::{A_MOMENT, Bystanders, assert_unharmed, dropped, seed, wait_for_dropped};

/// The first octets by which RFC 7983, section 7, tells protocols apart, and some of none.
const FIRST_OCTETS: [u8; 12] = [0, 1, 2, 3, 20, 22, 23, 63, 64, 128, 144, 255];

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
