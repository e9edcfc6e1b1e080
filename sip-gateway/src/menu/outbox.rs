//! What the menu has decided in, one output after the other out: each has one place, where the newest takes the older
//! one's, so whoever presses keys faster than the call is served fills nothing.

use super::playback::{Playback, Sound};
use super::{MenuEnd, MenuOutput};

/// What waits to be polled.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) interrupt: bool,
    pub(super) leave: bool,
    pub(super) enter: Option<bool>,
    pub(super) take_part: bool,
    pub(super) muted: Option<bool>,
    pub(super) hand: Option<bool>,
    pub(super) gain_db: Option<i8>,
    pub(super) music: Option<bool>,
    pub(super) playback: Playback,
    pub(super) end: Option<MenuEnd>,
}

impl Outbox {
    /// The next output, in the order in which one can follow another.
    pub(super) fn poll(&mut self) -> Option<MenuOutput> {
        if std::mem::take(&mut self.interrupt) {
            return Some(MenuOutput::Interrupt);
        }
        if std::mem::take(&mut self.leave) {
            return Some(MenuOutput::Leave);
        }
        if let Some(is_moderator) = self.enter.take() {
            return Some(MenuOutput::Enter { is_moderator });
        }
        if std::mem::take(&mut self.take_part) {
            return Some(MenuOutput::TakePart);
        }
        if let Some(muted) = self.muted.take() {
            return Some(MenuOutput::SetMuted(muted));
        }
        if let Some(hand) = self.hand.take() {
            return Some(MenuOutput::RaiseHand(hand));
        }
        if let Some(gain_db) = self.gain_db.take() {
            return Some(MenuOutput::Volume { gain_db });
        }
        if let Some(music) = self.music.take() {
            return Some(MenuOutput::Music(music));
        }
        self.playback.next().or_else(|| self.end.take().map(MenuOutput::End))
    }

    pub(super) fn play(&mut self, sound: Sound) {
        self.playback.push(sound);
    }

    /// Stops what is played, and forgets what waits to be.
    pub(super) fn cut(&mut self) {
        self.interrupt |= self.playback.cut();
    }

    /// What was asked of the room and not yet told is not asked any more.
    pub(super) fn drop_requests(&mut self) {
        (self.enter, self.take_part) = (None, false);
        (self.muted, self.hand, self.gain_db) = (None, None, None);
    }
}
