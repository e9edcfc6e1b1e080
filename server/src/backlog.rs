//! What a thread has to tell the control plane, and the control plane has no room for yet.

use std::collections::VecDeque;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Events in the order in which they came about. Whoever fills it says what happens when it is long.
pub(crate) struct Backlog<T>(VecDeque<T>);

impl<T> Default for Backlog<T> {
    fn default() -> Backlog<T> {
        Backlog(VecDeque::new())
    }
}

impl<T> Backlog<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn push(&mut self, event: T) {
        self.0.push_back(event);
    }

    /// Hands over what there is room for, without waiting.
    pub(crate) fn hand_over(&mut self, to: &mpsc::Sender<T>) {
        while let Some(event) = self.0.pop_front() {
            match to.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Full(event)) => {
                    self.0.push_front(event);
                    return;
                }
                // The control plane is gone; the command to stop is on its way.
                Err(TrySendError::Closed(_)) => return,
            }
        }
    }
}

/// Tests look at what was told.
#[cfg(test)]
impl<T> std::ops::Deref for Backlog<T> {
    type Target = VecDeque<T>;

    fn deref(&self) -> &VecDeque<T> {
        &self.0
    }
}

#[cfg(test)]
impl<T> std::ops::DerefMut for Backlog<T> {
    fn deref_mut(&mut self) -> &mut VecDeque<T> {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_handed_over_later_in_its_order() {
        let (to, mut taken) = mpsc::channel(2);
        let mut backlog = Backlog::default();
        for event in 1..=3 {
            backlog.push(event);
        }
        backlog.hand_over(&to);
        assert_eq!(backlog.len(), 1);
        assert_eq!((taken.try_recv(), taken.try_recv()), (Ok(1), Ok(2)));
        backlog.hand_over(&to);
        assert_eq!(taken.try_recv(), Ok(3));
        assert!(backlog.is_empty());
    }

    #[test]
    fn nothing_is_kept_for_a_control_plane_that_has_gone() {
        let (to, taken) = mpsc::channel(1);
        drop(taken);
        let mut backlog = Backlog::default();
        backlog.push(1);
        backlog.hand_over(&to);
        assert!(backlog.is_empty());
    }
}
