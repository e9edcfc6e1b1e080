//! Calls, sans-IO: messages, commands and the time come in; messages to send and events go out.
//!
//! [`Core::handle`] takes one [`Input`], then [`Core::poll`] is asked until there is nothing more, and [`Core::deadline`] says
//! when the time alone will make a difference. What retransmits and matches messages (RFC 3261, section 17) is outside: a
//! request that arrives here arrives once, and one that leaves gets a final response, be it 408 from ourselves.
//!
//! The rooms of the house, in the order in which a call passes them:
//!
//! ```text
//! admission, credentials ─▶ incoming ┐                 ┌ offers, session_timer
//!                                    ├─ call, dialog ──┤ within (BYE, INFO)
//!        outgoing (dial) ────────────┘                 └ transfer
//! reliable: responses before the final one; registrar, registration: who is where
//! ```

mod admission;
mod bodies;
mod call;
mod credentials;
mod dialog;
mod incoming;
mod local;
mod offers;
mod outgoing;
mod registrar;
mod registration;
mod reliable;
mod session_timer;
mod timers;
mod transfer;
mod within;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::command::Command;
use super::counters::Tally;
use super::message::{Method, Request, Response, Uri};
use super::nonces::Nonces;
use super::pending::DialogKey;
use super::{CallId, Config, EndReason, Event, Transport};
use admission::Admission;
use call::{Call, State};
pub(crate) use local::Local;
use outgoing::Sent;
use registrar::Bindings;
use registration::Registering;
use timers::{Timer, Timers};

/// What we understand.
pub(super) const ALLOW: &str =
    "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, REFER, NOTIFY, REGISTER";

/// Extensions that we have: RFC 3262, RFC 4028, RFC 3891 is for the application, so not among them.
const SUPPORTED: &str = "100rel, timer, norefersub";

/// Bodies that we read.
const ACCEPT: &str = "application/sdp, application/dtmf-relay, application/dtmf, message/sipfrag";

/// 64 times T1: after so long nobody answers any more (RFC 3261, section 17.1.1.2).
const GIVE_UP: Duration = Duration::from_secs(32);

/// When to come again, where we have too much to do.
const RETRY_AFTER_S: &str = "10";

/// A request that waits for our response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ServerTx(pub(crate) u64);

/// A request of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ClientTx(pub(crate) u64);

/// Where a request of ours is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Where messages come from: over the same stream, or to the same address. If the stream is gone, there.
    Flow { transport: Transport, address: SocketAddr, spare: Option<Box<Target>> },
    /// A name or an address, looked up as RFC 3263 says.
    Host { transport: Transport, host: String, port: Option<u16> },
}

/// What comes in.
#[derive(Debug)]
pub(crate) enum Input {
    /// A request, once.
    Request { tx: ServerTx, request: Request, source: SocketAddr, transport: Transport },
    /// The INVITE is cancelled; the CANCEL itself was answered.
    Cancelled(ServerTx),
    /// Our response to the INVITE is confirmed; the ACK may have an answer in it.
    Acknowledged { tx: ServerTx, ack: Request },
    /// Nothing more comes of the request, and nothing more can be said to it.
    ServerOver(ServerTx),
    /// A response to a request of ours, and where that was sent.
    Response { tx: ClientTx, response: Response, sent_to: Option<SocketAddr> },
    /// A 2xx to an INVITE of ours that has had one.
    StrayAnswer { response: Response },
    /// What the application wants.
    Command(Command),
    /// Time has passed.
    Tick,
    /// Everything is to end.
    Stop,
}

/// What goes out.
#[derive(Debug)]
pub(crate) enum Output {
    /// A response.
    Respond {
        tx: ServerTx,
        response: Response,
    },
    /// The only response, sent once: whoever misses it repeats the request, and is asked again who they are.
    Reply {
        tx: ServerTx,
        response: Response,
    },
    /// No response, now or later.
    Ignore(ServerTx),
    /// A request, to be repeated until there is a response. `Via` is added on the way.
    Send {
        tx: ClientTx,
        request: Request,
        target: Target,
    },
    /// CANCEL for an INVITE.
    Cancel(ClientTx),
    /// An ACK, which nobody answers.
    Acknowledge {
        ack: Request,
        target: Target,
    },
    /// There is a call of this `Call-ID` and tag of ours, or it is forgotten.
    Opened(DialogKey),
    Closed(DialogKey),
    /// For the application.
    Event(Event),
}

/// All calls of a gateway.
pub(crate) struct Core {
    config: Config,
    local: Local,
    rng: StdRng,
    tally: Arc<Tally>,
    calls: HashMap<CallId, Call>,
    dialogs: HashMap<DialogKey, CallId>,
    /// Calls by their unanswered INVITE: its `Call-ID`, the peer's tag and its number, to see one that comes twice.
    invites: HashMap<(String, String, u32), CallId>,
    /// Requests that a call has to answer.
    servers: HashMap<ServerTx, CallId>,
    sent: HashMap<ClientTx, Sent>,
    sent_count: u64,
    timers: Timers,
    admission: Admission,
    nonces: Nonces,
    bindings: Bindings,
    registering: Vec<Registering>,
    outputs: VecDeque<Output>,
    /// Calls in get new numbers from here, calls out have theirs.
    call_ids: Arc<super::ids::CallIds>,
    /// The application is behind: it gets no new calls.
    is_congested: bool,
    is_stopping: bool,
}

impl Core {
    pub(crate) fn new(
        config: Config,
        local: Local,
        seed: [u8; 32],
        now: Instant,
        tally: Arc<Tally>,
        call_ids: Arc<super::ids::CallIds>,
    ) -> Core {
        let mut rng = StdRng::from_seed(seed);
        let mut secret = [0; 32];
        rng.fill_bytes(&mut secret);
        let mut core = Core {
            admission: Admission::new(&config),
            nonces: Nonces::new(secret, now, config.nonce_lifetime),
            bindings: Bindings::default(),
            registering: Vec::new(),
            config,
            local,
            rng,
            tally,
            calls: HashMap::new(),
            dialogs: HashMap::new(),
            invites: HashMap::new(),
            servers: HashMap::new(),
            sent: HashMap::new(),
            sent_count: 0,
            timers: Timers::default(),
            outputs: VecDeque::new(),
            call_ids,
            is_congested: false,
            is_stopping: false,
        };
        core.start_registering(now);
        core
    }

    /// Takes one input.
    pub(crate) fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Request { tx, request, source, transport } => {
                self.on_request(now, Arrived { tx, request, source, transport });
            }
            Input::Cancelled(tx) => self.on_cancelled(now, tx),
            Input::Acknowledged { tx, ack } => self.on_acknowledged(now, tx, &ack),
            Input::ServerOver(tx) => self.on_server_over(now, tx),
            Input::Response { tx, response, sent_to } => self.on_response(now, tx, response, sent_to),
            Input::StrayAnswer { response } => self.on_stray_answer(&response),
            Input::Command(command) => self.on_command(now, command),
            Input::Tick => {}
            Input::Stop => self.stop(now),
        }
        while let Some(timer) = self.timers.pop(now) {
            self.on_timer(now, timer);
        }
        self.tally.calls_now.set(self.calls.values().filter(|call| !call.is_over()).count());
    }

    /// The next thing to do.
    pub(crate) fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Core::handle`] wants an [`Input::Tick`].
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Whether the application can't take more events for now.
    pub(crate) fn set_congested(&mut self, is_congested: bool) {
        self.is_congested = is_congested;
    }

    /// After [`Input::Stop`]: whether all goodbyes are confirmed.
    pub(crate) fn is_done(&self) -> bool {
        self.is_stopping && self.calls.is_empty() && self.sent.is_empty()
    }

    fn on_command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Ring(call) => self.ring(now, call),
            Command::EarlyMedia(call, sdp) => self.early_media(now, call, sdp),
            Command::Answer(call, sdp) => self.answer(now, call, sdp),
            Command::Reject(call, rejection) => self.reject(now, call, &rejection),
            Command::HangUp(call, cause) => self.hang_up(now, call, cause, EndReason::HungUp),
            Command::Dial(call, dial) => self.dial(now, call, dial),
            Command::AnswerOffer(call, answer) => self.answer_offer(now, call, answer),
            Command::Reoffer(call, sdp) => self.reoffer(now, call, sdp),
            Command::Transfer(call, target) => self.transfer(call, &target),
            Command::AnswerTransfer(call, is_accepted) => self.answer_transfer(call, is_accepted),
            Command::ReportTransfer(call, status) => self.report_transfer(call, status),
        }
    }

    fn on_timer(&mut self, now: Instant, timer: Timer) {
        match timer {
            Timer::Ringing(call) => self.on_ringing_timeout(now, call),
            Timer::Reliable(call, sequence) => self.repeat_reliable(now, call, sequence),
            Timer::Refresh(call) => self.refresh(now, call),
            Timer::Expired(call) => self.on_expired(now, call),
            Timer::Reoffer(call) => self.offer_again(now, call),
            Timer::Forget(call) => self.forget(call),
            Timer::Register(trunk) => self.register(now, trunk),
            Timer::Contacts => self.drop_contacts(now),
        }
    }

    fn on_request(&mut self, now: Instant, arrived: Arrived) {
        // In a dialog, what was agreed on counts; outside, who it is.
        match self.call_of(&arrived.request) {
            Some(call) => self.on_request_within(now, call, arrived),
            None => self.on_request_outside(now, arrived),
        }
    }

    /// The call that a request is within.
    fn call_of(&self, request: &Request) -> Option<CallId> {
        let call_id = request.headers.get("Call-ID")?;
        let id = *self.dialogs.get(&(call_id.to_owned(), request.headers.tag_of("To")?))?;
        self.calls.get(&id)?.is_of(request).then_some(id)
    }

    fn on_request_outside(&mut self, now: Instant, arrived: Arrived) {
        if !self.admission.takes_request(now, &self.config, arrived.source.ip()) {
            self.tally.rate_limited.add(1);
            self.outputs.push_back(Output::Ignore(arrived.tx));
            return;
        }
        if arrived.request.headers.get("Max-Forwards") == Some("0") {
            return self.refuse(&arrived, 483);
        }
        if arrived.request.headers.tag_of("To").is_some() {
            return self.refuse(&arrived, 481);
        }
        match arrived.request.method {
            Method::Invite => self.on_invite(now, arrived),
            Method::Register => self.on_register(now, arrived),
            Method::Options => self.on_options(&arrived),
            // Without their dialog they are about nothing.
            Method::Bye | Method::Info | Method::Update | Method::Prack | Method::Notify => {
                self.refuse(&arrived, 481);
            }
            // A REFER out of the blue would have us call strangers.
            Method::Refer => self.refuse(&arrived, 403),
            Method::Ack | Method::Cancel => self.outputs.push_back(Output::Ignore(arrived.tx)),
            Method::Message | Method::Publish | Method::Subscribe => {
                let response = self.response(&arrived.request, 405).with("Allow", ALLOW);
                self.reply(arrived.tx, response);
            }
            Method::Other(_) => {
                let response = self.response(&arrived.request, 501).with("Allow", ALLOW);
                self.reply(arrived.tx, response);
            }
        }
    }

    /// What we can (RFC 3261, section 11.2). With unknown extensions required it's 420, as anything else.
    fn on_options(&mut self, arrived: &Arrived) {
        if Uri::parse(&arrived.request.uri).is_err() {
            return self.refuse(arrived, 416);
        }
        if let Some(response) = self.bad_extension(&arrived.request) {
            return self.reply(arrived.tx, response);
        }
        let status = if self.is_full() { 503 } else { 200 };
        let mut response = self
            .response(&arrived.request, status)
            .with("Allow", ALLOW)
            .with("Accept", ACCEPT)
            .with("Accept-Encoding", "identity")
            .with("Accept-Language", "en")
            .with("Supported", SUPPORTED);
        if status == 503 {
            response = response.with("Retry-After", RETRY_AFTER_S);
        }
        self.reply(arrived.tx, response);
    }

    /// 420 to what requires something that we haven't got (RFC 3261, section 8.2.2.3).
    fn bad_extension(&mut self, request: &Request) -> Option<Response> {
        let is_known = |option: &&str| {
            ["100rel", "timer", "norefersub"].iter().any(|known| known.eq_ignore_ascii_case(option))
        };
        let unknown: Vec<&str> = request.headers.list("Require").filter(|option| !is_known(option)).collect();
        let unknown = unknown.join(", ");
        (!unknown.is_empty()).then(|| self.response(request, 420).with("Unsupported", unknown))
    }

    fn is_full(&self) -> bool {
        let standing = self.calls.values().filter(|call| !call.is_over()).count();
        self.is_stopping || self.is_congested || standing >= self.config.limits.calls_max
    }

    /// A response outside of dialogs.
    fn response(&mut self, request: &Request, status: u16) -> Response {
        let tag = self.token();
        Response::to(request, status, &tag).with("Server", self.config.user_agent.clone())
    }

    fn refuse(&mut self, arrived: &Arrived, status: u16) {
        let mut response = self.response(&arrived.request, status);
        match status {
            415 => response = response.with("Accept", ACCEPT),
            503 => response = response.with("Retry-After", RETRY_AFTER_S),
            _ => {}
        }
        self.reply(arrived.tx, response);
    }

    fn respond(&mut self, tx: ServerTx, response: Response) {
        self.count(&response);
        self.outputs.push_back(Output::Respond { tx, response });
    }

    /// Answers somebody who has proven nothing, and a request that nobody was told to wait for: "forgoing the normal response
    /// retransmission algorithm, and thus behaving statelessly" (RFC 3261, section 26.3.2.4). So a forged source is sent no
    /// more than it is said to have sent, and nothing waits for its ACK.
    fn reply(&mut self, tx: ServerTx, response: Response) {
        self.count(&response);
        self.outputs.push_back(Output::Reply { tx, response });
    }

    fn count(&self, response: &Response) {
        if response.status >= 300 && !matches!(response.status, 401 | 407) {
            self.tally.rejected.add(response.status);
        }
    }

    /// Lets requests of a call find it.
    fn open_dialog(&mut self, dialog: DialogKey, id: CallId) {
        self.dialogs.insert(dialog.clone(), id);
        self.outputs.push_back(Output::Opened(dialog));
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Letters and digits that nobody guesses: a tag or a part of a `Call-ID`.
    fn token(&mut self) -> String {
        format!("{:016x}", self.rng.next_u64())
    }

    /// Tells the application that a call is over. What is left of it only waits for the peer to confirm that.
    fn end(&mut self, now: Instant, id: CallId, reason: EndReason, status: Option<u16>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.is_over() {
            return;
        }
        call.is_told_over = true;
        self.timers.set(now + GIVE_UP + Duration::from_secs(1), Timer::Forget(id));
        tracing::debug!(call = %id, ?reason, status, "a call ended");
        self.tell(Event::Ended { call: id, reason, status });
    }

    /// Forgets a call that is over.
    fn forget(&mut self, id: CallId) {
        if self.calls.get(&id).is_none_or(|call| !call.is_over()) {
            return;
        }
        let Some(call) = self.calls.remove(&id) else { return };
        let dialog = (call.dialog.call_id.clone(), call.dialog.local_tag.clone());
        self.dialogs.remove(&dialog);
        self.outputs.push_back(Output::Closed(dialog));
        if let Some(key) = call.invite_key {
            self.invites.remove(&key);
        }
        self.timers.clear_call(id);
        self.servers.retain(|_, of| *of != id);
        self.sent.retain(|_, sent| sent.call() != Some(id));
    }

    fn stop(&mut self, now: Instant) {
        self.is_stopping = true;
        let calls: Vec<CallId> = self.calls.keys().copied().collect();
        for call in calls {
            self.hang_up(now, call, super::HangUp::ShuttingDown, EndReason::ShutDown);
        }
        self.unregister_all();
    }

    /// A call that stands, or rings.
    fn live(&mut self, id: CallId) -> Option<&mut Call> {
        self.calls.get_mut(&id).filter(|call| !call.is_over())
    }

    fn in_state(&mut self, id: CallId, state: State) -> Option<&mut Call> {
        self.live(id).filter(|call| call.state == state)
    }
}

/// A request and where it came from.
#[derive(Debug)]
struct Arrived {
    tx: ServerTx,
    request: Request,
    source: SocketAddr,
    transport: Transport,
}

/// One message from nobody known, with calls in and out beside it. For fuzzers.
pub(super) fn fuzz(message: super::message::Message) {
    use super::message::Message;
    let now = Instant::now();
    let local = Local::new(vec![(Transport::Udp, SocketAddr::from(([192, 0, 2, 1], 5060)))]);
    let config = Config {
        inbound: super::Inbound::Anybody,
        registrar: Some(super::Registrar::default()),
        ..Config::default()
    };
    let mut core = Core::new(config, local, [1; 32], now, Arc::default(), Arc::default());
    let source = SocketAddr::from(([192, 0, 2, 2], 5060));
    match message {
        Message::Request(request) => {
            let ack = request.clone();
            let tx = ServerTx(1);
            core.handle(now, Input::Request { tx, request, source, transport: Transport::Udp });
            let call = CallId(1);
            core.handle(now, Input::Command(Command::EarlyMedia(call, "v=0\r\n".to_owned())));
            core.handle(now, Input::Command(Command::Answer(call, "v=0\r\n".to_owned())));
            core.handle(now, Input::Acknowledged { tx, ack });
            core.handle(now, Input::Command(Command::HangUp(call, super::HangUp::Normal)));
        }
        Message::Response(response) => {
            let dial = super::Dial { to: "sip:a@192.0.2.2".to_owned(), ..super::Dial::default() };
            core.handle(now, Input::Command(Command::Dial(CallId(1), dial)));
            core.handle(now, Input::StrayAnswer { response: response.clone() });
            core.handle(now, Input::Response { tx: ClientTx(1), response, sent_to: Some(source) });
        }
    }
    core.handle(now + Duration::from_secs(4000), Input::Tick);
    core.handle(now + Duration::from_secs(4000), Input::Stop);
    while core.poll().is_some() {}
}

#[cfg(test)]
mod tests;
