//! A whole client for tests: signalling in the hands of the test, media moved by a task of its own.
//!
//! ```text
//! test ── Client ── Signalling ───────────── WebSocket
//!            │ commands        ▲ packets, data, connection
//!            ▼                 │
//!          media task: Peer + socket     + 20 ms clock
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use str0m::IceConnectionState;
use tercet_protocol::{
    AudioOrigin, ByAudio, ByVideo, DataFrameIn, DataFrameOut, LeaveReason, Request, ServerMessage,
    VideoOrigin, Welcome,
};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep_until, timeout};

use self::filming::Filming;
use crate::link::Link;
use crate::session::{media_socket, negotiate};
use crate::url::is_on_this_machine;
use crate::{
    Audio, Channel, JoinError, JoinOptions, MediaStream, Peer, PeerError, PeerEvent, PeerOutput,
    ReceivedPacket, Session, Signalling, SignallingError, SyntheticFrame,
};

mod filming;

pub use self::filming::picture_in;

/// How many packets wait for the test to look at them; what comes beyond is dropped and counted.
const PACKETS_MAX: usize = 8_192;
/// How many data frames wait; what comes beyond is dropped and counted.
const DATA_FRAMES_MAX: usize = 1_024;
const COMMANDS_MAX: usize = 256;
const FRAME: Duration = Duration::from_millis(20);
/// A publisher that is further behind than this skips frames instead of catching up in a burst.
const LAG_MAX: Duration = Duration::from_millis(200);
/// How long a media task may take to end.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);
const DATAGRAM_BYTES_MAX: usize = 2_048;

/// What a client publishes while it speaks: a synthetic frame every 20 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voice {
    /// Loudness, -127 to 0 dBov.
    pub level_dbov: i8,
    /// Octets of each Opus payload, at least [`SyntheticFrame::BYTES_MIN`].
    pub payload_bytes: usize,
    /// [`SyntheticFrame::publisher`] of each frame: tells receivers whom they hear.
    pub publisher: u32,
}

impl Voice {
    /// A voice of that loudness, at 32 kbit/s.
    pub fn new(publisher: u32, level_dbov: i8) -> Self {
        Voice { level_dbov, payload_bytes: 80, publisher }
    }
}

/// How the media connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// ICE or DTLS are under way.
    Connecting,
    /// Media flows.
    Connected,
    /// ICE lost the server; it may come back.
    Disconnected,
    /// The connection is over.
    Closed,
}

/// A frame that came on a data channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataMessage {
    /// On which.
    pub channel: Channel,
    /// The JSON text.
    pub text: String,
}

impl DataMessage {
    /// The frame as the protocol has it.
    pub fn frame(&self) -> Result<DataFrameOut, serde_json::Error> {
        serde_json::from_str(&self.text)
    }
}

/// Why a client couldn't do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// On the WebSocket.
    #[error(transparent)]
    Signalling(#[from] SignallingError),
    /// In a negotiation.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// In the media connection.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// No socket.
    #[error(transparent)]
    Socket(#[from] std::io::Error),
    /// What was waited for didn't come.
    #[error("no {what} within {within:?}")]
    TimedOut {
        /// What was waited for.
        what: &'static str,
        /// How long.
        within: Duration,
    },
    /// The media task has ended.
    #[error("the media connection has ended")]
    Ended,
}

/// A participant driven by tokio. Dropping it cuts both connections without a goodbye.
pub struct Client {
    signalling: Signalling,
    options: JoinOptions,
    welcome: Welcome,
    media: Media,
}

/// The test's end of the media task.
struct Media {
    task: JoinHandle<()>,
    commands: mpsc::Sender<Command>,
    packets: mpsc::Receiver<ReceivedPacket>,
    data: mpsc::Receiver<DataMessage>,
    connection: watch::Receiver<Connection>,
    channels_open: watch::Receiver<usize>,
    shared: Arc<Shared>,
    slot_mids: Vec<MediaStream>,
    screen_mid: Option<MediaStream>,
}

/// What the media task and its client both look at.
#[derive(Default)]
struct Shared {
    packets_received: AtomicU64,
    packets_sent: AtomicU64,
    dropped: AtomicU64,
    network_cut: AtomicBool,
    reads_nothing: AtomicBool,
}

enum Command {
    Publish(AudioOrigin, Option<Voice>),
    Film(VideoOrigin, Option<u8>),
    SendAudio(Audio),
    LoseFrames(u32),
    PauseFrames(u32),
    SendData { channel: Channel, frame: String, accepted: oneshot::Sender<bool> },
    RestartIce { moved_to: Option<UdpSocket>, offer: oneshot::Sender<Result<String, PeerError>> },
    AcceptAnswer { sdp: String, done: oneshot::Sender<Result<(), PeerError>> },
    Close,
}

impl Client {
    /// Joins and starts to connect; [`Client::wait_connected`] waits for the media.
    pub async fn join(options: JoinOptions) -> Result<Client, ClientError> {
        let session = Session::join(&options).await?;
        Ok(Client {
            media: Media::start(session.peer, Link::new(session.socket)?),
            signalling: session.signalling,
            options: JoinOptions { server: session.server, ..options },
            welcome: session.welcome,
        })
    }

    /// The reply to the join, or to the latest resume.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// The client's own participant id.
    pub fn participant(&self) -> &str {
        &self.welcome.participant
    }

    /// The WebSocket: requests, events, recordings.
    pub fn signalling(&mut self) -> &mut Signalling {
        &mut self.signalling
    }

    /// Sends a request and waits for its reply.
    pub async fn request(&mut self, request: Request) -> Result<ServerMessage, ClientError> {
        Ok(self.signalling.request(request).await?)
    }

    /// Waits for an event that `wanted` maps to something; events before it are dropped.
    pub async fn wait_for<T>(
        &mut self,
        within: Duration,
        wanted: impl FnMut(&ServerMessage) -> Option<T>,
    ) -> Result<T, ClientError> {
        Ok(self.signalling.wait_for(within, wanted).await?)
    }

    /// Waits until media may flow.
    pub async fn wait_connected(&mut self, within: Duration) -> Result<(), ClientError> {
        self.wait_connection(within, Connection::Connected).await
    }

    /// Waits until the media connection stands so.
    pub async fn wait_connection(&mut self, within: Duration, wanted: Connection) -> Result<(), ClientError> {
        let reached = self.media.connection.wait_for(|connection| *connection == wanted);
        match timeout(within, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(ClientError::Ended),
            Err(_) => Err(ClientError::TimedOut { what: "change of the media connection", within }),
        }
    }

    /// Waits until both data channels are open.
    pub async fn wait_data_channels(&mut self, within: Duration) -> Result<(), ClientError> {
        match timeout(within, self.media.channels_open.wait_for(|open| *open >= 2)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(ClientError::Ended),
            Err(_) => Err(ClientError::TimedOut { what: "open data channels", within }),
        }
    }

    /// How the media connection stands.
    pub fn connection(&self) -> Connection {
        *self.media.connection.borrow()
    }

    /// The slots' m-lines, in the order of the offer.
    pub fn slot_mids(&self) -> &[MediaStream] {
        &self.media.slot_mids
    }

    /// The screen slot's m-line, if it was offered.
    pub fn screen_mid(&self) -> Option<MediaStream> {
        self.media.screen_mid
    }

    /// Publishes a frame every 20 ms from now on, or nothing.
    pub async fn speak(&self, voice: impl Into<Option<Voice>>) -> Result<(), ClientError> {
        self.media.command(Command::Publish(AudioOrigin::Microphone, voice.into())).await
    }

    /// As [`Client::speak`], as the sound of a screen: see [`PeerOptions::screen`](crate::PeerOptions::screen).
    pub async fn share(&self, sound: impl Into<Option<Voice>>) -> Result<(), ClientError> {
        self.media.command(Command::Publish(AudioOrigin::Screen, sound.into())).await
    }

    /// Publishes ten pictures a second with this number from now on, or none: see [`PeerOptions::video`](crate::PeerOptions::video).
    pub async fn film(&self, origin: VideoOrigin, number: impl Into<Option<u8>>) -> Result<(), ClientError> {
        self.media.command(Command::Film(origin, number.into())).await
    }

    /// Sends one frame now.
    pub async fn send_audio(&self, audio: Audio) -> Result<(), ClientError> {
        self.media.command(Command::SendAudio(audio)).await
    }

    /// Goes on as if frames had been sent and lost: see [`Peer::lose_frames`].
    pub async fn lose_frames(&self, frames: u32) -> Result<(), ClientError> {
        self.media.command(Command::LoseFrames(frames)).await
    }

    /// Goes on as if frames had been silence, and not sent: see [`Peer::pause_frames`].
    pub async fn pause_frames(&self, frames: u32) -> Result<(), ClientError> {
        self.media.command(Command::PauseFrames(frames)).await
    }

    /// The next packet from the server.
    pub async fn next_packet(&mut self, within: Duration) -> Result<ReceivedPacket, ClientError> {
        match timeout(within, self.media.packets.recv()).await {
            Ok(packet) => packet.ok_or(ClientError::Ended),
            Err(_) => Err(ClientError::TimedOut { what: "packet", within }),
        }
    }

    /// All packets that arrive within a time, after those that waited already.
    pub async fn packets_for(&mut self, time: Duration) -> Vec<ReceivedPacket> {
        let end = tokio::time::Instant::now() + time;
        let mut packets = Vec::new();
        while let Ok(Some(packet)) = tokio::time::timeout_at(end, self.media.packets.recv()).await {
            packets.push(packet);
        }
        packets
    }

    /// Throws away the packets that wait, so that what comes next is new.
    pub fn skip_packets(&mut self) {
        while self.media.packets.try_recv().is_ok() {}
    }

    /// Sends a data frame of the protocol. `false` if the channel isn't open or its buffer is full.
    pub async fn send_data(&self, channel: Channel, frame: &DataFrameIn) -> Result<bool, ClientError> {
        self.send_data_text(channel, serde_json::to_string(frame).expect("a frame is JSON")).await
    }

    /// Sends any text on a data channel.
    pub async fn send_data_text(&self, channel: Channel, frame: String) -> Result<bool, ClientError> {
        let (accepted, reply) = oneshot::channel();
        self.media.command(Command::SendData { channel, frame, accepted }).await?;
        reply.await.map_err(|_| ClientError::Ended)
    }

    /// The next data frame from the server.
    pub async fn next_data(&mut self, within: Duration) -> Result<DataMessage, ClientError> {
        match timeout(within, self.media.data.recv()).await {
            Ok(message) => message.ok_or(ClientError::Ended),
            Err(_) => Err(ClientError::TimedOut { what: "data frame", within }),
        }
    }

    /// How many RTP packets came in all, with those nobody looked at.
    pub fn packets_received(&self) -> u64 {
        self.media.shared.packets_received.load(Ordering::Relaxed)
    }

    /// How many frames were sent in all.
    pub fn packets_sent(&self) -> u64 {
        self.media.shared.packets_sent.load(Ordering::Relaxed)
    }

    /// How many packets and data frames were dropped because the test didn't fetch them in time.
    pub fn dropped(&self) -> u64 {
        self.media.shared.dropped.load(Ordering::Relaxed)
    }

    /// Cuts the media's network, both ways, or mends it. The WebSocket stays.
    pub fn cut_network(&self, cut: bool) {
        self.media.shared.network_cut.store(cut, Ordering::Relaxed);
    }

    /// Leaves what comes from now on where it is, in the buffers of the network. What is published goes on.
    pub fn stop_reading(&self) {
        self.media.shared.reads_nothing.store(true, Ordering::Relaxed);
    }

    /// Restarts ICE on the same connection, on the same socket.
    pub async fn restart_ice(&mut self) -> Result<(), ClientError> {
        self.restart_ice_at(None).await
    }

    /// Moves to a new socket and restarts ICE: the network changed.
    pub async fn move_network(&mut self) -> Result<(), ClientError> {
        let socket = UdpSocket::from_std(media_socket(&self.options.server)?)?;
        self.restart_ice_at(Some(socket)).await
    }

    async fn restart_ice_at(&mut self, moved_to: Option<UdpSocket>) -> Result<(), ClientError> {
        let (offer, reply) = oneshot::channel();
        self.media.command(Command::RestartIce { moved_to, offer }).await?;
        let offer = reply.await.map_err(|_| ClientError::Ended)??;
        let sdp = self.signalling.offer(offer, false).await?;
        let (done, reply) = oneshot::channel();
        self.media.command(Command::AcceptAnswer { sdp, done }).await?;
        Ok(reply.await.map_err(|_| ClientError::Ended)??)
    }

    /// Throws the peer connection away and makes a new one, offered as `fresh`. What was published
    /// stops; waiting packets and data frames are lost.
    pub async fn replace_peer(&mut self) -> Result<(), ClientError> {
        self.media.task.abort();
        let options = self.options.clone();
        let slots = options.slots.unwrap_or(self.welcome.room.slots);
        let (peer, socket) = negotiate(&mut self.signalling, &options.server, &options, slots, true).await?;
        self.media = Media::start(peer, Link::new(socket)?);
        Ok(())
    }

    /// Cuts the WebSocket and takes the session up on a new one; media goes on meanwhile.
    pub async fn resume(&mut self) -> Result<(), ClientError> {
        let recording = self.signalling.take_recording();
        // The old connection is gone before the new one says whose it is: dropped by the assignment.
        self.signalling = Signalling::connect(&self.options.server).await?;
        self.signalling.continue_recording(recording);
        let session = &self.welcome.session;
        self.welcome = self.signalling.resume(&session.id, &session.secret).await?;
        Ok(())
    }

    /// Leaves the room, waits for the server's `left`, and ends the media connection.
    pub async fn leave(mut self) -> Result<LeaveReason, ClientError> {
        let reply = self.signalling.request(Request::Leave).await?;
        // A media task that has ended already has nothing to close.
        let _ = self.media.command(Command::Close).await;
        let _ = timeout(GOODBYE_TIMEOUT, &mut self.media.task).await;
        match reply {
            ServerMessage::Left { reason, .. } => Ok(reason),
            other => Err(SignallingError::Unexpected(Box::new(other)).into()),
        }
    }
}

impl Media {
    fn start(peer: Peer, socket: Link) -> Media {
        let (commands, command_queue) = mpsc::channel(COMMANDS_MAX);
        let (packet_queue, packets) = mpsc::channel(PACKETS_MAX);
        let (data_queue, data) = mpsc::channel(DATA_FRAMES_MAX);
        let (connection_is, connection) = watch::channel(Connection::Connecting);
        let (channels_are, channels_open) = watch::channel(0);
        let shared = Arc::new(Shared::default());
        let (slot_mids, screen_mid) = (peer.slot_mids().to_vec(), peer.screen_mid());
        let task = MediaTask {
            peer,
            socket,
            commands: command_queue,
            packets: packet_queue,
            data: data_queue,
            connection: connection_is,
            channels_open: channels_are,
            shared: shared.clone(),
            voices: ByAudio::each(|_| Published { voice: None, frames: 0, next_frame: Instant::now() }),
            pictures: ByVideo::each(|_| Filming::new()),
            ready: false,
        };
        let task = tokio::spawn(task.run());
        Media { task, commands, packets, data, connection, channels_open, shared, slot_mids, screen_mid }
    }

    async fn command(&self, command: Command) -> Result<(), ClientError> {
        self.commands.send(command).await.map_err(|_| ClientError::Ended)
    }
}

impl Drop for Media {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct MediaTask {
    peer: Peer,
    socket: Link,
    commands: mpsc::Receiver<Command>,
    packets: mpsc::Sender<ReceivedPacket>,
    data: mpsc::Sender<DataMessage>,
    connection: watch::Sender<Connection>,
    channels_open: watch::Sender<usize>,
    shared: Arc<Shared>,
    voices: ByAudio<Published>,
    pictures: ByVideo<Filming>,
    /// Whether there was a connection: what is lost of it later doesn't stop the voice.
    ready: bool,
}

/// What is published of one origin.
struct Published {
    voice: Option<Voice>,
    frames: u32,
    next_frame: Instant,
}

impl MediaTask {
    async fn run(mut self) {
        if let Err(error) = self.run_until_closed().await {
            tracing::warn!(%error, "media connection failed");
        }
        self.connection.send_replace(Connection::Closed);
    }

    async fn run_until_closed(&mut self) -> Result<(), PeerError> {
        let mut datagram = [0; DATAGRAM_BYTES_MAX];
        loop {
            let deadline = self.drain().await?;
            if !self.peer.is_alive() {
                return Ok(());
            }
            // Not before the connection: str0m would queue what can't be sent.
            let voices = self.voices.iter().filter(|(_, it)| it.voice.is_some());
            let pictures = self.pictures.iter().filter_map(|(_, it)| it.due());
            let due = voices.map(|(_, it)| it.next_frame).chain(pictures).filter(|_| self.ready);
            let wake_at = due.fold(deadline, Instant::min);
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Close) | None => {
                        self.peer.close()?;
                        self.drain().await?;
                        return Ok(());
                    }
                    Some(command) => self.obey(command)?,
                },
                received = self.socket.receive(&mut datagram), if self.reads() => {
                    // An ICMP error of an earlier send shows up here; ICE notices what is wrong.
                    if let Ok((length, source)) = received
                        && !self.shared.network_cut.load(Ordering::Relaxed)
                    {
                        self.peer.handle(Instant::now(), source, &datagram[..length])?;
                    }
                }
                () = sleep_until(wake_at.into()) => {
                    let now = Instant::now();
                    self.peer.handle_timeout(now)?;
                    for origin in AudioOrigin::ALL {
                        self.publish(now, origin)?;
                    }
                    for origin in VideoOrigin::ALL {
                        self.show(now, origin)?;
                    }
                }
            }
        }
    }

    fn reads(&self) -> bool {
        !self.shared.reads_nothing.load(Ordering::Relaxed)
    }

    fn obey(&mut self, command: Command) -> Result<(), PeerError> {
        let now = Instant::now();
        match command {
            Command::Publish(origin, voice) => {
                let published = &mut self.voices[origin];
                if published.voice.is_none() {
                    published.next_frame = now;
                }
                published.voice = voice;
            }
            Command::Film(origin, number) => self.pictures[origin].film(now, number),
            Command::SendAudio(audio) => self.send(now, AudioOrigin::Microphone, audio)?,
            Command::LoseFrames(frames) => self.peer.lose_frames(frames),
            Command::PauseFrames(frames) => self.peer.pause_frames(frames),
            Command::SendData { channel, frame, accepted } => {
                // The test may have stopped waiting; so in the arms below.
                let _ = accepted.send(self.peer.send_data(now, channel, &frame)?);
            }
            Command::RestartIce { moved_to, offer } => {
                let address: Option<SocketAddr> =
                    moved_to.as_ref().and_then(|socket| socket.local_addr().ok());
                if let Some(socket) = moved_to {
                    self.socket = Link::Udp(socket);
                }
                self.connection.send_replace(Connection::Connecting);
                let _ = offer.send(self.peer.restart_ice(address));
            }
            Command::AcceptAnswer { sdp, done } => {
                let _ = done.send(self.peer.accept_answer(&sdp));
            }
            Command::Close => unreachable!("the loop ends on it"),
        }
        Ok(())
    }

    fn publish(&mut self, now: Instant, origin: AudioOrigin) -> Result<(), PeerError> {
        let published = &mut self.voices[origin];
        let is_due = self.ready && now >= published.next_frame;
        let Some(voice) = published.voice.filter(|_| is_due) else { return Ok(()) };
        if now - published.next_frame > LAG_MAX {
            published.next_frame = now;
        }
        published.next_frame += FRAME;
        let frame = SyntheticFrame::new(voice.publisher, published.frames, now);
        published.frames = published.frames.wrapping_add(1);
        self.send(now, origin, Audio::new(frame.encode(voice.payload_bytes), voice.level_dbov))
    }

    fn show(&mut self, now: Instant, origin: VideoOrigin) -> Result<(), PeerError> {
        let due = self.pictures[origin].next(now).filter(|_| self.ready);
        let Some(payloads) = due else { return Ok(()) };
        self.peer.send_picture_of(now, origin, 0, payloads, filming::FRAME_TICKS)
    }

    fn send(&mut self, now: Instant, origin: AudioOrigin, audio: Audio) -> Result<(), PeerError> {
        self.shared.packets_sent.fetch_add(1, Ordering::Relaxed);
        self.peer.send_audio_of(now, origin, audio)
    }

    /// Moves what the peer has to say to where it belongs, and returns its next deadline.
    async fn drain(&mut self) -> Result<Instant, PeerError> {
        loop {
            match self.peer.poll()? {
                PeerOutput::Timeout(at) => return Ok(at),
                PeerOutput::Event(event) => self.tell(event),
                PeerOutput::Transmit { destination, contents } => {
                    if is_on_this_machine(destination.ip())
                        && !self.shared.network_cut.load(Ordering::Relaxed)
                    {
                        self.socket.send(&contents, destination).await;
                    }
                }
            }
        }
    }

    fn tell(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::PacketReceived(packet) => {
                self.shared.packets_received.fetch_add(1, Ordering::Relaxed);
                self.count_dropped(self.packets.try_send(packet).is_err());
            }
            PeerEvent::DataReceived(channel, frame) => {
                let message = DataMessage { channel, text: String::from_utf8_lossy(&frame).into_owned() };
                self.count_dropped(self.data.try_send(message).is_err());
            }
            PeerEvent::ChannelOpened(_) => self.channels_open.send_modify(|open| *open += 1),
            PeerEvent::ChannelClosed(_) => {
                self.channels_open.send_modify(|open| *open = open.saturating_sub(1))
            }
            PeerEvent::Connected => {
                self.ready = true;
                self.connection.send_replace(Connection::Connected);
            }
            PeerEvent::IceChanged(state) => self.ice_changed(state),
            // All its pictures are keyframes.
            PeerEvent::KeyframeWanted(_) => {}
            PeerEvent::Closed => {
                self.connection.send_replace(Connection::Closed);
            }
        }
    }

    fn ice_changed(&mut self, state: IceConnectionState) {
        let connection = match state {
            // DTLS comes after ICE only the first time: `Connected` tells of both.
            IceConnectionState::Connected | IceConnectionState::Completed if self.peer.is_connected() => {
                Connection::Connected
            }
            IceConnectionState::Disconnected => Connection::Disconnected,
            _ => return,
        };
        self.connection.send_replace(connection);
    }

    fn count_dropped(&self, dropped: bool) {
        self.shared.dropped.fetch_add(u64::from(dropped), Ordering::Relaxed);
    }
}
