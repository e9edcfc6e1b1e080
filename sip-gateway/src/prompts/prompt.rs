//! The names of what phones are told. The build reads this file too: each has a text in each language.

use std::fmt;

/// What a phone is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Prompt {
    /// The call was answered.
    Welcome,
    /// A PIN is asked for, and the hash key after it.
    EnterPin,
    /// Moderators are asked for their PIN, everybody else for the hash key alone.
    EnterModeratorPin,
    /// It was not the PIN.
    WrongPin,
    /// It was not the PIN once more, and that is enough.
    TooManyTries,
    /// In the room: heard, and hearing.
    Joined,
    /// In the waiting room.
    WaitingForModerator,
    /// The wait is over: heard, and hearing.
    ModeratorHere,
    /// Muted, as asked for.
    Muted,
    /// Heard again.
    Unmuted,
    /// Muted by somebody else.
    MutedByModerator,
    /// Those who see the room see a raised hand.
    HandRaised,
    /// The hand is down.
    HandLowered,
    /// Promoted: who listened may speak.
    YouMaySpeak,
    /// Demoted, or never allowed to speak.
    YouOnlyListen,
    /// There is no place in the room.
    RoomFull,
    /// There is no such room.
    NotFound,
    /// The room can't be joined, for a reason that is no caller's business.
    CannotJoin,
    /// A moderator has ended the call.
    Removed,
    /// The room was closed.
    Closing,
    /// What the keys do.
    Keys,
    /// The last that is said.
    Goodbye,
}

impl Prompt {
    /// How many there are.
    pub const COUNT: usize = Prompt::ALL.len();

    /// All of them, in the order of their discriminants.
    pub const ALL: [Prompt; 22] = [
        Prompt::Welcome,
        Prompt::EnterPin,
        Prompt::EnterModeratorPin,
        Prompt::WrongPin,
        Prompt::TooManyTries,
        Prompt::Joined,
        Prompt::WaitingForModerator,
        Prompt::ModeratorHere,
        Prompt::Muted,
        Prompt::Unmuted,
        Prompt::MutedByModerator,
        Prompt::HandRaised,
        Prompt::HandLowered,
        Prompt::YouMaySpeak,
        Prompt::YouOnlyListen,
        Prompt::RoomFull,
        Prompt::NotFound,
        Prompt::CannotJoin,
        Prompt::Removed,
        Prompt::Closing,
        Prompt::Keys,
        Prompt::Goodbye,
    ];

    /// Its name in texts and files, in kebab case.
    pub const fn name(self) -> &'static str {
        match self {
            Prompt::Welcome => "welcome",
            Prompt::EnterPin => "enter-pin",
            Prompt::EnterModeratorPin => "enter-moderator-pin",
            Prompt::WrongPin => "wrong-pin",
            Prompt::TooManyTries => "too-many-tries",
            Prompt::Joined => "joined",
            Prompt::WaitingForModerator => "waiting-for-moderator",
            Prompt::ModeratorHere => "moderator-here",
            Prompt::Muted => "muted",
            Prompt::Unmuted => "unmuted",
            Prompt::MutedByModerator => "muted-by-moderator",
            Prompt::HandRaised => "hand-raised",
            Prompt::HandLowered => "hand-lowered",
            Prompt::YouMaySpeak => "you-may-speak",
            Prompt::YouOnlyListen => "you-only-listen",
            Prompt::RoomFull => "room-full",
            Prompt::NotFound => "not-found",
            Prompt::CannotJoin => "cannot-join",
            Prompt::Removed => "removed",
            Prompt::Closing => "closing",
            Prompt::Keys => "keys",
            Prompt::Goodbye => "goodbye",
        }
    }

    /// The prompt of a name.
    pub fn named(name: &str) -> Option<Prompt> {
        Prompt::ALL.into_iter().find(|prompt| prompt.name() == name)
    }
}

impl fmt::Display for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discriminants_are_places_in_all() {
        assert!(Prompt::ALL.into_iter().enumerate().all(|(at, prompt)| prompt as usize == at));
    }

    #[test]
    fn a_name_is_of_one_prompt() {
        assert!(Prompt::ALL.into_iter().all(|prompt| Prompt::named(prompt.name()) == Some(prompt)));
        assert_eq!(Prompt::named("hold"), None);
    }
}
