//! A PIN of the configuration, and what a caller enters: which of the two PINs it is, in a time that tells nothing.

use std::fmt;
use std::str::FromStr;

use subtle::{Choice, ConstantTimeEq};

/// The longest PIN, in digits.
const DIGITS_MAX: usize = 32;

/// Digits that a phone can send, one to 32. Never shown, in logs neither.
#[derive(Clone)]
pub struct Pin {
    /// In ASCII, and zeros behind: a comparison takes as long for four digits as for ten.
    digits: [u8; DIGITS_MAX],
}

/// A PIN of the configuration that nobody could enter. The operator's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a PIN is 1 to {DIGITS_MAX} digits")]
pub struct PinError;

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Pin, PinError> {
        if !(1..=DIGITS_MAX).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(PinError);
        }
        let mut digits = [0; DIGITS_MAX];
        digits[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Pin { digits })
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(..)")
    }
}

/// What was entered so far.
#[derive(Default)]
pub(super) struct Entry {
    digits: [u8; DIGITS_MAX],
    /// More than [`DIGITS_MAX`] are counted, not kept: it is no PIN any more.
    length: usize,
}

impl Entry {
    pub(super) fn push(&mut self, digit: u8) {
        if let Some(free) = self.digits.get_mut(self.length) {
            *free = digit;
        }
        self.length = self.length.saturating_add(1);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether it is this PIN. How long that takes depends neither on the digits nor on how many there are; without a
    /// PIN there is nothing that it could tell.
    pub(super) fn is(&self, pin: Option<&Pin>) -> bool {
        let fits = Choice::from(u8::from(self.length <= DIGITS_MAX));
        pin.is_some_and(|pin| (self.digits.ct_eq(&pin.digits) & fits).into())
    }
}

/// So that a menu can be shown in a log.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entry(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(entered: &str, pin: &str) -> bool {
        let mut entry = Entry::default();
        entered.bytes().for_each(|digit| entry.push(digit));
        entry.is(Some(&pin.parse().unwrap()))
    }

    #[test]
    fn only_all_digits_are_the_pin() {
        assert!(is("4711", "4711") && is(&"7".repeat(32), &"7".repeat(32)));
        for entered in ["", "471", "47110", "4712", "0711", "4711471147114711471147114711471147114711"] {
            assert!(!is(entered, "4711"), "{entered}");
        }
        assert!(!is(&"7".repeat(33), &"7".repeat(32)), "what doesn't fit counts too");
        assert!(!Entry::default().is(None));
    }

    #[test]
    fn a_pin_that_no_phone_can_send_is_refused() {
        for text in ["", "12a4", "12 34", "*123", "１２", &"1".repeat(33)] {
            assert_eq!(text.parse::<Pin>().err(), Some(PinError), "{text}");
        }
    }

    #[test]
    fn a_log_shows_no_digit() {
        assert_eq!(format!("{:?}", "4711".parse::<Pin>().unwrap()), "Pin(..)");
    }
}
