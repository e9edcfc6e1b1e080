//! The media plane: one worker thread a core, each with its own UDP port, peers and room shards.
//!
//! In: [`WorkerCommand`]s from the control plane, datagrams, candidates of other workers. Out:
//! [`WorkerEvent`]s, datagrams. No lock is taken and nothing is awaited on the packet path.

mod announced;
mod crossing;
mod demux;
mod dependency;
mod fanout;
mod layers;
mod lines;
mod meter;
mod metrics;
mod peer;
mod plane;
mod pool;
mod sdp;
mod socket;
mod strain;
mod stream;
mod tcp;
mod timers;
mod trace;
mod video;
mod width;
mod worker;

use std::sync::Arc;
use std::time::Instant;

use rustc_hash::FxHashMap;
use selector::{SourceId, Standing};
use tercet_core::{EndpointId, Gate, Layer, Listening, RoomAudio, RoomId, SourceLayers, Speaker};
use tercet_protocol::{AudioOrigin, ByOrigin, TrackOrigin, VideoOrigin};

pub(crate) use crossing::{
    Crossing, CrossingSender, Doorbell, HeardPacket, News, Passed, VideoCrossing, VideoNews, crossing,
};
pub(crate) use peer::{Answer, OfferError, places};
pub(crate) use pool::{Handle as WorkerHandle, WorkerPool};
pub(crate) use sdp::{attributes, can_be_read, mid_of, sections};
pub(crate) use trace::{TraceReceiver, TraceSender, Traced, What, trace};

/// Which worker thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WorkerId(pub(crate) usize);

/// What the control plane tells a worker.
#[derive(Debug)]
pub(crate) enum WorkerCommand {
    /// Make the endpoint of a session, which has no connection yet.
    Open(Box<OpenEndpoint>),
    /// An offer came for the endpoint; the reply is [`WorkerEvent::OfferAnswered`].
    Offer { endpoint: EndpointId, sdp: String, fresh: bool, request: Option<u32> },
    /// Let the endpoint's audio be heard, or not.
    SetGates { endpoint: EndpointId, gates: ByOrigin<Gate> },
    /// How the endpoint's voice stands among that of others.
    SetStanding { endpoint: EndpointId, standing: Standing },
    /// Whom the endpoint's client wants to hear; `None` for the speakers of the room.
    SetListening { endpoint: EndpointId, listening: Option<Listening> },
    /// Which sources of the worker clients of other workers want to hear, whether they are speakers of the room or not.
    SetWanted { room: RoomId, wanted_by: FxHashMap<SourceId, Vec<WorkerId>> },
    /// What the endpoint's video slots are to show.
    Watch { endpoint: EndpointId, sources: Vec<Option<SourceId>> },
    /// How high the endpoint's video slots are drawn, in pixels, by number; those that aren't named may be of any height.
    View { endpoint: EndpointId, heights: Vec<(u8, u32)> },
    /// What the endpoint's video slots may have of whomever they show at most, by number; those that aren't named may have all.
    LimitLayers { endpoint: EndpointId, limits: Vec<(u8, Layer)> },
    /// The endpoint's client wants to be told which layers there are for its video slots, by [`WorkerEvent::LayersChanged`]; or no
    /// more.
    FollowLayers { endpoint: EndpointId, follows: bool },
    /// Which cameras and screens of the worker clients of other workers watch.
    SetWatched { room: RoomId, watched_by: FxHashMap<SourceId, Vec<WorkerId>> },
    /// What the endpoint's client publishes on another node, while it moves from one to the other.
    SetOwnElsewhere { endpoint: EndpointId, sources: ByOrigin<SourceId> },
    /// These sources of other nodes are silent: they left, or their node is gone.
    Silence { room: RoomId, sources: Vec<SourceId> },
    /// The session is over.
    Close { endpoint: EndpointId },
    /// Which other workers have a part of the room.
    SetRoomWorkers { room: RoomId, others: Vec<WorkerId> },
    /// Somebody looks at the levels of the room.
    Trace { room: RoomId, trace: TraceSender },
    /// A data frame for endpoints of this worker.
    SendData { endpoints: Vec<EndpointId>, reliable: bool, frame: Arc<[u8]> },
    /// Say goodbye to everybody and end the thread.
    Stop,
}

/// What an endpoint begins with.
#[derive(Debug)]
pub(crate) struct OpenEndpoint {
    pub(crate) endpoint: EndpointId,
    pub(crate) room: RoomId,
    /// How the room's speakers are chosen.
    pub(crate) audio: RoomAudio,
    /// Which sources of the room it publishes.
    pub(crate) sources: ByOrigin<SourceId>,
    pub(crate) gates: ByOrigin<Gate>,
    /// Whether redundant audio may be negotiated.
    pub(crate) red: bool,
    /// How many video slots it may have.
    pub(crate) video_slots_max: usize,
    /// How many kbit/s its camera may have, and its screen.
    pub(crate) video_kbps_max: u32,
    /// It is an encoder's or a player's: ICE is full for those who need it, and audio without levels is measured.
    pub(crate) is_over_http: bool,
}

/// What a worker tells the control plane.
#[derive(Debug)]
pub(crate) enum WorkerEvent {
    OfferAnswered {
        endpoint: EndpointId,
        request: Option<u32>,
        result: Result<Answer, OfferError>,
    },
    /// Media can flow.
    Connected {
        endpoint: EndpointId,
    },
    /// Media stopped; the client may restart ICE, or offer a fresh connection.
    Disconnected {
        endpoint: EndpointId,
    },
    /// The first packet of a track arrived since the endpoint opened, or since the track last ended.
    PublishingStarted {
        endpoint: EndpointId,
        origin: TrackOrigin,
    },
    /// No more of the track is expected until it starts again.
    PublishingEnded {
        endpoint: EndpointId,
        origin: TrackOrigin,
    },
    /// A track of its client comes without levels, so nobody hears it. Told once a connection and track.
    LevelMissing {
        endpoint: EndpointId,
        origin: AudioOrigin,
    },
    /// Of the sizes in which its client sends a track so many are watched, the smallest first.
    VideoWanted {
        endpoint: EndpointId,
        origin: VideoOrigin,
        layers: u8,
    },
    /// What there is of those whom the endpoint's video slots show, slot by slot. Told to those who follow it, once a second at most.
    LayersChanged {
        endpoint: EndpointId,
        slots: Vec<Option<SourceLayers>>,
    },
    /// A data frame broke a rule and was dropped.
    DataRefused {
        endpoint: EndpointId,
        too_large: bool,
    },
    DataReceived {
        endpoint: EndpointId,
        reliable: bool,
        frame: Vec<u8>,
    },
    /// The worker can take more sessions from now on, or can't.
    Strained {
        worker: WorkerId,
        is_strained: bool,
    },
    /// Who is heard in a room, by the listeners of one worker. At most ten a second.
    Selected(Selection),
    /// Another screen is heard in a room, by the listeners of one worker, or none. At most ten a second.
    ScreenChanged {
        worker: WorkerId,
        room: RoomId,
        source: Option<SourceId>,
    },
}

/// Who is heard in a room.
#[derive(Debug)]
pub(crate) struct Selection {
    /// When it was so.
    pub(crate) at: Instant,
    pub(crate) worker: WorkerId,
    pub(crate) room: RoomId,
    /// Slots first, the reserve last.
    pub(crate) positions: Vec<Option<Speaker>>,
    /// Who is in the slots of those who chose whom to hear.
    pub(crate) views: Vec<(EndpointId, Vec<Option<SourceId>>)>,
}
