//! Encoders that check their connection no more, and send all the same.

use super::*;

/// An encoder and somebody who listens, of which the first has just ceased to check.
fn encoder_and_listener() -> (World, usize, usize) {
    let mut world = World::new();
    let encoder = world.join_over_http(1, 0);
    let listener = world.join(0, 1);
    world.talk(encoder, 50);
    world.clients[encoder].checks = false;
    (world, encoder, listener)
}

fn told_of_end(world: &World, client: usize) -> bool {
    let endpoint = world.clients[client].endpoint;
    let is_end =
        |event: &WorkerEvent| matches!(event, WorkerEvent::Disconnected { endpoint: it } if *it == endpoint);
    world.plane.events.iter().any(is_end)
}

#[test]
fn an_encoder_stays_for_as_long_as_it_sends_and_no_longer() {
    let (mut world, encoder, listener) = encoder_and_listener();
    world.talk(encoder, 40 * 50);
    assert!(!told_of_end(&world, encoder));
    assert_eq!(world.heard_of(encoder, listener, 50), 50);
    for _ in 0..140 {
        world.step(100);
    }
    assert!(!told_of_end(&world, encoder), "for fourteen seconds it may be silent");
    for _ in 0..20 {
        world.step(100);
    }
    assert!(told_of_end(&world, encoder));
}

#[test]
fn an_encoder_that_is_muted_stays_too() {
    let (mut world, encoder, _) = encoder_and_listener();
    let gates = ByOrigin::each(|_| Gate::Muted);
    let endpoint = world.clients[encoder].endpoint;
    world.plane.command(world.now, WorkerCommand::SetGates { endpoint, gates });
    world.talk(encoder, 40 * 50);
    assert!(!told_of_end(&world, encoder));
}
