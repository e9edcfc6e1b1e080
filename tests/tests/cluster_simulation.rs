//! Clusters with rooms and talkers in virtual time: what is measured at length for docs/cluster.md, at short.

use std::time::Duration;

use tercet_tests::simulation::conference::SLOTS;
use tercet_tests::simulation::scenarios::{crossing, life};

const SECOND: Duration = Duration::from_secs(1);

/// Streams: ten packets of the thousand that one has in the time that is counted.
const UNDER_WAY: f64 = 0.01;

#[test]
fn of_a_room_on_ten_nodes_four_streams_cross_however_many_speak() {
    for (speakers, seed) in [(10, 1), (60, 2)] {
        let crossing = crossing(10, speakers, seed);
        let all = SLOTS as f64 + 1.0;
        assert!(crossing.sent < all * 1.1, "{crossing:?}");
        // Each packet comes once, and for a moment two nodes send in one position: until one hears of the other. Some packets
        // were under way when counting began.
        assert!(crossing.received.max <= crossing.sent + UNDER_WAY, "{crossing:?}");
        assert!(crossing.received.median > 3.0, "{crossing:?}");
    }
}

#[test]
fn nodes_find_each_other_hear_each_other_and_miss_each_other() {
    let life = life(10, 1);
    let within = |what: Option<Duration>, most: Duration| {
        assert!(what.is_some_and(|took| took <= most), "{most:?}, {life:?}");
    };
    within(life.started, 3 * SECOND);
    within(life.joined, 2 * SECOND);
    within(life.opened, SECOND / 2);
    within(life.audible, SECOND);
    within(life.healed, 15 * SECOND);
    within(life.buried, 4 * SECOND);
    assert!(life.onset_ms.max < 150.0 && life.unheard == 0 && life.spurts > 0, "{life:?}");
    assert!(life.idle.control.kilobytes.max < 50.0, "{life:?}");
}
