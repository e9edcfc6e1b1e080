//! The keys of a telephone.

use std::fmt;

/// The low tones, one for each row of keys, in Hz (ITU-T Q.23).
pub(crate) const ROWS_HZ: [f32; 4] = [697.0, 770.0, 852.0, 941.0];

/// The high tones, one for each column.
pub(crate) const COLUMNS_HZ: [f32; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];

/// What is printed on the keys, row by row.
const KEYS: [[char; 4]; 4] =
    [['1', '2', '3', 'A'], ['4', '5', '6', 'B'], ['7', '8', '9', 'C'], ['*', '0', '#', 'D']];

/// The order of RFC 4733, section 3.2.
const EVENTS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D'];

/// A key of a telephone: 0 to 9, `*`, `#`, and A to D.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digit(char);

impl Digit {
    /// All of them, in the order of their events.
    pub fn all() -> impl Iterator<Item = Digit> {
        EVENTS.into_iter().map(Digit)
    }

    /// Of what is printed on the key, capital letters or small ones.
    pub fn from_char(key: char) -> Option<Digit> {
        let key = key.to_ascii_uppercase();
        EVENTS.contains(&key).then_some(Digit(key))
    }

    /// Of an event code, 0 to 15 (RFC 4733, section 3.2).
    pub fn from_event(code: u8) -> Option<Digit> {
        EVENTS.get(usize::from(code)).copied().map(Digit)
    }

    /// What is printed on the key.
    pub const fn as_char(self) -> char {
        self.0
    }

    /// The code of the event in RFC 4733, 0 to 15.
    pub fn event(self) -> u8 {
        EVENTS.iter().position(|&key| key == self.0).expect("digits are made of these") as u8
    }

    pub(crate) fn at(row: usize, column: usize) -> Digit {
        Digit(KEYS[row][column])
    }

    /// Its low tone and its high one, in Hz (ITU-T Q.23).
    pub fn tones_hz(self) -> [f32; 2] {
        let row = KEYS.iter().position(|keys| keys.contains(&self.0)).expect("each digit is on a key");
        let column = KEYS[row].iter().position(|&key| key == self.0).expect("it is in this row");
        [ROWS_HZ[row], COLUMNS_HZ[column]]
    }
}

impl fmt::Display for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_keys_are_those_of_rfc_4733() {
        for (code, key) in [(0, '0'), (9, '9'), (10, '*'), (11, '#'), (12, 'A'), (15, 'D')] {
            assert_eq!(Digit::from_event(code), Digit::from_char(key));
            assert_eq!(Digit::from_event(code).map(Digit::event), Some(code));
        }
        assert_eq!(Digit::from_char('d'), Digit::from_char('D'));
        assert_eq!(Digit::from_event(16), None);
        assert_eq!(Digit::from_char('E'), None);
    }

    #[test]
    fn tones_are_those_of_q_23() {
        let tones = |key| Digit::from_char(key).unwrap().tones_hz();
        assert_eq!(tones('1'), [697.0, 1_209.0]);
        assert_eq!(tones('#'), [941.0, 1_477.0]);
        assert_eq!(tones('0'), [941.0, 1_336.0]);
        assert_eq!(tones('B'), [770.0, 1_633.0]);
    }
}
