//! What is to be said in, one after the other out: news replaces what it makes old, so the queue has an end.

use std::collections::VecDeque;

use super::MenuOutput;
use crate::prompts::{Prompt, Tone};

/// What is played as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sound {
    Prompt(Prompt),
    Tone(Tone),
}

/// Sounds of one kind tell the same thing: of two that wait, only the newer is true.
#[derive(PartialEq, Eq)]
enum Kind {
    Greeting,
    /// What is wrong with what was entered.
    Complaint,
    Question,
    Arrival,
    /// In the waiting room, or in the room.
    Presence,
    Mute,
    Hand,
    Role,
    Keys,
    Volume,
    /// Why it ends.
    Reason,
    Farewell,
}

/// As many as there are kinds: [`Kind::Farewell`] is the last one.
#[cfg(test)]
pub(super) const WAITING_MAX: usize = Kind::Farewell as usize + 1;

/// What is played, and what waits.
#[derive(Debug, Default)]
pub(super) struct Playback {
    waiting: VecDeque<Sound>,
    is_playing: bool,
}

impl Playback {
    /// Takes the place of what waits of the same kind, or stands last.
    pub(super) fn push(&mut self, sound: Sound) {
        match self.waiting.iter_mut().find(|waiting| kind(**waiting) == kind(sound)) {
            Some(waiting) => *waiting = sound,
            None => self.waiting.push_back(sound),
        }
    }

    /// What is to be played now.
    pub(super) fn next(&mut self) -> Option<MenuOutput> {
        if self.is_playing {
            return None;
        }
        let sound = self.waiting.pop_front()?;
        self.is_playing = true;
        Some(match sound {
            Sound::Prompt(prompt) => MenuOutput::Say(prompt),
            Sound::Tone(tone) => MenuOutput::Tone(tone),
        })
    }

    /// What was played has ended. Returns whether that was the last, or nothing was played.
    pub(super) fn played(&mut self) -> bool {
        self.is_playing = false;
        self.is_silent()
    }

    /// Nothing is played, and nothing waits.
    pub(super) fn is_silent(&self) -> bool {
        !self.is_playing && self.waiting.is_empty()
    }

    /// Nothing waits any more. Returns whether something was played, which has to be stopped.
    pub(super) fn cut(&mut self) -> bool {
        self.waiting.clear();
        std::mem::take(&mut self.is_playing)
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

fn kind(sound: Sound) -> Kind {
    match sound {
        Sound::Tone(Tone::Join | Tone::Leave) => Kind::Arrival,
        Sound::Tone(Tone::Volume) => Kind::Volume,
        Sound::Prompt(prompt) => match prompt {
            Prompt::Welcome => Kind::Greeting,
            Prompt::WrongPin => Kind::Complaint,
            Prompt::EnterPin | Prompt::EnterModeratorPin => Kind::Question,
            Prompt::Joined | Prompt::WaitingForModerator | Prompt::ModeratorHere => Kind::Presence,
            Prompt::Muted | Prompt::Unmuted | Prompt::MutedByModerator => Kind::Mute,
            Prompt::HandRaised | Prompt::HandLowered => Kind::Hand,
            Prompt::YouMaySpeak | Prompt::YouOnlyListen => Kind::Role,
            Prompt::Keys => Kind::Keys,
            Prompt::TooManyTries
            | Prompt::RoomFull
            | Prompt::NotFound
            | Prompt::CannotJoin
            | Prompt::Removed
            | Prompt::Closing => Kind::Reason,
            Prompt::Goodbye => Kind::Farewell,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_of_a_kind_is_said() {
        let mut playback = Playback::default();
        for prompt in [Prompt::Joined, Prompt::Muted, Prompt::HandRaised, Prompt::Unmuted, Prompt::Muted] {
            playback.push(Sound::Prompt(prompt));
        }
        let said: Vec<MenuOutput> = std::iter::from_fn(|| {
            let next = playback.next();
            playback.played();
            next
        })
        .collect();
        assert_eq!(said, [Prompt::Joined, Prompt::Muted, Prompt::HandRaised].map(MenuOutput::Say));
    }

    #[test]
    fn one_is_played_at_a_time() {
        let mut playback = Playback::default();
        playback.push(Sound::Prompt(Prompt::Welcome));
        playback.push(Sound::Prompt(Prompt::EnterPin));
        assert_eq!(playback.next(), Some(MenuOutput::Say(Prompt::Welcome)));
        assert_eq!(playback.next(), None);
        assert!(!playback.played());
        assert_eq!(playback.next(), Some(MenuOutput::Say(Prompt::EnterPin)));
        assert!(playback.played());
    }

    #[test]
    fn all_prompts_and_tones_at_once_wait_one_a_kind() {
        let mut playback = Playback::default();
        Prompt::ALL.into_iter().for_each(|prompt| playback.push(Sound::Prompt(prompt)));
        Tone::ALL.into_iter().for_each(|tone| playback.push(Sound::Tone(tone)));
        assert_eq!(playback.waiting(), WAITING_MAX);
    }
}
