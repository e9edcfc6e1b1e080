//! Tercet: one WebSocket, one peer connection for both directions, offered by the client. What the server says of pictures goes to the
//! driver.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use tercet_protocol::{Request, Role, ServerMessage, SlotView, VideoOrigin, Welcome};
use tokio::sync::watch;

use super::{JoinRequest, Joined, Leg, told_to_leave};
use crate::token::{self, Claims};
use crate::video::height_of;
use crate::{
    Driver, MediaStream, Peer, PeerKey, PeerOptions, PictureNews, ServerUrl, Signalling, VideoOffer,
};

/// Well within `session.idle_ms`.
const PING_EVERY: Duration = Duration::from_secs(10);

/// Of the request for the metrics.
const METRICS_TIMEOUT: Duration = Duration::from_secs(5);

/// The WebSocket of somebody who is in a room.
pub struct Link {
    signalling: Signalling,
    /// Of somebody who looks at pictures: who is who.
    cameras: Option<Cameras>,
}

/// The sources of cameras, by the ids of those who have them.
struct Cameras {
    own: u32,
    sources: HashMap<String, u32>,
}

pub(super) async fn join(request: &JoinRequest, driver: &Driver) -> anyhow::Result<Joined> {
    let server = &request.server;
    let token = token_for(request).await?;
    let started = Instant::now();
    let mut signalling = Signalling::connect(server).await?;
    let welcome = signalling.join(&token, None).await?;
    let place = driver.place()?;
    let slots = |video: VideoOffer| video.slots.min(welcome.room.video_slots);
    let video = request.video.map(|video| VideoOffer { slots: slots(video), ..video });
    let options = PeerOptions { data_channels: false, video, ..PeerOptions::default() };
    let mut peer = Peer::new(Instant::now(), place.address(), options)?;
    let offer = Request::Offer { sdp: peer.offer(welcome.room.slots), fresh: false };
    let ServerMessage::Answer { sdp, video: mids, .. } = signalling.request(offer).await? else {
        bail!("an offer was answered by something else");
    };
    peer.accept_answer(&sdp)?;
    let cameras = match video.filter(|video| video.is_simulcast) {
        Some(_) => {
            peer.set_video_slots(mids.iter().map(|slot| MediaStream::from(slot.mid.as_str())));
            let height = |index: u8| height_of(usize::from(index));
            let views = mids.iter().map(|slot| SlotView { index: slot.index, height: height(slot.index) });
            signalling.request(Request::View { slots: views.collect() }).await?;
            Some(Cameras::new(&welcome))
        }
        None => None,
    };
    let leg = Leg { peer, place, publishes: true };
    Ok(Joined { started, legs: vec![leg], link: super::Link::Tercet(Link { signalling, cameras }) })
}

impl Cameras {
    fn new(welcome: &Welcome) -> Cameras {
        let those_there = welcome.participants.iter().map(|it| (it.id.clone(), it.camera_source));
        let sources: HashMap<String, u32> = those_there.collect();
        Cameras { own: sources.get(&welcome.participant).copied().unwrap_or(0), sources }
    }

    /// What a message says of pictures.
    fn read(&mut self, message: ServerMessage) -> Option<PictureNews> {
        match message {
            ServerMessage::ParticipantJoined { participant }
            | ServerMessage::ParticipantUpdated { participant } => {
                self.sources.insert(participant.id, participant.camera_source);
                None
            }
            ServerMessage::Video { slots } => {
                let source = |id: Option<String>| self.sources.get(&id?).copied();
                let sources = slots.into_iter().map(|slot| source(slot.participant));
                Some(PictureNews::Shows(Instant::now(), sources.collect()))
            }
            ServerMessage::VideoWanted { origin: VideoOrigin::Camera, layers } => {
                Some(PictureNews::LayersWanted(layers))
            }
            _ => None,
        }
    }
}

/// The token of somebody who wants to join.
pub(super) async fn token_for(request: &JoinRequest) -> anyhow::Result<String> {
    let JoinRequest { server, secret, room, name, speaks, .. } = request;
    let role = if *speaks { Role::Speaker } else { Role::Listener };
    Ok(match secret {
        Some(secret) => Claims::new(room, name, role).sign(secret.as_bytes())?,
        None => token::fetch(server, room, name, role).await?.token,
    })
}

/// Whether the server has, or had, participants, by its metrics. One that doesn't tell hasn't.
pub(super) async fn has_served(server: ServerUrl) -> bool {
    let metrics = tokio::task::spawn_blocking(move || {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(METRICS_TIMEOUT))
            // A proxy from the environment would take the request off this machine.
            .proxy(None)
            .max_redirects(0)
            .build()
            .into();
        agent.get(server.http("/metrics")).call()?.body_mut().read_to_string()
    });
    matches!(metrics.await, Ok(Ok(metrics)) if tell_of_participants(&metrics))
}

/// Nothing comes to the media ports before somebody connects. Lines are `name{labels} value`.
fn tell_of_participants(metrics: &str) -> bool {
    metrics.lines().any(|line| {
        let is_telling =
            line.starts_with("tercet_participants") || line.starts_with("tercet_packets_in_total");
        is_telling && line.rsplit(' ').next().and_then(|it| it.parse().ok()).is_some_and(|it: f64| it > 0.0)
    })
}

impl Link {
    /// Keeps the WebSocket open; what the server tells is read and thrown away. A server that hangs keeps it open as well,
    /// so pings have to be answered.
    pub(super) async fn attend(
        mut self,
        driver: &Driver,
        legs: &[PeerKey],
        mut leaving: watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let tell = |news: PictureNews| legs.iter().for_each(|leg| driver.tell(*leg, news.clone()));
        if let Some(cameras) = &self.cameras {
            tell(PictureNews::IsSource(cameras.own));
        }
        let mut ping = tokio::time::interval(PING_EVERY);
        let mut is_waiting = false;
        loop {
            tokio::select! {
                news = self.next_news() => {
                    news?.into_iter().for_each(tell);
                    is_waiting = false;
                }
                _ = ping.tick() => {
                    ensure!(!is_waiting, "no answer to a ping within {PING_EVERY:?}");
                    self.signalling.send(Request::Ping).await?;
                    is_waiting = true;
                }
                () = told_to_leave(&mut leaving) => {
                    self.signalling.request(Request::Leave).await?;
                    return Ok(());
                }
            }
        }
    }

    /// Waits for a message; what it says of pictures, if anybody looks at them. Safe to drop before it is done.
    async fn next_news(&mut self) -> anyhow::Result<Option<PictureNews>> {
        match &mut self.cameras {
            Some(cameras) => Ok(cameras.read(self.signalling.next().await?)),
            None => self.signalling.next_text().await.map(|_| None).map_err(Into::into),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_had_participants_is_told_by_its_metrics() {
        let fresh = "# TYPE tercet_participants gauge\ntercet_participants 0\n\n\
                     tercet_packets_in_total{worker=\"0\"} 0\ntercet_rooms_max 100\n";
        assert!(!tell_of_participants(fresh) && !tell_of_participants(""));
        assert!(tell_of_participants("tercet_participants 3\n"));
        let empty_again = "tercet_participants 0\ntercet_packets_in_total{worker=\"1\"} 4711\n";
        assert!(tell_of_participants(empty_again));
    }
}
