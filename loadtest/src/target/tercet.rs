//! Tercet: one WebSocket, one peer connection for both directions, offered by the client.

use std::time::{Duration, Instant};

use anyhow::ensure;
use tercet_protocol::{Request, Role};
use tokio::sync::watch;

use super::{JoinRequest, Joined, Leg, told_to_leave};
use crate::token::{self, Claims};
use crate::{Driver, Peer, PeerOptions, Signalling};

/// Well within `session.idle_ms`.
const PING_EVERY: Duration = Duration::from_secs(10);

/// The WebSocket of somebody who is in a room.
pub struct Link(Signalling);

pub(super) async fn join(request: &JoinRequest, driver: &Driver) -> anyhow::Result<Joined> {
    let JoinRequest { server, secret, room, name, speaks } = request;
    let role = if *speaks { Role::Speaker } else { Role::Listener };
    let token = match secret {
        Some(secret) => Claims::new(room, name, role).sign(secret.as_bytes())?,
        None => token::fetch(server, room, name, role).await?.token,
    };
    let started = Instant::now();
    let mut signalling = Signalling::connect(server).await?;
    let welcome = signalling.join(&token, None).await?;
    let place = driver.place()?;
    let options = PeerOptions { data_channels: false, ..PeerOptions::default() };
    let mut peer = Peer::new(Instant::now(), place.address(), options)?;
    let answer = signalling.offer(peer.offer(welcome.room.slots), false).await?;
    peer.accept_answer(&answer)?;
    let leg = Leg { peer, place, publishes: true };
    Ok(Joined { started, legs: vec![leg], link: super::Link::Tercet(Link(signalling)) })
}

impl Link {
    /// Keeps the WebSocket open; what the server tells is read and thrown away. A server that hangs keeps it open as well,
    /// so pings have to be answered.
    pub(super) async fn attend(mut self, mut leaving: watch::Receiver<bool>) -> anyhow::Result<()> {
        let mut ping = tokio::time::interval(PING_EVERY);
        let mut is_waiting = false;
        loop {
            tokio::select! {
                text = self.0.next_text() => {
                    text?;
                    is_waiting = false;
                }
                _ = ping.tick() => {
                    ensure!(!is_waiting, "no answer to a ping within {PING_EVERY:?}");
                    self.0.send(Request::Ping).await?;
                    is_waiting = true;
                }
                () = told_to_leave(&mut leaving) => {
                    self.0.request(Request::Leave).await?;
                    return Ok(());
                }
            }
        }
    }
}
