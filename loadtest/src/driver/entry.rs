//! One driven peer: datagrams and the time in, datagrams out, what it hears counted.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::sync::oneshot;

use super::camera::{self, DueFrame};
use super::port::Port;
use super::simulcast::{DuePictures, Simulcast};
use super::speech::{Due, Speech};
use super::{CameraKind, PictureNews};
use crate::counts::rtp_header;
use crate::hearing::Hearing;
use crate::video::{PictureCounts, Watching};
use crate::{Counts, Peer, PeerError, PeerEvent, PeerOutput};

pub(super) struct Entry {
    pub(super) peer: Peer,
    /// Which socket it sends by.
    pub(super) port: usize,
    connected: Option<oneshot::Sender<Instant>>,
    is_connected: bool,
    media: Media,
    deadline: Instant,
}

/// What a peer sends, and what it looks into.
pub(super) struct Media {
    pub(super) speech: Option<Speech>,
    pub(super) camera: Option<Camera>,
    /// Of those who open what they receive: the few packets that a lean receiver's peer sees say nothing.
    pub(super) hearing: Option<Hearing>,
    /// Of those too who look at pictures.
    pub(super) watching: Option<Watching>,
}

/// A camera of either kind.
pub(super) enum Camera {
    Filler(camera::Camera),
    Simulcast(Box<Simulcast>),
}

impl Camera {
    pub(super) fn new(kind: CameraKind, participant: u32) -> Camera {
        match kind {
            CameraKind::Filler { kbps } => Camera::Filler(camera::Camera::new(kbps)),
            CameraKind::Simulcast => Camera::Simulcast(Box::new(Simulcast::new(participant))),
        }
    }

    fn start(&mut self, now: Instant) {
        match self {
            Camera::Filler(camera) => camera.start(now),
            Camera::Simulcast(camera) => camera.start(now),
        }
    }

    fn due(&self) -> Option<Instant> {
        match self {
            Camera::Filler(camera) => camera.due(),
            Camera::Simulcast(camera) => camera.due(),
        }
    }

    fn want_keyframe(&mut self, size: u8) {
        match self {
            Camera::Filler(camera) => camera.want_keyframe(),
            Camera::Simulcast(camera) => camera.want_keyframe(size),
        }
    }

    /// Sends what is due.
    fn send(&mut self, now: Instant, peer: &mut Peer, counts: &mut Counts) -> Result<(), PeerError> {
        match self {
            Camera::Filler(camera) => match camera.next(now) {
                Some(DueFrame { payloads, ticks }) => peer.send_video(now, payloads, ticks),
                None => Ok(()),
            },
            Camera::Simulcast(camera) => {
                let Some(DuePictures { frames, keyframes, lag }) = camera.next(now) else { return Ok(()) };
                counts.send_lag.record(lag);
                counts.pictures.keyframes_sent += keyframes;
                for (size, frame) in frames.into_iter().enumerate() {
                    match frame {
                        Some(DueFrame { payloads, ticks }) => {
                            peer.send_picture(now, size, payloads, ticks)?
                        }
                        None => counts.pictures.frames_rested += 1,
                    }
                }
                Ok(())
            }
        }
    }
}

impl Entry {
    pub(super) fn new(peer: Peer, port: usize, media: Media, connected: oneshot::Sender<Instant>) -> Entry {
        Entry { peer, port, connected: Some(connected), is_connected: false, media, deadline: Instant::now() }
    }

    /// When the entry wants to be looked at, datagrams aside.
    pub(super) fn due(&self) -> Instant {
        let frame = self.media.speech.as_ref().and_then(Speech::due);
        let picture = self.media.camera.as_ref().and_then(Camera::due);
        frame.into_iter().chain(picture).fold(self.deadline, Instant::min)
    }

    /// Takes a datagram that arrived at `at`.
    pub(super) fn receive(
        &mut self,
        from: SocketAddr,
        at: Instant,
        contents: &[u8],
        port: &Port,
        counts: &mut Counts,
    ) -> Result<(), PeerError> {
        // Its own time goes on, also where the kernel had the datagram before the latest deadline.
        self.peer.handle(Instant::now(), from, contents)?;
        self.drain(at, port, counts)
    }

    /// Does what its time has come for.
    pub(super) fn run(&mut self, now: Instant, port: &Port, counts: &mut Counts) -> Result<(), PeerError> {
        if self.deadline <= now {
            self.peer.handle_timeout(now)?;
        }
        // Those before this one in the round took their time.
        let now = Instant::now();
        if let Some(Due { audio, paused_frames, lag }) =
            self.media.speech.as_mut().and_then(|speech| speech.next(now))
        {
            counts.send_lag.record(lag);
            if paused_frames > 0 {
                self.peer.pause_frames(paused_frames);
            }
            self.peer.send_audio(now, audio)?;
        }
        if let Some(camera) = &mut self.media.camera {
            camera.send(now, &mut self.peer, counts)?;
        }
        self.drain(now, port, counts)
    }

    /// A speaker talks when it is their turn.
    pub(super) fn start_talking(&mut self) {
        if let Some(speech) = &mut self.media.speech {
            speech.start_talking();
        }
    }

    /// Its signalling says something of pictures.
    pub(super) fn take_news(&mut self, news: PictureNews, counts: &mut PictureCounts) {
        let Media { camera, watching, .. } = &mut self.media;
        match (news, watching, camera) {
            (PictureNews::IsSource(source), Some(watching), _) => watching.is_source(source),
            (PictureNews::Shows(at, sources), Some(watching), _) => watching.shows(at, &sources, counts),
            (PictureNews::LayersWanted(layers), _, Some(Camera::Simulcast(camera))) => {
                camera.want_layers(layers);
            }
            _ => {}
        }
    }

    /// Forgets what was heard: a window of measurement begins.
    pub(super) fn start_counting(&mut self, now: Instant) {
        if let Some(hearing) = &mut self.media.hearing {
            hearing.start_counting(now);
        }
        if let Some(watching) = &mut self.media.watching {
            watching.start_counting(now);
        }
    }

    /// Counts what was heard and is decided.
    pub(super) fn finish(&self, now: Instant, counts: &mut Counts) {
        if let Some(hearing) = &self.media.hearing {
            hearing.finish(now, &mut counts.heard);
        }
        if let Some(watching) = &self.media.watching {
            watching.finish(now, &mut counts.pictures);
        }
    }

    /// Says goodbye, as far as that is possible.
    pub(super) fn close(&mut self, port: &Port, counts: &mut Counts) {
        // The goodbye is a courtesy: whatever goes wrong with it, the peer is gone.
        let _ = self.peer.close();
        let _ = self.drain(Instant::now(), port, counts);
    }

    /// Moves what the peer has to say to where it belongs.
    pub(super) fn drain(&mut self, at: Instant, port: &Port, counts: &mut Counts) -> Result<(), PeerError> {
        loop {
            match self.peer.poll()? {
                PeerOutput::Timeout(deadline) => {
                    self.deadline = deadline;
                    return Ok(());
                }
                PeerOutput::Transmit { destination, contents } => {
                    if !port.send(self.peer.local(), destination, &contents) {
                        counts.sends_failed += 1;
                    } else if rtp_header(&contents).is_some() {
                        counts.packets_in += 1;
                        counts.bytes_in += contents.len() as u64;
                    }
                }
                PeerOutput::Event(event) => self.tell(event, at, counts)?,
            }
        }
    }

    fn tell(&mut self, event: PeerEvent, at: Instant, counts: &mut Counts) -> Result<(), PeerError> {
        match event {
            PeerEvent::Connected => {
                let now = Instant::now();
                self.is_connected = true;
                if let Some(speech) = &mut self.media.speech {
                    speech.start(now);
                }
                if let Some(camera) = &mut self.media.camera {
                    camera.start(now);
                }
                if let Some(connected) = self.connected.take() {
                    // Whoever joined may have given up waiting.
                    let _ = connected.send(now);
                }
            }
            PeerEvent::PacketReceived(packet) => {
                // Padding has no payload, and nothing to say.
                let is_sound = !packet.payload.is_empty() && !self.peer.is_video(packet.mid);
                if let Some(watching) = &mut self.media.watching
                    && let Some(slot) = self.peer.video_slot(packet.mid)
                {
                    watching.note(slot, &packet, at, &mut counts.pictures);
                }
                if let Some(hearing) = self.media.hearing.as_mut().filter(|_| is_sound)
                    && let Some(frame) = packet.frame()
                {
                    hearing.note(packet.ssrc, frame, at, &mut counts.heard);
                }
            }
            PeerEvent::KeyframeWanted(size) => {
                if let Some(camera) = &mut self.media.camera {
                    camera.want_keyframe(size);
                }
            }
            PeerEvent::Closed => return Err(PeerError::Ended),
            _ => {}
        }
        Ok(())
    }
}
