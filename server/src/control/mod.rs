//! The control plane: who is in which room, told to clients and workers.
//!
//! In: joins and requests of clients ([`ControlInput`]), events of workers. Out: messages to
//! clients' sockets, commands to workers. One task owns all of it, so there is no lock; what it
//! decides is in [`Control`], which does no I/O and is given the time.

mod calls;
mod elsewhere;
mod lifecycle;
mod listening;
mod live_room;
mod media;
mod requests;
mod roster;
mod session;
mod slot_texts;
mod state;
mod trace;
mod video;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use selector::Params;
use tercet_core::{EndpointId, Layer, ParticipantId, RoomId, SessionId};
use tercet_protocol::{ClientMessage, ErrorCode, ProtocolError, Transport, WireCall};
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use crate::access::Claims;
use crate::cluster::{ClusterEvent, ClusterHandle};
use crate::media::{TraceReceiver, WorkerEvent, WorkerPool};
use crate::phones::{Asker, PhoneCommands};

pub(crate) use lifecycle::{CLOSE_GOING_AWAY, CLOSE_NORMAL, RETRY_AFTER};
pub(crate) use session::{Outgoing, Socket, protocol_error, text};
pub(crate) use state::Control;

use video::CAMERAS_INTERVAL;

/// Inputs under way to the control plane; clients' sockets wait when there are more.
const INPUTS_MAX: usize = 4096;

/// How often sessions are looked at that lost their socket, and rooms whose number of participants changed.
const UPKEEP_INTERVAL: Duration = Duration::from_millis(500);

/// A session together with the socket that speaks for it now: a socket that was replaced speaks for nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attached {
    /// What serves the session on its worker.
    pub(crate) endpoint: EndpointId,
    pub(crate) session: SessionId,
    pub(crate) attachment: u64,
}

/// What clients' sockets and the node ask of the control plane.
#[derive(Debug)]
pub(crate) enum ControlInput {
    Join {
        claims: Claims,
        transport: Transport,
        name: Option<String>,
        request: Option<u32>,
        socket: Socket,
        reply: oneshot::Sender<Result<Attached, ProtocolError>>,
    },
    Resume {
        session: String,
        secret: String,
        request: Option<u32>,
        socket: Socket,
        reply: oneshot::Sender<Result<Attached, ProtocolError>>,
    },
    Request {
        from: Attached,
        message: ClientMessage,
    },
    Trace {
        claims: Claims,
        reply: oneshot::Sender<Result<(Params, TraceReceiver), ProtocolError>>,
    },
    /// Which rooms are open here.
    Rooms {
        reply: oneshot::Sender<Vec<RoomSummary>>,
    },
    /// Whether anybody in a room publishes, or this participant, and before how many.
    Broadcast {
        room: RoomId,
        participant: Option<ParticipantId>,
        reply: oneshot::Sender<Broadcast>,
    },
    /// What the video slots of a session over HTTP may have at most, by number; those that aren't named may have all.
    LimitLayers {
        from: Attached,
        limits: Vec<(u8, Layer)>,
    },
    /// A session over HTTP wants to be told which layers there are for its video slots, by [`Outgoing::Layers`]; or no more.
    FollowLayers {
        from: Attached,
        follows: bool,
    },
    SocketClosed {
        from: Attached,
    },
    /// The node has phones: calls out are made by these.
    ServeCalls {
        commands: PhoneCommands,
    },
    /// A call out of a room began, or stands otherwise than before.
    CallChanged {
        room: RoomId,
        call: WireCall,
        /// Who is to be told that it began.
        asker: Option<Asker>,
    },
    /// No call was made.
    NotDialled {
        asker: Asker,
        error: (ErrorCode, String),
    },
    /// Which calls out of a room there are.
    Calls {
        room: RoomId,
        reply: oneshot::Sender<Vec<WireCall>>,
    },
    /// Hang up a call out of a room.
    HangUp {
        room: RoomId,
        call: u64,
        reply: oneshot::Sender<Result<(), (ErrorCode, String)>>,
    },
    /// Take nobody in any more, and tell everybody when the node will stop.
    Drain {
        deadline: Duration,
        drained: oneshot::Sender<()>,
    },
    /// End all sessions.
    EndAll {
        ended: oneshot::Sender<()>,
    },
}

/// How a broadcast stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Broadcast {
    /// Whether there is something to hear or see.
    pub(crate) is_live: bool,
    /// How many are in the room, on all nodes.
    pub(crate) participant_count: usize,
}

/// A room that is open here, in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoomSummary {
    pub(crate) room: RoomId,
    /// On all nodes.
    pub(crate) participants: usize,
    /// On this one.
    pub(crate) sessions: usize,
    /// Tracks that are published, on all nodes.
    pub(crate) tracks: usize,
}

/// How everybody else reaches the control plane.
#[derive(Clone)]
pub(crate) struct ControlHandle {
    inputs: mpsc::Sender<ControlInput>,
    at_limit: Arc<AtomicBool>,
}

impl ControlHandle {
    /// Whether no worker can take more sessions.
    pub(crate) fn is_at_limit(&self) -> bool {
        self.at_limit.load(Ordering::Relaxed)
    }

    /// Passes an input on. It is lost only when the node has stopped.
    pub(crate) async fn send(&self, input: ControlInput) {
        // Waiting for a place is a smaller future than waiting with the input in hand, and each client's task has it.
        if let Ok(place) = self.inputs.reserve().await {
            place.send(input);
        }
    }

    /// Passes an input on that has a reply; `None` when the node has stopped.
    pub(crate) async fn ask<T>(&self, input: impl FnOnce(oneshot::Sender<T>) -> ControlInput) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.send(input(reply)).await;
        answer.await.ok()
    }
}

/// Starts the control plane's task, which ends when every handle is gone.
pub(crate) fn start(
    control: Control,
    pool: WorkerPool,
    worker_events: mpsc::Receiver<WorkerEvent>,
    cluster: Option<Cluster>,
) -> (ControlHandle, tokio::task::JoinHandle<WorkerPool>) {
    let (inputs, queue) = mpsc::channel(INPUTS_MAX);
    let at_limit = control.at_limit.clone();
    let task = tokio::spawn(run(control, pool, queue, worker_events, cluster));
    (ControlHandle { inputs, at_limit }, task)
}

/// The cluster, where the node is in one: what to tell it, and what it tells.
pub(crate) struct Cluster {
    pub(crate) handle: ClusterHandle,
    pub(crate) events: mpsc::Receiver<ClusterEvent>,
}

async fn run(
    mut control: Control,
    pool: WorkerPool,
    mut inputs: mpsc::Receiver<ControlInput>,
    mut worker_events: mpsc::Receiver<WorkerEvent>,
    mut cluster: Option<Cluster>,
) -> WorkerPool {
    if let Some(cluster) = &cluster {
        // Workers know the cluster as one more of them.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let clock = (Instant::now(), wall.as_millis() as u64);
        control.join_cluster(cluster.handle.node, pool.cluster(), clock);
    }
    if let Some(phones) = pool.phones() {
        control.serve_phones(phones);
    }
    let mut upkeep = tokio::time::interval(UPKEEP_INTERVAL);
    upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut cameras = tokio::time::interval(CAMERAS_INTERVAL);
    cameras.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let lag = metrics::histogram!("tercet_loop_lag_seconds", "loop" => "control");
    loop {
        tokio::select! {
            input = inputs.recv() => match input {
                Some(input) => control.input(Instant::now(), input),
                None => return pool,
            },
            Some(event) = worker_events.recv() => control.worker_event(Instant::now(), event),
            Some(event) = next_of(&mut cluster) => control.cluster_event(Instant::now(), event),
            _ = cameras.tick(), if control.has_cameras_to_show() => control.show_waiting_cameras(Instant::now()),
            due = upkeep.tick() => {
                lag.record(due.elapsed().as_secs_f64());
                control.expire(Instant::now());
                control.tell_attendance(Instant::now());
                control.tell_cluster();
            }
        }
        if let Some(cluster) = &cluster {
            for command in control.take_cluster_commands() {
                cluster.handle.send(command).await;
            }
        }
        for (worker, command) in control.take_commands() {
            pool.send(worker, command).await;
        }
    }
}

/// The next that the cluster tells; never, where there is none.
async fn next_of(cluster: &mut Option<Cluster>) -> Option<ClusterEvent> {
    match cluster {
        Some(cluster) => cluster.events.recv().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
