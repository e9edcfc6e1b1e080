//! The selector under any sequence of events: nobody is in two positions, changes say what changed,
//! nobody who is silent stays, and the same events give the same speakers again.

use std::time::Duration;

use arbitrary::Arbitrary;
use selector::{Candidate, Changes, Claim, Heard, Level, Observation, Params, Selector, SourceId, Standing};

#[derive(Arbitrary, Clone, Debug)]
enum Event {
    Packet {
        source: u8,
        level_dbov: i8,
        voice: Option<bool>,
    },
    /// Frames of the same source, as speech has them.
    Speech {
        source: u8,
        level_dbov: i8,
        frames: u8,
    },
    Silence {
        source: u8,
    },
    Remove {
        source: u8,
    },
    Standing {
        source: u8,
        standing: u8,
    },
    StandingOfOthers {
        standing: u8,
    },
    /// What another selector says, sound or not.
    Claim {
        source: u8,
        standing: u8,
        heard: u8,
        loudness: i32,
        spurt_age_ms: u16,
        flags: u8,
        position: u8,
        turn: u64,
    },
    Tick,
    Pass {
        ms: u16,
    },
    /// Clocks of other threads may lag.
    Back {
        ms: u8,
    },
}

/// What happens.
#[derive(Arbitrary, Debug)]
pub struct Input {
    slots: u8,
    events: Vec<Event>,
}

struct Run {
    selector: Selector,
    now: Duration,
    changes: Vec<Changes>,
}

impl Run {
    fn of(input: &Input) -> Run {
        let selector = Selector::new(Params::with_slots(usize::from(input.slots)));
        let mut run = Run { selector, now: Duration::ZERO, changes: Vec::new() };
        for event in &input.events {
            run.event(event);
        }
        run
    }

    fn event(&mut self, event: &Event) {
        match *event {
            Event::Packet { source, level_dbov, voice } => self.packet(source, level_dbov, voice),
            Event::Speech { source, level_dbov, frames } => {
                for _ in 0..frames {
                    self.now += Duration::from_millis(20);
                    self.packet(source, level_dbov, Some(true));
                }
            }
            Event::Silence { source } => {
                self.change(|s, now| s.observe(now, id(source), Observation::Silence));
                assert!(!self.selector.positions().contains(&Some(id(source))), "silence keeps no position");
            }
            Event::Remove { source } => {
                self.change(|s, _| s.remove(id(source)));
                assert_eq!(self.selector.level(id(source)), Level::SILENCE);
            }
            Event::Standing { source, standing: to } => {
                self.change(|s, _| s.set_standing(id(source), standing(to)));
            }
            Event::StandingOfOthers { standing: to } => {
                self.change(|s, _| s.set_standing_of_others(standing(to)));
            }
            Event::Claim { source, standing: to, heard, loudness, spurt_age_ms, flags, position, turn } => {
                let candidate = Candidate {
                    source: id(source),
                    standing: standing(to).unwrap_or_default(),
                    heard: [Heard::Active, Heard::Steady, Heard::Quiet][usize::from(heard) % 3],
                    // As loud as a level can be.
                    loudness: loudness.rem_euclid(127 * 256 + 1),
                    spurt_age: Duration::from_millis(spurt_age_ms.into()),
                    is_proven: flags & 1 != 0,
                    is_bang: flags & 2 != 0,
                    is_believed: flags & 4 != 0,
                    is_denied: flags & 16 != 0,
                    claim: (flags & 8 != 0).then_some(Claim { position: position.into(), turn }),
                };
                self.change(|s, now| s.rank(now, &candidate));
            }
            Event::Tick => {
                self.change(|s, now| s.tick(now));
                let due = self.selector.next_timeout();
                assert!(due.is_none_or(|at| at > self.now), "a tick leaves nothing that is due");
            }
            Event::Pass { ms } => self.now += Duration::from_millis(ms.into()),
            Event::Back { ms } => self.now = self.now.saturating_sub(Duration::from_millis(ms.into())),
        }
    }

    fn packet(&mut self, source: u8, level_dbov: i8, voice: Option<bool>) {
        let observation = Observation::Packet { level: Level::from_dbov(level_dbov), voice };
        self.change(|s, now| s.observe(now, id(source), observation));
    }

    fn change(&mut self, call: impl FnOnce(&mut Selector, Duration) -> Changes) {
        let before = self.selector.positions();
        let changes = call(&mut self.selector, self.now);
        let after = self.selector.positions();
        let mut replayed = before;
        for change in &changes {
            assert_ne!(replayed[change.position], change.source, "a change changes something");
            replayed[change.position] = change.source;
        }
        assert_eq!(replayed, after, "the changes are what changed");
        for (position, source) in after.iter().enumerate() {
            let again = source.is_some() && after[position + 1..].contains(source);
            assert!(!again, "{source:?} has two positions");
        }
        self.changes.push(changes);
    }
}

fn standing(number: u8) -> Option<Standing> {
    let standings = [Standing::Excluded, Standing::Ordinary, Standing::Priority, Standing::Pinned];
    standings.get(usize::from(number) % 5).copied()
}

fn id(source: u8) -> SourceId {
    SourceId(u32::from(source % 16))
}

/// Panics where it doesn't hold.
pub fn check(input: &Input) {
    let (mut first, again) = (Run::of(input), Run::of(input));
    assert_eq!(first.changes, again.changes, "the same events give the same changes");
    let params = Params::with_slots(usize::from(input.slots));
    assert_eq!(first.selector.positions().len(), params.slots + 1);
    // Whatever happened: when nobody sends any more, every position becomes free. A clock that went
    // back counts as no time, so the latest moment of all is what counts.
    first.now += Duration::from_secs(10_000);
    first.event(&Event::Tick);
    assert!(first.selector.positions().iter().all(Option::is_none), "silence frees every position");
}
