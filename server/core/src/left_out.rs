//! Numbers of a stream in, some of which are left out; numbers without holes where those were out.

use std::collections::VecDeque;

/// Which numbers of a stream were left out. What comes after one moves up by one.
#[derive(Clone, Debug)]
pub(crate) struct LeftOut {
    /// Those that are remembered one by one, newest last.
    recent: VecDeque<u64>,
    /// How many were before these.
    before: u64,
    remembered_max: usize,
}

impl LeftOut {
    /// None yet. So many are remembered one by one: what is older than all of them has no place.
    pub(crate) fn new(remembered_max: usize) -> LeftOut {
        LeftOut { recent: VecDeque::new(), before: 0, remembered_max }
    }

    /// None any more.
    pub(crate) fn clear(&mut self) {
        self.recent.clear();
        self.before = 0;
    }

    /// A number is left out, which is newer than all before.
    pub(crate) fn leave_out(&mut self, number: u64) {
        debug_assert!(self.recent.back().is_none_or(|&newest| newest < number), "numbers go up");
        if self.recent.len() == self.remembered_max {
            self.recent.pop_front();
            self.before += 1;
        }
        self.recent.push_back(number);
    }

    /// The number without those that were left out before it; `None` for one that was itself, and for one that is older than what is
    /// remembered.
    pub(crate) fn place(&self, number: u64) -> Option<u64> {
        if self.before > 0 && self.recent.front().is_some_and(|&oldest| number < oldest) {
            return None;
        }
        let passed = self.recent.partition_point(|&left_out| left_out < number);
        if self.recent.get(passed) == Some(&number) {
            return None;
        }
        number.checked_sub(self.before + passed as u64)
    }

    /// How many are remembered one by one.
    #[cfg(test)]
    pub(crate) fn remembered(&self) -> usize {
        self.recent.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_a_hole_closes_it_and_what_was_in_it_has_no_place() {
        let mut left_out = LeftOut::new(2);
        assert_eq!(left_out.place(7), Some(7));
        left_out.leave_out(8);
        left_out.leave_out(10);
        assert_eq!([7, 8, 9, 10, 11].map(|n| left_out.place(n)), [Some(7), None, Some(8), None, Some(9)]);
        left_out.leave_out(12);
        assert_eq!([9, 11, 13].map(|n| left_out.place(n)), [None, Some(9), Some(10)], "one is forgotten");
    }
}
