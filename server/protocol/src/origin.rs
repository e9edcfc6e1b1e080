//! Where a participant's tracks come from: they have one of each origin.

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
    /// A picture, for the video slots of those who watch.
    Camera,
    /// The picture of a shared screen, which comes first in these slots. There is one at a time.
    ScreenVideo,
}

/// Where audio comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AudioOrigin {
    /// A voice.
    Microphone,
    /// The sound of a screen.
    Screen,
}

/// Where a picture comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VideoOrigin {
    /// Somebody's face.
    #[default]
    Camera,
    /// Their screen.
    ScreenVideo,
}

/// What a track is, and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaOrigin {
    /// It is heard.
    Audio(AudioOrigin),
    /// It is seen.
    Video(VideoOrigin),
}

impl TrackOrigin {
    /// All of them.
    pub const ALL: [TrackOrigin; 4] =
        [TrackOrigin::Microphone, TrackOrigin::Screen, TrackOrigin::Camera, TrackOrigin::ScreenVideo];

    /// Whether it is heard or seen.
    pub fn media(self) -> MediaOrigin {
        match self {
            TrackOrigin::Microphone => MediaOrigin::Audio(AudioOrigin::Microphone),
            TrackOrigin::Screen => MediaOrigin::Audio(AudioOrigin::Screen),
            TrackOrigin::Camera => MediaOrigin::Video(VideoOrigin::Camera),
            TrackOrigin::ScreenVideo => MediaOrigin::Video(VideoOrigin::ScreenVideo),
        }
    }
}

impl AudioOrigin {
    /// Both.
    pub const ALL: [AudioOrigin; 2] = [AudioOrigin::Microphone, AudioOrigin::Screen];
}

impl VideoOrigin {
    /// Both.
    pub const ALL: [VideoOrigin; 2] = [VideoOrigin::Camera, VideoOrigin::ScreenVideo];
}

impl From<VideoOrigin> for TrackOrigin {
    fn from(origin: VideoOrigin) -> TrackOrigin {
        match origin {
            VideoOrigin::Camera => TrackOrigin::Camera,
            VideoOrigin::ScreenVideo => TrackOrigin::ScreenVideo,
        }
    }
}

impl From<AudioOrigin> for TrackOrigin {
    fn from(origin: AudioOrigin) -> TrackOrigin {
        match origin {
            AudioOrigin::Microphone => TrackOrigin::Microphone,
            AudioOrigin::Screen => TrackOrigin::Screen,
        }
    }
}

/// One for each origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ByOrigin<T> {
    /// The microphone's.
    pub microphone: T,
    /// That of the screen's sound.
    pub screen: T,
    /// The camera's.
    pub camera: T,
    /// That of the screen's picture.
    pub screen_video: T,
}

/// One for each origin of audio.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ByAudio<T> {
    /// The microphone's.
    pub microphone: T,
    /// That of the screen's sound.
    pub screen: T,
}

/// One for each origin of pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ByVideo<T> {
    /// The camera's.
    pub camera: T,
    /// The screen's.
    pub screen_video: T,
}

impl<T> ByOrigin<T> {
    /// Makes each from its origin.
    pub fn each(make: impl FnMut(TrackOrigin) -> T) -> ByOrigin<T> {
        let [microphone, screen, camera, screen_video] = TrackOrigin::ALL.map(make);
        ByOrigin { microphone, screen, camera, screen_video }
    }

    /// Each with its origin.
    pub fn iter(&self) -> impl Iterator<Item = (TrackOrigin, &T)> {
        TrackOrigin::ALL.into_iter().zip([&self.microphone, &self.screen, &self.camera, &self.screen_video])
    }
}

impl<T> ByAudio<T> {
    /// Makes each from its origin.
    pub fn each(make: impl FnMut(AudioOrigin) -> T) -> ByAudio<T> {
        let [microphone, screen] = AudioOrigin::ALL.map(make);
        ByAudio { microphone, screen }
    }

    /// Each with its origin.
    pub fn iter(&self) -> impl Iterator<Item = (AudioOrigin, &T)> {
        AudioOrigin::ALL.into_iter().zip([&self.microphone, &self.screen])
    }
}

impl<T> ByVideo<T> {
    /// Makes each from its origin.
    pub fn each(make: impl FnMut(VideoOrigin) -> T) -> ByVideo<T> {
        let [camera, screen_video] = VideoOrigin::ALL.map(make);
        ByVideo { camera, screen_video }
    }

    /// Each with its origin.
    pub fn iter(&self) -> impl Iterator<Item = (VideoOrigin, &T)> {
        VideoOrigin::ALL.into_iter().zip([&self.camera, &self.screen_video])
    }
}

impl<T> Index<TrackOrigin> for ByOrigin<T> {
    type Output = T;

    fn index(&self, origin: TrackOrigin) -> &T {
        match origin {
            TrackOrigin::Microphone => &self.microphone,
            TrackOrigin::Screen => &self.screen,
            TrackOrigin::Camera => &self.camera,
            TrackOrigin::ScreenVideo => &self.screen_video,
        }
    }
}

impl<T> IndexMut<TrackOrigin> for ByOrigin<T> {
    fn index_mut(&mut self, origin: TrackOrigin) -> &mut T {
        match origin {
            TrackOrigin::Microphone => &mut self.microphone,
            TrackOrigin::Screen => &mut self.screen,
            TrackOrigin::Camera => &mut self.camera,
            TrackOrigin::ScreenVideo => &mut self.screen_video,
        }
    }
}

impl<T> Index<AudioOrigin> for ByAudio<T> {
    type Output = T;

    fn index(&self, origin: AudioOrigin) -> &T {
        match origin {
            AudioOrigin::Microphone => &self.microphone,
            AudioOrigin::Screen => &self.screen,
        }
    }
}

impl<T> IndexMut<AudioOrigin> for ByAudio<T> {
    fn index_mut(&mut self, origin: AudioOrigin) -> &mut T {
        match origin {
            AudioOrigin::Microphone => &mut self.microphone,
            AudioOrigin::Screen => &mut self.screen,
        }
    }
}

impl<T> Index<VideoOrigin> for ByVideo<T> {
    type Output = T;

    fn index(&self, origin: VideoOrigin) -> &T {
        match origin {
            VideoOrigin::Camera => &self.camera,
            VideoOrigin::ScreenVideo => &self.screen_video,
        }
    }
}

impl<T> IndexMut<VideoOrigin> for ByVideo<T> {
    fn index_mut(&mut self, origin: VideoOrigin) -> &mut T {
        match origin {
            VideoOrigin::Camera => &mut self.camera,
            VideoOrigin::ScreenVideo => &mut self.screen_video,
        }
    }
}
