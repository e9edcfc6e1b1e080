//! Where a participant's audio comes from: they have two tracks, one of each origin.

use std::ops::{Index, IndexMut};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a published track comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrackOrigin {
    /// A voice, which competes for the slots.
    #[default]
    Microphone,
    /// The sound of a shared screen, tab or application. It takes nobody's slot: there is one of its own.
    Screen,
}

impl TrackOrigin {
    /// Both.
    pub const ALL: [TrackOrigin; 2] = [TrackOrigin::Microphone, TrackOrigin::Screen];
}

/// One for each origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ByOrigin<T> {
    /// The microphone's.
    pub microphone: T,
    /// The screen's.
    pub screen: T,
}

impl<T> ByOrigin<T> {
    /// Makes each from its origin.
    pub fn each(mut make: impl FnMut(TrackOrigin) -> T) -> ByOrigin<T> {
        ByOrigin { microphone: make(TrackOrigin::Microphone), screen: make(TrackOrigin::Screen) }
    }

    /// Each with its origin.
    pub fn iter(&self) -> impl Iterator<Item = (TrackOrigin, &T)> {
        [(TrackOrigin::Microphone, &self.microphone), (TrackOrigin::Screen, &self.screen)].into_iter()
    }
}

impl<T> Index<TrackOrigin> for ByOrigin<T> {
    type Output = T;

    fn index(&self, origin: TrackOrigin) -> &T {
        match origin {
            TrackOrigin::Microphone => &self.microphone,
            TrackOrigin::Screen => &self.screen,
        }
    }
}

impl<T> IndexMut<TrackOrigin> for ByOrigin<T> {
    fn index_mut(&mut self, origin: TrackOrigin) -> &mut T {
        match origin {
            TrackOrigin::Microphone => &mut self.microphone,
            TrackOrigin::Screen => &mut self.screen,
        }
    }
}
