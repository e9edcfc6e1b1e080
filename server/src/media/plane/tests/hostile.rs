//! What hostile and unlucky clients do, to themselves alone.

use super::*;

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
