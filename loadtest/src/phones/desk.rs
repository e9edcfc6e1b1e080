//! Signalling of phones: a URI and an offer in, the answer out; and who was hung up on.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{anyhow, bail};
use tercet_sip_gateway::signalling::{
    CallId, Config, Dial, EndReason, Event, Gateway, Inbound, Limits, Listener, Transport,
};
use tokio::sync::{mpsc, oneshot};

/// What the server's limits are about, where a call is refused by them.
const LIMITED: &str = "the server takes no more calls, or none so fast, or doesn't keep up with those it has: it lets one \
address have 50; `sip.calls_max` and a trunk with the source 127.0.0.1/32 let it have more (docs/sip.md, \"How many\")";

/// The gateway, and what becomes of calls.
pub(super) struct Desk {
    gateway: Gateway,
    calls: Arc<Mutex<Calls>>,
}

/// Calls that ended before we hung up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) calls: u64,
    /// Why the first one did.
    pub(crate) first_reason: Option<String>,
}

type Answer = anyhow::Result<String>;

#[derive(Default)]
struct Calls {
    /// Those that ring: whom to tell.
    ringing: HashMap<CallId, oneshot::Sender<Answer>>,
    is_hanging_up: bool,
    lost: Lost,
}

impl Desk {
    /// Listens at an address, of which the system chooses the port.
    pub(super) async fn start(bind: SocketAddr) -> anyhow::Result<Desk> {
        let config = Config {
            listeners: vec![Listener { transport: Transport::Udp, bind, public: None }],
            user_agent: concat!("tercet-loadtest/", env!("CARGO_PKG_VERSION")).to_owned(),
            inbound: Inbound::Trunks,
            // The server's is enough.
            session_timers: None,
            // What is limited here is the server.
            limits: Limits { calls_max: usize::MAX, calls_per_source_max: usize::MAX, ..Limits::default() },
            ..Config::default()
        };
        let (gateway, events) = Gateway::start(config).await?;
        let calls = Arc::new(Mutex::new(Calls::default()));
        tokio::spawn(attend(calls.clone(), events));
        Ok(Desk { gateway, calls })
    }

    /// Calls somebody. What is returned has the answer to the offer, or the refusal.
    pub(super) fn dial(&self, to: String, offer: String) -> anyhow::Result<oneshot::Receiver<Answer>> {
        let (answered, answering) = oneshot::channel();
        // The answer finds who waits for it, however soon it comes.
        let mut calls = lock(&self.calls);
        let caller = Some("load".to_owned());
        let call = self.gateway.handle().dial(Dial { to, caller, offer, ..Dial::default() })?;
        calls.ringing.insert(call, answered);
        Ok(answering)
    }

    pub(super) fn lost(&self) -> Lost {
        lock(&self.calls).lost.clone()
    }

    /// Hangs up all.
    pub(super) async fn shut_down(self, patience: Duration) {
        lock(&self.calls).is_hanging_up = true;
        self.gateway.shut_down(patience).await;
    }
}

/// Takes what becomes of calls, until the gateway ends.
async fn attend(calls: Arc<Mutex<Calls>>, mut events: mpsc::Receiver<Event>) {
    while let Some(event) = events.recv().await {
        lock(&calls).take(event);
    }
}

impl Calls {
    fn take(&mut self, event: Event) {
        match event {
            Event::Answered { call, sdp } => {
                let answer = sdp.ok_or_else(|| anyhow!("answered without a session description"));
                if let Some(answered) = self.ringing.remove(&call) {
                    // Whoever gave up on it hangs up with all others.
                    let _ = answered.send(answer);
                }
            }
            Event::Ended { call, reason, status } => match self.ringing.remove(&call) {
                Some(answered) => {
                    let _ = answered.send(refusal(reason, status));
                }
                None if self.is_hanging_up => {}
                None => {
                    self.lost.calls += 1;
                    self.lost.first_reason.get_or_insert_with(|| told(reason, status));
                }
            },
            // Nobody is told to ring, and nobody changes what was agreed on.
            _ => {}
        }
    }
}

fn refusal(reason: EndReason, status: Option<u16>) -> Answer {
    match status {
        Some(503) => bail!("503: {LIMITED}"),
        _ => bail!("{}", told(reason, status)),
    }
}

fn told(reason: EndReason, status: Option<u16>) -> String {
    status.map_or_else(|| format!("{reason:?}"), |status| format!("{reason:?}, {status}"))
}

/// No code panics with the lock held.
fn lock(calls: &Mutex<Calls>) -> MutexGuard<'_, Calls> {
    calls.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(call: u64, status: Option<u16>) -> Event {
        Event::Ended { call: CallId(call), reason: EndReason::Rejected, status }
    }

    #[test]
    fn whoever_is_refused_is_told_why_and_a_limit_is_explained() {
        let mut calls = Calls::default();
        let mut refused = |status| {
            let (answered, mut answering) = oneshot::channel();
            calls.ringing.insert(CallId(1), answered);
            calls.take(ended(1, Some(status)));
            answering.try_recv().unwrap().unwrap_err().to_string()
        };
        assert_eq!(refused(404), "Rejected, 404");
        assert!(refused(503).contains("sip.calls_max"));
        assert_eq!(calls.lost, Lost::default());
    }

    #[test]
    fn a_call_is_lost_that_ends_after_its_answer_and_before_we_hang_up() {
        let mut calls = Calls::default();
        let (answered, mut answering) = oneshot::channel();
        calls.ringing.insert(CallId(1), answered);
        calls.take(Event::Answered { call: CallId(1), sdp: Some("v=0".to_owned()) });
        assert_eq!(answering.try_recv().unwrap().unwrap(), "v=0");
        calls.take(ended(1, None));
        assert_eq!(calls.lost, Lost { calls: 1, first_reason: Some("Rejected".to_owned()) });
        calls.is_hanging_up = true;
        calls.take(ended(2, None));
        assert_eq!(calls.lost.calls, 1);
    }
}
