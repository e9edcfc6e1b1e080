//! What a listener gets: every packet, under its numbers, as it was said.

use super::*;

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
