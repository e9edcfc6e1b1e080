//! How speakers are chosen, for every room and for single ones.

use std::time::Duration;

use schemars::JsonSchema;
use selector::{Level, Params};
use serde::{Deserialize, Serialize};

use super::ConfigError;
use super::validate::check_range;

/// Longer than any pause or phrase.
const MS_MAX: u32 = 60_000;
const DB_MAX: u8 = 60;

/// What of the selector can be tuned; docs/selection.md says what each is worth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SelectorConfig {
    /// Packets below this level are never speech, in dBov: -127 to 0.
    pub(crate) active_dbov: i8,
    /// By how much speech is louder than its source's own noise, in dB, 0 to 60.
    pub(crate) above_noise_db: u8,
    /// By how much a challenger has to be louder than a speaker, in dB, 0 to 60.
    pub(crate) margin_db: u8,
    /// For how long it has to be louder, in milliseconds.
    pub(crate) challenge_ms: u32,
    /// How long a new speaker is safe from challengers, in milliseconds.
    pub(crate) hold_ms: u32,
    /// After so much silence a slot yields to somebody who begins to speak, in milliseconds.
    pub(crate) yield_to_onset_ms: u32,
    /// After so much silence a slot yields to anybody who speaks, in milliseconds.
    pub(crate) yield_ms: u32,
    /// After so much silence a slot is free, in milliseconds.
    pub(crate) release_ms: u32,
}

/// What one room has of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SelectorOverride {
    /// As `room.selector.active_dbov`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) active_dbov: Option<i8>,
    /// As `room.selector.above_noise_db`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) above_noise_db: Option<u8>,
    /// As `room.selector.margin_db`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) margin_db: Option<u8>,
    /// As `room.selector.challenge_ms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) challenge_ms: Option<u32>,
    /// As `room.selector.hold_ms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hold_ms: Option<u32>,
    /// As `room.selector.yield_to_onset_ms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) yield_to_onset_ms: Option<u32>,
    /// As `room.selector.yield_ms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) yield_ms: Option<u32>,
    /// As `room.selector.release_ms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) release_ms: Option<u32>,
}

impl Default for SelectorConfig {
    fn default() -> Self {
        let params = Params::default();
        let ms = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(MS_MAX);
        SelectorConfig {
            active_dbov: params.active_level.dbov(),
            above_noise_db: params.active_above_floor_db,
            margin_db: params.margin_db,
            challenge_ms: ms(params.challenge_for),
            hold_ms: ms(params.hold_for),
            yield_to_onset_ms: ms(params.yield_to_onset_after),
            yield_ms: ms(params.yield_after),
            release_ms: ms(params.release_after),
        }
    }
}

impl SelectorConfig {
    /// With what a room has of its own.
    pub(super) fn with(&self, own: &SelectorOverride) -> SelectorConfig {
        SelectorConfig {
            active_dbov: own.active_dbov.unwrap_or(self.active_dbov),
            above_noise_db: own.above_noise_db.unwrap_or(self.above_noise_db),
            margin_db: own.margin_db.unwrap_or(self.margin_db),
            challenge_ms: own.challenge_ms.unwrap_or(self.challenge_ms),
            hold_ms: own.hold_ms.unwrap_or(self.hold_ms),
            yield_to_onset_ms: own.yield_to_onset_ms.unwrap_or(self.yield_to_onset_ms),
            yield_ms: own.yield_ms.unwrap_or(self.yield_ms),
            release_ms: own.release_ms.unwrap_or(self.release_ms),
        }
    }

    /// As the selector has it.
    pub(super) fn params(&self, slots: u8) -> Params {
        let ms = |ms: u32| Duration::from_millis(ms.into());
        Params {
            active_level: Level::from_dbov(self.active_dbov),
            active_above_floor_db: self.above_noise_db,
            margin_db: self.margin_db,
            challenge_for: ms(self.challenge_ms),
            hold_for: ms(self.hold_ms),
            yield_to_onset_after: ms(self.yield_to_onset_ms),
            yield_after: ms(self.yield_ms),
            release_after: ms(self.release_ms),
            ..Params::with_slots(slots.into())
        }
    }

    /// Checks every number; `table` says where it stands.
    pub(super) fn validate(&self, table: &str) -> Result<(), ConfigError> {
        check_range(&format!("{table}.active_dbov"), self.active_dbov, -127, 0)?;
        for (key, db) in [("above_noise_db", self.above_noise_db), ("margin_db", self.margin_db)] {
            check_range(&format!("{table}.{key}"), db, 0, DB_MAX)?;
        }
        for (key, ms, least) in [
            ("challenge_ms", self.challenge_ms, 0),
            ("hold_ms", self.hold_ms, 0),
            // Where a slot yields between two packets, it changes with each.
            ("yield_to_onset_ms", self.yield_to_onset_ms, 60),
            ("yield_ms", self.yield_ms, 60),
            ("release_ms", self.release_ms, 100),
        ] {
            check_range(&format!("{table}.{key}"), ms, least, MS_MAX)?;
        }
        Ok(())
    }
}
