//! In the room: keys and what the room tells in, what is asked of the room and what is said out. The room decides: a key
//! only asks, and what is said is what the room answers.

use std::time::Instant;

use super::playback::Sound;
use super::timers::Timer;
use super::{Menu, MenuEnd, Refused, State};
use crate::prompts::{Prompt, Tone};

const GAIN_STEP_DB: i8 = 3;
const GAIN_MAX_DB: i8 = 12;

/// What is known of the room and of the caller in it.
#[derive(Debug)]
pub(super) struct Room {
    has_moderator: bool,
    mute: Switch,
    hand: Switch,
    may_speak: bool,
    gain_db: i8,
}

/// Something that the caller asks for and the room decides.
#[derive(Debug, Default)]
struct Switch {
    is_on: bool,
    is_wanted: bool,
}

impl Default for Room {
    /// As rooms are where nothing is told: nobody is muted, and all may speak.
    fn default() -> Self {
        Room {
            has_moderator: false,
            mute: Switch::default(),
            hand: Switch::default(),
            may_speak: true,
            gain_db: 0,
        }
    }
}

impl Switch {
    /// What is wanted now. The next key may come before the room's answer, and means the opposite.
    fn toggle(&mut self) -> bool {
        self.is_wanted = !self.is_wanted;
        self.is_wanted
    }

    /// The room's word. Returns whether the caller doesn't know that: it is news, or not what they asked for.
    fn is_told(&mut self, is_on: bool) -> bool {
        let is_known = self.is_on == is_on && self.is_wanted == is_on;
        (self.is_on, self.is_wanted) = (is_on, is_on);
        !is_known
    }
}

/// What the room tells.
impl Menu {
    /// The caller is in.
    pub fn joined(&mut self, _now: Instant) {
        let State::Entering { is_moderator } = self.state else { return };
        self.timers.stop(Timer::Answer);
        if self.config.waits_for_moderator && !is_moderator && !self.room.has_moderator {
            self.state = State::Waiting;
            self.outbox.music = Some(true);
            self.say(Prompt::WaitingForModerator);
        } else {
            self.take_part(Prompt::Joined);
        }
        // What was told before was not said then.
        if !self.room.may_speak {
            self.say(Prompt::YouOnlyListen);
        } else if self.room.mute.is_on {
            self.say(Prompt::Muted);
        }
    }

    /// The caller is not in, and will not be.
    pub fn refused(&mut self, now: Instant, why: Refused) {
        if matches!(self.state, State::Entering { .. }) {
            self.end(now, MenuEnd::Refused(why));
        }
    }

    /// Whether a moderator is in the room. May be told before the caller is in.
    pub fn moderator_present(&mut self, _now: Instant, is_present: bool) {
        self.room.has_moderator = is_present;
        if is_present && self.state == State::Waiting {
            self.outbox.music = Some(false);
            self.take_part(Prompt::ModeratorHere);
        }
    }

    /// Whether the caller is muted, and whether somebody else has decided it.
    pub fn muted(&mut self, _now: Instant, is_muted: bool, by_moderator: bool) {
        let is_news = self.room.mute.is_told(is_muted);
        if is_news && self.state.is_in_room() {
            self.say(match (is_muted, by_moderator) {
                (true, true) => Prompt::MutedByModerator,
                (true, false) => Prompt::Muted,
                (false, _) => Prompt::Unmuted,
            });
        }
    }

    /// Whether the caller may speak, or only listens.
    pub fn role(&mut self, _now: Instant, may_speak: bool) {
        let is_news = self.room.may_speak != may_speak;
        self.room.may_speak = may_speak;
        if is_news && self.state.is_in_room() {
            self.say(if may_speak { Prompt::YouMaySpeak } else { Prompt::YouOnlyListen });
        }
    }

    /// Whether the room shows the caller's hand. Moderators lower hands, too.
    pub fn hand(&mut self, _now: Instant, is_raised: bool) {
        let is_news = self.room.hand.is_told(is_raised);
        if is_news && self.state.is_in_room() {
            self.say(if is_raised { Prompt::HandRaised } else { Prompt::HandLowered });
        }
    }

    /// A moderator has removed the caller.
    pub fn removed(&mut self, now: Instant) {
        self.end(now, MenuEnd::Removed);
    }

    /// The room was closed.
    pub fn closing(&mut self, now: Instant) {
        self.end(now, MenuEnd::Closed);
    }

    fn take_part(&mut self, announcement: Prompt) {
        self.state = State::TakingPart;
        self.outbox.take_part = true;
        self.outbox.play(Sound::Tone(Tone::Join));
        if self.config.announces {
            self.say(announcement);
        }
    }
}

/// What keys ask for.
impl Menu {
    pub(super) fn key_in_room(&mut self, now: Instant, key: char) {
        self.outbox.cut();
        let is_code = self.timers.is_running(Timer::Code);
        self.timers.stop(Timer::Code);
        match key {
            // After another star, too: who hesitates begins again.
            '*' => self.timers.start(now, Timer::Code),
            _ if is_code => self.code(now, key),
            _ => {}
        }
    }

    fn code(&mut self, now: Instant, key: char) {
        match key {
            '6' if self.room.may_speak => self.outbox.muted = Some(self.room.mute.toggle()),
            '6' => self.say(Prompt::YouOnlyListen),
            '9' => self.outbox.hand = Some(self.room.hand.toggle()),
            '7' => self.change_gain(-GAIN_STEP_DB),
            '8' => self.change_gain(GAIN_STEP_DB),
            '0' => self.say(Prompt::Keys),
            '#' => self.leave(now, MenuEnd::Left),
            _ => {}
        }
    }

    /// The tone comes at both ends of the range, too: the key was understood.
    fn change_gain(&mut self, by_db: i8) {
        let gain_db = (self.room.gain_db + by_db).clamp(-GAIN_MAX_DB, GAIN_MAX_DB);
        if gain_db != self.room.gain_db {
            self.room.gain_db = gain_db;
            self.outbox.gain_db = Some(gain_db);
        }
        self.outbox.play(Sound::Tone(Tone::Volume));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_follows_keys_that_are_faster_than_the_room() {
        let mut switch = Switch::default();
        assert_eq!([(); 3].map(|()| switch.toggle()), [true, false, true]);
        assert!(switch.is_told(true));
        assert!(!switch.is_told(true));
        assert!(!switch.toggle());
    }

    #[test]
    fn what_the_room_refuses_is_said() {
        let mut switch = Switch { is_on: true, is_wanted: true };
        switch.toggle();
        assert!(switch.is_told(true));
        assert!(!switch.toggle(), "the next key asks again");
    }
}
