//! Calls over SIP (RFC 3261): messages in, [`Event`]s out; [`Handle`]'s commands in, messages out.
//!
//! [`Gateway::start`] binds the listeners and gives the one queue of events. A call is known by its [`CallId`] from its
//! first event, or from [`Handle::dial`], to its [`Event::Ended`], which is always the last one and always comes.
//!
//! ```text
//! calls in:   Incoming ─▶ ring? ─▶ early_media? ─▶ answer ─▶ Confirmed ─▶ … ─▶ Ended
//!                                              └─▶ reject ───────────────────▶ Ended
//! calls out:  dial ─▶ Progress* ─▶ Answered ─▶ … ─▶ Ended
//!                              └────────────────────▶ Ended (its status says why)
//! in between: Offered ─▶ answer_offer (─▶ Confirmed); reoffer ─▶ Reoffered;
//!             Dtmf; TransferAsked ─▶ answer_transfer ─▶ report_transfer*; transfer ─▶ TransferProgress*
//! ```

// What the application sees.
mod command;
mod config;
mod counters;
mod event;
mod ids;

// Texts, and what is in them.
mod digest;
mod message;
mod nonces;

// What calls do: pure.
mod calls;

// The shell: sockets, the stack, the task that has all calls.
mod gateway;
mod links;
mod pending;
mod screen;
mod source;
mod stack;
mod stream;
mod tls;
mod udp;

pub use command::{Dial, Handle, HangUp, Overloaded, Rejection};
pub use config::{
    Config, Credentials, Inbound, Limits, Listener, Registrar, Registration, SessionTimers, Tls, Transport,
    Trunk, User,
};
pub use counters::Counters;
pub use digest::Algorithm;
pub use event::{EndReason, Event, Incoming, Party, Peer, RegistrationState};
pub use gateway::{Gateway, StartError};
pub use ids::CallId;
pub(crate) use screen::fuzz_message;

/// The crate below logs whole messages at the level of information, with the credentials in them, and warns of each message
/// that it can't answer, as often as a peer likes. Whoever subscribes to `tracing` must add this directive to the filter,
/// last, so that nothing loosens it.
pub const LOG_DIRECTIVE: &str = "rsipstack=error";
