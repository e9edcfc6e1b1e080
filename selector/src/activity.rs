//! One source's packets in; whether it speaks, and how much that is to be believed, out.
//!
//! A level alone says little: a fan at -40 dBov is louder than a soft voice at -45. What tells them apart is
//! how a level moves. Speech rises above its own noise, and falls back within syllables; a fan, a tone, and a
//! client that claims to be loud stay where they are; a keystroke is over before a syllable would be.

use std::time::Duration;

use crate::candidate::{Candidate, Heard, Standing};
use crate::{Level, Params, SourceId};

/// Smoothed levels are in 1/256 dB, so that slow decay doesn't stall in rounding.
pub(crate) const SMOOTH_UNIT: i32 = 256;

/// The noise of a source is the least level of this many windows, each [`WINDOW_MS`] of packets long. Nobody
/// speaks for ten seconds without a breath.
const WINDOWS: usize = 4;
const WINDOW_MS: u32 = 2500;

/// Noise of a source that was not heard yet, in dB above silence: a microphone in an office.
const FLOOR_AT_ARRIVAL_DB: u8 = 72;

/// A packet stands for no more time than this: what was not sent, by DTX, was not heard either.
const PACKET_MS_MAX: u32 = 60;

/// Silence of this length ends a run of activity: longer than the closure of a consonant.
const RUN_GAP: Duration = Duration::from_millis(100);

/// Silence of this length ends a spurt: whoever speaks again begins anew.
const SPURT_GAP: Duration = Duration::from_millis(300);

/// Bangs after which a source is no longer believed at once.
const BANGS_MAX: u8 = 2;

/// A level that moved by so much once is a source's that can move: not a steady one's.
const MOVED_DB: u8 = 12;

/// What is known of a source.
#[derive(Clone, Debug)]
pub(crate) struct Activity {
    heard_at: Option<Duration>,
    /// The least mean of three packets, by window; the first is the current one.
    minima_db: [u8; WINDOWS],
    window_ms: u32,
    recent_db: [u8; 3],
    /// Around what the level stays, in 1/256 dB, and since when.
    steady: i32,
    steady_since: Duration,
    has_moved: bool,
    was_quiet: bool,
    /// The loudness of its voice, in 1/256 dB above silence: what is not active doesn't count.
    loudness: i32,
    active_at: Option<Duration>,
    /// When the current spurt began.
    spurt_since: Duration,
    /// How long it was active in the current run.
    run_ms: u32,
    bangs: u8,
}

impl Activity {
    /// Of a source that was not heard yet.
    pub(crate) fn new() -> Activity {
        Activity {
            heard_at: None,
            minima_db: [FLOOR_AT_ARRIVAL_DB; WINDOWS],
            window_ms: 0,
            recent_db: [0; 3],
            steady: 0,
            steady_since: Duration::ZERO,
            has_moved: false,
            was_quiet: false,
            loudness: 0,
            active_at: None,
            spurt_since: Duration::ZERO,
            run_ms: 0,
            bangs: 0,
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
            loudness: self.loudness,
            spurt_age: now.saturating_sub(self.spurt_since),
            is_proven: self.was_quiet || self.has_moved,
            is_bang,
            is_believed: self.is_believed(params.believed_after),
            claim: None,
        }
    }

    fn packet(&mut self, now: Duration, level: Level, voice: Option<bool>, params: &Params) -> Heard {
        let db = level.db_above_silence();
        let elapsed = self.heard_at.map(|at| now.saturating_sub(at));
        let ms = elapsed.map_or(20, |elapsed| elapsed.as_millis().min(u128::from(PACKET_MS_MAX)) as u32);
        if self.heard_at.is_none() {
            self.recent_db = [db; 3];
            (self.steady, self.steady_since) = (i32::from(db) * SMOOTH_UNIT, now);
        }
        self.heard_at = Some(now);
        self.follow_steadiness(now, db, params);
        self.follow_floor(db, ms);
        if self.is_steady(now, params) {
            self.minima_db = [(self.steady / SMOOTH_UNIT) as u8; WINDOWS];
        }
        let penalty_db = if voice == Some(false) { params.unvoiced_penalty_db } else { 0 };
        let above_floor_db = params.active_above_floor_db.saturating_add(penalty_db);
        let is_active = level >= params.active_level && db >= self.floor_db().saturating_add(above_floor_db);
        self.end_run(now, params);
        if is_active {
            self.active(now, db, ms);
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
        self.loudness
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
        let least = i32::from(params.steady_level.db_above_silence()) * SMOOTH_UNIT;
        self.is_steady(now, params) && self.steady >= least
    }

    fn floor_db(&self) -> u8 {
        self.minima_db.iter().copied().min().unwrap_or(0)
    }

    fn is_steady(&self, now: Duration, params: &Params) -> bool {
        let after = if self.has_moved { params.steady_after } else { params.steady_after_arrival };
        now.saturating_sub(self.steady_since) >= after
    }

    fn follow_steadiness(&mut self, now: Duration, db: u8, params: &Params) {
        let level = i32::from(db) * SMOOTH_UNIT;
        let strayed_db = ((level - self.steady).abs() / SMOOTH_UNIT) as u8;
        self.has_moved |= strayed_db >= MOVED_DB;
        if strayed_db > params.steady_within_db {
            (self.steady, self.steady_since) = (level, now);
        } else {
            self.steady += (level - self.steady) / 16;
        }
    }

    fn follow_floor(&mut self, db: u8, ms: u32) {
        self.recent_db.rotate_left(1);
        self.recent_db[2] = db;
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

    fn end_run(&mut self, now: Duration, params: &Params) {
        let silent_for = self.active_at.map_or(Duration::MAX, |at| now.saturating_sub(at));
        if silent_for < RUN_GAP || self.run_ms == 0 {
            return;
        }
        if Duration::from_millis(self.run_ms.into()) < params.bang_below {
            self.bangs = (self.bangs + 1).min(2 * BANGS_MAX);
        } else {
            self.bangs = 0;
        }
        self.run_ms = 0;
    }

    fn active(&mut self, now: Duration, db: u8, ms: u32) {
        let silent_for = self.active_at.map_or(Duration::MAX, |at| now.saturating_sub(at));
        if silent_for >= SPURT_GAP {
            self.spurt_since = now;
        }
        self.active_at = Some(now);
        self.run_ms = self.run_ms.saturating_add(ms.min(20));
        let level = i32::from(db) * SMOOTH_UNIT;
        // Attack by quarters, so that a first syllable counts soon; decay by 32nds, about 600 ms.
        let difference = level - self.loudness;
        self.loudness += if difference > 0 { difference / 4 } else { difference / 32 };
    }
}
