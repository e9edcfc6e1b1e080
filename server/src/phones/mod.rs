//! Phones: SIP calls in and out, as participants of rooms.
//!
//! Calls come from [`tercet_sip_gateway::signalling`]; each has a task of its own (`call.rs`), which speaks with the control plane
//! as a client does, over the same messages. Its media are on one thread (`thread.rs`), which to rooms is one more media worker:
//! what is heard crosses to it, it decodes each speaker once, and gives each phone the sum without itself (`room.rs`).
//!
//! ```text
//! SIP ─▶ gateway.rs ─▶ call.rs, a task a call ── requests, messages ──▶ control plane
//!        routes.rs          │ LineCommand  ▲ LineEvent                      │ WorkerCommand
//! RTP ─▶ line.rs ───────────┴── thread.rs ─┴── room.rs ◀── crossings ──▶ media workers, cluster
//! ```

mod call;
mod dialling;
mod gateway;
mod line;
mod metrics;
mod ports;
mod room;
mod routes;
mod stream;
mod thread;
mod voice;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use audio_mixer::Digit;
use tercet_core::{EndpointId, RoomId};
use tercet_sip_gateway::sdp::Negotiated;
use tercet_sip_gateway::signalling::CallId;
use tokio::sync::mpsc;

pub(crate) use dialling::{DialError, DialOrder, Dialler};
pub(crate) use gateway::start;
pub(crate) use line::Sound;
pub(crate) use ports::PortPair;
pub(crate) use tercet_sip_gateway::signalling::Transport as SipTransport;
pub(crate) use thread::bind;

use crate::media::Doorbell;

/// What a call's task tells the thread of phones.
pub(crate) enum LineCommand {
    /// A call begins: its sockets, and who wants to know what becomes of it.
    Open { call: CallId, ports: PortPair, events: mpsc::Sender<LineEvent> },
    /// What was agreed on, for the first time or anew.
    Agree { call: CallId, agreed: Box<Negotiated> },
    /// It takes part in a room: the control plane has opened the endpoint.
    Enter { call: CallId, room: RoomId, endpoint: EndpointId },
    /// It hears the room no more.
    Leave { call: CallId },
    /// Say something to it, in place of the room and of what is being said; or nothing more.
    Say { call: CallId, sound: Option<Sound> },
    /// Play it something over and over where nothing is said; or nothing more.
    Music { call: CallId, sound: Option<Sound> },
    /// How much louder it hears everything, in dB.
    SetVolume { call: CallId, gain_db: i8 },
    /// The call is over.
    Close { call: CallId },
}

/// What the thread of phones tells a call's task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineEvent {
    /// The first sound arrived.
    Heard,
    /// A key was pressed.
    Key(Digit),
    /// What was to be said was.
    Said,
    /// Nothing has arrived for long.
    Silent,
}

/// How calls' tasks reach the thread of phones.
#[derive(Clone)]
pub(crate) struct Lines {
    commands: mpsc::Sender<LineCommand>,
    doorbell: Arc<Doorbell>,
    is_strained: Arc<AtomicBool>,
}

impl Lines {
    /// Passes a command on. It is lost only when the thread has stopped.
    pub(crate) async fn send(&self, command: LineCommand) {
        let _ = self.commands.send(command).await;
        self.doorbell.ring();
    }

    /// Whether it has as many calls as it can serve in time.
    pub(crate) fn is_strained(&self) -> bool {
        self.is_strained.load(Ordering::Relaxed)
    }
}
