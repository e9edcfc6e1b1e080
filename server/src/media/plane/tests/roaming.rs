//! Clients whose address changes under their connections, as NAT and other networks have it.

use super::*;

/// Somewhere else.
fn elsewhere(client: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 2, client as u8 + 1], 5000))
}

#[test]
fn a_listener_whose_address_changes_is_sent_to_at_the_new_one() {
    let mut world = World::new();
    let (speaker, listener) = (world.join(1, 1), world.join(1, 1));
    world.talk(speaker, 50);
    assert_eq!(world.heard_of(speaker, listener, 50), 50);
    world.clients[listener].address = elsewhere(listener);
    assert_eq!(world.heard_of(speaker, listener, 25), 0, "nobody knows yet");
    // Longer than it is patient, and a check.
    world.talk(speaker, 10 * 50);
    assert_eq!(world.heard_of(speaker, listener, 50), 50);
    let told = world.plane.events.iter().any(|event| matches!(event, WorkerEvent::Disconnected { .. }));
    assert!(!told, "the connection stands");
}

#[test]
fn a_speaker_whose_address_changes_goes_on_being_heard_and_reported_to() {
    let mut world = World::new();
    let (speaker, listener) = (world.join(1, 1), world.join(0, 1));
    world.talk(speaker, 50);
    let former = std::mem::replace(&mut world.clients[speaker].address, elsewhere(speaker));
    // Its address is proven with the next check.
    world.talk(speaker, 5 * 50);
    assert_eq!(world.heard_of(speaker, listener, 50), 50);
    let (mut there, mut formerly) = (0, 0);
    for _ in 0..250 {
        world.talk(speaker, 1);
        let to = |address| world.sent.iter().filter(|(path, _)| path.destination == address).count();
        (there, formerly) = (there + to(elsewhere(speaker)), formerly + to(former));
    }
    assert!(there > 0 && formerly == 0, "{there} there, {formerly} to where it was");
}

#[test]
fn whoever_checks_another_address_and_sends_from_the_former_has_not_moved() {
    let mut world = World::new();
    let (speaker, listener) = (world.join(1, 1), world.join(1, 1));
    for second in 0..20 {
        world.talk(speaker, 50);
        // A backup is checked each five seconds, and answered.
        if second % 5 == 0 {
            let request = world.clients[listener].request.clone();
            world.plane.datagram(world.now, elsewhere(listener), server(), &request);
        }
    }
    assert_eq!(world.heard_of(speaker, listener, 50), 50);
}

#[test]
fn a_client_may_come_back_to_where_it_was() {
    let mut world = World::new();
    let (speaker, listener) = (world.join(1, 1), world.join(0, 1));
    world.talk(speaker, 50);
    for address in [elsewhere(speaker), world.clients[speaker].own_address, elsewhere(speaker)] {
        world.clients[speaker].address = address;
        world.talk(speaker, 10 * 50);
        assert_eq!(world.heard_of(speaker, listener, 50), 50);
        let (mut there, mut formerly) = (0, 0);
        for _ in 0..250 {
            world.talk(speaker, 1);
            let to = |address| world.sent.iter().filter(|(path, _)| path.destination == address).count();
            let others = [elsewhere(speaker), world.clients[speaker].own_address];
            there += to(address);
            formerly += others.into_iter().filter(|it| *it != address).map(to).sum::<usize>();
        }
        // A former address is checked now and then.
        assert!(there > 0 && formerly < 20, "{there} there, {formerly} to where it was");
    }
    let told = world.plane.events.iter().any(|event| matches!(event, WorkerEvent::Disconnected { .. }));
    assert!(!told, "the connection stands");
}
