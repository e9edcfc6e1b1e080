//! What comes out of a menu: what to play, what to ask of the room, and how it ended.

use crate::prompts::{Prompt, Tone};

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MenuOutput {
    /// Play it from its beginning, then call [`Menu::played`](super::Menu::played). The next is told after that: there is
    /// never more than one to be played.
    Say(Prompt),
    /// As [`MenuOutput::Say`], a tone.
    Tone(Tone),
    /// Stop what is played. It counts as never played: nothing is to be told of it.
    Interrupt,
    /// From now on play music wherever nothing else is played, or no longer.
    Music(bool),
    /// The caller may join the room: answer with [`Menu::joined`](super::Menu::joined) or
    /// [`Menu::refused`](super::Menu::refused).
    Enter {
        /// As a moderator.
        is_moderator: bool,
    },
    /// From now on the caller is heard in the room, and hears it.
    TakePart,
    /// Ask the room to mute the caller, or to let them be heard; [`Menu::muted`](super::Menu::muted) tells what came of it.
    SetMuted(bool),
    /// Ask the room to show a raised hand, or none; [`Menu::hand`](super::Menu::hand) tells what came of it.
    RaiseHand(bool),
    /// How loud the caller hears the room from now on.
    Volume {
        /// From -12 to 12, in steps of 3; 0 before the first of this.
        gain_db: i8,
    },
    /// Leave the room, which the caller neither hears nor is heard in from now on: a farewell comes, and then the end.
    /// Only after [`MenuOutput::Enter`], and not if it was the room that said so.
    Leave,
    /// Hang up. The last that comes out.
    End(MenuEnd),
}

/// Why a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MenuEnd {
    /// Too many wrong PINs.
    WrongPin,
    /// No key, or none that led anywhere, where a PIN was asked for.
    NoInput,
    /// The caller has pressed the keys that say so.
    Left,
    /// A moderator has removed the caller.
    Removed,
    /// The room was closed.
    Closed,
    /// The room couldn't be joined.
    Refused(Refused),
}

/// Why a room can't be joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// It has no place left.
    Full,
    /// There is no such room.
    NotFound,
    /// Something that a caller can do nothing about.
    Other,
}
