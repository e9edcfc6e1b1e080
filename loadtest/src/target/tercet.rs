//! Tercet: one WebSocket, one peer connection for both directions, offered by the client.

use std::time::{Duration, Instant};

use anyhow::ensure;
use tercet_protocol::{Request, Role};
use tokio::sync::watch;

use super::{JoinRequest, Joined, Leg, told_to_leave};
use crate::token::{self, Claims};
use crate::{Driver, Peer, PeerOptions, ServerUrl, Signalling};

/// Well within `session.idle_ms`.
const PING_EVERY: Duration = Duration::from_secs(10);

/// Of the request for the metrics.
const METRICS_TIMEOUT: Duration = Duration::from_secs(5);

/// The WebSocket of somebody who is in a room.
pub struct Link(Signalling);

pub(super) async fn join(request: &JoinRequest, driver: &Driver) -> anyhow::Result<Joined> {
    let server = &request.server;
    let token = token_for(request).await?;
    let started = Instant::now();
    let mut signalling = Signalling::connect(server).await?;
    let welcome = signalling.join(&token, None).await?;
    let place = driver.place()?;
    let options = PeerOptions { data_channels: false, video: request.video, ..PeerOptions::default() };
    let mut peer = Peer::new(Instant::now(), place.address(), options)?;
    let answer = signalling.offer(peer.offer(welcome.room.slots), false).await?;
    peer.accept_answer(&answer)?;
    let leg = Leg { peer, place, publishes: true };
    Ok(Joined { started, legs: vec![leg], link: super::Link::Tercet(Link(signalling)) })
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
