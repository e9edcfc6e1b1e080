//! One source's packets in; whether it speaks, and how much that is to be believed, out.
//!
//! A level alone says little: a fan at -40 dBov is louder than a soft voice at -45. What tells them apart is
//! how a level moves. Speech rises above its own noise, and falls back within syllables; a fan, a tone, and a
//! client that claims to be loud stay where they are; a keystroke is over before a syllable would be.

use std::num::NonZeroU64;
use std::time::Duration;

use crate::candidate::{Candidate, Heard, Standing};
use crate::{Level, Params, SourceId};

/// Smoothed levels are in 1/256 dB, so that slow decay doesn't stall in rounding.
pub(crate) const SMOOTH_UNIT: i32 = 256;

/// The noise of a source is the least level of this many windows, each [`WINDOW_MS`] of packets long. Nobody
/// speaks for ten seconds without a breath.
const WINDOWS: usize = 4;
const WINDOW_MS: u16 = 2500;

/// Noise of a source that was not heard yet, in dB above silence: a microphone in an office.
const FLOOR_AT_ARRIVAL_DB: u8 = 72;

/// A packet stands for no more time than this: what was not sent, by DTX, was not heard either.
const PACKET_MS_MAX: u16 = 60;

/// Silence of this length ends a run of activity: longer than the closure of a consonant.
const RUN_GAP: Duration = Duration::from_millis(100);

/// Silence of this length ends a spurt: whoever speaks again begins anew.
const SPURT_GAP: Duration = Duration::from_millis(300);

/// A voice bit that says no for so long, from a sender that has said yes, is believed: it is not a flicker in a word.
const DENIED_AFTER_MS: u16 = 200;

/// Of a sender that has never said yes.
const NEVER_VOICED: u16 = u16::MAX;

/// Bangs after which a source is no longer believed at once.
const BANGS_MAX: u8 = 2;

/// A level that moved by so much once is a source's that can move: not a steady one's.
const MOVED_DB: u8 = 12;

/// What is known of a source. In a large room this comes from memory at each packet, so it is kept within a line of the
/// cache, 64 bytes.
#[derive(Clone, Debug)]
pub(crate) struct Activity {
    heard_at: Option<Moment>,
    active_at: Option<Moment>,
    /// When the current spurt began.
    spurt_since: Moment,
    steady_since: Moment,
    /// Around what the level stays, in 1/256 dB, since `steady_since`.
    steady: i16,
    /// The loudness of its voice, in 1/256 dB above silence: what is not active doesn't count.
    loudness: i16,
    /// How long it was active in the current run.
    run_ms: u16,
    window_ms: u16,
    /// For how long its voice bit has said no; [`NEVER_VOICED`] where it says nothing else.
    unvoiced_ms: u16,
    /// The least mean of three packets, by window; the first is the current one.
    minima_db: [u8; WINDOWS],
    recent_db: [u8; 3],
    bangs: u8,
    has_moved: bool,
    was_quiet: bool,
}

/// A point of time in 8 bytes, and an optional one too.
#[derive(Clone, Copy, Debug)]
struct Moment {
    micros_and_one: NonZeroU64,
}

impl Activity {
    /// Of a source that was not heard yet.
    pub(crate) fn new() -> Activity {
        Activity {
            heard_at: None,
            active_at: None,
            spurt_since: Moment::from(Duration::ZERO),
            steady_since: Moment::from(Duration::ZERO),
            steady: 0,
            loudness: 0,
            run_ms: 0,
            window_ms: 0,
            unvoiced_ms: NEVER_VOICED,
            minima_db: [FLOOR_AT_ARRIVAL_DB; WINDOWS],
            recent_db: [0; 3],
            bangs: 0,
            has_moved: false,
            was_quiet: false,
        }
    }

    /// Takes note of a packet, and judges it.
    pub(crate) fn judge(
        &mut self,
        now: Duration,
        (source, standing): (SourceId, Standing),
        (level, voice): (Level, Option<bool>),
        params: &Params,
    ) -> Candidate {
        let heard = self.packet(now, level, voice, params);
        let is_bang = self.bangs >= BANGS_MAX && !self.is_believed(params.bang_below);
        Candidate {
            source,
            standing,
            heard,
            loudness: self.loudness(),
            spurt_age: self.spurt_since.elapsed(now),
            is_proven: self.was_quiet || self.has_moved,
            is_bang,
            is_denied: self.is_denied(),
            is_believed: self.is_believed(params.believed_after),
            claim: None,
        }
    }

    fn packet(&mut self, now: Duration, level: Level, voice: Option<bool>, params: &Params) -> Heard {
        let db = level.db_above_silence();
        let elapsed = self.heard_at.map(|at| at.elapsed(now));
        let ms = elapsed.map_or(20, |elapsed| elapsed.as_millis().min(u128::from(PACKET_MS_MAX)) as u16);
        if self.heard_at.is_none() {
            self.recent_db = [db; 3];
            (self.steady, self.steady_since) = (smooth(db), now.into());
        }
        self.heard_at = Some(now.into());
        self.follow_steadiness(now, db, params);
        self.follow_floor(db, ms);
        self.follow_voice(voice, ms);
        if self.is_steady(now, params) {
            self.minima_db = [rounded_db(self.steady); WINDOWS];
        }
        let is_active = level >= params.active_level
            && db >= self.floor_db().saturating_add(params.active_above_floor_db);
        self.end_run(now, params);
        if is_active {
            self.follow_loudness(db);
            // What is said to be no voice begins no spurt, and is no bang to be held against the next word.
            if !self.is_denied() {
                self.active(now, ms);
            }
            Heard::Active
        } else if self.is_hum(now, params) {
            self.loudness = self.steady;
            Heard::Steady
        } else {
            self.was_quiet = true;
            Heard::Quiet
        }
    }

    /// The source's packets ended, or are not to be heard: what was known of its speech is over.
    pub(crate) fn silence(&mut self) {
        (self.active_at, self.run_ms, self.loudness) = (None, 0, 0);
    }

    /// In 1/256 dB above silence.
    pub(crate) fn loudness(&self) -> i32 {
        self.loudness.into()
    }

    /// The source's noise: what is not much louder is quiet.
    pub(crate) fn floor(&self) -> Level {
        Level::from_dbov(self.floor_db() as i8 - 127)
    }

    /// Whether its activity is believed to be speech, after having lasted for `run`.
    fn is_believed(&self, run: Duration) -> bool {
        Duration::from_millis(self.run_ms.into()) >= run
    }

    /// Whether it is a steady sound that is worth hearing: by what its level stays around, not by each packet.
    fn is_hum(&self, now: Duration, params: &Params) -> bool {
        self.is_steady(now, params) && self.steady >= smooth(params.steady_level.db_above_silence())
    }

    fn floor_db(&self) -> u8 {
        self.minima_db.iter().copied().min().unwrap_or(0)
    }

    fn is_steady(&self, now: Duration, params: &Params) -> bool {
        let after = if self.has_moved { params.steady_after } else { params.steady_after_arrival };
        self.steady_since.elapsed(now) >= after
    }

    fn follow_steadiness(&mut self, now: Duration, db: u8, params: &Params) {
        let difference = smooth(db) - self.steady;
        let strayed_db = (i32::from(difference).abs() / SMOOTH_UNIT) as u8;
        self.has_moved |= strayed_db >= MOVED_DB;
        if strayed_db > params.steady_within_db {
            (self.steady, self.steady_since) = (smooth(db), now.into());
        } else {
            // Upward slowly: somebody who begins to speak softly beside a fan is not to become its noise.
            self.steady += if difference > 0 { difference / 64 } else { difference / 16 };
        }
    }

    fn follow_floor(&mut self, db: u8, ms: u16) {
        let [_, second, third] = self.recent_db;
        self.recent_db = [second, third, db];
        // The mean of three, so that a single dip is not taken for the noise.
        let mean = self.recent_db.iter().map(|&db| u16::from(db)).sum::<u16>() / 3;
        self.minima_db[0] = self.minima_db[0].min(mean as u8);
        self.window_ms += ms;
        if self.window_ms >= WINDOW_MS {
            self.window_ms = 0;
            self.minima_db.rotate_right(1);
            self.minima_db[0] = mean as u8;
        }
    }

    fn follow_voice(&mut self, voice: Option<bool>, ms: u16) {
        match voice {
            Some(true) => self.unvoiced_ms = 0,
            Some(false) if self.unvoiced_ms < NEVER_VOICED => {
                self.unvoiced_ms = self.unvoiced_ms.saturating_add(ms).min(NEVER_VOICED - 1);
            }
            Some(false) | None => {}
        }
    }

    fn is_denied(&self) -> bool {
        (DENIED_AFTER_MS..NEVER_VOICED).contains(&self.unvoiced_ms)
    }

    fn end_run(&mut self, now: Duration, params: &Params) {
        if self.silence_until(now) < RUN_GAP || self.run_ms == 0 {
            return;
        }
        if Duration::from_millis(self.run_ms.into()) < params.bang_below {
            self.bangs = (self.bangs + 1).min(2 * BANGS_MAX);
        } else {
            self.bangs = 0;
        }
        self.run_ms = 0;
    }

    fn active(&mut self, now: Duration, ms: u16) {
        if self.silence_until(now) >= SPURT_GAP {
            self.spurt_since = now.into();
        }
        self.active_at = Some(now.into());
        self.run_ms = self.run_ms.saturating_add(ms.min(20));
    }

    fn follow_loudness(&mut self, db: u8) {
        // Attack by quarters, so that a first syllable counts soon; decay by 32nds, about 600 ms.
        let difference = smooth(db) - self.loudness;
        self.loudness += if difference > 0 { difference / 4 } else { difference / 32 };
    }

    fn silence_until(&self, now: Duration) -> Duration {
        self.active_at.map_or(Duration::MAX, |at| at.elapsed(now))
    }
}

impl From<Duration> for Moment {
    fn from(since_origin: Duration) -> Moment {
        let micros = since_origin
            .as_secs()
            .saturating_mul(1_000_000)
            .saturating_add(since_origin.subsec_micros().into());
        Moment { micros_and_one: NonZeroU64::MIN.saturating_add(micros) }
    }
}

impl Moment {
    fn elapsed(self, now: Duration) -> Duration {
        let now = Moment::from(now).micros_and_one.get();
        Duration::from_micros(now.saturating_sub(self.micros_and_one.get()))
    }
}

/// In 1/256 dB.
fn smooth(db: u8) -> i16 {
    i16::from(db) * SMOOTH_UNIT as i16
}

fn rounded_db(smooth: i16) -> u8 {
    ((i32::from(smooth) + SMOOTH_UNIT / 2) / SMOOTH_UNIT) as u8
}

const _: () = assert!(size_of::<(SourceId, Activity)>() <= 64);
