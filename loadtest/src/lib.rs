//! Clients of a running Tercet server, over nothing but the wire protocol, and the load tester made
//! of them.
//!
//! A [`ServerUrl`] and a token come in. [`Signalling`] speaks JSON on the WebSocket, [`Peer`] speaks
//! WebRTC without any I/O of its own. [`Session`] is both after a join; [`Client`] runs one on tokio
//! for tests, [`Driver`] runs many on few threads for load; phones call in over SIP beside them. [`target`] joins them to a server of some kind,
//! [`scenario`] says what they do, [`Report`] what came of it.
//!
//! Traffic goes to loopback only: a [`ServerUrl`] of any other host can't be made, and datagrams to
//! other addresses aren't sent.

mod url;

pub mod token;

mod signalling;

mod frame;

pub mod red;

mod peer;

mod link;

mod session;

mod client;

mod stamp;

mod voices;

mod spells;

mod turns;

mod counts;

mod hearing;

mod video;

pub mod driver;

pub mod target;

mod phones;

mod histogram;

mod process;

mod machine;

mod report;

mod progress;

mod run;

pub mod scenario;

pub mod floor;

pub mod page;

pub use client::{Client, ClientError, Connection, DataMessage, Voice, picture_in};
pub use counts::{Counts, StreamCount, StreamTotals};
pub use driver::{
    Addresses, CameraKind, DrivenPeer, Driver, DriverOptions, Parting, PeerKey, PictureNews, Place,
};
pub use frame::{SyntheticFrame, epoch};
pub use hearing::HeardCounts;
pub use histogram::Histogram;
pub use link::MediaSocket;
pub use peer::{
    Audio, Channel, Codec, MediaStream, Peer, PeerError, PeerEvent, PeerOptions, PeerOutput, ReceivedPacket,
    VideoOffer,
};
pub use phones::PhoneOptions;
pub use process::ProcessSample;
pub use report::{Outcome, Report};
pub use run::{RunOptions, run};
pub use scenario::Scenario;
pub use session::{JoinError, JoinOptions, Session};
pub use signalling::{Direction, Entrance, RecordedFrame, Signalling, SignallingError, reply_id};
pub use spells::Spells;
pub use stamp::{Reading, Stamp};
pub use target::Target;
pub use turns::{Turn, Turns};
pub use url::{ServerUrl, UrlError};
pub use voices::{RecordedVoice, SpeechFrame};
