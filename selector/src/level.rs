//! Loudness of a packet, in the one encoding used throughout Tercet.

use std::fmt;

/// Loudness as RFC 6464 measures it, ordered so that louder is greater.
///
/// Stored as dB above -127 dBov: 0 is silence, 127 the overload point.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Level(u8);

impl Level {
    /// Digital silence, -127 dBov.
    pub const SILENCE: Level = Level(0);
    /// The overload point, 0 dBov.
    pub const OVERLOAD: Level = Level(127);

    /// From dBov, clamped to the range of RFC 6464: -127 to 0.
    pub const fn from_dbov(dbov: i8) -> Level {
        if dbov >= 0 {
            return Level::OVERLOAD;
        }
        if dbov < -127 {
            return Level::SILENCE;
        }
        Level((dbov + 127) as u8)
    }

    /// In dBov, -127 to 0.
    pub const fn dbov(self) -> i8 {
        self.0 as i8 - 127
    }

    /// In dB above silence, 0 to 127.
    pub const fn db_above_silence(self) -> u8 {
        self.0
    }
}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dBov", self.dbov())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn louder_is_greater() {
        assert!(Level::from_dbov(-20) > Level::from_dbov(-21));
        assert!(Level::OVERLOAD > Level::SILENCE);
    }

    #[test]
    fn out_of_range_is_clamped() {
        assert_eq!(Level::from_dbov(5), Level::OVERLOAD);
        assert_eq!(Level::from_dbov(-128), Level::SILENCE);
        assert_eq!(Level::from_dbov(-127).dbov(), -127);
        assert_eq!(Level::from_dbov(0).dbov(), 0);
    }
}
