//! What a caller hears and may do before and in a room: keys and facts of the room in, what to play and to ask out.
//!
//! The menu of one call is a [`Menu`]: it has no clock, plays nothing and knows no room. Call any of its inputs, then
//! [`Menu::poll`] until there is nothing more, then [`Menu::handle_timeout`] at [`Menu::poll_timeout`], if nothing comes
//! before.
//!
//! ```
//! use std::time::Instant;
//! use tercet_sip_gateway::menu::{Menu, MenuConfig, MenuOutput};
//! use tercet_sip_gateway::prompts::Prompt;
//!
//! let now = Instant::now();
//! let pin = Some("4711".parse().unwrap());
//! let mut menu = Menu::new(MenuConfig { pin, announces: false, ..MenuConfig::default() });
//! menu.start(now);
//! assert_eq!(menu.poll(), Some(MenuOutput::Say(Prompt::EnterPin)));
//! "4711#".chars().for_each(|key| menu.key(now, key));
//! assert_eq!(menu.poll(), Some(MenuOutput::Interrupt));
//! assert_eq!(menu.poll(), Some(MenuOutput::Enter { is_moderator: false }));
//! ```

mod asking;
mod config;
mod outbox;
mod output;
mod pin;
mod playback;
mod room;
mod timers;

use std::time::Instant;

pub use config::MenuConfig;
pub use output::{MenuEnd, MenuOutput, Refused};
pub use pin::{Pin, PinError};

use crate::prompts::{Prompt, Tone};
use asking::Asking;
use outbox::Outbox;
use playback::Sound;
use room::Room;
use timers::{Timer, Timers};

/// The voice menu of one call.
///
/// ```text
///                     wrong PIN, tries left;
///                     10 s without a key, twice
///                         ┌─────┐
///          a PIN is       ▼     │ right PIN               waits_for_moderator
/// start ───────────────▶ Asking ┴───────────▶ Entering ───────────────────▶ Waiting
///   │      configured     │                   ▲   │  │ joined                 │  moderator_present:
///   │                     │                   │   │  └──────────▶ TakingPart ◀┘  music ends
///   └──── no PIN ─────────┼───────────────────┘   │                │           (who takes part stays, when
///                         │ too many tries,       │ refused,       │            the moderator goes)
///                         │ no key, 120 s         │ 15 s           │ *#
///                         ▼                       ▼                ▼
///                       Ending: the reason and a goodbye ─────────────▶ Over
///                         ▲      removed, closing: from anywhere    played, or 20 s
/// ```
///
/// Keys in the room, while waiting too, are codes of two within 3 s: `*6` mutes and unmutes, `*9` raises and lowers the
/// hand, `*7` and `*8` are softer and louder, `*#` leaves, `*0` tells the keys. Any key stops what is said, but for a
/// farewell.
#[derive(Debug)]
pub struct Menu {
    config: MenuConfig,
    state: State,
    asking: Asking,
    room: Room,
    timers: Timers,
    outbox: Outbox,
}

/// Where the call is, in the diagram of [`Menu`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    NotStarted,
    Asking,
    Entering { is_moderator: bool },
    Waiting,
    TakingPart,
    Ending(MenuEnd),
    Over,
}

impl State {
    fn is_in_room(self) -> bool {
        matches!(self, State::Waiting | State::TakingPart)
    }
}

impl Menu {
    /// Of a call that isn't answered yet.
    pub fn new(config: MenuConfig) -> Menu {
        Menu {
            config,
            state: State::NotStarted,
            asking: Asking::default(),
            room: Room::default(),
            timers: Timers::default(),
            outbox: Outbox::default(),
        }
    }

    /// The call was answered, and sound reaches the caller.
    pub fn start(&mut self, now: Instant) {
        if self.state != State::NotStarted {
            return;
        }
        if self.config.announces {
            self.say(Prompt::Welcome);
        }
        if self.config.pin.is_none() && self.config.moderator_pin.is_none() {
            self.enter(now, false);
        } else {
            self.state = State::Asking;
            self.timers.start(now, Timer::Asking);
            self.ask();
        }
    }

    /// A key was pressed: a digit, `*`, `#`, or `A` to `D`, which do nothing.
    pub fn key(&mut self, now: Instant, key: char) {
        // A key after the time was up comes too late, whenever the timeout is handled.
        self.handle_timeout(now);
        if !matches!(key, '0'..='9' | '*' | '#' | 'A'..='D') {
            return;
        }
        match self.state {
            State::Asking => self.key_of_pin(now, key),
            State::Waiting | State::TakingPart => self.key_in_room(now, key),
            State::NotStarted | State::Entering { .. } | State::Ending(_) | State::Over => {}
        }
    }

    /// What was to be played has been played to its end.
    pub fn played(&mut self, now: Instant) {
        // It has ended before anybody was told to stop it: what it was cut for comes next.
        if std::mem::take(&mut self.outbox.interrupt) || !self.outbox.playback.played() {
            return;
        }
        match self.state {
            State::Asking => self.question_was_heard(now),
            State::Ending(end) => self.finish(end),
            _ => {}
        }
    }

    /// When [`Menu::handle_timeout`] is to be called, if nothing comes before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.expired(now) {
            match timer {
                Timer::NoKey => self.no_key_came(now),
                Timer::PinPause => self.pin_was_entered(now),
                // A star alone was no code.
                Timer::Code => {}
                Timer::Asking => self.end(now, MenuEnd::NoInput),
                Timer::Answer => self.leave(now, MenuEnd::Refused(Refused::Other)),
                Timer::Farewell => {
                    self.outbox.cut();
                    if let State::Ending(end) = self.state {
                        self.finish(end);
                    }
                }
            }
        }
    }

    /// What is to be done next; `None` until something happens.
    pub fn poll(&mut self) -> Option<MenuOutput> {
        self.outbox.poll()
    }

    /// Wrong PINs so far.
    pub fn tries(&self) -> u8 {
        self.asking.tries
    }

    fn enter(&mut self, now: Instant, is_moderator: bool) {
        self.state = State::Entering { is_moderator };
        self.timers.stop_all();
        self.timers.start(now, Timer::Answer);
        self.outbox.enter = Some(is_moderator);
    }

    /// As [`Menu::end`], and the room doesn't know yet.
    fn leave(&mut self, now: Instant, end: MenuEnd) {
        // A room that wasn't asked to let the caller in can't be left.
        let was_asked = self.outbox.enter.is_none();
        self.end(now, end);
        self.outbox.leave = was_asked;
    }

    /// Says why and goodbye. What was asked of the room until now doesn't matter any more.
    fn end(&mut self, now: Instant, end: MenuEnd) {
        if matches!(self.state, State::Ending(_) | State::Over) {
            return;
        }
        self.outbox.cut();
        self.outbox.drop_requests();
        if self.state == State::Waiting {
            self.outbox.music = Some(false);
        }
        if self.state == State::TakingPart {
            self.outbox.play(Sound::Tone(Tone::Leave));
        }
        self.state = State::Ending(end);
        self.timers.stop_all();
        self.timers.start(now, Timer::Farewell);
        if let Some(reason) = reason(end) {
            self.say(reason);
        }
        self.say(Prompt::Goodbye);
    }

    fn finish(&mut self, end: MenuEnd) {
        self.state = State::Over;
        self.timers.stop_all();
        self.outbox.end = Some(end);
    }

    fn say(&mut self, prompt: Prompt) {
        self.outbox.play(Sound::Prompt(prompt));
    }
}

/// What is said before the goodbye.
fn reason(end: MenuEnd) -> Option<Prompt> {
    match end {
        MenuEnd::WrongPin => Some(Prompt::TooManyTries),
        MenuEnd::NoInput | MenuEnd::Left => None,
        MenuEnd::Removed => Some(Prompt::Removed),
        MenuEnd::Closed => Some(Prompt::Closing),
        MenuEnd::Refused(Refused::Full) => Some(Prompt::RoomFull),
        MenuEnd::Refused(Refused::NotFound) => Some(Prompt::NotFound),
        MenuEnd::Refused(Refused::Other) => Some(Prompt::CannotJoin),
    }
}

#[cfg(test)]
mod tests;
