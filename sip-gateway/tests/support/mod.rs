//! What the tests share: a gateway with an application that takes every call, and sipp as the peer.

#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use audio_mixer::Codec;
use md5::{Digest as _, Md5};
use sha2::Sha256;
use tercet_sip_gateway::sdp::{Direction, LocalMedia, SECRET_BYTES, Session};
use tercet_sip_gateway::signalling::{
    CallId, Config, Event, Gateway, Handle, Inbound, Limits, Listener, Rejection, Transport,
};
use tokio::sync::mpsc;

/// Nothing here takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// One that is free now, for UDP and for TCP.
pub(crate) fn free_port() -> u16 {
    loop {
        let socket = UdpSocket::bind(loopback(0)).unwrap();
        let port = socket.local_addr().unwrap().port();
        if TcpListener::bind(loopback(port)).is_ok() {
            return port;
        }
    }
}

/// Everybody may call, at any rate, over UDP.
pub(crate) fn open_config() -> Config {
    Config {
        listeners: vec![Listener { transport: Transport::Udp, bind: loopback(0), public: None }],
        inbound: Inbound::Anybody,
        limits: Limits {
            calls_per_source_max: 10_000,
            calls_per_source_per_minute: 60_000,
            requests_per_source_per_minute: 60_000,
            requests_pending_per_source_max: 1024,
            ..Limits::default()
        },
        ..Config::default()
    }
}

pub(crate) fn session() -> Session {
    Session::new(LocalMedia::at(loopback(40_000), &[Codec::Pcma, Codec::Pcmu]), &[5; SECRET_BYTES])
}

/// A gateway and what its application heard.
pub(crate) struct Phones {
    pub(crate) gateway: Gateway,
    pub(crate) heard: Arc<Mutex<Vec<Event>>>,
}

impl Phones {
    /// Runs an application that does with each event what `react` does.
    pub(crate) async fn start(
        config: Config,
        mut react: impl FnMut(&Handle, &Event) + Send + 'static,
    ) -> Phones {
        let (gateway, mut events) = Gateway::start(config).await.unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (handle, hearing) = (gateway.handle().clone(), heard.clone());
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                react(&handle, &event);
                hearing.lock().unwrap().push(event);
            }
        });
        Phones { gateway, heard }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.gateway.addresses()[0].1
    }

    pub(crate) fn handle(&self) -> &Handle {
        self.gateway.handle()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.heard.lock().unwrap().clone()
    }

    /// Waits for an event.
    pub(crate) async fn until(&self, what: &str, is_it: impl Fn(&Event) -> bool) -> Event {
        let since = Instant::now();
        loop {
            if let Some(event) = self.events().into_iter().find(&is_it) {
                return event;
            }
            assert!(since.elapsed() < PATIENCE, "never heard {what}: {:#?}", self.events());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn until_ended(&self) -> Event {
        self.until("the end of a call", |event| matches!(event, Event::Ended { .. })).await
    }

    pub(crate) async fn until_quiet(&self) {
        let since = Instant::now();
        while self.gateway.counters().calls_now > 0 {
            assert!(since.elapsed() < PATIENCE, "calls that never end: {:#?}", self.gateway.counters());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Rings and answers; answers what is offered later; takes transfers. A call to a number is refused with it.
pub(crate) fn take_everything() -> impl FnMut(&Handle, &Event) + Send + 'static {
    let mut sessions = std::collections::HashMap::<CallId, Session>::new();
    move |handle, event| match event {
        Event::Incoming(incoming) => {
            let call = incoming.call;
            if let Ok(status) = incoming.to.user.parse::<u16>() {
                let rejection = Rejection { status, retry_after_s: (status == 503).then_some(7) };
                return handle.reject(call, rejection).unwrap();
            }
            handle.ring(call).unwrap();
            if incoming.to.user == "nobody" {
                return;
            }
            let mut session = session();
            let sdp = match &incoming.offer {
                Some(offer) => match session.answer(offer) {
                    Ok((sdp, _)) => sdp,
                    Err(error) => return handle.reject(call, Rejection::with(error.status())).unwrap(),
                },
                None => session.offer(Direction::SendRecv),
            };
            sessions.insert(call, session);
            if incoming.to.user == "early" {
                handle.early_media(call, sdp.clone()).unwrap();
            }
            handle.answer(call, sdp).unwrap();
        }
        Event::Offered { call, sdp } => {
            let session = sessions.entry(*call).or_insert_with(session);
            let answer = match sdp {
                Some(sdp) => session.answer(sdp).map(|(sdp, _)| sdp).map_err(|error| error.status()),
                None => Ok(session.offer(Direction::SendRecv)),
            };
            handle.answer_offer(*call, answer).unwrap();
        }
        Event::TransferAsked { call, target, .. } => {
            handle.answer_transfer(*call, !target.contains("nobody")).unwrap();
            handle.report_transfer(*call, 200).unwrap();
        }
        Event::Ended { call, .. } => {
            sessions.remove(call);
        }
        _ => {}
    }
}

/// A run of sipp, which ends with the test.
pub(crate) struct Sipp {
    child: Child,
    name: String,
    pub(crate) port: u16,
}

/// How sipp is run.
pub(crate) struct Scenario {
    pub(crate) file: &'static str,
    pub(crate) remote: SocketAddr,
    pub(crate) to: &'static str,
    pub(crate) calls: u32,
    pub(crate) calls_a_second: u32,
    pub(crate) more: Vec<String>,
}

impl Scenario {
    pub(crate) fn new(file: &'static str, remote: SocketAddr) -> Scenario {
        Scenario { file, remote, to: "room", calls: 1, calls_a_second: 10, more: Vec::new() }
    }

    pub(crate) fn with(mut self, more: &[&str]) -> Scenario {
        self.more.extend(more.iter().map(|one| (*one).to_owned()));
        self
    }

    pub(crate) fn to(self, to: &'static str) -> Scenario {
        Scenario { to, ..self }
    }

    pub(crate) fn start(self) -> Sipp {
        let port = free_port();
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/sipp").join(self.file);
        let mut command = Command::new("sipp");
        command
            .arg("-sf")
            .arg(file)
            .args(["-i", "127.0.0.1", "-mi", "127.0.0.1", "-nostdin", "-timeout_error", "-trace_err"])
            .args([
                "-error_file",
                "/dev/stderr",
                "-timeout",
                "25s",
                "-recv_timeout",
                "8000",
                "-default_behaviors",
                "-bye,-abortunexp",
            ])
            .args(["-p", &port.to_string(), "-s", self.to])
            .args(["-m", &self.calls.to_string(), "-r", &self.calls_a_second.to_string(), "-l", "2000"])
            .args(&self.more)
            .arg(self.remote.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("sipp can't be run ({error}): ./dev installs it, or: apt-get install sip-tester")
        });
        Sipp { child, name: self.file.to_owned(), port }
    }

    /// Runs it to its end, which has to be a good one.
    pub(crate) async fn run(self) {
        self.start().succeeds().await;
    }
}

impl Sipp {
    pub(crate) async fn succeeds(mut self) {
        let since = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(since.elapsed() < PATIENCE * 10, "sipp {} doesn't end", self.name);
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let mut errors = String::new();
        let _ = self.child.stderr.take().unwrap().read_to_string(&mut errors);
        assert!(status.success(), "sipp {}: {status}\n{errors}", self.name);
    }

    pub(crate) fn address(&self) -> SocketAddr {
        loopback(self.port)
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What ada's phone sends that was challenged so, in the words of RFC 7616, section 3.4.1.
pub(crate) fn credentials(challenge: &str, method: &str, uri: &str, count: u32) -> String {
    let field = |name: &str| {
        let (_, rest) = challenge.split_once(&format!("{name}=")).unwrap();
        rest.split([',', '\r']).next().unwrap().trim_matches('"').to_owned()
    };
    let hash = |text: String| -> String {
        let bytes = match field("algorithm").as_str() {
            "SHA-256" => Sha256::digest(text).to_vec(),
            _ => Md5::digest(text).to_vec(),
        };
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let (realm, nonce) = (field("realm"), field("nonce"));
    let whom = hash(format!("ada:{realm}:lovelace"));
    let what = hash(format!("{method}:{uri}"));
    let response = hash(format!("{whom}:{nonce}:{count:08x}:c:auth:{what}"));
    format!(
        "Authorization: Digest username=\"ada\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
         response=\"{response}\", algorithm={}, qop=auth, nc={count:08x}, cnonce=\"c\"\r\n",
        field("algorithm"),
    )
}

/// A socket that says what it likes.
pub(crate) struct Raw {
    pub(crate) socket: UdpSocket,
    pub(crate) remote: SocketAddr,
}

impl Raw {
    pub(crate) fn to(remote: SocketAddr) -> Raw {
        let us = if remote.is_ipv6() { "[::1]:0" } else { "127.0.0.1:0" };
        let socket = UdpSocket::bind(us).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
        Raw { socket, remote }
    }

    pub(crate) fn send(&self, message: &[u8]) {
        self.socket.send_to(message, self.remote).unwrap();
    }

    /// The next message, or `None` after a second and a half of silence.
    pub(crate) fn receive(&self) -> Option<String> {
        let mut buffer = [0; 65_535];
        let (length, _) = self.socket.recv_from(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    /// The next final status.
    pub(crate) fn final_status(&self) -> Option<u16> {
        loop {
            let message = self.receive()?;
            let status: u16 = message.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()?;
            if status >= 200 {
                return Some(status);
            }
        }
    }

    /// A request out of the blue; `change` gets its text.
    pub(crate) fn ask(&self, method: &str, to: &str, more: &str) -> Option<u16> {
        self.send(self.request(method, to, more).as_bytes());
        self.final_status()
    }

    pub(crate) fn request(&self, method: &str, to: &str, more: &str) -> String {
        let us = self.socket.local_addr().unwrap();
        let number: u64 = rand::random();
        format!(
            "{method} sip:{to}@{} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bK{number:x}\r\n\
             From: <sip:tester@{us}>;tag={number:x}\r\nTo: <sip:{to}@{}>\r\nCall-ID: {number:x}@raw\r\nCSeq: 1 {method}\r\n\
             Contact: <sip:tester@{us}>\r\nMax-Forwards: 70\r\n{more}Content-Length: 0\r\n\r\n",
            self.remote, self.remote,
        )
    }
}

/// Keeps a receiver alive.
pub(crate) type Events = mpsc::Receiver<Event>;
