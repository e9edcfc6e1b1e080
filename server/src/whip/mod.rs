//! WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): encoders and players over HTTP are participants of rooms.
//!
//! In: offers and fragments of session descriptions, as `http/whip.rs` read them. Out: answers, or a [`Problem`] with its
//! status. A session is a task that speaks with the control plane as a browser's WebSocket does ([`session`]), so roles, muting and
//! the list of participants are nobody's special case.
//!
//! ```text
//!  POST   ─▶ Attempts ─▶ Offer ─▶ open: join, offer ─▶ answer ─▶ Table: URL ─▶ task
//!  PATCH  ─▶ Table ─▶ Fragment ─▶ task: trickle, or an offer with other ICE credentials
//!  DELETE ─▶ Table ─▶ task: leave
//!  POST, GET of events ─▶ Table ─▶ task: Feed, which tells a player whether anybody publishes, and in which layers
//!  POST, DELETE of layer ─▶ Table ─▶ LayerChoice ─▶ task: what its video slots may have at most
//! ```

mod attempts;
mod events;
mod fragment;
mod layers;
mod offer;
mod problem;
mod session;
mod table;

use std::sync::Arc;
use std::time::SystemTime;

use tercet_protocol::{IceServer, Transport};
use tokio::sync::Semaphore;

pub(crate) use attempts::{Attempt, Attempts};
pub(crate) use events::{WantedEvents, events_link};
pub(crate) use fragment::Fragment;
pub(crate) use layers::{LayerChoice, layer_link};
pub(crate) use offer::Offer;
pub(crate) use problem::Problem;
pub(crate) use session::{Ask, Opened, Opening, Patched, Precondition, open};
pub(crate) use table::{Entry, Table};

use crate::config::Config;
use crate::turn::ice_servers;

/// Requests whose body or answer is awaited; whoever comes beyond is asked to come again.
const AT_THE_DOOR_MAX: usize = 256;

/// Which of the two protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Somebody publishes.
    Whip,
    /// Somebody plays.
    Whep,
}

impl Kind {
    /// How its participants are attached.
    pub(crate) fn transport(self) -> Transport {
        match self {
            Kind::Whip => Transport::Whip,
            Kind::Whep => Transport::Whep,
        }
    }
}

/// What the handlers of both share.
#[derive(Clone)]
pub(crate) struct Whip {
    pub(crate) table: Table,
    pub(crate) attempts: Attempts,
    pub(crate) door: Arc<Semaphore>,
}

impl Whip {
    pub(crate) fn new() -> Whip {
        let door = Arc::new(Semaphore::new(AT_THE_DOOR_MAX));
        Whip { table: Table::default(), attempts: Attempts::default(), door }
    }
}

/// What a client is told of relays: values of `Link` (RFC 9725, section 4.6).
pub(crate) fn relay_links(config: &Config, user: &str) -> Vec<String> {
    let links = |IceServer { urls, username, credential }| {
        urls.into_iter().map(move |url| {
            format!(
                "<{url}>; rel=\"ice-server\"; username=\"{username}\"; credential=\"{credential}\"; \
                 credential-type=\"password\""
            )
        })
    };
    ice_servers(&config.turn, SystemTime::now(), user).into_iter().flat_map(links).collect()
}
