//! What a packet of a known source allocates: nothing.
#![allow(unsafe_code, reason = "a global allocator is unsafe to write; this one only counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use selector::{Level, Observation, Params, Selector, SourceId};

struct Counting;

thread_local! {
    // Of this thread only: the harness of the tests allocates in its own.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // At the end of a thread the counter is gone: what is allocated there is nobody's packet.
    let _ = ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are those of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// A room in which so many talk at once, by turns, among noise.
#[derive(Clone, Copy, Debug)]
struct Room {
    sources: u32,
    talkers: u32,
}

/// In frames: 1.5 s, as long as a position is held against challengers.
const TURN: u32 = 75;

/// Allocations during the packets of some frames.
fn allocations(selector: &mut Selector, room: Room, frames: std::ops::Range<u32>) -> u64 {
    let before = ALLOCATIONS.get();
    for frame in frames {
        let now = Duration::from_millis(20) * frame;
        // Who speaks changes each turn. They do in syllables of 200 ms, the one 3 dB louder than the other, so that there
        // are challengers where they are more than the positions.
        let first = frame / TURN * room.talkers;
        for source in 0..room.sources {
            let wobble = (source.wrapping_mul(2_654_435_761) ^ frame.wrapping_mul(40_503)) >> 13;
            let talker = (source + room.sources - first % room.sources) % room.sources;
            let speaks = talker < room.talkers;
            let dbov =
                if speaks { -45 + 3 * talker as i8 - (frame % 10) as i8 } else { -62 - (wobble % 4) as i8 };
            let observation = Observation::Packet { level: Level::from_dbov(dbov), voice: Some(true) };
            selector.observe(now, SourceId(source), observation);
        }
    }
    ALLOCATIONS.get() - before
}

const ROOMS: [Room; 4] = [
    Room { sources: 10, talkers: 3 },
    Room { sources: 60, talkers: 3 },
    Room { sources: 10, talkers: 8 },
    Room { sources: 60, talkers: 8 },
];

/// Long enough for each source to have had a turn, in frames.
const ALL_SPOKE: u32 = TURN * 62;

#[test]
fn a_packet_of_a_known_source_allocates_nothing() {
    for room in ROOMS {
        let mut selector = Selector::new(Params::with_slots(3));
        let at_first = allocations(&mut selector, room, 0..1);
        assert!(at_first > 0, "the counter counts: new sources have to be remembered");
        assert_eq!(allocations(&mut selector, room, 1..2 * ALL_SPOKE), 0, "{room:?}");
    }
}

#[test]
fn observing_silence_and_waiting_allocates_nothing() {
    let mut selector = Selector::new(Params::with_slots(3));
    allocations(&mut selector, Room { sources: 10, talkers: 3 }, 0..100);
    let before = ALLOCATIONS.get();
    for source in 0..10 {
        selector.observe(Duration::from_secs(2), SourceId(source), Observation::Silence);
    }
    selector.tick(Duration::from_secs(9));
    assert_eq!(ALLOCATIONS.get() - before, 0);
}
