//! Phones: SIP calls in and out, as participants of rooms.
//!
//! Calls come from [`tercet_sip_gateway::signalling`]; each has a task of its own (`call.rs`), which speaks with the control plane
//! as a client does, over the same messages. Its media are on one thread (`thread.rs`), which to rooms is one more media worker:
//! what is heard crosses to it, it decodes each speaker once, and gives each phone the sum without itself (`room.rs`).
//!
//! ```text
//! SIP ─▶ gateway.rs ─▶ call.rs, live.rs: a task a call ── requests, messages ──▶ control plane
//!        routes.rs          │ LineCommand  ▲ LineEvent                      │ WorkerCommand
//! RTP ─▶ line.rs ───────────┴── thread.rs ─┴── room.rs ◀── crossings ──▶ media workers, cluster
//! ```

mod call;
mod dialling;
mod gateway;
mod line;
mod live;
mod metrics;
mod pins;
mod ports;
mod record;
mod room;
mod routes;
mod socket;
mod stream;
mod thread;
mod transfers;
mod voice;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use audio_mixer::Digit;
use tercet_core::{EndpointId, RoomId};
use tercet_sip_gateway::leg::Caller;
use tercet_sip_gateway::sdp::Negotiated;
use tercet_sip_gateway::signalling::CallId;
use tokio::sync::mpsc;

pub(crate) use dialling::{Asker, DialError, Dialler, Order, PhoneCommand, PhoneCommands};
pub(crate) use gateway::start;
pub(crate) use line::Sound;
pub(crate) use ports::PortPair;
pub(crate) use room::PhoneRoom;
pub(crate) use tercet_sip_gateway::signalling::Transport as SipTransport;
pub(crate) use thread::bind;

use crate::media::Doorbell;

/// What a call's task tells the thread of phones of its call.
pub(crate) enum LineCommand {
    /// It begins: its sockets, what is known of who is there, and who wants to know what becomes of it.
    Open { ports: PortPair, caller: Caller, events: mpsc::Sender<LineEvent> },
    /// What was agreed on, for the first time or anew.
    Agree(Box<Negotiated>),
    /// It takes part in a room: the control plane has opened the endpoint.
    Enter { room: RoomId, endpoint: EndpointId },
    /// It hears the room no more.
    Leave,
    /// Say something to it, in place of the room and of what is being said; or nothing more.
    Say(Option<Sound>),
    /// Play it something over and over where nothing is said; or nothing more.
    Music(Option<Sound>),
    /// How much louder it hears everything, in dB.
    SetVolume { gain_db: i8 },
    /// It is over.
    Close,
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
    commands: mpsc::Sender<(CallId, LineCommand)>,
    doorbell: Arc<Doorbell>,
    is_strained: Arc<AtomicBool>,
}

impl Lines {
    /// Passes a command on. It is lost only when the thread has stopped.
    pub(crate) async fn send(&self, call: CallId, command: LineCommand) {
        let _ = self.commands.send((call, command)).await;
        self.doorbell.ring();
    }

    /// Whether it has as many calls as it can serve in time.
    pub(crate) fn is_strained(&self) -> bool {
        self.is_strained.load(Ordering::Relaxed)
    }
}
