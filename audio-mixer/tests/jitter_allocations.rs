//! What a packet and a frame of a call allocate, once buffers have grown: nothing.
#![allow(unsafe_code, reason = "a global allocator is unsafe to write; this one only counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

use audio_mixer::{DecodeError, Decoder, JitterBuffer, Packet, SILENCE};

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

struct Linear;

impl Decoder for Linear {
    fn decode(&mut self, payload: &[u8], samples: &mut Vec<i16>) -> Result<(), DecodeError> {
        samples.extend(payload.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
        Ok(())
    }

    fn duration(&self, payload: &[u8]) -> Option<usize> {
        Some(payload.len() / 2)
    }

    fn conceal(&mut self, _: Option<&[u8]>, _: usize, _: &mut Vec<i16>) -> bool {
        false
    }
}

/// Allocations of some frames; each ninth packet is lost, each fifth comes 30 ms late, and some change places.
fn allocations(buffer: &mut JitterBuffer, start: Instant, frames: std::ops::Range<u32>) -> u64 {
    let payload = [7; 640];
    let before = ALLOCATIONS.get();
    for frame in frames {
        let now = start + Duration::from_millis(20) * frame;
        for sequence in frame.saturating_sub(2)..=frame {
            let late = if sequence % 5 == 0 { 2 } else { 0 };
            if sequence % 9 != 0 && sequence + late == frame {
                let packet =
                    Packet { sequence: sequence as u16, timestamp: sequence * 320, payload: &payload };
                buffer.push(now, &packet);
            }
        }
        buffer.pull(now, &mut SILENCE.clone());
    }
    ALLOCATIONS.get() - before
}

#[test]
fn a_call_that_goes_on_allocates_nothing() {
    let mut buffer = JitterBuffer::new(Box::new(Linear), 16_000);
    let start = Instant::now();
    assert!(allocations(&mut buffer, start, 0..500) > 0);
    assert_eq!(allocations(&mut buffer, start, 500..10_000), 0);
    assert!(buffer.stats().concealed_samples > 0);
}
