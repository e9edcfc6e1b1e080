//! The kinds of server. An adapter speaks one kind's signalling: a request to join comes in, negotiated peers and
//! a [`Link`] that keeps the signalling alive go out. From there on all clients are the same code.
//!
//! A new kind is a module below, an arm in [`Target::join`] and one in [`Link::attend`].

mod atm0s;
mod janus;
mod livekit;
mod tercet;
mod websocket;
mod whip;

use std::time::Instant;

use tokio::sync::watch;

use crate::{Driver, Peer, PeerKey, Place, ServerUrl, VideoOffer};

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// This project's.
    Tercet,
    /// LiveKit: forwards all tracks.
    LiveKit,
    /// Janus with its VideoRoom plugin: forwards all tracks.
    Janus,
    /// atm0s-media-server with its mixer: picks three tracks.
    Atm0s,
}

/// Who wants to join what.
#[derive(Clone, Debug)]
pub struct JoinRequest {
    /// The server.
    pub server: ServerUrl,
    /// What the server signs or checks tokens with; without it, an adapter asks the server for one or goes without.
    pub secret: Option<String>,
    /// The room.
    pub room: String,
    /// The participant, once in the room.
    pub name: String,
    /// Whether they publish audio; otherwise they only listen.
    pub speaks: bool,
    /// What is offered of video.
    pub video: Option<VideoOffer>,
    /// Whether they come by WHIP or WHEP, where the server has them.
    pub is_standard: bool,
}

/// A participant who has joined and negotiated, and whose media connections are still to be made.
pub struct Joined {
    /// Without the time that it took to get a token, if one was asked for.
    pub started: Instant,
    /// Their peer connections: one, or one for each direction.
    pub legs: Vec<Leg>,
    /// Their signalling.
    pub link: Link,
}

/// One peer connection.
pub struct Leg {
    /// The peer, which has its answer or has given it.
    pub peer: Peer,
    /// Its address, from [`Driver::place`].
    pub place: Place,
    /// Whether the participant's voice is sent on it, if they have one.
    pub publishes: bool,
}

/// The signalling of somebody who is in a room.
pub enum Link {
    /// A WebSocket.
    Tercet(tercet::Link),
    /// A session's URL.
    Standard(whip::Link),
    /// A WebSocket.
    LiveKit(livekit::Link),
    /// A WebSocket.
    Janus(janus::Link),
    /// None.
    Atm0s,
}

impl Target {
    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Target::Tercet => "tercet",
            Target::LiveKit => "livekit",
            Target::Janus => "janus",
            Target::Atm0s => "atm0s",
        }
    }

    /// Whether the server had participants before; of other kinds it isn't known, and taken for a no.
    pub async fn has_served(self, server: ServerUrl) -> bool {
        match self {
            Target::Tercet => tercet::has_served(server).await,
            Target::LiveKit | Target::Janus | Target::Atm0s => false,
        }
    }

    /// Joins: signalling and negotiation. The addresses of the peers come from the driver, which gets them next.
    pub async fn join(self, request: &JoinRequest, driver: &Driver) -> anyhow::Result<Joined> {
        match self {
            Target::Tercet if request.is_standard => whip::join(request, driver).await,
            Target::Tercet => tercet::join(request, driver).await,
            Target::LiveKit => livekit::join(request, driver).await,
            Target::Janus => janus::join(request, driver).await,
            Target::Atm0s => atm0s::join(request, driver).await,
        }
    }
}

impl Link {
    /// Keeps the signalling alive until `leaving` changes, and then leaves. `legs` are the driver's keys of the peers,
    /// in the order of [`Joined::legs`]: where a server negotiates again, [`Driver::with_peer`] reaches them.
    pub async fn attend(
        self,
        driver: &Driver,
        legs: &[PeerKey],
        leaving: watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        match self {
            Link::Tercet(link) => link.attend(driver, legs, leaving).await,
            Link::Standard(link) => link.attend(leaving).await,
            Link::LiveKit(link) => link.attend(driver, legs, leaving).await,
            Link::Janus(link) => link.attend(driver, legs, leaving).await,
            Link::Atm0s => atm0s::attend(leaving).await,
        }
    }
}

/// Waits until it is time to leave; nobody being left to say so is as good.
async fn told_to_leave(leaving: &mut watch::Receiver<bool>) {
    let _ = leaving.wait_for(|leaves| *leaves).await;
}
