//! What the many clients do, as data: how many there are, how many talk at a time, who comes and goes, and what
//! the server has to keep to. [`crate::run`] does it.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::{Spells, Turns};

/// Rooms beside each other are out of step by this.
const ROOM_OFFSET_MS: u64 = 1_370;

/// A scenario, or one made of it by other numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What it is, for a list.
    #[serde(skip)]
    pub about: &'static str,
    /// Rooms beside each other; the numbers of people are of each.
    pub rooms: u32,
    /// How many of the rooms talk at a time, while the others are silent; all if absent.
    pub talking_rooms: Option<u32>,
    /// Participants who publish, and hear the others.
    pub speakers: u32,
    /// Participants who only listen.
    pub listeners: u32,
    /// Whether these are phones, which call in over SIP and say nothing.
    pub by_phone: bool,
    /// How many of the speakers have a camera, and what it sends, if anybody has.
    pub video: Option<Video>,
    /// Whether they come by WHIP and WHEP.
    pub is_standard: bool,
    /// How many talk at a time.
    pub talkers: u32,
    /// Who comes and goes while it is measured.
    pub traffic: Traffic,
    /// How long it is measured.
    #[serde(rename = "window_seconds", serialize_with = "as_seconds")]
    pub window: Duration,
    /// Whether more talk than can be heard, so that turns get lost by intent.
    pub overlaps: bool,
}

/// Cameras.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Video {
    /// How many of the speakers have one.
    pub cameras: u32,
    /// What each sends, in kbit/s; with simulcast, about, in all sizes together.
    pub kbps: u32,
    /// How many everybody watches at once, if the room has so many slots.
    pub slots: u8,
    /// Whether they send real pictures in three sizes, and viewers look at what they get.
    pub is_simulcast: bool,
}

/// What is wrong with a scenario of one's own numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// Neither speakers nor listeners.
    #[error("nobody is there: a room needs a speaker or a listener")]
    Nobody,
    /// Phones, and nobody for them to hear.
    #[error("phones need somebody to hear: set --speakers and --talkers")]
    NobodyToHear,
    /// Pictures, and nobody who has a camera.
    #[error("somebody has to be seen: set --speakers")]
    NobodyToSee,
    /// More talkers than speakers.
    #[error(
        "{talkers} can't talk at a time where there are {speakers} speakers: set --talkers or --speakers"
    )]
    Talkers {
        /// How many were to talk at a time.
        talkers: u32,
        /// How many there are to do so.
        speakers: u32,
    },
    /// More rooms that talk than rooms.
    #[error("{talking} rooms can't talk at a time where there are {rooms}: set --talking-rooms or --rooms")]
    TalkingRooms {
        /// How many were to talk at a time.
        talking: u32,
        /// How many there are.
        rooms: u32,
    },
}

/// Who comes and goes during the window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Traffic {
    /// Nobody.
    None,
    /// Visitors: so many join each second, and leave after some seconds. Those who stay must not notice.
    Churn {
        /// Joins a second.
        joins_per_second: f64,
        /// How long each stays.
        #[serde(rename = "stay_seconds", serialize_with = "as_seconds")]
        stay: Duration,
    },
    /// All listeners lose their network at once, after a second, and join again.
    Storm,
    /// Participants join as fast as they can and leave at once; at most so many.
    Rush {
        /// How many.
        joins_max: u32,
    },
    /// Nobody, and a line of figures from time to time.
    Soak {
        /// Between the lines.
        #[serde(rename = "line_every_seconds", serialize_with = "as_seconds")]
        line_every: Duration,
    },
}

fn as_seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const TOWNHALL: Scenario = Scenario {
    name: "townhall",
    about: "a room of 10 speakers, three of whom talk at a time, and many listeners",
    rooms: 1,
    talking_rooms: None,
    speakers: 10,
    listeners: 300,
    by_phone: false,
    video: None,
    is_standard: false,
    talkers: 3,
    traffic: Traffic::None,
    window: seconds(30),
    overlaps: false,
};

const VIDEO: Scenario = Scenario {
    name: "video",
    about: "a meeting of 10 with cameras in three sizes, and 10 who only watch: everybody has one large picture, the others small",
    speakers: 10,
    listeners: 10,
    video: Some(Video { cameras: u32::MAX, kbps: 2_400, slots: u8::MAX, is_simulcast: true }),
    talkers: 2,
    ..TOWNHALL
};

/// All scenarios.
pub const SCENARIOS: [Scenario; 15] = [
    Scenario {
        name: "quiet-room",
        about: "a room in which nobody says a word: what being there costs",
        speakers: 10,
        listeners: 90,
        talkers: 0,
        ..TOWNHALL
    },
    Scenario {
        name: "panel",
        about: "a discussion of four before an audience: one talks, another joins in",
        speakers: 4,
        listeners: 50,
        talkers: 2,
        ..TOWNHALL
    },
    TOWNHALL,
    Scenario {
        name: "meeting",
        about: "everybody may speak and hears all others: nobody may hear themselves",
        speakers: 10,
        listeners: 0,
        talkers: 2,
        ..TOWNHALL
    },
    Scenario {
        name: "overlap",
        about: "six talk at a time, more than there are slots",
        speakers: 12,
        listeners: 50,
        talkers: 6,
        overlaps: true,
        ..TOWNHALL
    },
    Scenario {
        name: "churn",
        about: "five visitors join a second, and leave again: those who stay must not notice",
        listeners: 50,
        traffic: Traffic::Churn { joins_per_second: 5.0, stay: seconds(4) },
        ..TOWNHALL
    },
    Scenario {
        name: "reconnect-storm",
        about: "all listeners lose their network at once and come back: the speakers must not notice",
        listeners: 200,
        traffic: Traffic::Storm,
        ..TOWNHALL
    },
    Scenario {
        name: "long",
        about: "a townhall for ten minutes, with a line of figures every ten seconds",
        listeners: 100,
        traffic: Traffic::Soak { line_every: seconds(10) },
        window: seconds(600),
        ..TOWNHALL
    },
    Scenario {
        name: "rooms",
        about: "many rooms of 10, three of whom speak",
        rooms: 10,
        speakers: 3,
        listeners: 7,
        talkers: 3,
        ..TOWNHALL
    },
    Scenario {
        name: "sip-mix",
        about: "phones that listen to a conversation: what a call costs, beside what its RTP and its codec do",
        speakers: 3,
        listeners: 50,
        by_phone: true,
        talkers: 2,
        ..TOWNHALL
    },
    Scenario {
        name: "broadcast",
        about: "one source of audio and video by WHIP, and many who watch it by WHEP",
        speakers: 1,
        listeners: 100,
        video: Some(Video { cameras: 1, kbps: 1_500, slots: 1, is_simulcast: false }),
        is_standard: true,
        talkers: 1,
        ..TOWNHALL
    },
    Scenario {
        name: "whip-many",
        about: "many sources of audio and video by WHIP, a room for each, and one who watches it by WHEP",
        rooms: 50,
        speakers: 1,
        listeners: 1,
        video: Some(Video { cameras: 1, kbps: 1_500, slots: 1, is_simulcast: false }),
        is_standard: true,
        talkers: 1,
        ..TOWNHALL
    },
    VIDEO,
    Scenario {
        name: "video-large",
        about: "the same of 20, and 20 who only watch",
        speakers: 20,
        listeners: 20,
        ..VIDEO
    },
    Scenario {
        name: "joins",
        about: "participants join as fast as they can, and leave at once",
        speakers: 0,
        listeners: 0,
        talkers: 0,
        traffic: Traffic::Rush { joins_max: 100_000 },
        window: seconds(10),
        ..TOWNHALL
    },
];

impl Scenario {
    /// The scenario of that name.
    pub fn named(name: &str) -> Option<Scenario> {
        SCENARIOS.into_iter().find(|scenario| scenario.name == name)
    }

    /// Those who are there from the beginning, but for phones.
    pub fn participants(&self) -> u32 {
        let listeners = if self.by_phone { 0 } else { self.listeners };
        self.rooms * (self.speakers + listeners)
    }

    /// Phones that call in.
    pub fn calls(&self) -> u32 {
        if self.by_phone { self.rooms * self.listeners } else { 0 }
    }

    /// Whether it can be run.
    ///
    /// # Errors
    /// Nobody is there, or more are to talk than can.
    pub fn check(&self) -> Result<(), ScenarioError> {
        let Scenario { rooms, speakers, talkers, traffic, .. } = *self;
        if !self.has_media() && !matches!(traffic, Traffic::Rush { .. }) {
            return Err(ScenarioError::Nobody);
        }
        if self.by_phone && talkers == 0 {
            return Err(ScenarioError::NobodyToHear);
        }
        if self.is_simulcast() && speakers == 0 {
            return Err(ScenarioError::NobodyToSee);
        }
        if talkers > speakers {
            return Err(ScenarioError::Talkers { talkers, speakers });
        }
        if let Some(talking) = self.talking_rooms.filter(|talking| *talking > rooms) {
            return Err(ScenarioError::TalkingRooms { talking, rooms });
        }
        Ok(())
    }

    /// Who talks when in one of the rooms.
    pub fn turns(&self, room: u32) -> Turns {
        let Scenario { rooms, speakers, talkers, .. } = *self;
        let spells = self.talking_rooms.and_then(|talking| Spells::of(room, rooms, talking));
        Turns { speakers, talkers, offset_ms: u64::from(room) * ROOM_OFFSET_MS, spells }
    }

    /// Whether there are cameras with real pictures in three sizes.
    pub fn is_simulcast(&self) -> bool {
        self.video.is_some_and(|video| video.is_simulcast)
    }

    /// Whether anybody stays in place for the whole of the window.
    pub fn has_media(&self) -> bool {
        self.participants() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_has_a_name_of_its_own_and_can_be_run() {
        for (index, scenario) in SCENARIOS.iter().enumerate() {
            assert_eq!(Scenario::named(scenario.name).as_ref(), Some(scenario));
            assert!(SCENARIOS[..index].iter().all(|other| other.name != scenario.name));
            assert!(scenario.window >= seconds(10));
            assert_eq!(scenario.check(), Ok(()));
        }
        assert_eq!(Scenario::named("room"), None);
    }

    #[test]
    fn an_empty_room_and_more_talkers_than_speakers_are_refused() {
        let of = |speakers, listeners, talkers| Scenario { speakers, listeners, talkers, ..TOWNHALL }.check();
        assert_eq!((of(3, 0, 3), of(0, 1, 0)), (Ok(()), Ok(())));
        assert_eq!(of(0, 0, 0), Err(ScenarioError::Nobody));
        assert_eq!(of(2, 9, 3), Err(ScenarioError::Talkers { talkers: 3, speakers: 2 }));
    }

    #[test]
    fn listeners_of_a_mix_are_phones_and_somebody_talks_to_them() {
        let mix = Scenario::named("sip-mix").expect("it is one of ours");
        let of = |listeners| Scenario { rooms: 2, listeners, ..mix.clone() };
        assert_eq!((of(200).participants(), of(200).calls()), (6, 400));
        assert_eq!((TOWNHALL.participants(), TOWNHALL.calls()), (310, 0));
        assert_eq!(Scenario { talkers: 0, ..mix }.check(), Err(ScenarioError::NobodyToHear));
        assert_eq!(Scenario { speakers: 0, talkers: 0, ..VIDEO }.check(), Err(ScenarioError::NobodyToSee));
    }

    #[test]
    fn as_many_rooms_may_talk_as_there_are() {
        let of = |rooms, talking| Scenario { rooms, talking_rooms: Some(talking), ..TOWNHALL };
        assert_eq!(of(30, 30).check(), Ok(()));
        assert_eq!(of(10, 30).check(), Err(ScenarioError::TalkingRooms { talking: 30, rooms: 10 }));
        assert_eq!(of(30, 30).turns(4), Scenario { rooms: 30, ..TOWNHALL }.turns(4), "all talk");
        assert!(of(31, 30).turns(4).spells.is_some());
    }
}
