//! M-lines: what is what, and what becomes of it when a client changes its mind.

use super::*;

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
        let of_screen = world.plane.events.drain(..).filter_map(|event| match event {
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
        let gates = ByOrigin { screen: gate, ..ByOrigin::each(|_| Gate::Open) };
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
