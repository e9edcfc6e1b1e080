//! WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): an offer is posted, the answer comes with the session's URL, and deleting that
//! ends it.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tokio::sync::watch;

use super::tercet::token_for;
use super::{JoinRequest, Joined, Leg, told_to_leave};
use crate::{Driver, Peer, PeerOptions, ServerUrl, VideoOffer};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Lines for sound that a player offers: the slots of a room, and not its mix.
const SLOTS: u8 = 3;

/// RFC 9725, section 4.2.
const CREATED: u16 = 201;

/// draft-ietf-wish-whep: there is nothing to play.
const CONFLICT: u16 = 409;

/// How long players wait for their source, and how often they ask.
const SOURCE_WITHIN: Duration = Duration::from_secs(10);
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// The URL of a session, and the token that it was made with.
pub struct Link {
    url: String,
    token: String,
}

pub(super) async fn join(request: &JoinRequest, driver: &Driver) -> anyhow::Result<Joined> {
    let token = token_for(request).await?;
    let started = Instant::now();
    let place = driver.place()?;
    let video =
        request.video.map(|video| if request.speaks { VideoOffer { slots: 0, ..video } } else { video });
    let options = PeerOptions { data_channels: false, video, ..PeerOptions::default() };
    let mut peer = Peer::new(Instant::now(), place.address(), options)?;
    let offer = if request.speaks { peer.offer(0) } else { peer.offer_to_receive(SLOTS) };
    let kind = if request.speaks { "whip" } else { "whep" };
    let (server, path) = (request.server, format!("/{kind}/{}", request.room));
    let posting = {
        let token = token.clone();
        tokio::task::spawn_blocking(move || post_when_live(&server, &path, &token, &offer))
    };
    let (location, answer) = posting.await.context("posting an offer")??;
    peer.accept_answer(&answer)?;
    let leg = Leg { peer, place, publishes: true };
    let url = server.http(&location);
    Ok(Joined { started, legs: vec![leg], link: super::Link::Standard(Link { url, token }) })
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        // A proxy from the environment would take the request off this machine.
        .proxy(None)
        .max_redirects(0)
        .build()
        .into()
}

/// As [`post`]; players wait for their source.
fn post_when_live(
    server: &ServerUrl,
    path: &str,
    token: &str,
    offer: &str,
) -> anyhow::Result<(String, String)> {
    let began = Instant::now();
    loop {
        match post(server, path, token, offer)? {
            Posted::Made { location, answer } => return Ok((location, answer)),
            Posted::NotLive if began.elapsed() < SOURCE_WITHIN => std::thread::sleep(ASK_AGAIN),
            Posted::NotLive => bail!("nobody publishes in {path} within {SOURCE_WITHIN:?}"),
        }
    }
}

/// What came of an offer.
enum Posted {
    Made {
        location: String,
        answer: String,
    },
    /// There is nothing to play yet.
    NotLive,
}

fn post(server: &ServerUrl, path: &str, token: &str, offer: &str) -> anyhow::Result<Posted> {
    let request = agent().post(server.http(path)).header("authorization", format!("Bearer {token}"));
    let mut response = request.content_type("application/sdp").send(offer)?;
    let status = response.status().as_u16();
    let body = response.body_mut().read_to_string()?;
    if status == CONFLICT {
        return Ok(Posted::NotLive);
    }
    ensure!(status == CREATED, "{path} answered {status}: {body}");
    let location = response.headers().get("location").and_then(|it| it.to_str().ok());
    Ok(Posted::Made { location: location.context("no Location")?.to_owned(), answer: body })
}

impl Link {
    /// The session needs nothing until it ends.
    pub(super) async fn attend(self, mut leaving: watch::Receiver<bool>) -> anyhow::Result<()> {
        told_to_leave(&mut leaving).await;
        let delete = move || {
            let authorization = format!("Bearer {}", self.token);
            agent()
                .delete(&self.url)
                .header("authorization", authorization)
                .call()
                .map(|it| it.status().as_u16())
        };
        let status = tokio::task::spawn_blocking(delete).await.context("deleting a session")??;
        ensure!(status == 200, "deleting a session was answered {status}");
        Ok(())
    }
}
