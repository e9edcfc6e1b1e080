//! Who says what in a room: conversations of the bench of the selector.

use std::rc::Rc;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tercet_selector_bench::conversation::{Talk, quarrel, turns};
use tercet_selector_bench::room::{Microphone, Network, Noise, VoiceBit, trace};
use tercet_selector_bench::trace::{Spurt, Trace};
use tercet_selector_bench::voice::Voice;

/// One speaks after the other, up to three at once; `talkers` microphones are open all the time.
pub fn meeting(seed: u64, talkers: u32, length_ms: u32) -> Rc<Trace> {
    let talk = Talk { talkers, at_once_max: 3, acknowledgements_a_minute: 6.0 };
    conversation(seed, talkers, length_ms, |rng| turns(rng, talk, length_ms))
}

/// All speak all the time, but for their breath.
pub fn all_at_once(seed: u64, talkers: u32, length_ms: u32) -> Rc<Trace> {
    conversation(seed, talkers, length_ms, |rng| quarrel(rng, talkers, length_ms))
}

fn conversation(
    seed: u64,
    talkers: u32,
    length_ms: u32,
    spurts: impl FnOnce(&mut StdRng) -> Vec<Spurt>,
) -> Rc<Trace> {
    let mut rng = StdRng::seed_from_u64(seed);
    let spurts = spurts(&mut rng);
    let microphone = |source| Microphone {
        source,
        speech_dbov: -26.0,
        noise: Noise::Quiet { dbov: -70.0 },
        voice_bit: VoiceBit::Always,
        dtx: false,
    };
    let microphones: Vec<Microphone> = (0..talkers).map(microphone).collect();
    let network = Network { loss: 0.0, jitter_ms: 2.0 };
    Rc::new(trace(&mut rng, &microphones, &Voice::Synthetic, network, &spurts, length_ms))
}
