//! The rooms that are measured, by name.

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::conversation::{Talk, quarrel, turns};
use crate::pair::pair;
use crate::room::{Microphone, Network, Noise, VoiceBit, trace};
use crate::trace::Trace;
use crate::voice::Voice;

/// What is promised of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// At most three talk, on good microphones and a good network.
    Clean,
    /// At most three talk, and something else disturbs.
    Hard,
    /// More talk than there are slots.
    Crowded,
}

/// Who speaks when.
#[derive(Clone, Copy, Debug)]
enum Speech {
    /// Two, as ITU-T P.59 has it.
    Pair,
    /// One after the other.
    Turns(Talk),
    /// So many, all the time.
    Quarrel(u32),
}

/// A room that is measured with several seeds.
pub(crate) struct Scenario {
    /// As in the table.
    pub(crate) name: &'static str,
    /// Which promises hold.
    pub(crate) kind: Kind,
    microphones: fn() -> Vec<Microphone>,
    network: Network,
    speech: Speech,
}

const GOOD: Network = Network { loss: 0.0, jitter_ms: 2.0 };
const LOSSY: Network = Network { loss: 0.02, jitter_ms: 15.0 };
const SLOW: Talk = Talk { talkers: 6, at_once_max: 3, acknowledgements_a_minute: 6.0 };

fn microphone(source: u32) -> Microphone {
    Microphone {
        source,
        speech_dbov: -26.0,
        noise: Noise::Quiet { dbov: -70.0 },
        voice_bit: VoiceBit::Always,
        dtx: false,
    }
}

fn microphones(count: u32) -> Vec<Microphone> {
    (0..count).map(microphone).collect()
}

/// The talkers of 0 to 5, then others that are no talkers.
fn with(others: &[Noise]) -> Vec<Microphone> {
    let mut all = microphones(6);
    all.extend(others.iter().zip(6..).map(|(&noise, source)| Microphone { noise, ..microphone(source) }));
    all
}

/// Talkers whose loudness differs by 20 dB.
fn uneven(count: u32) -> Vec<Microphone> {
    let level = |source: u32| -18.0 - 20.0 * f64::from(source) / f64::from(count - 1);
    microphones(count).into_iter().map(|m| Microphone { speech_dbov: level(m.source), ..m }).collect()
}

/// All rooms, in the order of the table.
pub(crate) fn all() -> Vec<Scenario> {
    let scenario = |name, kind, microphones| Scenario {
        name,
        kind,
        microphones,
        network: GOOD,
        speech: Speech::Turns(SLOW),
    };
    vec![
        Scenario { speech: Speech::Pair, ..scenario("pair", Kind::Clean, || microphones(2)) },
        scenario("panel of 6", Kind::Clean, || microphones(6)),
        scenario("20 dB apart", Kind::Clean, || uneven(6)),
        Scenario { speech: Speech::Quarrel(3), ..scenario("three at once", Kind::Clean, || microphones(3)) },
        Scenario {
            speech: Speech::Turns(Talk { talkers: 40, ..SLOW }),
            ..scenario("meeting of 40", Kind::Clean, || microphones(40))
        },
        scenario("honest voice bit", Kind::Clean, || {
            microphones(6).into_iter().map(|m| Microphone { voice_bit: VoiceBit::Honest, ..m }).collect()
        }),
        scenario("voice bit never set", Kind::Clean, || {
            microphones(6).into_iter().map(|m| Microphone { voice_bit: VoiceBit::Never, ..m }).collect()
        }),
        scenario("no voice bit", Kind::Clean, || {
            microphones(6).into_iter().map(|m| Microphone { voice_bit: VoiceBit::Absent, ..m }).collect()
        }),
        scenario("honest bit, noise", Kind::Hard, || {
            // Their own noises: a sender whose bit was never set may be one that doesn't know it.
            let noises = [
                Noise::Typing { dbov: -28.0 },
                Noise::Bangs { dbov: -14.0 },
                Noise::Fan { dbov: -44.0 },
                Noise::Typing { dbov: -32.0 },
                Noise::Bangs { dbov: -22.0 },
                Noise::Music { dbov: -38.0 },
            ];
            let noisy = |(m, noise)| Microphone { noise, voice_bit: VoiceBit::Honest, ..m };
            microphones(6).into_iter().zip(noises).map(noisy).collect()
        }),
        scenario("four fans", Kind::Hard, || {
            let fan = |dbov| Noise::Fan { dbov };
            with(&[fan(-50.0), fan(-42.0), fan(-38.0), fan(-34.0)])
        }),
        scenario("noisy talkers", Kind::Hard, || {
            let noise = |m: &Microphone| Noise::Fan { dbov: -48.0 + f64::from(m.source) };
            microphones(6).into_iter().map(|m| Microphone { noise: noise(&m), ..m }).collect()
        }),
        scenario("typing, doors", Kind::Hard, || {
            let (typing, bangs) = (|dbov| Noise::Typing { dbov }, |dbov| Noise::Bangs { dbov });
            with(&[typing(-30.0), typing(-25.0), bangs(-12.0), bangs(-20.0)])
        }),
        scenario("music", Kind::Hard, || with(&[Noise::Music { dbov: -22.0 }])),
        scenario("liars", Kind::Hard, || {
            with(&[Noise::Claim { dbov: 0.0 }, Noise::Claim { dbov: 0.0 }, Noise::Claim { dbov: -10.0 }])
        }),
        Scenario {
            network: LOSSY,
            ..scenario("DTX, 2 % loss", Kind::Hard, || {
                microphones(6).into_iter().map(|m| Microphone { dtx: true, ..m }).collect()
            })
        },
        scenario("300 open", Kind::Hard, || {
            let mut all = uneven(6);
            let noise = |source: u32| Noise::Quiet { dbov: -62.0 + f64::from(source % 13) };
            all.extend((6..300).map(|source| Microphone { noise: noise(source), ..microphone(source) }));
            all
        }),
        Scenario {
            network: LOSSY,
            ..scenario("all of it", Kind::Hard, || {
                let mut all: Vec<Microphone> =
                    uneven(6).into_iter().map(|m| Microphone { dtx: m.source % 2 == 0, ..m }).collect();
                let others = with(&[
                    Noise::Fan { dbov: -40.0 },
                    Noise::Typing { dbov: -28.0 },
                    Noise::Bangs { dbov: -14.0 },
                    Noise::Claim { dbov: 0.0 },
                ]);
                all.extend(others.into_iter().skip(6));
                all
            })
        },
        Scenario { speech: Speech::Quarrel(5), ..scenario("five at once", Kind::Crowded, || microphones(5)) },
    ]
}

impl Scenario {
    /// What each source is, as in the pictures.
    pub(crate) fn labels(&self) -> Vec<String> {
        let label = |microphone: Microphone| match microphone.noise {
            Noise::Quiet { .. } => format!("talker, {:.0} dBov", microphone.speech_dbov),
            Noise::Fan { dbov } => format!("fan, {dbov:.0} dBov"),
            Noise::Typing { dbov } => format!("typing, {dbov:.0} dBov"),
            Noise::Bangs { dbov } => format!("bangs, {dbov:.0} dBov"),
            Noise::Music { dbov } => format!("music, {dbov:.0} dBov"),
            Noise::Claim { dbov } => format!("liar, claims {dbov:.0} dBov"),
        };
        (self.microphones)().into_iter().map(label).collect()
    }

    /// The room with this seed.
    pub(crate) fn trace(&self, seed: u64, voice: &Voice, length_ms: u32) -> Trace {
        let mut rng = StdRng::seed_from_u64(seed);
        let spurts = match self.speech {
            Speech::Pair => pair(&mut rng, length_ms),
            Speech::Turns(talk) => turns(&mut rng, talk, length_ms),
            Speech::Quarrel(talkers) => quarrel(&mut rng, talkers, length_ms),
        };
        trace(&mut rng, &(self.microphones)(), voice, self.network, &spurts, length_ms)
    }
}
