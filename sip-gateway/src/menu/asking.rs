//! Before the room: keys in, the PIN that they are out. Neither what is said nor when tells how many digits a PIN has: it
//! ends with the hash key, or with a pause.

use std::time::Instant;

use super::pin::Entry;
use super::timers::Timer;
use super::{Menu, MenuEnd};
use crate::prompts::Prompt;

/// How often the question is repeated to who presses no key.
const REPEATS_MAX: u8 = 2;

/// How far the caller has come with the PIN.
#[derive(Debug, Default)]
pub(super) struct Asking {
    entry: Entry,
    pub(super) tries: u8,
    /// Since the last PIN, right or wrong.
    repeats: u8,
}

impl Menu {
    pub(super) fn ask(&mut self) {
        // Only moderators have a PIN: it is asked for so that everybody else gets in without one.
        let is_open = self.config.pin.is_none();
        self.say(if is_open { Prompt::EnterModeratorPin } else { Prompt::EnterPin });
    }

    pub(super) fn key_of_pin(&mut self, now: Instant, key: char) {
        self.outbox.cut();
        match key {
            '0'..='9' => {
                self.asking.entry.push(key as u8);
                self.timers.stop(Timer::NoKey);
                self.timers.start(now, Timer::PinPause);
            }
            '#' if !self.asking.entry.is_empty() => return self.pin_was_entered(now),
            '#' if self.config.pin.is_none() => return self.enter(now, false),
            // Begin again, as a mistyped PIN asks for.
            '*' => {
                self.asking.entry = Entry::default();
                self.timers.stop(Timer::PinPause);
            }
            _ => {}
        }
        // The key has cut the question, whose end would have started the timer.
        if self.asking.entry.is_empty() && !self.timers.is_running(Timer::NoKey) {
            self.timers.start(now, Timer::NoKey);
        }
    }

    pub(super) fn question_was_heard(&mut self, now: Instant) {
        if self.asking.entry.is_empty() {
            self.timers.start(now, Timer::NoKey);
        }
    }

    pub(super) fn no_key_came(&mut self, now: Instant) {
        if self.config.pin.is_none() {
            self.enter(now, false);
        } else if self.asking.repeats == REPEATS_MAX {
            self.end(now, MenuEnd::NoInput);
        } else {
            self.asking.repeats += 1;
            self.ask();
        }
    }

    pub(super) fn pin_was_entered(&mut self, now: Instant) {
        self.timers.stop(Timer::PinPause);
        let entry = std::mem::take(&mut self.asking.entry);
        self.asking.repeats = 0;
        let is_moderator = entry.is(self.config.moderator_pin.as_ref());
        let is_participant = entry.is(self.config.pin.as_ref());
        if is_moderator | is_participant {
            return self.enter(now, is_moderator);
        }
        self.asking.tries += 1;
        if self.asking.tries >= self.config.tries_max {
            self.end(now, MenuEnd::WrongPin);
        } else {
            self.say(Prompt::WrongPin);
            self.ask();
        }
    }
}
