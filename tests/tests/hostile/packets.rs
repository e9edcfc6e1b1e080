//! RTP that is genuine, and not what a microphone sends.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tercet_loadtest::{Audio, Codec, PeerOptions, SyntheticFrame, Voice};
use tercet_protocol::Role;
use tercet_tests::Server;
use tercet_tests::listening::{assert_continuous, assert_settles_on, publisher};

use crate::hand::{Hand, unchanged};
use crate::{A_MOMENT, Bystanders, FRAME, assert_unharmed, dropped, seed, wait_for_dropped};

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
    for bytes in [1_180, 1_181, 1_300, 1_400, 1_180] {
        speaker.peer.send_audio(Instant::now(), Audio::new(vec![bytes as u8; bytes], -20))?;
        speaker.run(FRAME, &mut unchanged, |_| false).await?;
    }
    let sizes: Vec<usize> =
        listener.packets_for(A_MOMENT).await.iter().map(|packet| packet.payload.len()).collect();
    assert_eq!(sizes, [1_180, 1_180]);
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
    for (n, level_dbov) in [0, -15, -25, -35, -45].into_iter().enumerate() {
        let client = server.join("r", &format!("speaker-{n}"), Role::Speaker).await?;
        client.speak(Voice::new(n as u32, level_dbov)).await?;
        clients.push(client);
    }
    let mut listener = server.join("r", "listener", Role::Listener).await?;
    assert_settles_on(&mut listener, [0, 1, 2]).await;
    assert_continuous(&listener.packets_for(A_MOMENT).await);
    assert!(dropped(&server, "not_selected").await? > 0.0);
    assert_unharmed(&server).await
}
